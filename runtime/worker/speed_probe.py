"""A fixed piece of arithmetic that a device's process does now and then: it tells how fast its core is at the moment.

A core's speed changes with what else runs: another machine's work on the same physical core, or a clock that the
temperature holds down. Here it has been seen to take half as long again for a tenth of a second or for minutes. What
is fixed takes longer then as everything else does, and says so beside each measurement
(:mod:`hetsim.costs.fitting.interference`).
"""

from __future__ import annotations

import math
import os
import time
from bisect import insort
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from hetsim.costs.fitting.interference import MAX_SLOWDOWN
from hetsim.runtime.inference import Inference

_SIDE = 64  # three matrices of 16 KiB, which the nearest caches hold; small enough that no library shares it out
_PRODUCTS = 12  # some 50 microseconds
_TRIES = 3  # of which the shortest counts: an interrupt only makes one longer


@cache
def make_speed_probe(cores: tuple[int, ...] = ()) -> Callable[[], int]:
    """A function that does the arithmetic and returns how long it took, in nanoseconds; one for all plans of a process.

    Args:
        cores: Where several are named, it is done on one after the other, and the slowest counts.
    """
    left, right = np.random.default_rng(0).random((2, _SIDE, _SIDE), dtype=np.float32)
    product = np.empty_like(left)

    def once_ns() -> int:
        begin_ns = time.monotonic_ns()
        for _ in range(_PRODUCTS):
            np.dot(left, right, out=product)
        return time.monotonic_ns() - begin_ns

    def shortest_ns() -> int:
        return min(once_ns() for _ in range(_TRIES))

    def slowest_core_ns() -> int:
        found = []
        for core in cores:
            os.sched_setaffinity(0, {core})
            found.append(shortest_ns())
        os.sched_setaffinity(0, cores)
        return max(found)

    return slowest_core_ns if len(cores) > 1 else shortest_ns


class InterferenceMonitor:
    """How much slower cores were than they are at their best, by all yardsticks and fetches until now."""

    def __init__(self) -> None:
        self._sorted_s: dict[tuple[str, str], list[float]] = {}

    def learn(self, serial_run: Inference) -> None:
        """Take in what a serial walk says; other inferences say nothing."""
        for kind, readings_s in _readings_s(serial_run):
            for device, seconds in readings_s.items():
                insort(self._sorted_s.setdefault((kind, device), []), seconds)

    def slowness(self, *serial_runs: Inference) -> float:
        """By how much the slowest core was slower than at its best after some walks, as a fraction.

        A device's yardstick and its fetch, if there is one, count as one piece of work. It is 0 where there are no
        readings, and -1 of a core of which nothing is known yet.

        A core's best is what a tenth of its readings are faster than: one that is slow for nine tenths of the time is
        still found out, and one lucky reading sets no mark.
        """
        found: list[float] = []
        for serial_run in serial_runs:
            for device in serial_run.speed_probes_s:
                read = [
                    (kind, readings_s[device]) for kind, readings_s in _readings_s(serial_run) if device in readings_s
                ]
                best_s = sum(self._best_s(kind, device) for kind, _ in read)
                found.append(sum(seconds for _, seconds in read) / best_s - 1)
        return max(found, default=0.0)

    def is_undisturbed(self, serial_run: Inference) -> bool:
        """Whether no core was slower than at its best by more than the limit of ``interference.MAX_SLOWDOWN``."""
        return self.slowness(serial_run) <= MAX_SLOWDOWN

    def _best_s(self, kind: str, device: str) -> float:
        known_s = self._sorted_s.get((kind, device))
        return known_s[len(known_s) // 10] if known_s else math.inf


def _readings_s(serial_run: Inference) -> tuple[tuple[str, Mapping[str, float]], ...]:
    return ("yardstick", serial_run.speed_probes_s), ("fetch", serial_run.transfer_probes_s)
