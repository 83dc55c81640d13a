"""Wait for a cell in shared memory to reach a value.

A wait spins first, as a spinning process sees a change within a microsecond, and then sleeps on an event descriptor.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from hetsim.runtime.worker.arena import ABORTED, Arena
from hetsim.runtime.worker.settings import Settings

_PARK_S = 0.05  # longest sleep before a sleeper looks at the cell again unwoken
_SPINS_PER_CHECK = 64  # spins between looks at the clock


class Aborted(Exception):  # noqa: N818  (a signal between loops, not an error of its own)
    """Another worker failed, or the caller is gone."""


class Waiter:
    """Waits for cells in shared memory to reach a value.

    Args:
        arena: The plan's shared memory.
        settings: The worker's settings.
        control_fd: Descriptor that is readable when the caller has sent a message or is gone.
        clock_ns: Time in nanoseconds, by default the monotonic clock.
        park: Sleeps until the device is woken, for at most the given seconds; by default on the event descriptor.
    """

    def __init__(
        self,
        arena: Arena,
        settings: Settings,
        control_fd: int,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        park: Callable[[float], None] | None = None,
    ) -> None:
        self._cells = arena.cells
        self._parked = arena.layout.parked(settings.index)
        self._clock_ns = clock_ns
        self._wake_fd = settings.wake_fds[settings.index]
        self._poll = select.poll()
        self._poll.register(control_fd, select.POLLIN | select.POLLHUP)
        self._control_fd = control_fd
        self._both = select.poll()
        self._both.register(control_fd, select.POLLIN | select.POLLHUP)
        self._both.register(self._wake_fd, select.POLLIN)
        self._park = park or self._sleep

    def wait(self, cell: int, value: int, spin_s: float, *, may_stop: bool) -> bool:
        """Block until ``cells[cell] >= value`` and return True, or False if the caller sent a message and ``may_stop``.

        Args:
            cell: Index of the cell.
            value: The value to reach.
            spin_s: How long to spin before sleeping, in seconds.
            may_stop: Whether a message from the caller ends the wait.

        Raises:
            Aborted: If another worker failed, or the caller is gone.
        """
        cells = self._cells
        deadline_ns = self._clock_ns() + int(spin_s * 1e9)
        while True:
            for _ in range(_SPINS_PER_CHECK):
                if cells[cell] >= value:
                    return True
            if cells[ABORTED]:
                raise Aborted
            if self._clock_ns() < deadline_ns:
                os.sched_yield()  # another process on this core may be about to write the cell
                continue
            cells[self._parked] = 1
            if cells[cell] < value:  # look again: the writer may not have seen that we sleep
                self._park(_PARK_S)
            cells[self._parked] = 0
            for _, events in self._poll.poll(0):
                if events & (select.POLLHUP | select.POLLERR):
                    raise Aborted
                if may_stop and cells[cell] < value:
                    return False

    def _sleep(self, timeout_s: float) -> None:
        for fd, _ in self._both.poll(timeout_s * 1000):
            if fd == self._wake_fd:
                os.eventfd_read(fd)
