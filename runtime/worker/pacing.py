"""Keeps a step to the model's time where devices or hand-overs are acted out (:mod:`hetsim.runtime.emulation`)."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable

from hetsim.runtime.worker.arena import ABORTED, Arena
from hetsim.runtime.worker.program import Task

_SPINS_PER_LOOK = 1024  # spins between looks at whether anybody gave up


class Pace:
    """One step of one slot: when it may start, and when what it makes arrives elsewhere.

    Args:
        arena: The shared memory.
        task: The step.
        slot: The slot.
        emulated: Whether its device is emulated, and so starts by time stamps.
        clock_ns: Time in nanoseconds; tests inject theirs.
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
        self._description = arena.description
        self._descriptor = arena.descriptor
        self._channel = arena.layout.channel
        self._emulated = emulated
        self._clock_ns = clock_ns
        self._arrivals = tuple(arena.layout.arrival(slot, number) for number in task.arrivals)
        self._sends = tuple(
            (arena.layout.arrival(slot, number), round(one.transfer_s * 1e9), one.copies) for number, one in task.sends
        )

    def start_ns(self, free_ns: int) -> int:
        """When the step starts, once its inputs have arrived: now, or on an emulated device when the model says so.

        Args:
            free_ns: When the device was free for it.
        """
        description, clock_ns = self._description, self._clock_ns
        latest_ns = 0
        for word in self._arrivals:
            if description[word] > latest_ns:
                latest_ns = description[word]
        now_ns = clock_ns()
        num_spins = 0
        while now_ns < latest_ns:
            num_spins += 1
            if num_spins % _SPINS_PER_LOOK == 0 and description[ABORTED]:
                break
            now_ns = clock_ns()
        return max(free_ns, latest_ns) if self._emulated else now_ns

    def send(self, end_ns: int) -> None:
        """Note when what the step made arrives, given that the step has ended."""
        for word, transfer_ns, copies in self._sends:
            self._description[word] = self._copied_ns(end_ns, transfer_ns) if copies else end_ns + transfer_ns

    def _copied_ns(self, end_ns: int, transfer_ns: int) -> int:
        """When a copy ends that was asked for at ``end_ns``: it has the memory channel after those asked for before."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            self._description[self._channel] = max(self._description[self._channel], end_ns) + transfer_ns
            return int(self._description[self._channel])
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
