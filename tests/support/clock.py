"""A clock that tests move."""

from __future__ import annotations


class Clock:
    """Time in nanoseconds that passes only when told to, and by 10 ns at each call."""

    def __init__(self) -> None:
        self.now_ns = 1_000

    def __call__(self) -> int:
        self.now_ns += 10  # looking at a clock takes time, too
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += round(seconds * 1e9)
