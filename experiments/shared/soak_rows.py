"""Rows of the soak experiment, and the verdict on them: wrong answers, stuck slots, leaks and drifting latencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hetsim.core.statistics import theil_sen

PROCESSES = ("caller", "cpu", "npu")
"""The caller and the workers of the two devices, as the columns name them."""
PERCENTILES = {"p50": 50.0, "p99": 99.0, "p999": 99.9}
LEAK_BYTES = 1.0
"""A growth of memory by less than this for each request is no leak; the smallest object takes 16 bytes."""
GROWTH_BYTES = 2**20
"""A growth of memory by less than this in all is no leak either; the lines of the CSV take memory, too."""
DRIFT = 0.1
"""The largest drift of a latency over a soak, relative to its median, at which it counts as level."""
WARM_UP = 0.1  # part of the intervals, in which allocators fill their pools


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakLine:
    """A line of soak.csv: one interval.

    Attributes:
        interval: Its number, from 1.
        end_s: Time from the start of the soak to the end of the interval.
        num_requests: Requests of this interval, cancelled ones included.
        num_cancelled: Requests that were cancelled before they had an answer.
        num_wrong: Answers that differ from the first answer to the same input.
        num_stuck: Slots that were still in use after all requests had ended.
        throughput_per_s: Requests per second.
        p50_s: Median latency, from the request to its answer, including the wait for a slot.
        p99_s: 99th percentile of these latencies.
        p999_s: 99.9th percentile of them.
        caller_bytes: Resident memory of the caller's process at the end of the interval.
        cpu_bytes: Resident memory of the worker of ``cpu``, including the shared tensors.
        npu_bytes: Resident memory of the worker of ``npu``, including the shared tensors.
        caller_descriptors: Open descriptors of the caller's process.
        cpu_descriptors: Open descriptors of the worker of ``cpu``.
        npu_descriptors: Open descriptors of the worker of ``npu``.
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
    """A line of the verdict on a soak.

    Attributes:
        good: Whether it reports no fault.
        text: The line.
    """

    good: bool
    text: str


def judge(lines: Sequence[SoakLine]) -> list[Finding]:
    """The findings about answers, memory, descriptors and latencies, in this order.

    - One wrong bit makes an answer wrong.
    - Memory is judged by the 95 % interval of its growth per request. The bound is ``LEAK_BYTES``, or ``GROWTH_BYTES``
      over all judged requests if that is more. Memory leaks if the whole interval is above the bound; it is level if
      the whole interval is below, else unclear.
    - Descriptors are level if there are as many at the end of every interval.
    - A latency is level if the whole 95 % interval of its drift from beginning to end is within ``DRIFT`` of its
      median. If not, it rises or falls if that interval is on one side of zero, else it is unclear. A latency that is
      not level counts as no fault, because something else on the machine may cause it.

    The first tenth of the intervals, the warm-up, counts for answers and stuck slots only. Slopes are those of Theil
    and Sen, which few disturbed intervals do not change.
    """
    judged = lines[max(round(WARM_UP * len(lines)), 1) :]
    return [
        _judge_answers(lines),
        *(_judge_memory(process, judged) for process in PROCESSES),
        *(_judge_descriptors(process, judged) for process in PROCESSES),
        *(_judge_latency(percentile, judged) for percentile in PERCENTILES),
    ]


def _judge_answers(lines: Sequence[SoakLine]) -> Finding:
    num_requests = sum(line.num_requests for line in lines)
    cancelled = sum(line.num_cancelled for line in lines)
    wrong = sum(line.num_wrong for line in lines)
    stuck = sum(line.num_stuck for line in lines)
    return Finding(
        not wrong and not stuck,
        f"{num_requests:,} requests in {lines[-1].end_s / 60:.1f} min: {num_requests - cancelled:,} answered, "
        f"{cancelled:,} given up; wrong answers: {wrong}; slots that did not come back: {stuck}",
    )


def _judge_memory(process: str, judged: Sequence[SoakLine]) -> Finding:
    requests = np.cumsum([line.num_requests for line in judged]).tolist()
    bound = max(LEAK_BYTES, GROWTH_BYTES / requests[-1])
    sizes = [getattr(line, f"{process}_bytes") for line in judged]
    slope = theil_sen(requests, sizes)
    verdict = "level" if slope.high <= bound else "leaks" if slope.low > bound else "unclear"
    return Finding(
        verdict != "leaks",
        f"memory of {process}: {slope.median:+.3f} bytes a request (95 % interval {slope.low:+.3f} to "
        f"{slope.high:+.3f}), {sizes[0] / 2**20:.1f} MiB at first and {sizes[-1] / 2**20:.1f} at last: {verdict}",
    )


def _judge_descriptors(process: str, judged: Sequence[SoakLine]) -> Finding:
    counts = [getattr(line, f"{process}_descriptors") for line in judged]
    level = min(counts) == max(counts)
    return Finding(
        level, f"descriptors of {process}: {min(counts)} to {max(counts)}: {'level' if level else 'not level'}"
    )


def _judge_latency(percentile: str, judged: Sequence[SoakLine]) -> Finding:
    ends_s = [line.end_s for line in judged]
    latencies_s = [getattr(line, f"{percentile}_s") for line in judged]
    slope = theil_sen(ends_s, latencies_s)
    scale = (ends_s[-1] - ends_s[0]) / float(np.median(latencies_s))
    low, drift, high = slope.low * scale, slope.median * scale, slope.high * scale
    verdict = "level" if max(-low, high) <= DRIFT else "rises" if low > 0 else "falls" if high < 0 else "unclear"
    minute_s = min(60.0, (ends_s[-1] - ends_s[0]) / 2)
    pairs = list(zip(ends_s, latencies_s, strict=True))
    first_s = np.median([latency_s for end_s, latency_s in pairs if end_s <= ends_s[0] + minute_s])
    last_s = np.median([latency_s for end_s, latency_s in pairs if end_s >= ends_s[-1] - minute_s])
    return Finding(
        True,
        f"latency {percentile}: {first_s * 1e3:.3f} ms in the first {minute_s:.0f} s and {last_s * 1e3:.3f} ms in the "
        f"last, drift {100 * drift:+.1f} % (95 % interval {100 * low:+.1f} % to {100 * high:+.1f} %): {verdict}",
    )
