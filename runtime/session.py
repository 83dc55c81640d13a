"""A loaded plan: requests go in, inferences come out; blocking or awaited, several in flight if wanted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

import numpy as np

from hetsim.core.dataflow import Dataflow
from hetsim.core.errors import DeviceError, ModelError
from hetsim.runtime.async_requests import AsyncRequests
from hetsim.runtime.backends.box import Box
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.emulation import Emulation
from hetsim.runtime.hang_detector import CHECK_INTERVAL_S, HangDetector
from hetsim.runtime.inference import Inference, PendingRequest
from hetsim.runtime.interference_monitor import InterferenceMonitor
from hetsim.runtime.worker.arena import ABORTED, SUBMITTED, Arena
from hetsim.runtime.worker.process import Message
from hetsim.runtime.worker_pool import WorkerPool


class Session:
    """A plan that is compiled and bound on its devices; made by :meth:`hetsim.runtime.Runtime.load`.

    Use it as a context manager. A session takes requests from one thread or one event loop at a time.

    Attributes:
        number: Identifies the session in its runtime.
        flow: The plan, resolved; its steps are what an inference's stamps refer to.
        device_names: The devices that run a part of the plan.
        num_slots: Requests that may be in flight.
    """

    def __init__(
        self,
        pool: WorkerPool,
        number: int,
        flow: Dataflow,
        arena: Arena,
        device_names: tuple[str, ...],
        emulation: Emulation | None = None,
        *,
        interference_monitor: InterferenceMonitor,
        check_inputs: Callable[[Mapping[str, Array]], None] | None = None,
        stall_s: float,
        slow_s: float,
    ) -> None:
        self.number = number
        self.flow = flow
        self.device_names = device_names
        self.num_slots = arena.layout.num_slots
        self._pool = pool
        self._arena = arena
        self._emulation = emulation
        self._interference_monitor = interference_monitor
        self._check_values = check_inputs
        self._device_indices = {name: pool.platform.device_names.index(name) for name in device_names}
        self._parked = tuple((arena.layout.parked(index), index) for index in self._device_indices.values())
        self._slot_cells = [arena.layout.slot_cells(slot) for slot in range(self.num_slots)]
        self._hang_detector = HangDetector(pool, flow, arena, self._device_indices, stall_s=stall_s, slow_s=slow_s)
        self._async_requests = AsyncRequests(self, CHECK_INTERVAL_S)
        self._num_submitted = 0
        self._pending: dict[int, PendingRequest] = {}  # by number, oldest first
        self._finished: dict[int, Inference] = {}
        self._failure: DeviceError | None = None
        self._closed = False
        graph = flow.graph
        self._expected = {
            tensor.name: None if tensor.is_opaque else (tensor.shape, np.dtype(tensor.dtype))
            for tensor in map(graph.tensors.__getitem__, graph.inputs)
        }
        self._inputs = [
            {name: arena.place(slot, graph.tensors[name]) for name in graph.inputs} for slot in range(self.num_slots)
        ]
        self._outputs = [
            {name: arena.place(slot, graph.tensors[name]) for name in graph.outputs} for slot in range(self.num_slots)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, inputs: Mapping[str, Array], *, serial: bool = False) -> Inference:
        """One inference, blocking; waits for a slot if all are in use, also by cancelled requests.

        Args:
            inputs: The model's inputs by tensor, with its shapes and types.
            serial: Run one segment at a time in model order, whichever device it is on. A serial run measures segments
                without contention, in the same buffers and with the same cache contents as the plan.

        Raises:
            ModelError: If an input is missing, unknown, of another shape or type, has values on which the plan does not
                rest, or is not the one that emulated devices have outputs for.
            DeviceError: If a device failed; the session cannot be used any more then.
        """
        while not self.has_room:
            self.poll(CHECK_INTERVAL_S)
        request = self.submit(inputs, serial=serial)
        while request not in self._finished:
            self.poll(CHECK_INTERVAL_S)
        return self._finished.pop(request)

    def collect(self, timeout_s: float) -> tuple[Inference, ...]:
        """Inferences that finished since the last call, oldest first; waits for one if there is none.

        Args:
            timeout_s: How long to wait at most; the wait may end earlier without a result.

        Raises:
            DeviceError: If a device failed; the session cannot be used any more then.
        """
        if not self._finished:
            self.poll(min(timeout_s, CHECK_INTERVAL_S))
        return tuple(self._finished.pop(request) for request in sorted(self._finished))

    async def infer(self, inputs: Mapping[str, Array]) -> Inference:
        """One inference, awaited. As many run at once as the session has slots; others wait in order of arrival.

        Cancelling ends the wait. The devices still finish a request that was submitted, and its slot is free
        afterwards; a request that has no slot yet is dropped.

        Raises:
            ModelError: As for :meth:`run`.
            DeviceError: If a device failed; the session cannot be used any more then.
        """
        return await self._async_requests.infer(inputs)

    @property
    def has_room(self) -> bool:
        """Whether another request may be submitted now."""
        oldest = next(iter(self._pending), None)
        return oldest is None or self._num_submitted - oldest + 1 < self.num_slots

    @property
    def num_in_flight(self) -> int:
        """Requests that some device has not finished, cancelled ones included, as of the last message received."""
        return len(self._pending)

    def submit(self, inputs: Mapping[str, Array], *, serial: bool = False, key: int = 0) -> int:
        """Start a request and return its number without waiting; ``serial`` as for :meth:`run`.

        Args:
            inputs: The model's inputs by tensor.
            serial: As for :meth:`run`.
            key: Devices that serve several sessions run ready segments of the request with the smallest key first.

        Raises:
            ModelError: As for :meth:`run`.
            DeviceError: If the session has failed or all slots are in use.
        """
        taken_up_ns = time.monotonic_ns()
        self.check_usable()
        if not self.has_room:
            raise DeviceError(
                f"{len(self._pending)} requests are in flight and the session has {self.num_slots} slot(s); wait for "
                "one, or load the plan with a larger num_slots",
                device=self.device_names[0],
            )
        slot = self._num_submitted % self.num_slots
        slots = self._inputs[slot]
        _check_inputs(self._expected, inputs)
        if self._check_values is not None:
            self._check_values(inputs)
        if self._emulation is not None:
            self._emulation.check_inputs(inputs)
        self._pool.serve(self)
        for name, place in slots.items():
            if isinstance(place, Box):
                place.put(inputs[name])
            else:
                place[...] = inputs[name]
        self._num_submitted += 1
        request = self._num_submitted
        submitted_ns = time.monotonic_ns()
        self._pending[request] = PendingRequest(
            taken_up_ns, submitted_ns, set(self.device_names), partial(self._finished.__setitem__, request)
        )
        cells, own = self._arena.cells, self._slot_cells[slot]
        cells[own.serial] = int(serial)
        cells[own.key] = key
        cells[own.submitted] = submitted_ns
        cells[SUBMITTED] = request  # from here on the caller takes time of a device's core
        for cell, index in self._parked:
            if cells[cell]:
                self._pool.wake(index)
        return request

    def cancel(self, request: int) -> None:
        """Drop the result of a request, finished or not.

        The devices finish a pending request all the same, and its slot is free afterwards.
        """
        self._finished.pop(request, None)
        self.deliver_to(request, None)

    def deliver_to(self, request: int, receiver: Callable[[Inference], object] | None) -> None:
        """Give a pending request's result to a function instead of :meth:`run` and :meth:`collect`; None drops it."""
        pending = self._pending.get(request)
        if pending is not None:
            pending.receiver = receiver

    def check_usable(self) -> None:
        """Whether requests can be submitted at all, slots aside.

        Raises:
            DeviceError: If a device failed earlier, or the session is closed.
        """
        if self._failure is not None:
            raise DeviceError(
                f"the session failed earlier: {self._failure}",
                device=self._failure.device,
                segment=self._failure.segment,
            )
        if self._closed:
            raise self._closed_error()

    def running_on(self, device: str) -> tuple[str, ...]:
        """Operators of the segment that a device is running; empty if it runs none."""
        return self._hang_detector.running_on(device, self._pending)

    def close(self) -> None:
        """Free the session's memory here and on the devices; closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._pool.release(self)
        self._async_requests.fail(self._closed_error())
        self._inputs.clear()
        self._outputs.clear()
        self._arena.close()

    @property
    def filenos(self) -> tuple[int, ...]:
        """Descriptors that become readable when there is a message to receive."""
        return self._pool.filenos(self)

    def receive(self, timeout_s: float) -> bool:
        """Take in all messages of the workers, waiting up to ``timeout_s`` for the first; whether there was any.

        Raises:
            DeviceError: If a device failed; the session cannot be used any more then.
        """
        self.check_usable()
        try:
            received = self._pool.receive(self, timeout_s)
        except DeviceError as error:
            self._failure = self._failure or error
        if self._failure is not None:
            raise self._failure
        return received

    def poll(self, timeout_s: float) -> None:
        """As :meth:`receive`; if there is no message, check for devices that are stuck.

        Raises:
            DeviceError: If a device failed or is stuck; the session cannot be used any more then.
        """
        if self.receive(timeout_s):
            return
        failure = self._hang_detector.check(self._pending, self._pool.stopped(self) if self._pending else ())
        if failure is not None:
            self._failure = failure
            self.abort()
            self._pool.kill(failure.device)
            raise failure

    def handle(self, device: str, message: Message) -> None:
        """Take in one message of a worker; a request that all devices have finished becomes an :class:`Inference`."""
        match message:
            case ("done", _, request):
                pending = self._pending[request]
                pending.devices.discard(device)
                if not pending.devices:
                    del self._pending[request]
                    if pending.receiver is not None:
                        pending.receiver(self._inference(request, pending))
            case ("failed", _, step, reason):
                ops = self.flow.steps[step].segment.ops
                self._failure = self._failure or DeviceError(
                    f"device {device!r} failed in segment {ops[0]!r} of {len(ops)}: {reason}",
                    device=device,
                    segment=ops,
                )

    def abort(self) -> None:
        """Make the devices stop waiting for each other; the session cannot be used any more then."""
        self._arena.cells[ABORTED] = 1

    def _inference(self, request: int, pending: PendingRequest) -> Inference:
        slot = (request - 1) % self.num_slots
        layout = self._arena.layout
        stamps_ns = np.array(self._arena.cells[self._slot_cells[slot].stamps], dtype=np.int64).reshape(-1, 2)
        self._hang_detector.learn(stamps_ns)
        outputs = {
            name: place.get() if isinstance(place, Box) else place.copy() for name, place in self._outputs[slot].items()
        }
        inference = Inference(
            outputs=outputs,
            taken_up_ns=pending.taken_up_ns,
            submitted_ns=pending.submitted_ns,
            collected_ns=time.monotonic_ns(),
            stamps_ns=stamps_ns,
            flow=self.flow,
            speed_probes_s=self._probes_s(slot, layout.speed_probe),
            transfer_probes_s=self._probes_s(slot, layout.transfer_probe),
        )
        self._interference_monitor.learn(inference, self.number)
        return inference

    def _probes_s(self, slot: int, cell: Callable[[int, int], int]) -> dict[str, float]:
        """By device, the probe that it noted after a serial request, in seconds; devices without one are absent."""
        cells = self._arena.cells
        if not cells[self._slot_cells[slot].serial]:
            return {}
        found_ns = {name: cells[cell(slot, index)] for name, index in self._device_indices.items()}
        return {name: ns * 1e-9 for name, ns in found_ns.items() if ns}

    def _closed_error(self) -> DeviceError:
        return DeviceError("the session is closed; load the plan again", device=self.device_names[0])


def _check_inputs(
    expected: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]] | None], inputs: Mapping[str, Array]
) -> None:
    """Refuse missing, unknown and misshapen inputs; those of which no shape is expected are checked by the engine."""
    if inputs.keys() != expected.keys():
        raise ModelError(f"the model's inputs are {', '.join(expected)}; got {', '.join(inputs) or 'none'}")
    for name, kind in expected.items():
        if kind is None:
            continue
        array = np.asarray(inputs[name])
        shape, dtype = kind
        if array.shape != shape or array.dtype != dtype:
            raise ModelError(
                f"input {name!r} must be {dtype} of shape {list(shape)}, got {array.dtype} {list(array.shape)}"
            )
