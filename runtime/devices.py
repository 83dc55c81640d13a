"""The machine's devices, awake: one worker process each, ready to load plans."""

from __future__ import annotations

import contextlib
import math
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from multiprocessing.connection import wait
from multiprocessing.reduction import send_handle
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hetsim.core.dataflow import check_plan
from hetsim.core.errors import DeviceError, PlatformError
from hetsim.core.plan import Plan
from hetsim.core.platform import Device, Platform
from hetsim.models.model import Model
from hetsim.models.segment_files import SegmentStore
from hetsim.models.split.planned import planned_model
from hetsim.runtime.emulation import EMULATED, Emulation
from hetsim.runtime.machine.fingerprint import available_cores
from hetsim.runtime.session import Session
from hetsim.runtime.worker.arena import ABORTED, Arena, plan_layout
from hetsim.runtime.worker.device_local import MODEL_PRECISION
from hetsim.runtime.worker.process import Worker, start_worker
from hetsim.runtime.worker.program import Program, build_programs
from hetsim.runtime.worker.settings import Settings
from hetsim.runtime.worker.speed_probe import InterferenceMonitor

START_TIMEOUT_S = 60.0
EXIT_TIMEOUT_S = 2.0

Message = tuple[Any, ...]


class RefusedError(DeviceError):
    """A device's engine does not support a segment; the message says why."""


