"""How long a device may stay in one segment before it counts as hung: what the session has seen of it says so."""

from __future__ import annotations

import numpy as np

from hetsim.runtime.backends.protocol import Array

Run = tuple[int, int]
"""A segment that a device is running: its step, and the number of the request."""

_FACTOR = 50.0  # beyond the longest time seen; pages that have to come back from the disk stay well below it


class HangDetector:
    """Learns from finished requests, and counts how long each device has been in its segment.

    Only time in which the device could have gone on is counted: the caller says how much that was since it last looked.

    Args:
        num_steps: Steps of the plan.
        floor_s: The least that any segment is given.
    """

    def __init__(self, num_steps: int, floor_s: float) -> None:
        self._floor_s = floor_s
        self._longest_ns = np.zeros(num_steps, dtype=np.int64)
        self._in_segment: dict[str, tuple[Run, float]] = {}

    def learn(self, stamps_ns: Array) -> None:
        """Take in a finished request: start and end of each step, shape (num_steps, 2)."""
        np.maximum(self._longest_ns, stamps_ns[:, 1] - stamps_ns[:, 0], out=self._longest_ns)

    def longest_s(self, step: int) -> float:
        """The longest that a step has taken, in seconds; 0 if none of its runs has been seen."""
        return float(self._longest_ns[step]) * 1e-9

    def allowance_s(self, step: int) -> float:
        """How long a step may take, in seconds; without end before the first of its runs has been seen."""
        longest_s = self.longest_s(step)
        return max(self._floor_s, _FACTOR * longest_s) if longest_s else float("inf")

    def is_over(self, device: str, run: Run, passed_s: float) -> bool:
        """Whether a device has been in the segment that it runs for longer than that may take.

        Args:
            device: The device.
            run: What it is seen to run.
            passed_s: Seconds since the last look in which it could have gone on.
        """
        before, spent_s = self._in_segment.get(device, (None, 0.0))
        spent_s = spent_s + passed_s if run == before else 0.0
        self._in_segment[device] = (run, spent_s)
        return spent_s > self.allowance_s(run[0])
