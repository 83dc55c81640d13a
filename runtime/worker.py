"""The process behind one device: compiles segments, and runs its list for each request without asking anyone.

Started as a fresh interpreter with the descriptors it needs, so a caller's script needs no main guard. On
the path of a request there is neither a lock nor a message: a worker waits for counters in shared memory, runs, and
bumps its own. Waiting spins first, because a counter is seen within a microsecond that way, and then sleeps on an
event descriptor.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path

from hetsim.errors import HetsimError
from hetsim.machine.platform import Device
from runtime.arena import ABORTED, SUBMITTED, Arena
from runtime.backends import make_backend
from runtime.backends.protocol import Backend, Compiled, Refused
from runtime.emulation import EMULATED
from runtime.fetch import Fetch
from runtime.kept import Kept
from runtime.nan import first_nan
from runtime.pacing import Pace
from runtime.program import Program, Task
from runtime.yardstick import make_yardstick

_PARK_S = 0.05  # longest sleep before a sleeper looks again by itself
_SPINS_PER_LOOK = 64  # spins between looks at the clock


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a worker is set up.

    Attributes:
        device: The device it drives.
        index: The device's number on the platform.
        wake_fds: Every device's event descriptor, by number.
        spin_s: How long a step's wait spins before it sleeps.
        idle_spin_s: How long the wait for the next request spins.
        cache_bytes: Compiled segments that no plan needs are let go beyond this many bytes of weights.
    """

    device: Device
    index: int
    wake_fds: tuple[int, ...]
    spin_s: float
    idle_spin_s: float
    cache_bytes: int


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
        self._words = arena.words
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

    def wait(self, word: int, value: int, spin_s: float, *, may_leave: bool) -> bool:
        """Return True once ``words[word] >= value``, or False if the caller has a message and ``may_leave``.

        Raises:
            Aborted: If another worker gave up, or the caller hung up.
        """
        words = self._words
        deadline_ns = self._clock_ns() + int(spin_s * 1e9)
        while True:
            for _ in range(_SPINS_PER_LOOK):
                if words[word] >= value:
                    return True
            if words[ABORTED]:
                raise Aborted
            if self._clock_ns() < deadline_ns:
                os.sched_yield()  # whoever else needs this core may be about to wake the one that we wait for
                continue
            words[self._parked] = 1
            if words[word] < value:  # look again: the one we wait for may not have seen us sleep
                self._park(_PARK_S)
            words[self._parked] = 0
            for _, events in self._poll.poll(0):
                if events & (select.POLLHUP | select.POLLERR):
                    raise Aborted
                if may_leave and words[word] < value:
                    return False

    def _sleep(self, timeout_s: float) -> None:
        for fd, _ in self._both.poll(timeout_s * 1000):
            if fd == self._wake_fd:
                os.eventfd_read(fd)


@dataclass(kw_only=True)
class _Bound:
    """A step tied to its buffers, with everything that the loop touches looked up beforehand."""

    step: int
    waits: tuple[tuple[int, ...], tuple[int, ...]]  # words to wait for: as planned, and one segment at a time
    run: Callable[..., object]
    pace: Pace | None
    stamp: int
    done: int
    wakes: tuple[tuple[int, int], ...]  # (parked word, event descriptor) of those who may sleep for it


