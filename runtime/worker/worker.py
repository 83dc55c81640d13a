"""The main program of a worker process: compiles segments and serves requests as the caller's messages demand.

The process is a fresh interpreter and not a fork, so a caller's script needs no main guard.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path

from hetsim.core.errors import HetsimError
from hetsim.runtime.backends import make_backend
from hetsim.runtime.backends.protocol import Backend, Compiled, DeviceLocal, Refused
from hetsim.runtime.worker.arena import Arena
from hetsim.runtime.worker.loaded import LoadedProgram, SegmentFailed, one_line
from hetsim.runtime.worker.program import Program
from hetsim.runtime.worker.settings import Settings
from hetsim.runtime.worker.streams import StreamFailed, serve_streams
from hetsim.runtime.worker.waiter import Aborted, Waiter


class _Cache:
    """Compiled segments by file and device-local tensors; beyond the limit, the least recently used are dropped."""

    def __init__(self, backend: Backend, limit_bytes: int) -> None:
        self._backend = backend
        self._limit_bytes = limit_bytes
        self._entries: OrderedDict[tuple[Path, tuple[DeviceLocal, ...]], tuple[Compiled, int]] = OrderedDict()

    def compile(self, path: Path, device_local: tuple[DeviceLocal, ...], weight_bytes: int) -> Compiled:
        key = path, device_local
        if key not in self._entries:
            self._entries[key] = (self._backend.compile(path, device_local), weight_bytes)
        self._entries.move_to_end(key)
        return self._entries[key][0]

    def trim(self) -> None:
        total = sum(weight_bytes for _, weight_bytes in self._entries.values())
        while self._entries and total > self._limit_bytes:
            _, (_, weight_bytes) = self._entries.popitem(last=False)
            total -= weight_bytes


_Entry = tuple[LoadedProgram, Waiter, Arena]


class Abandoned(Exception):  # noqa: N818  (a signal, not an error of its own)
    """The caller was interrupted between a message and its descriptor; what follows cannot be understood."""


def _load(control: Connection, settings: Settings, cache: _Cache, session: int, program: Program) -> _Entry | None:
    """Compile and bind a program, reporting each segment; None if the engine refuses one."""
    try:
        descriptor = recv_handle(control)
    except (RuntimeError, EOFError, OSError):  # another message, or nothing, follows
        raise Abandoned from None
    arena = Arena(program.layout, descriptor)
    compiled: list[Compiled] = []
    ops: tuple[str, ...] = ()
    try:
        for task in program.tasks:
            ops = task.ops
            compiled.append(cache.compile(task.path, task.device_local, task.weight_bytes))
            control.send(("compiled", session, ops))
        loaded = LoadedProgram(program, arena, compiled, settings)
    except Exception as error:  # engines raise all kinds; the process goes on with other segments
        arena.close()
        reason = str(error) if isinstance(error, Refused) else one_line(error)
        control.send(("refused", session, ops, reason))
        return None
    cache.trim()
    control.send(("loaded", session))
    return loaded, Waiter(arena, settings, control.fileno()), arena


@contextmanager
def _reporting(control: Connection, sessions: Sequence[int]) -> Iterator[None]:
    """Serve without collections, and send the caller what ends it; the process goes on with other sessions."""
    gc.collect()
    gc.disable()  # a collection during a request would lengthen a segment
    try:
        yield
    except Aborted:
        control.send(("aborted", sessions[0]))
    except SegmentFailed as failure:
        control.send(("failed", sessions[0], failure.step, failure.reason))
    except StreamFailed as failure:
        control.send(("failed", failure.session, failure.step, failure.reason))
    finally:
        gc.enable()


def _command_loop(control: Connection, settings: Settings) -> None:
    """Answer the caller's messages until it sends ``exit`` or closes the connection."""
    try:
        backend = make_backend(settings.device)
    except HetsimError as error:
        control.send(("unusable", str(error)))
        return
    control.send(("ready", backend.describe()))
    gc.collect()
    gc.freeze()  # what engines have imported lives for ever; later collections, some before each run, skip it
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
                with _reporting(control, (session,)):
                    loaded.serve(waiter, lambda request, session=session: control.send(("done", session, request)))  # type: ignore[misc]
                del loaded, waiter
            case ("serve together", sessions):
                together = [(session, programs[session][0], programs[session][2]) for session in sessions]
                with _reporting(control, sessions):
                    serve_streams(together, settings, control.fileno(), lambda *done: control.send(("done", *done)))
                del together
            case ("unload", session):
                unloaded = programs.pop(session, None)
                if unloaded is not None:
                    unloaded[2].close()
                del unloaded
                gc.collect()
                control.send(("unloaded", session))
            case ("pause",):  # its arrival has ended ``serve``, if that was running
                control.send(("paused",))
            case ("exit",):
                return


def main() -> None:
    """Entry point; arguments are the descriptor of the connection and the pickled settings in hexadecimal."""
    control = Connection(int(sys.argv[1]))
    settings: Settings = pickle.loads(bytes.fromhex(sys.argv[2]))
    if settings.device.cores:  # before an engine counts the cores that it may use
        os.sched_setaffinity(0, settings.device.cores)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller handles Ctrl-C and closes the connection
    try:
        _command_loop(control, settings)
    except Abandoned:
        pass
    except Exception:
        if not _is_gone(control):  # an interrupted caller leaves half a message
            raise
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # the caller waits, and to take engines apart takes longer than to drop them


def _is_gone(control: Connection) -> bool:
    """Whether the caller has closed its end of the connection."""
    poll = select.poll()
    poll.register(control.fileno(), 0)
    return any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))
