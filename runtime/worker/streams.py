"""One device's parts of several plans at once: of the next segments that are ready, the most urgent runs.

Rule 1 of :mod:`hetsim.sim.service.reference`: each plan's part runs strictly in order, request by request. A running
segment is not interrupted.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Sequence

from hetsim.runtime.worker.arena import ABORTED, SUBMITTED, Arena
from hetsim.runtime.worker.loaded import LoadedProgram, SegmentFailed
from hetsim.runtime.worker.settings import Settings
from hetsim.runtime.worker.waiter import Aborted

_PARK_MS = 50  # longest sleep before a sleeper looks again unwoken
_LOOKS_PER_CHECK = 16  # looks at all streams between looks at the clock


class StreamFailed(Exception):  # noqa: N818  (becomes a message to the caller)
    """A segment raised while running.

    Attributes:
        session: The session of its plan.
        step: Its index in the plan's dataflow.
        reason: What it raised, in one line.
    """

    def __init__(self, session: int, failure: SegmentFailed) -> None:
        super().__init__(session, failure.step, failure.reason)
        self.session, self.step, self.reason = session, failure.step, failure.reason


class _Stream:
    """A device's part of one plan and how far it has come."""

    def __init__(self, session: int, loaded: LoadedProgram, arena: Arena, device: int) -> None:
        self.session = session
        self.loaded = loaded
        self.cells = arena.cells
        self.parked = arena.layout.parked(device)
        self._layout = arena.layout
        self._place = 0
        self._look_up()

    def _look_up(self) -> None:
        self.request = self.loaded.num_requests + 1
        slot = self.loaded.num_requests % len(self.loaded.slots)
        self._steps = self.loaded.slots[slot]
        self.bound = self._steps[self._place]
        self.waits = self.bound.waits[0]
        self.key = self._layout.key(slot)
        self._submitted = self._layout.submitted(slot)

    @property
    def is_ready(self) -> bool:
        """Whether its next segment can start."""
        cells, request = self.cells, self.request
        if cells[SUBMITTED] < request:
            return False
        for cell in self.waits:
            if cells[cell] < request:
                return False
        return self.bound.pace is None or self.bound.pace.have_arrived

    @property
    def is_idle(self) -> bool:
        """Whether it has no request."""
        return self.cells[SUBMITTED] < self.request

    def run(self, free_ns: int) -> tuple[int, int]:
        """Run the next segment; returns its end in nanoseconds, and the request if that has ended here, or 0.

        Raises:
            SegmentFailed: If the segment raised.
        """
        end_ns = self.loaded.run(self.bound, self.request, max(free_ns, self.cells[self._submitted]), self.bound.pace)
        self._place += 1
        ended = 0
        if self._place == len(self._steps):
            self._place = 0
            self.loaded.end_request()
            ended = self.request
        self._look_up()
        return end_ns, ended


def serve_streams(
    programs: Sequence[tuple[int, LoadedProgram, Arena]],
    settings: Settings,
    control_fd: int,
    report: Callable[[int, int], None],
) -> None:
    """Run requests of several sessions as they are submitted; blocks until the caller sends a message.

    Args:
        programs: By session, its number, the device's part of its plan, and its shared memory.
        settings: The worker's settings.
        control_fd: Descriptor that is readable when the caller has sent a message or is gone.
        report: Told the session and the number of each request that this device has finished.

    Raises:
        Aborted: If another worker failed, or the caller is gone.
        StreamFailed: If a segment raised; the other devices have been told to stop waiting.
    """
    streams = [_Stream(session, loaded, arena, settings.index) for session, loaded, arena in programs]
    free_ns = 0
    while True:
        best, best_key = None, 0
        for one in streams:
            if one.is_ready:
                key = one.cells[one.key]
                if best is None or key < best_key:
                    best, best_key = one, key
        if best is None:
            if not _wait(streams, settings, control_fd):
                return
            continue
        try:
            free_ns, ended = best.run(free_ns)
        except SegmentFailed as failure:
            raise StreamFailed(best.session, failure) from failure
        if ended:
            report(best.session, ended)


def _wait(streams: Sequence[_Stream], settings: Settings, control_fd: int) -> bool:
    """Block until a segment is ready, and return True, or False if the caller sent a message and nothing is to do.

    Raises:
        Aborted: If another worker failed, or the caller is gone.
    """
    spin_s = settings.idle_spin_s if all(one.is_idle for one in streams) else settings.spin_s
    deadline_ns = time.monotonic_ns() + int(spin_s * 1e9)
    poll = select.poll()
    poll.register(control_fd, select.POLLIN | select.POLLHUP)
    poll.register(settings.wake_fds[settings.index], select.POLLIN)
    while True:
        for _ in range(_LOOKS_PER_CHECK):
            for one in streams:
                if one.is_ready:
                    return True
        if any(one.cells[ABORTED] for one in streams):
            raise Aborted
        if time.monotonic_ns() < deadline_ns:
            os.sched_yield()  # the caller may be about to submit a request on this core
            continue
        for one in streams:
            one.cells[one.parked] = 1
        sleeps_ms = (
            0 if any(one.is_ready for one in streams) else _PARK_MS
        )  # the writer may not have seen that we sleep
        events = dict(poll.poll(sleeps_ms))
        for one in streams:
            one.cells[one.parked] = 0
        if settings.wake_fds[settings.index] in events:
            os.eventfd_read(settings.wake_fds[settings.index])
        if events.get(control_fd, 0) & (select.POLLHUP | select.POLLERR):
            raise Aborted
        if control_fd in events and all(one.is_idle for one in streams):
            return False
