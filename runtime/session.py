"""A loaded plan: requests go in, inferences come out; awaited or blocking, several in flight if wanted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hetsim.core.dataflow import Dataflow
from hetsim.core.errors import DeviceError, ModelError
from hetsim.core.graph import Tensor
from hetsim.runtime.awaiting import Awaiting
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.emulation import Emulation
from hetsim.runtime.hang_detector import HangDetector, Run
from hetsim.runtime.inference import Inference
from hetsim.runtime.worker.arena import ABORTED, SUBMITTED, Arena

if TYPE_CHECKING:
    from hetsim.runtime.devices import Runtime

_LOOK_S = 0.25  # how often a caller who waits looks for workers that are stuck


@dataclass(slots=True)
class _UnderWay:
    """A request that some device has not finished; ``give`` takes what comes of it, None drops that."""

    taken_up_ns: int
    submitted_ns: int
    devices: set[str]
    give: Callable[[Inference], object] | None


class Session:
    """A plan that is compiled and bound on its devices; made by :meth:`runtime.Runtime.load`.

    Use it as a context manager. The same session takes requests from one thread or one event loop at a time.

    Attributes:
        flow: The plan, resolved; gives steps their meaning.
        device_names: The devices that have work in it.
        num_slots: Requests that may be in flight.
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
        self.num_slots = arena.layout.num_slots
        self._num_submitted = 0
        self._under_way: dict[int, _UnderWay] = {}  # by request, oldest first
        self._finished: dict[int, Inference] = {}
        self._awaiting = Awaiting(self, _LOOK_S)
        self._stopped: tuple[str, ...] = ()  # the devices that were found stopped at the last look
        self._hang_detector = HangDetector(arena.layout.num_steps, runtime.slow_s)
        self._looked_s = 0.0  # when was that
        self._held_s: dict[str, float] = {}  # and how long each device's process had waited for a core until then
        self._failure: DeviceError | None = None
        self._closed = False
        graph = flow.graph
        self._inputs = [
            {name: arena.array(slot, graph.tensors[name]) for name in graph.inputs} for slot in range(self.num_slots)
        ]
        self._outputs = [
            {name: arena.array(slot, graph.tensors[name]) for name in graph.outputs} for slot in range(self.num_slots)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, inputs: Mapping[str, Array], *, serial: bool = False) -> Inference:
        """One inference, blocking; waits for room if requests are in flight, given up or not.

        Args:
            inputs: The model's inputs by tensor, of its shapes and types.
            serial: Run one segment at a time in model order, whichever device it is on: for measuring segments in the
                cache state that the plan brings about, without contention, in the very buffers that it uses.

        Raises:
            ModelError: If an input is missing, unknown, of another shape or type, or not what emulated devices know.
            DeviceError: If a device failed; the session is of no more use then.
        """
        while not self.has_room:
            self.look(_LOOK_S)
        request = self.submit(inputs, serial=serial)
        while request not in self._finished:
            self.look(_LOOK_S)
        return self._take(request)

    def collect(self, timeout_s: float) -> tuple[Inference, ...]:
        """Inferences that finished since they were last asked for, oldest first; waits for one if there is none.

        Args:
            timeout_s: Give up waiting after so many seconds.

        Raises:
            DeviceError: If a device failed; the session is of no more use then.
        """
        if not self._finished:
            self.look(min(timeout_s, _LOOK_S))
        return tuple(self._take(request) for request in sorted(self._finished))

    async def infer(self, inputs: Mapping[str, Array]) -> Inference:
        """One inference, awaited. As many run at once as the session has slots; more wait their turn.

        Cancelling gives up waiting. The devices still finish a request that they know of, and its slot is free then;
        one that has no slot yet never gets one.

        Raises:
            ModelError: If an input is missing, unknown, of another shape or type, or not what emulated devices know.
            DeviceError: If a device failed; the session is of no more use then.
        """
        return await self._awaiting.infer(inputs)

    @property
    def has_room(self) -> bool:
        """Whether another request may be submitted now."""
        oldest = next(iter(self._under_way), None)
        return oldest is None or self._num_submitted - oldest + 1 < self.num_slots

    @property
    def num_in_flight(self) -> int:
        """Requests that some device has not finished, as far as is known here; those given up count, too."""
        return len(self._under_way)

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
                f"{len(self._under_way)} requests are in flight and the session has {self.num_slots} slot(s); wait "
                "for one, or load the plan with a larger num_slots",
                device=self.device_names[0],
            )
        slot = self._num_submitted % self.num_slots
        slots = self._inputs[slot]
        _check_inputs(self.flow.graph.tensors, tuple(slots), inputs)
        if self._emulation is not None:
            self._emulation.check_inputs(inputs)
        self._runtime.serve(self)
        for name, array in slots.items():
            array[...] = inputs[name]
        self._num_submitted += 1
        request = self._num_submitted
        submitted_ns = time.monotonic_ns()
        self._under_way[request] = _UnderWay(
            taken_up_ns, submitted_ns, set(self.device_names), partial(self._finished.__setitem__, request)
        )
        self.arena.description[self.arena.layout.serial(slot)] = int(serial)
        self.arena.description[self.arena.layout.submitted(slot)] = submitted_ns
        self.arena.description[SUBMITTED] = request
        self._runtime.wake(self.device_names, self.arena)
        return request

    def cancel(self, request: int) -> None:
        """Give a request up, whether it has finished or not: nobody is told what comes of it.

        The devices finish it all the same, and its slot is free then.
        """
        self._finished.pop(request, None)
        self.redirect(request, None)

    def redirect(self, request: int, give: Callable[[Inference], object] | None) -> None:
        """Have a request that is under way given to somebody else than those who collect, or to nobody."""
        under_way = self._under_way.get(request)
        if under_way is not None:
            under_way.give = give

    def running_on(self, device: str) -> tuple[str, ...]:
        """Operators of the segment that a device is running, or nothing."""
        run = self._run_on(device)
        return () if run is None else self.flow.steps[run[0]].segment.ops

    def close(self) -> None:
        """Free the session's memory here and on the devices; closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._runtime.release(self)
        self._awaiting.fail(self._closed_error())
        self._inputs.clear()
        self._outputs.clear()
        self.arena.close()

    @property
    def filenos(self) -> tuple[int, ...]:
        """Descriptors that become readable when there is something to listen to."""
        return self._runtime.filenos(self)

    def listen(self, timeout_s: float) -> bool:
        """Take in what the workers say, waiting for a first word; return whether they said anything.

        Raises:
            DeviceError: If a device failed; the session is of no more use then.
        """
        self._check_usable()
        try:
            heard = self._runtime.listen(self, timeout_s)
        except DeviceError as error:
            self._failure = self._failure or error
        if self._failure is not None:
            raise self._failure
        return heard

    def look(self, timeout_s: float) -> None:
        """Listen, and where nobody says anything see whether somebody is stuck.

        Raises:
            DeviceError: If a device failed or is stuck; the session is of no more use then.
        """
        if not self.listen(timeout_s):
            self._check_stopped()
            self._check_slow()
            self._check_stalled()

    def hear(self, device: str, message: tuple[Any, ...]) -> None:
        """Take in one message of a worker; a finished request becomes an :class:`Inference`."""
        match message:
            case ("done", _, request):
                under_way = self._under_way[request]
                under_way.devices.discard(device)
                if not under_way.devices:
                    del self._under_way[request]
                    if under_way.give is not None:
                        under_way.give(self._inference(request, under_way))
            case ("failed", _, step, reason):
                ops = self.flow.steps[step].segment.ops
                self._failure = self._failure or DeviceError(
                    f"device {device!r} failed in segment {ops[0]!r} of {len(ops)}: {reason}",
                    device=device,
                    segment=ops,
                )

    def _inference(self, request: int, under_way: _UnderWay) -> Inference:
        slot = (request - 1) % self.num_slots
        layout = self.arena.layout
        description = self.arena.description[layout.stamp(slot, 0) : layout.stamp(slot + 1, 0)]
        stamps_ns = np.array(description, dtype=np.int64).reshape(layout.num_steps, 2)
        self._hang_detector.learn(stamps_ns)
        outputs = {name: array.copy() for name, array in self._outputs[slot].items()}
        inference = Inference(
            outputs=outputs,
            taken_up_ns=under_way.taken_up_ns,
            submitted_ns=under_way.submitted_ns,
            collected_ns=time.monotonic_ns(),
            stamps_ns=stamps_ns,
            flow=self.flow,
            speed_probes_s=self._read_s(slot, layout.speed_probe),
            transfer_probes_s=self._read_s(slot, layout.transfer_probe),
        )
        self._runtime.interference_monitor.learn(inference)
        return inference

    def _read_s(self, slot: int, word: Callable[[int, int], int]) -> dict[str, float]:
        """By device, what it noted in a word of its own after a serial request; one that noted nothing is absent."""
        description, devices = self.arena.description, self._runtime.platform.device_names
        if not description[self.arena.layout.serial(slot)]:
            return {}
        found_ns = {name: description[word(slot, devices.index(name))] for name in self.device_names}
        return {name: ns * 1e-9 for name, ns in found_ns.items() if ns}

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
            raise self._closed_error()

    def _closed_error(self) -> DeviceError:
        return DeviceError("the session is closed; load the plan again", device=self.device_names[0])

    def _check_stopped(self) -> None:
        """Give up on a device whose process stands still at two looks; one may come between Ctrl-Z and its end."""
        stopped = self._runtime.stopped(self) if self._under_way else ()
        again = [name for name in stopped if name in self._stopped]
        self._stopped = stopped
        if again:
            name = again[0]
            ops = self.running_on(name)
            where = f" in segment {ops[0]!r} of {len(ops)}" if ops else ""
            self._give_up(DeviceError(f"the process of device {name!r} was stopped{where}", device=name, segment=ops))

    def _give_up(self, failure: DeviceError) -> None:
        """End the process of a device that has failed, and say so; the others wait for it no longer."""
        self._failure = failure
        self.arena.description[ABORTED] = 1
        self._runtime.end(failure.device)
        raise failure

    def _check_slow(self) -> None:
        """Give up on a device that has been in a segment for far longer than ever before.

        A look counts for no more than the time between two, so that a machine that stood still is no fault; nor is
        what a busy one makes a process wait for a core.
        """
        now_s = time.monotonic()
        since_s, self._looked_s = min(now_s - self._looked_s, _LOOK_S), now_s
        for name in self.device_names:
            run = self._run_on(name)
            if run is None:
                continue
            held_s = self._runtime.held_s(name)
            passed_s = max(0.0, since_s - (held_s - self._held_s.get(name, held_s)))
            self._held_s[name] = held_s
            if self._hang_detector.is_over(name, run, passed_s):
                ops = self.flow.steps[run[0]].segment.ops
                description = (
                    f"device {name!r} is hung in segment {ops[0]!r} of {len(ops)}: it has been there for more than "
                    f"{self._hang_detector.allowance_s(run[0]):.2g} s, and took "
                    f"{self._hang_detector.longest_s(run[0]) * 1e3:.3g} ms at most until now"
                )
                self._give_up(DeviceError(description, device=name, segment=ops))

    def _run_on(self, device: str) -> Run | None:
        """The step that a device is running and for which request, or nothing."""
        request = next((number for number, one in self._under_way.items() if device in one.devices), None)
        description, layout = self.arena.description, self.arena.layout
        step = int(description[layout.current(self._runtime.platform.device_names.index(device))]) - 1
        if request is None or step < 0 or description[layout.done(step)] >= request:  # done: it waits for its next one
            return None
        return step, request

    def _check_stalled(self) -> None:
        """Give up on requests that have been under way for too long, naming who holds them up."""
        oldest = next(iter(self._under_way.values()), None)
        if oldest is None or time.monotonic_ns() - oldest.submitted_ns < self._runtime.stall_s * 1e9:
            return
        for name in self.device_names:
            ops = self.running_on(name)
            if ops:
                self._give_up(
                    DeviceError(
                        f"device {name!r} has not finished segment {ops[0]!r} of {len(ops)} within "
                        f"{self._runtime.stall_s} s",
                        device=name,
                        segment=ops,
                    )
                )


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
