"""The worker processes of a platform's devices, and the messages to and from them.

The pool knows sessions only by the :class:`Client` protocol: it delivers to each session what the workers report of its
requests.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.reduction import send_handle
from typing import Protocol

from hetsim.core.errors import DeviceError, PlatformError
from hetsim.core.platform import Platform
from hetsim.runtime.worker.arena import Arena
from hetsim.runtime.worker.process import Message, Worker, start_worker
from hetsim.runtime.worker.program import Program
from hetsim.runtime.worker.settings import Settings

_START_TIMEOUT_S = 60.0
_EXIT_TIMEOUT_S = 2.0


class RefusedError(DeviceError):
    """A device's engine does not support a segment; the message gives the engine's reason."""


class Client(Protocol):
    """A loaded plan as the pool sees it."""

    @property
    def number(self) -> int:
        """Identifies the loaded plan in messages; unique in a pool."""
        ...

    @property
    def device_names(self) -> tuple[str, ...]:
        """The devices that run a part of the plan."""
        ...

    def handle(self, device: str, message: Message) -> None:
        """Take in what a device's worker reports of a request: ``("done", ...)`` or ``("failed", ...)``."""
        ...

    def running_on(self, device: str) -> tuple[str, ...]:
        """Operators of the segment that a device is running; empty if it runs none."""
        ...

    def abort(self) -> None:
        """Make the plan's devices stop waiting for each other."""
        ...


