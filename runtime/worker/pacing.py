"""Keep a step to the model's time if its device or its hand-overs are emulated (:mod:`hetsim.runtime.emulation`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from hetsim.runtime.worker.arena import ABORTED, Arena
from hetsim.runtime.worker.program import Task

_SPINS_PER_CHECK = 1024  # spins between checks of whether another worker failed


class Pace:
    """The timing of one step in one slot: when it may start, and when its outputs arrive on other devices.

    Args:
        arena: The plan's shared memory.
        task: The step.
        slot: The slot.
        emulated: Whether its device is emulated; it then starts by time stamps, not when the worker gets to it.
        clock_ns: Time in nanoseconds, by default the monotonic clock.
    """

    def __init__(
        self,
        arena: Arena,
        task: Task,
        slot: int,
        *,
        emulated: bool,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        import fcntl  # only Unix has it, and importing the runtime must work elsewhere

        self._cells = arena.cells
        self._lock = partial(fcntl.lockf, arena.descriptor, fcntl.LOCK_EX)
        self._unlock = partial(fcntl.lockf, arena.descriptor, fcntl.LOCK_UN)
        self._channel = arena.layout.channel
        self._emulated = emulated
        self._clock_ns = clock_ns
        self._arrivals = tuple(arena.layout.arrival(slot, number) for number in task.arrivals)
        self._sends = tuple(
            (arena.layout.arrival(slot, number), round(one.transfer_s * 1e9), one.copies) for number, one in task.sends
        )

    @property
    def have_arrived(self) -> bool:
        """Whether the step's inputs have arrived by now; they must have been sent."""
        cells, now_ns = self._cells, self._clock_ns()
        return all(cells[cell] <= now_ns for cell in self._arrivals)

    def start_ns(self, free_ns: int) -> int:
        """Wait until the step's inputs have arrived; returns its start in nanoseconds.

        The start is now, or on an emulated device the time that the model gives.

        Args:
            free_ns: When the device became free.
        """
        cells, clock_ns = self._cells, self._clock_ns
        latest_ns = 0
        for cell in self._arrivals:
            if cells[cell] > latest_ns:
                latest_ns = cells[cell]
        now_ns = clock_ns()
        num_spins = 0
        while now_ns < latest_ns:
            num_spins += 1
            if num_spins % _SPINS_PER_CHECK == 0 and cells[ABORTED]:
                break
            now_ns = clock_ns()
        return max(free_ns, latest_ns) if self._emulated else now_ns

    def send(self, end_ns: int) -> None:
        """Note when the step's outputs arrive on other devices, given when the step ended."""
        for cell, transfer_ns, copies in self._sends:
            self._cells[cell] = self._copied_ns(end_ns, transfer_ns) if copies else end_ns + transfer_ns

    def _copied_ns(self, end_ns: int, transfer_ns: int) -> int:
        """When a copy that is ready at ``end_ns`` ends; copies have the memory channel one after another."""
        self._lock()
        try:
            self._cells[self._channel] = max(self._cells[self._channel], end_ns) + transfer_ns
            return int(self._cells[self._channel])
        finally:
            self._unlock()
