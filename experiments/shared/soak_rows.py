"""Rows of the soak experiment, and what they show: answers, memory, descriptors and latencies that stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hetsim.core.statistics import theil_sen

PERCENTILES = {"p50": 50.0, "p99": 99.0, "p999": 99.9}


LEAK_BYTES = 1.0
"""Less than this for each request is no leak: the smallest object that could be left is of 16 bytes."""


GROWTH_BYTES = 2**20
"""Nor is less than this in all: the lines of the CSV take memory, too."""


DRIFT = 0.1
"""How far a latency may drift over a soak, relative to its median, and still be called level."""


WARM_UP = 0.1  # of the intervals, not judged: allocators fill their pools


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakLine:
    """A line of soak.csv: one interval.

    Attributes:
        interval: Its number, from 1.
        end_s: When it ended, since the soak began.
        num_requests: Requests of this interval, those that were given up among them.
        num_cancelled: Those that were given up before the answer was taken.
        num_wrong: Answers that differ from the first one to the same input.
        num_stuck: Slots that did not come back at its end.
        throughput_per_s: Requests a second.
        p50_s: Median of latencies, from asking until the answer is there, waiting for a slot included.
        p99_s: Their 99th percentile.
        p999_s: Their 99.9th percentile.
        caller_bytes: Resident memory of the caller's process at its end.
        cpu_bytes: The same of the worker of ``cpu``, the shared tensors included.
        npu_bytes: The same of the worker of ``npu``.
        caller_descriptors: Open descriptors of the caller's process.
        cpu_descriptors: The same of the worker of ``cpu``.
        npu_descriptors: The same of the worker of ``npu``.
    """

    interval: int
    end_s: float
    num_requests: int
    num_cancelled: int
    num_wrong: int
    num_stuck: int
    throughput_per_s: float
    p50_s: float
    p99_s: float
    p999_s: float
    caller_bytes: int
    cpu_bytes: int
    npu_bytes: int
    caller_descriptors: int
    cpu_descriptors: int
    npu_descriptors: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the verdict; ``good`` is False where something leaked, stuck or was wrong."""

    good: bool
    description: str


def judge(lines: Sequence[SoakLine]) -> list[Finding]:
    """What a soak showed. The first tenth of its intervals warms up and is not judged, but for answers and slots.

    - An answer is wrong if one bit of it is.
    - Memory leaks if the whole 95 % interval of its slope is above ``LEAK_BYTES`` for each request and, over all that
      is judged, above ``GROWTH_BYTES``; it is level if the whole interval is below, and unclear otherwise.
    - Descriptors are level if there are as many at the end of every interval.
    - A latency is level if the whole 95 % interval of its drift from begin to end is within ``DRIFT`` of its median; it
      rises or falls if not, and the interval is on one side of zero; it is unclear otherwise. That is said, but is no
      fault: the machine may be to blame.

    Slopes are Theil and Sen's, which a few disturbed intervals do not move.
    """
    num_requests, wrong, stuck = (
        sum(values) for values in zip(*((e.num_requests, e.num_wrong, e.num_stuck) for e in lines), strict=True)
    )
    cancelled = sum(line.num_cancelled for line in lines)
    findings = [
        Finding(
            not wrong and not stuck,
            f"{num_requests:,} requests in {lines[-1].end_s / 60:.1f} min: {num_requests - cancelled:,} answered, "
            f"{cancelled:,} given up; wrong answers: {wrong}; slots that did not come back: {stuck}",
        )
    ]
    judged = lines[max(round(WARM_UP * len(lines)), 1) :]
    requests = np.cumsum([line.num_requests for line in judged]).tolist()
    bound = max(LEAK_BYTES, GROWTH_BYTES / requests[-1])
    for who in ("caller", "cpu", "npu"):
        sizes = [getattr(line, f"{who}_bytes") for line in judged]
        slope = theil_sen(requests, sizes)
        word = "level" if slope.high <= bound else "leaks" if slope.low > bound else "unclear"
        findings.append(
            Finding(
                word != "leaks",
                f"memory of {who}: {slope.median:+.3f} bytes a request (95 % interval {slope.low:+.3f} to "
                f"{slope.high:+.3f}), {sizes[0] / 2**20:.1f} MiB at first and {sizes[-1] / 2**20:.1f} at last: {word}",
            )
        )
    for who in ("caller", "cpu", "npu"):
        counts = [getattr(line, f"{who}_descriptors") for line in judged]
        level = min(counts) == max(counts)
        findings.append(
            Finding(level, f"descriptors of {who}: {min(counts)} to {max(counts)}: {'level' if level else 'not level'}")
        )
    return [*findings, *(_latency(name, judged) for name in PERCENTILES)]


def _latency(name: str, judged: Sequence[SoakLine]) -> Finding:
    ends_s = [line.end_s for line in judged]
    seconds = [getattr(line, f"{name}_s") for line in judged]
    slope = theil_sen(ends_s, seconds)
    scale = (ends_s[-1] - ends_s[0]) / float(np.median(seconds))
    low, drift, high = slope.low * scale, slope.median * scale, slope.high * scale
    word = "level" if max(-low, high) <= DRIFT else "rises" if low > 0 else "falls" if high < 0 else "unclear"
    minute = min(60.0, (ends_s[-1] - ends_s[0]) / 2)
    first = np.median([each for end_s, each in zip(ends_s, seconds, strict=True) if end_s <= ends_s[0] + minute])
    last = np.median([each for end_s, each in zip(ends_s, seconds, strict=True) if end_s >= ends_s[-1] - minute])
    return Finding(
        True,
        f"latency {name}: {first * 1e3:.3f} ms in the first {minute:.0f} s and {last * 1e3:.3f} ms in the last, drift "
        f"{drift:+.1%} (95 % interval {low:+.1%} to {high:+.1%}): {word}".replace("%", " %").replace("95  %", "95 %"),
    )