class Runtime:
    """Worker processes for all devices of a platform.

    Use it as a context manager; leaving it ends the workers and frees all shared memory.

    Args:
        platform: Names devices that must be here.
        spin_s: How long a worker spins for another device's result before it sleeps: long enough for the waits inside
            a plan, which a wake-up from sleep would lengthen by some 50 microseconds.
        idle_spin_s: How long a worker spins for the next request before it sleeps, so that requests back to back meet
            workers that are awake.
        cache_bytes: Weights of compiled segments that each worker may keep although no loaded plan needs them.
        stall_s: A request that takes longer than this is given up, and the process that holds it up is ended; a
            message that nobody answers is given up likewise.
        slow_s: The least that a segment is given whose runs a session has seen; it is given up when it takes longer
            than this and than fifty times the longest of them (:mod:`hetsim.runtime.hang_detector`).

    Raises:
        PlatformError: If an engine or core that the platform names is not here, or this system is not Linux.
    """

    def __init__(
        self,
        platform: Platform,
        *,
        spin_s: float = 0.02,
        idle_spin_s: float = 5e-3,
        cache_bytes: int = 256 * 2**20,
        stall_s: float = 30.0,
        slow_s: float = 0.4,
    ) -> None:
        _check_system()
        self.platform = platform
        self.stall_s = stall_s
        self.slow_s = slow_s
        self._folder = tempfile.TemporaryDirectory(prefix="hetsim-")
        self.interference_monitor = InterferenceMonitor()
        self._stores: dict[str, SegmentStore] = {}
        self._workers: dict[str, Worker] = {}
        self._serving: Session | None = None
        self._sessions: dict[int, Session] = {}
        self._polls: dict[tuple[str, ...], tuple[select.poll, Mapping[int, Worker]]] = {}
        self._num_sessions = 0
        self._wake_fds: list[int] = []
        try:
            for device in platform.devices:
                _check_cores(device)
            self._wake_fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in platform.devices]
            for index, device in enumerate(platform.devices):
                settings = Settings(
                    device=device,
                    index=index,
                    wake_fds=tuple(self._wake_fds),
                    spin_s=spin_s,
                    idle_spin_s=idle_spin_s,
                    cache_bytes=cache_bytes,
                )
                self._workers[device.name] = start_worker(settings)
            for worker in self._workers.values():
                self._await_ready(worker)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def engines(self) -> dict[str, str]:
        """By device, its engine with version and settings."""
        return {name: worker.engine for name, worker in self._workers.items()}

    @property
    def pids(self) -> dict[str, int]:
        """By device, the number of its process."""
        return {name: worker.process.pid for name, worker in self._workers.items()}

    def load(
        self,
        model: Model,
        plan: Plan,
        *,
        num_slots: int = 1,
        on_compiled: Callable[[tuple[str, ...]], None] | None = None,
        emulation: Emulation | None = None,
        check_numbers: bool = False,
    ) -> Session:
        """Compile a plan's segments on their devices, all devices at once.

        Args:
            model: The model.
            plan: Made for it; its rewrites are applied here.
            num_slots: Requests that may be in flight, each with memory of its own.
            on_compiled: Told the operators of each segment that has been compiled.
            emulation: What emulated devices take and hand out; needed where the platform has any.
            check_numbers: Look through all that segments make, which takes time; one that makes NaN has failed.

        Raises:
            PlanError: If the plan is not valid for the model, or memory for its tensors cannot be had.
            PlatformError: If a device is emulated and nobody says what it takes.
            RefusedError: If an engine does not support a segment.
            DeviceError: If a worker died.
        """
        model = planned_model(model, plan)
        flow = check_plan(model.graph, plan, device_names=self.platform.device_names, model_hash=model.hash)
        self._check_emulated(emulation)
        self._pause()
        store = self._store(model)
        hand_overs = () if emulation is None else emulation.hand_overs(flow)
        layout = plan_layout(flow, num_devices=len(self._workers), num_slots=num_slots, num_hand_overs=len(hand_overs))
        programs = build_programs(
            flow,
            layout,
            model,
            store,
            self.platform.device_names,
            keeping=[device.name for device in self.platform.devices if device.precision != MODEL_PRECISION],
            hand_overs=hand_overs,
            emulated=None if emulation is None else emulation.write_segments(flow, store.folder),
            check_numbers=check_numbers,
        )
        arena = Arena(layout)
        self._num_sessions += 1
        session = Session(self, self._num_sessions, flow, arena, tuple(programs), emulation)
        self._sessions[session.number] = session
        try:
            self._send_programs(session.number, programs, arena)
            self._await_loaded(programs, on_compiled)
        except BaseException:
            session.close()
            raise
        return session

    def close(self) -> None:
        """End the workers, however busy they are, and remove everything that was set up for them."""
        for worker in self._workers.values():
            with contextlib.suppress(OSError):
                worker.control.send(("exit",))
            worker.control.close()
        deadline_s = time.monotonic() + EXIT_TIMEOUT_S
        for worker in self._workers.values():
            try:
                worker.process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self._workers.clear()
        self._polls.clear()
        for fd in self._wake_fds:
            os.close(fd)
        self._wake_fds.clear()
        self._folder.cleanup()

    # What sessions need.

    def serve(self, session: Session) -> None:
        """Make the session's devices listen for its requests."""
        if self._serving is not session:
            self._pause()
            for name in session.device_names:
                self._send(name, ("serve", session.number))
            self._serving = session

    def wake(self, device_names: Iterable[str], arena: Arena) -> None:
        """Wake those devices' workers that sleep."""
        for name in device_names:
            index = self.platform.device_names.index(name)
            if arena.description[arena.layout.parked(index)]:
                os.eventfd_write(self._wake_fds[index], 1)

    def listen(self, session: Session, timeout_s: float) -> bool:
        """Pass on what the session's workers say, to whichever session it is about; return whether they said anything.

        Waits up to ``timeout_s`` for a first word.

        Raises:
            DeviceError: If a worker died.
        """
        poll, workers = self._ears(session)
        timeout_ms = max(0, math.ceil(timeout_s * 1e3))
        heard = False
        while ready := poll.poll(0 if heard else timeout_ms):
            for descriptor, _ in ready:
                worker = workers[descriptor]
                try:
                    self._pass_on(worker, worker.control.recv())
                except (EOFError, OSError):
                    raise self._died(worker, session) from None
                heard = True
        return heard

    def filenos(self, session: Session) -> tuple[int, ...]:
        """Descriptors that become readable when the session's workers have something to say."""
        return tuple(self._worker(name).control.fileno() for name in session.device_names)

    def stopped(self, session: Session) -> tuple[str, ...]:
        """Those of the session's devices whose processes a signal has stopped."""
        return tuple(name for name in session.device_names if name in self._workers and self._workers[name].is_stopped)

    def held_s(self, name: str) -> float:
        """How long a device's process has been ready to run while others had its core, in seconds since it began."""
        return self._workers[name].held_s if name in self._workers else 0.0

    def end(self, name: str) -> None:
        """End a device's process that does not come back; sessions that need it fail from now on."""
        self._workers[name].process.kill()

    def release(self, session: Session) -> None:
        """Let the workers forget a session; those that are gone have forgotten it already."""
        self._pause()
        for name in session.device_names:
            if name in self._workers:
                try:
                    self._send(name, ("unload", session.number))
                    self._await(self._workers[name], "unloaded")
                except DeviceError:
                    pass
        self._sessions.pop(session.number, None)

    # Inner workings.

    def _check_emulated(self, emulation: Emulation | None) -> None:
        here = tuple(device.name for device in self.platform.devices if device.backend == EMULATED)
        known = () if emulation is None else emulation.devices
        if set(here) != set(known):
            raise PlatformError(
                f"emulated are {', '.join(here) or 'no devices'}, but costs and outputs are at hand for those of "
                f"{', '.join(known) or 'none'}; load the plan with an emulation for the same devices"
            )

    def _pause(self) -> None:
        """Bring workers that serve a session back to listening for messages."""
        session, self._serving = self._serving, None
        if session is None:
            return
        for name in session.device_names:
            try:
                self._send(name, ("pause",))
                self._await(self._workers[name], "paused")
            except DeviceError:
                pass  # the session that it served will say so

    def _ears(self, session: Session) -> tuple[select.poll, Mapping[int, Worker]]:
        """What listens to the session's workers: making it anew costs more than listening."""
        if session.device_names not in self._polls:
            workers = {worker.control.fileno(): worker for worker in map(self._worker, session.device_names)}
            poll = select.poll()
            for descriptor in workers:
                poll.register(descriptor, select.POLLIN)
            self._polls[session.device_names] = poll, workers
        return self._polls[session.device_names]

    def _pass_on(self, worker: Worker, message: Message) -> None:
        """Tell a session what a worker says of its requests, also where another one is being listened for."""
        if message[0] in ("done", "failed") and message[1] in self._sessions:
            self._sessions[message[1]].hear(worker.device.name, message)

    def _store(self, model: Model) -> SegmentStore:
        if model.hash not in self._stores:
            folder = Path(self._folder.name) / model.hash[:16]
            folder.mkdir()
            self._stores[model.hash] = SegmentStore(model.base or model, folder)
        return self._stores[model.hash]

    def _send_programs(self, number: int, programs: dict[str, Program], arena: Arena) -> None:
        for name, program in programs.items():
            worker = self._workers[name]
            self._send(name, ("load", number, program))
            try:
                send_handle(worker.control, arena.descriptor, worker.process.pid)
            except OSError:
                raise self._died(worker) from None

    def _await_loaded(
        self, programs: dict[str, Program], on_compiled: Callable[[tuple[str, ...]], None] | None
    ) -> None:
        refused: RefusedError | None = None
        waiting = {self._workers[name].control: self._workers[name] for name in programs}
        while waiting:
            for control in wait(list(waiting)):
                worker = waiting[control]  # type: ignore[index]
                match self._receive(worker):
                    case ("compiled", _, ops):
                        if on_compiled is not None:
                            on_compiled(ops)
                    case ("loaded", _):
                        del waiting[worker.control]
                    case ("refused", _, ops, reason):
                        del waiting[worker.control]
                        name = worker.device.name
                        refused = refused or RefusedError(
                            f"device {name!r} ({worker.engine}) refuses segment {ops[0]!r} of {len(ops)}: {reason}",
                            device=name,
                            segment=ops,
                        )
        if refused is not None:
            raise refused

    def _await_ready(self, worker: Worker) -> None:
        match self._await(worker, "ready", "unusable", timeout_s=START_TIMEOUT_S):
            case ("ready", engine):
                worker.engine = engine
            case ("unusable", reason):
                raise PlatformError(reason)

    def _await(self, worker: Worker, *kinds: str, timeout_s: float | None = None) -> Message:
        """The worker's next message of one of these kinds; those before it are passed on."""
        while True:
            if not worker.control.poll(self.stall_s if timeout_s is None else timeout_s):
                raise DeviceError(f"device {worker.device.name!r} does not answer", device=worker.device.name)
            message = self._receive(worker)
            if message[0] in kinds:
                return message
            self._pass_on(worker, message)

    def _receive(self, worker: Worker) -> Message:
        try:
            message: Message = worker.control.recv()
        except (EOFError, OSError):
            raise self._died(worker) from None
        return message

    def _worker(self, name: str) -> Worker:
        if name not in self._workers:
            raise DeviceError(f"device {name!r} has been closed", device=name)
        return self._workers[name]

    def _send(self, name: str, message: Message) -> None:
        worker = self._worker(name)
        try:
            worker.control.send(message)
        except OSError:
            raise self._died(worker) from None

    def _died(self, worker: Worker, session: Session | None = None) -> DeviceError:
        """What to say of a worker that is gone; whoever waits for it is told to stop."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(1.0)
        ops: tuple[str, ...] = ()
        if session is not None:
            ops = session.running_on(worker.device.name)
            session.arena.description[ABORTED] = 1
        where = f" while running segment {ops[0]!r} of {len(ops)}" if ops else ""
        return DeviceError(
            f"the process of device {worker.device.name!r} {worker.fate}{where}", device=worker.device.name, segment=ops
        )


def _check_system() -> None:
    needed = ("memfd_create", "eventfd", "sched_setaffinity")
    missing = [name for name in needed if not hasattr(os, name)]
    if missing:
        raise PlatformError(
            f"devices are executed on and measured on Linux alone, and this system lacks {', '.join(missing)}; "
            "planning, simulating and explaining work here"
        )


def _check_cores(device: Device) -> None:
    here = available_cores()
    missing = [core for core in device.cores if core not in here]
    if missing:
        raise PlatformError(
            f"device {device.name!r} is pinned to core {missing[0]}, but this process may use cores "
            f"{', '.join(map(str, here))}; change device.{device.name}.cores"
        )