class WorkerPool:
    """One worker process for each device of a platform.

    Args:
        platform: The devices.
        spin_s: How long a worker spins for another device's result before it sleeps.
        idle_spin_s: How long a worker spins for the next request before it sleeps.
        cache_bytes: Weights of compiled segments that each worker may keep although no loaded plan needs them.
        answer_timeout_s: How long to wait for a worker's answer to a message.

    Raises:
        PlatformError: If an engine that the platform names is not installed or lacks what a device asks for.
        DeviceError: If a worker does not start.
    """

    def __init__(
        self, platform: Platform, *, spin_s: float, idle_spin_s: float, cache_bytes: int, answer_timeout_s: float
    ) -> None:
        self.platform = platform
        self._answer_timeout_s = answer_timeout_s
        self._workers: dict[str, Worker] = {}
        self._serving: tuple[Client, ...] = ()  # whose requests the workers are waiting for
        self._clients: dict[int, Client] = {}
        self._pollers: dict[tuple[str, ...], tuple[select.poll, Mapping[int, Worker]]] = {}
        self._wake_fds: list[int] = []
        try:
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

    @property
    def engines(self) -> dict[str, str]:
        """By device, its engine with version and settings."""
        return {name: worker.engine for name, worker in self._workers.items()}

    @property
    def pids(self) -> dict[str, int]:
        """By device, the process identifier of its worker."""
        return {name: worker.process.pid for name, worker in self._workers.items()}

    def close(self) -> None:
        """End all workers, busy or not, and free their descriptors; blocks for up to two seconds."""
        for worker in self._workers.values():
            with contextlib.suppress(OSError):
                worker.control.send(("exit",))
            worker.control.close()
        deadline_s = time.monotonic() + _EXIT_TIMEOUT_S
        for worker in self._workers.values():
            try:
                worker.process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self._workers.clear()
        self._pollers.clear()
        for fd in self._wake_fds:
            os.close(fd)
        self._wake_fds.clear()

    def load(
        self,
        client: Client,
        programs: Mapping[str, Program],
        arena: Arena,
        on_compiled: Callable[[tuple[str, ...]], None] | None = None,
    ) -> None:
        """Send each device its program and wait until all have compiled theirs.

        Args:
            client: The plan's session. It gets what its devices report from now on, until it is released; release it
                also if this fails.
            programs: By device, its part of the plan.
            arena: The plan's shared memory.
            on_compiled: Told the operators of each segment that has been compiled.

        Raises:
            RefusedError: If an engine does not support a segment.
            DeviceError: If a worker died.
        """
        self._clients[client.number] = client
        for name, program in programs.items():
            worker = self._workers[name]
            self._send(name, ("load", client.number, program))
            try:
                send_handle(worker.control, arena.descriptor, worker.process.pid)
            except OSError:
                raise self._died(worker) from None
        self._await_loaded([self._workers[name] for name in programs], on_compiled)

    def release(self, client: Client) -> None:
        """Make the workers unload a session's plan; workers that have died are passed over."""
        self.pause()
        for name in client.device_names:
            if name in self._workers:
                with contextlib.suppress(DeviceError):
                    self._send(name, ("unload", client.number))
                    self._await(self._workers[name], "unloaded")
        self._clients.pop(client.number, None)

    def serve(self, client: Client) -> None:
        """Make the session's devices wait for its requests.

        Raises:
            DeviceError: If a worker died.
        """
        if client not in self._serving:
            self.pause()
            for name in client.device_names:
                self._send(name, ("serve", client.number))
            self._serving = (client,)

    def serve_together(self, clients: Sequence[Client]) -> None:
        """Make devices wait for the requests of several sessions, and run the most urgent segment first.

        Raises:
            DeviceError: If a worker died.
        """
        self.pause()
        for name in self.platform.device_names:
            numbers = tuple(client.number for client in clients if name in client.device_names)
            if numbers:
                self._send(name, ("serve together", numbers))
        self._serving = tuple(clients)

    def pause(self) -> None:
        """Make workers that serve sessions finish their requests and wait for messages again."""
        clients, self._serving = self._serving, ()
        for name in {name: None for client in clients for name in client.device_names}:
            with contextlib.suppress(DeviceError):  # the session itself will report it
                self._send(name, ("pause",))
                self._await(self._workers[name], "paused")

    def wake(self, index: int) -> None:
        """Wake the worker of the platform's device of that index, which sleeps."""
        os.eventfd_write(self._wake_fds[index], 1)

    def receive(self, client: Client, timeout_s: float) -> bool:
        """Deliver a message of each of the session's workers that has sent one, to the session that it is about.

        Args:
            client: Whose workers to receive from.
            timeout_s: How long to wait for a first message; rounded up to milliseconds.

        Returns:
            Whether there was any message.

        Raises:
            DeviceError: If a worker died.
        """
        poller, _ = self._poller(client)
        ready = poller.poll(max(0, math.ceil(timeout_s * 1e3)))
        self.take(client, [descriptor for descriptor, _ in ready])
        return bool(ready)

    def take(self, client: Client, ready: Sequence[int]) -> None:
        """Deliver a message of each worker whose descriptor of :meth:`filenos` is readable.

        Raises:
            DeviceError: If a worker died.
        """
        _, workers = self._poller(client)
        for descriptor in ready:
            worker = workers[descriptor]
            try:
                self._deliver(worker, worker.control.recv())
            except (EOFError, OSError):
                raise self._died(worker, client) from None

    def filenos(self, client: Client) -> tuple[int, ...]:
        """Descriptors that become readable when one of the session's workers has sent a message."""
        return tuple(self._worker(name).control.fileno() for name in client.device_names)

    def stopped(self, client: Client) -> tuple[str, ...]:
        """Those of the session's devices whose processes a signal has stopped."""
        return tuple(name for name in client.device_names if name in self._workers and self._workers[name].is_stopped)

    def core_wait_s(self, name: str) -> float:
        """How long a device's process has been ready to run while others had its core, in seconds since its start."""
        return self._workers[name].core_wait_s if name in self._workers else 0.0

    def kill(self, name: str) -> None:
        """End the process of a device that does not come back; sessions that use the device fail from now on."""
        self._workers[name].process.kill()

    def _poller(self, client: Client) -> tuple[select.poll, Mapping[int, Worker]]:
        """A poll object over the session's connections, made once, as making one takes longer than polling."""
        if client.device_names not in self._pollers:
            workers = {worker.control.fileno(): worker for worker in map(self._worker, client.device_names)}
            poller = select.poll()
            for descriptor in workers:
                poller.register(descriptor, select.POLLIN)
            self._pollers[client.device_names] = poller, workers
        return self._pollers[client.device_names]

    def _deliver(self, worker: Worker, message: Message) -> None:
        if message[0] in ("done", "failed") and message[1] in self._clients:
            self._clients[message[1]].handle(worker.device.name, message)

    def _await_loaded(self, workers: list[Worker], on_compiled: Callable[[tuple[str, ...]], None] | None) -> None:
        refused: RefusedError | None = None
        waiting = {worker.control: worker for worker in workers}
        while waiting:
            for control in wait(list(waiting)):
                worker = waiting[control]  # type: ignore[index]
                match self._receive_one(worker):
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
        match self._await(worker, "ready", "unusable", timeout_s=_START_TIMEOUT_S):
            case ("ready", engine):
                worker.engine = engine
            case ("unusable", reason):
                raise PlatformError(reason)

    def _await(self, worker: Worker, *kinds: str, timeout_s: float | None = None) -> Message:
        """The worker's next message of one of these kinds; those before it are delivered."""
        while True:
            if not worker.control.poll(self._answer_timeout_s if timeout_s is None else timeout_s):
                raise DeviceError(f"device {worker.device.name!r} does not answer", device=worker.device.name)
            message = self._receive_one(worker)
            if message[0] in kinds:
                return message
            self._deliver(worker, message)

    def _receive_one(self, worker: Worker) -> Message:
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

    def _died(self, worker: Worker, client: Client | None = None) -> DeviceError:
        """The error for a worker that has died; a session whose requests it was running is aborted."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(1.0)
        ops: tuple[str, ...] = ()
        if client is not None:
            ops = client.running_on(worker.device.name)
            client.abort()
        where = f" while running segment {ops[0]!r} of {len(ops)}" if ops else ""
        return DeviceError(
            f"the process of device {worker.device.name!r} {worker.fate}{where}", device=worker.device.name, segment=ops
        )
