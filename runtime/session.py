"""A loaded plan: requests go in, inferences come out; awaited or blocking, several in flight if wanted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from hetsim.errors import DeviceError, ModelError
from hetsim.model import Tensor
from hetsim.plan import Dataflow
from runtime.arena import ABORTED, SUBMITTED, Arena
from runtime.backends.protocol import Array
from runtime.emulation import Emulation
from runtime.inference import Inference

if TYPE_CHECKING:
    from runtime.devices import Runtime

_LOOK_S = 0.25  # how often a blocked caller looks for workers that are stuck


class Session:
    """A plan that is compiled and bound on its devices; made by :meth:`runtime.Runtime.load`.

    Use it as a context manager. The same session takes requests from one thread or one event loop at a time.

    Attributes:
        flow: The plan, resolved; gives steps their meaning.
        device_names: The devices that have work in it.
    """

    def __init__(
        self,
        runtime: Runtime,
        number: int,
        flow: Dataflow,
        arena: Arena,
        device_names: tuple[str, ...],
        emulation: Emulation | None = None,
    ) -> None:
        self.flow = flow
        self.device_names = device_names
        self.number = number
        self.arena = arena
        self._runtime = runtime
        self._emulation = emulation
        self._num_slots = arena.layout.num_slots
        self._num_submitted = 0
        self._submitted_ns: dict[
            int, tuple[int, int]
        ] = {}  # by request, when it was taken up and when it was submitted
        self._pending: dict[int, set[str]] = {}  # by request, the devices that have not finished it
        self._finished: dict[int, Inference] = {}
        self._arrival = asyncio.Event()
        self._num_watchers = 0
        self._stopped: tuple[str, ...] = ()  # the devices that were found stopped at the last look
        self._failure: DeviceError | None = None
        self._closed = False
        graph = flow.graph
        self._inputs = [
            {name: arena.array(slot, graph.tensors[name]) for name in graph.inputs} for slot in range(self._num_slots)
        ]
        self._outputs = [
            {name: arena.array(slot, graph.tensors[name]) for name in graph.outputs} for slot in range(self._num_slots)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, inputs: Mapping[str, Array], *, serial: bool = False) -> Inference:
        """One inference, blocking.

        Args:
            inputs: The model's inputs by tensor, of its shapes and types.
            serial: Run one segment at a time in model order, whichever device it is on: for measuring segments in the
                cache state that the plan brings about, without contention, in the very buffers that it uses.

        Raises:
            ModelError: If an input is missing, unknown, of another shape or type, or not what emulated devices know.
            DeviceError: If a device failed; the session is of no more use then.
        """
        request = self.submit(inputs, serial=serial)
        while request not in self._finished:
            self._collect(_LOOK_S)
        return self._take(request)

    def collect(self, timeout_s: float) -> tuple[Inference, ...]:
        """Inferences that finished since they were last asked for, oldest first; waits for one if there is none.

        Args:
            timeout_s: Give up waiting after so many seconds.

        Raises:
            DeviceError: If a device failed; the session is of no more use then.
        """
        if not self._finished:
            self._collect(min(timeout_s, _LOOK_S))
        return tuple(self._take(request) for request in sorted(self._finished))

    async def infer(self, inputs: Mapping[str, Array]) -> Inference:
        """One inference, awaited. As many run at once as the session has slots; more wait their turn.

        Cancelling gives up waiting; the devices still finish the request.

        Raises:
            ModelError: If an input is missing, unknown, of another shape or type, or not what emulated devices know.
            DeviceError: If a device failed; the session is of no more use then.
        """
        loop = asyncio.get_running_loop()
        self._watch(loop)
        try:
            while not self.has_room:
                await self._next_arrival()
            request = self.submit(inputs)
            try:
                while request not in self._finished:
                    await self._next_arrival()
            except asyncio.CancelledError:
                self._submitted_ns.pop(request, None)  # nobody will ask for it
                self._finished.pop(request, None)
                raise
            return self._take(request)
        finally:
            self._unwatch(loop)

    @property
    def has_room(self) -> bool:
        """Whether another request may be submitted now."""
        return not self._pending or self._num_submitted - min(self._pending) + 1 < self._num_slots

    def submit(self, inputs: Mapping[str, Array], *, serial: bool = False) -> int:
        """Start a request and return its number without waiting; ``serial`` as for :meth:`run`.

        Raises:
            ModelError: If an input is missing, unknown, of another shape or type, or not what emulated devices know.
            DeviceError: If the session has failed or has no room.
        """
        taken_up_ns = time.monotonic_ns()
        self._check_usable()
        if not self.has_room:
            raise DeviceError(
                f"{len(self._pending)} requests are in flight and the session has {self._num_slots} slot(s); wait "
                "for one, or load the plan with a larger num_slots",
                device=self.device_names[0],
            )
        slot = self._num_submitted % self._num_slots
        slots = self._inputs[slot]
        _check_inputs(self.flow.graph.tensors, tuple(slots), inputs)
        if self._emulation is not None:
            self._emulation.check_inputs(inputs)
        self._runtime.serve(self)
        for name, array in slots.items():
            array[...] = inputs[name]
        self._num_submitted += 1
        request = self._num_submitted
        self._pending[request] = set(self.device_names)
        submitted_ns = time.monotonic_ns()
        self._submitted_ns[request] = taken_up_ns, submitted_ns
        self.arena.words[self.arena.layout.serial(slot)] = int(serial)
        self.arena.words[self.arena.layout.submitted(slot)] = submitted_ns
        self.arena.words[SUBMITTED] = request
        self._runtime.wake(self.device_names, self.arena)
        return request

    def running_on(self, device: int) -> tuple[str, ...]:
        """Operators of the segment that a device (by number) is running, or nothing."""
        current = int(self.arena.words[self.arena.layout.current(device)])
        return self.flow.steps[current - 1].segment.ops if current else ()

    def close(self) -> None:
        """Free the session's memory here and on the devices; closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._runtime.release(self)
        self._inputs.clear()
        self._outputs.clear()
        self.arena.close()

    def _collect(self, timeout_s: float) -> None:
        """Take in what the workers say; a finished request becomes an :class:`Inference`."""
        self._check_usable()
        try:
            heard = self._runtime.messages(self, timeout_s)
        except DeviceError as error:
            self._failure = error
            raise
        failed: DeviceError | None = None
        for name, message in heard:
            match message:
                case ("done", self.number, request):
                    self._pending[request].discard(name)
                    if not self._pending[request]:
                        del self._pending[request]
                        self._finish(request)
                case ("failed", self.number, step, reason):
                    ops = self.flow.steps[step].segment.ops
                    failed = DeviceError(
                        f"device {name!r} failed in segment {ops[0]!r} of {len(ops)}: {reason}",
                        device=name,
                        segment=ops,
                    )
        if failed is not None:
            self._failure = failed
            raise failed
        if not heard:
            self._check_stopped()
            self._check_stalled()

    def _finish(self, request: int) -> None:
        sent = self._submitted_ns.pop(request, None)
        if sent is None:  # it was cancelled
            return
        slot = (request - 1) % self._num_slots
        layout = self.arena.layout
        words = self.arena.words[layout.stamp(slot, 0) : layout.stamp(slot + 1, 0)]
        outputs = {name: array.copy() for name, array in self._outputs[slot].items()}
        taken_up_ns, submitted_ns = sent
        self._finished[request] = Inference(
            outputs=outputs,
            taken_up_ns=taken_up_ns,
            submitted_ns=submitted_ns,
            collected_ns=time.monotonic_ns(),
            stamps_ns=np.array(words, dtype=np.int64).reshape(layout.num_steps, 2),
            flow=self.flow,
        )

    def _take(self, request: int) -> Inference:
        return self._finished.pop(request)

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise DeviceError(
                f"the session failed earlier: {self._failure}",
                device=self._failure.device,
                segment=self._failure.segment,
            )
        if self._closed:
            raise DeviceError("the session is closed; load the plan again", device=self.device_names[0])

    def _check_stopped(self) -> None:
        """Give up on a device whose process stands still at two looks; one may come between Ctrl-Z and its end."""
        stopped = self._runtime.stopped(self) if self._pending else ()
        again = [name for name in stopped if name in self._stopped]
        self._stopped = stopped
        if again:
            name = again[0]
            ops = self.running_on(self._runtime.platform.device_names.index(name))
            where = f" in segment {ops[0]!r} of {len(ops)}" if ops else ""
            self._give_up(DeviceError(f"the process of device {name!r} was stopped{where}", device=name, segment=ops))

    def _give_up(self, failure: DeviceError) -> None:
        """End the process of a device that has failed, and say so; the others wait for it no longer."""
        self._failure = failure
        self.arena.words[ABORTED] = 1
        self._runtime.end(failure.device)
        raise failure

    def _check_stalled(self) -> None:
        """Give up on requests that have been under way for too long, naming who holds them up."""
        oldest_ns = min((submitted_ns for _, submitted_ns in self._submitted_ns.values()), default=None)
        if oldest_ns is None or time.monotonic_ns() - oldest_ns < self._runtime.stall_s * 1e9:
            return
        names = self._runtime.platform.device_names
        for name in self.device_names:
            ops = self.running_on(names.index(name))
            if ops:
                self._give_up(
                    DeviceError(
                        f"device {name!r} has not finished segment {ops[0]!r} of {len(ops)} within "
                        f"{self._runtime.stall_s} s",
                        device=name,
                        segment=ops,
                    )
                )

    # The event loop's side: the workers' connections wake whoever awaits a request.

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._runtime.serve(self)
        self._num_watchers += 1
        if self._num_watchers == 1:
            self._arrival = asyncio.Event()
            for fd in self._runtime.filenos(self):
                loop.add_reader(fd, self._arrival.set)

    def _unwatch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._num_watchers -= 1
        if self._num_watchers == 0:
            for fd in self._runtime.filenos(self):
                loop.remove_reader(fd)

    async def _next_arrival(self) -> None:
        arrival = self._arrival
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(arrival.wait(), _LOOK_S)
        if arrival is self._arrival:  # the first of those who were woken reads what there is and rearms
            arrival.set()  # wakes those who wait beside us also when the time ran out
            self._arrival = asyncio.Event()
            loop = asyncio.get_running_loop()
            for fd in self._runtime.filenos(self):
                loop.add_reader(fd, self._arrival.set)
            self._collect(0.0)


def _check_inputs(tensors: Mapping[str, Tensor], wanted: tuple[str, ...], given: Mapping[str, Array]) -> None:
    for name in (*wanted, *given):
        if name not in given or name not in wanted:
            raise ModelError(f"the model's inputs are {', '.join(wanted)}; got {', '.join(given) or 'none'}")
    for name in wanted:
        tensor, array = tensors[name], np.asarray(given[name])
        if array.shape != tensor.shape or array.dtype != np.dtype(tensor.dtype):
            raise ModelError(
                f"input {name!r} must be {tensor.dtype} of shape {list(tensor.shape)}, "
                f"got {array.dtype} {list(array.shape)}"
            )