class LoadedProgram:
    """One device's part of a plan, compiled and bound, ready to serve requests.

    Args:
        program: What to run.
        arena: The shared memory.
        compiled: The compiled segment of each task, in order.
        settings: Whose worker this is.
        clock_ns: Time in nanoseconds; tests inject theirs.
    """

    def __init__(
        self,
        program: Program,
        arena: Arena,
        compiled: list[Compiled],
        settings: Settings,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._arena = arena
        self._settings = settings
        layout = program.layout
        self.num_requests = 0
        self._clock_ns = clock_ns
        self._emulated = settings.device.backend == EMULATED
        self._yardstick_ns = make_yardstick(settings.device.cores)
        self._fetch = Fetch(arena, program, settings)
        self.slots: list[list[_Bound]] = [
            [
                _Bound(
                    step=task.step,
                    waits=(
                        tuple(layout.done(step) for step in task.waits_for),
                        tuple(layout.done(step) for step in task.waits_serially),
                    ),
                    run=_bind(segment, arena, slot, task, check_numbers=program.check_numbers),
                    pace=(
                        Pace(arena, task, slot, emulated=self._emulated, clock_ns=clock_ns)
                        if self._emulated or task.arrivals or task.sends
                        else None
                    ),
                    stamp=layout.stamp(slot, task.step),
                    done=layout.done(task.step),
                    wakes=tuple((layout.parked(device), settings.wake_fds[device]) for device in task.wakes),
                )
                for task, segment in zip(program.tasks, compiled, strict=True)
            ]
            for slot in range(layout.num_slots)
        ]

    def serve(self, waiter: Waiter, report: Callable[[int], None]) -> None:
        """Run requests as they are submitted, until the caller has another message.

        Args:
            waiter: Waits for the caller and for other devices.
            report: Told the number of each request that is done here.

        Raises:
            Aborted: If another worker gave up.
            SegmentFailed: If a segment raised; whoever waits for it has been told to stop waiting.
        """
        words, clock_ns = self._arena.words, self._clock_ns
        current = self._arena.layout.current(self._settings.index)
        spin_s, emulated = self._settings.spin_s, self._emulated
        free_ns = 0
        while waiter.wait(SUBMITTED, self.num_requests + 1, self._settings.idle_spin_s, may_leave=True):
            request = self.num_requests + 1
            slot = self.num_requests % len(self.slots)
            serial = words[self._arena.layout.serial(slot)]
            free_ns = max(free_ns, words[self._arena.layout.submitted(slot)])
            for bound in self.slots[slot]:
                # From the end stamp to the count that others wait for, and from seeing it to the start stamp: that is
                # the hand-over. Nothing else is done there, and what it takes is at hand.
                run, done, pace = bound.run, bound.done, None if serial else bound.pace
                for word in bound.waits[serial]:
                    if words[word] < request:
                        waiter.wait(word, request, spin_s, may_leave=False)
                start_ns = clock_ns() if pace is None else pace.start_ns(free_ns)
                words[current] = bound.step + 1
                try:
                    if emulated:
                        run(start_ns)
                    else:
                        run()
                except Exception as error:
                    words[ABORTED] = 1
                    for fd in self._settings.wake_fds:
                        os.eventfd_write(fd, 1)
                    raise SegmentFailed(bound.step, error) from error
                end_ns = free_ns = clock_ns()
                if pace is not None:
                    pace.send(end_ns)
                words[done] = request
                words[bound.stamp] = start_ns
                words[bound.stamp + 1] = end_ns
                for parked, fd in bound.wakes:
                    if words[parked]:
                        os.eventfd_write(fd, 1)
            words[current] = 0
            if serial and not emulated:
                layout, index = self._arena.layout, self._settings.index
                words[layout.yardstick(slot, index)] = self._yardstick_ns()
                words[layout.fetch(slot, index)] = self._fetch.measure_ns(request, waiter)
            self.num_requests = request
            report(request)


def _bind(segment: Compiled, arena: Arena, slot: int, task: Task, *, check_numbers: bool) -> Callable[..., object]:
    inputs = {tensor.name: arena.array(slot, tensor) for tensor in task.inputs}
    outputs = {tensor.name: arena.array(slot, tensor) for tensor in task.outputs}
    run = segment.bind(inputs, outputs)
    if not check_numbers:
        return run

    def checked(*at: int) -> None:
        run(*at)
        name = first_nan(outputs)
        if name:
            raise FloatingPointError(f"it makes values of {name!r} that are no numbers (NaN)")

    return checked


class SegmentFailed(Exception):  # noqa: N818  (turned into a message at once)
    """A segment raised while running.

    Attributes:
        step: Its index in the plan's dataflow.
        reason: What it raised, in one line.
    """

    def __init__(self, step: int, error: Exception) -> None:
        super().__init__(step, error)
        self.step = step
        self.reason = _one_line(error)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


class _Cache:
    """Compiled segments by file and by what is kept of it; those not used for longest go first when space is short."""

    def __init__(self, backend: Backend, limit_bytes: int) -> None:
        self._backend = backend
        self._limit_bytes = limit_bytes
        self._entries: OrderedDict[tuple[Path, tuple[Kept, ...]], tuple[Compiled, int]] = OrderedDict()

    def compile(self, path: Path, kept: tuple[Kept, ...], weight_bytes: int) -> Compiled:
        key = path, kept
        if key not in self._entries:
            self._entries[key] = (self._backend.compile(path, kept), weight_bytes)
        self._entries.move_to_end(key)
        return self._entries[key][0]

    def trim(self) -> None:
        total = sum(weight_bytes for _, weight_bytes in self._entries.values())
        while self._entries and total > self._limit_bytes:
            _, (_, weight_bytes) = self._entries.popitem(last=False)
            total -= weight_bytes


_Entry = tuple[LoadedProgram, Waiter, Arena]


class Abandoned(Exception):  # noqa: N818  (a signal, not an error of its own)
    """The caller was interrupted between a message and what belongs to it; what follows cannot be told apart."""


def _load(control: Connection, settings: Settings, cache: _Cache, session: int, program: Program) -> _Entry | None:
    """Compile and bind a program, reporting each segment; None where the engine refuses one."""
    try:
        descriptor = recv_handle(control)
    except (RuntimeError, EOFError, OSError):  # there is another message, or nothing, where it should be
        raise Abandoned from None
    arena = Arena(program.layout, descriptor)
    compiled: list[Compiled] = []
    ops: tuple[str, ...] = ()
    try:
        for task in program.tasks:
            ops = task.ops
            compiled.append(cache.compile(task.path, task.kept, task.weight_bytes))
            control.send(("compiled", session, ops))
        loaded = LoadedProgram(program, arena, compiled, settings)
    except Exception as error:  # an engine may raise anything; the process lives on for other segments
        arena.close()
        reason = str(error) if isinstance(error, Refused) else _one_line(error)
        control.send(("refused", session, ops, reason))
        return None
    cache.trim()
    control.send(("loaded", session))
    return loaded, Waiter(arena, settings, control.fileno()), arena


def _command_loop(control: Connection, settings: Settings) -> None:
    """Answer the caller's messages until it hangs up. Messages are tuples whose first element says what they are."""
    try:
        backend = make_backend(settings.device)
    except HetsimError as error:
        control.send(("unusable", str(error)))
        return
    control.send(("ready", backend.describe()))
    cache = _Cache(backend, settings.cache_bytes)
    programs: dict[int, _Entry] = {}
    while True:
        match control.recv():
            case ("load", session, program):
                entry = _load(control, settings, cache, session, program)
                if entry is not None:
                    programs[session] = entry
                del entry
            case ("serve", session):
                loaded, waiter, _ = programs[session]
                gc.collect()
                gc.disable()  # a collection in the middle of a request would look like a slow segment
                try:
                    loaded.serve(waiter, lambda request, session=session: control.send(("done", session, request)))  # type: ignore[misc]
                except Aborted:
                    control.send(("aborted", session))
                except SegmentFailed as failure:
                    control.send(("failed", session, failure.step, failure.reason))
                finally:
                    gc.enable()
                    del loaded, waiter
            case ("unload", session):
                unloaded = programs.pop(session, None)
                if unloaded is not None:
                    unloaded[2].close()
                del unloaded
                gc.collect()
                control.send(("unloaded", session))
            case ("pause",):  # what ended the loop above, if it was running
                control.send(("paused",))
            case ("exit",):
                return


def main() -> None:
    """Entry point of the process: descriptor of the control connection first, then the pickled settings in hex."""
    control = Connection(int(sys.argv[1]))
    settings: Settings = pickle.loads(bytes.fromhex(sys.argv[2]))
    if settings.device.cores:  # before any engine looks at what it may use
        os.sched_setaffinity(0, settings.device.cores)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's to handle; it closes the connection
    try:
        _command_loop(control, settings)
    except Abandoned:
        return
    except Exception:
        if not _is_gone(control):  # a caller that was interrupted leaves half a message, or half a load
            raise


def _is_gone(control: Connection) -> bool:
    """Whether the caller has closed its end of the connection."""
    poll = select.poll()
    poll.register(control.fileno(), 0)
    return any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))
