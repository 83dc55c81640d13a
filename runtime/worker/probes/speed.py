"""The speed probe: a fixed computation whose duration tells how fast a core is at the moment.

A core's speed changes with other work on the same physical core, which another virtual machine may do, and with its
clock frequency. Slowdowns by half were measured that last from a tenth of a second to minutes. A worker runs the probe
after each serial run; :mod:`hetsim.costs.fitting.interference` and the interference monitor use its duration.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache

import numpy as np

_SIDE = 48  # three matrices of 9 KiB, which fit a first-level cache of 32 KiB with room for what else is used
_PRODUCTS = 28  # about 50 microseconds
_TRIES = 3  # the shortest counts, as an interrupt only makes a try longer


@cache
def make_speed_probe(cores: tuple[int, ...] = ()) -> Callable[[], int]:
    """A function that runs the probe and returns its duration in nanoseconds; the same for all plans of a process.

    Args:
        cores: The device's cores. If there are several, the probe runs on one after the other, and the slowest counts.
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
