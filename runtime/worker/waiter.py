"""Waiting for a counter in shared memory, within a microsecond of its change where that comes soon.

Waiting spins first, because a counter is seen within a microsecond that way, and then sleeps on an event descriptor.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from hetsim.runtime.worker.arena import ABORTED, Arena
from hetsim.runtime.worker.settings import Settings

_PARK_S = 0.05  # longest sleep before a sleeper looks again by itself
_SPINS_PER_LOOK = 64  # spins between looks at the clock


class Aborted(Exception):  # noqa: N818  (a signal between loops, not an error of its own)
    """Another worker gave up, or the caller is gone."""


class Waiter:
    """Waits for words in shared memory to reach a value.

    Args:
        arena: The shared memory.
        settings: Whose worker this is.
        control_fd: Readable when the caller has something to say or is gone.
        clock_ns: Time in nanoseconds; tests inject theirs.
        park: Sleeps until the device is woken, at most so many seconds; tests inject theirs.
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
        self._description = arena.description
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

    def wait(self, word: int, value: int, spin_s: float, *, may_stop: bool) -> bool:
        """Return True once ``description[word] >= value``, or False if the caller has a message and ``may_stop``.

        Raises:
            Aborted: If another worker gave up, or the caller hung up.
        """
        description = self._description
        deadline_ns = self._clock_ns() + int(spin_s * 1e9)
        while True:
            for _ in range(_SPINS_PER_LOOK):
                if description[word] >= value:
                    return True
            if description[ABORTED]:
                raise Aborted
            if self._clock_ns() < deadline_ns:
                os.sched_yield()  # whoever else needs this core may be about to wake the one that we wait for
                continue
            description[self._parked] = 1
            if description[word] < value:  # look again: the one we wait for may not have seen us sleep
                self._park(_PARK_S)
            description[self._parked] = 0
            for _, events in self._poll.poll(0):
                if events & (select.POLLHUP | select.POLLERR):
                    raise Aborted
                if may_stop and description[word] < value:
                    return False

    def _sleep(self, timeout_s: float) -> None:
        for fd, _ in self._both.poll(timeout_s * 1000):
            if fd == self._wake_fd:
                os.eventfd_read(fd)
