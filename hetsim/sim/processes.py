"""The rules of the reference model as SimPy processes, each in one place.

1. A device runs its queue strictly in order, one segment at a time, and all segments of one request before any of the
   next: :meth:`Run._device`.
2. A segment takes ``problem.segment_times_s`` alone: its latency, and what accessing tensors across devices takes it
   longer. It starts when its device is free and all its inputs have arrived. Inputs from the caller arrive with the
   request. A tensor from another device arrives the link's ``transfer_s`` after its producer's end, once for each
   receiving device, however many segments read it there: :meth:`Run._send`. If the link's mode is ``"copy"``,
   hand-overs queue for the single memory channel, which each holds for its ``transfer_s``, first come first served:
   :meth:`Run._copy`. Ties go by request, then by the position of the producing segment's first operator in the graph,
   then by the order of the producer's outputs, then by the order of the receiving devices on the platform.
3. Running segments and copies share the memory's bandwidth: :class:`hetsim.sim.fluid.FluidMemory`. A segment moves
   ``problem.traffic_bytes``.
4. Under a load (:class:`hetsim.core.load.Load`) a host submits each request when it is due and a slot is free, and
   collects it after its last segment, which frees the slot. It handles one request at a time, first come first served;
   on a tie collecting goes first, then the earlier request: :meth:`Run._request`. Without a load, one request is at the
   devices at time 0, and there is no host.

At each point in time, all other events happen first. Then the host picks its next job, then the memory channel picks
one, and when neither starts anything more, bandwidth is shared. So results do not depend on the order in which SimPy
processes simultaneous events, and :mod:`hetsim.sim.compiled` can do the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import simpy
from simpy.events import NORMAL, EventPriority

from hetsim.core.load import Load
from hetsim.core.plan import Segment
from hetsim.core.timeline import Span
from hetsim.sim.fluid import FluidMemory, Signal
from hetsim.sim.segments import DurationFunction, Queues, Record, SegmentFacts, SegmentWork
from hetsim.sim.servers import Server, Steps

_HOST, _CHANNEL = EventPriority(NORMAL + 1), EventPriority(NORMAL + 2)
"""Priorities at which each picks a job: after all other events of that time, before bandwidth is shared."""


@dataclass(slots=True)
class _HandOver:
    """The hand-over of a tensor to another device.

    Attributes:
        tensor: The tensor.
        source: Device that makes the tensor.
        consumer: First segment of the receiving device that reads the tensor.
        transfer_s: Seconds that the hand-over takes once it has started.
        num_bytes: Size of the tensor.
        copies: Whether it needs the memory channel.
        arrival: Event at the arrival of the tensor.
    """

    tensor: str
    source: str
    consumer: Segment
    transfer_s: float
    num_bytes: int
    copies: bool
    arrival: Signal


class Run:
    """One simulation: devices, requests and servers are SimPy processes, which wait for hand-overs."""

    def __init__(
        self,
        facts: SegmentFacts,
        queues: Queues,
        record: Record | None,
        load: Load | None,
        duration_s: DurationFunction | None,
    ) -> None:
        self._facts = facts
        self._platform = facts.problem.platform
        self._load = load or Load()
        self._record = record
        self._duration_s = duration_s
        self._env = simpy.Environment(initial_time=0.0)
        self._memory = FluidMemory(self._env, self._platform.memory.shared_bytes_per_s)
        self._work = {
            device: [facts.work(segment) for segment in queues[device]]
            for device in self._platform.device_names
            if device in queues
        }
        self._seconds = facts.problem.segment_times_s(one.segment for queue in self._work.values() for one in queue)
        self.num_left = self._load.num_requests * sum(map(len, self._work.values()))
        if any(link.mode == "copy" for link in self._platform.links.values()):
            self._channel = Server(self._env, _CHANNEL)
        self._submitted: list[Signal] = []  # by request
        self._num_busy: list[int] = []  # by request, the number of devices that have not finished it
        self._ended: list[Signal] = []  # by request
        self._leaving: list[dict[str, list[_HandOver]]] = []  # by request and tensor, in the order of devices
        todo: dict[str, list[list[tuple[SegmentWork, list[Signal]]]]] = {device: [] for device in self._work}
        home = {tensor: device for device, queue in self._work.items() for one in queue for tensor in one.makes}
        for _ in range(self._load.num_requests):
            self._submitted.append(Signal(self._env))
            self._num_busy.append(len(self._work))
            self._ended.append(Signal(self._env))
            self._leaving.append({})
            for device, queue in self._work.items():
                todo[device].append(self._incoming(device, queue, home, self._leaving[-1]))
        for device in self._work:
            self._env.process(self._device(device, todo[device]))
        if load is None:
            self._submitted[0].fire(in_s=0.0)
            if record is not None:
                record.arrivals_s.append(0.0)
        else:
            self._host = Server(self._env, _HOST)
            self._collected = [Signal(self._env) for _ in range(load.num_requests)]
            for request in range(load.num_requests):
                self._env.process(self._request(request))

    def _incoming(
        self, device: str, queue: list[SegmentWork], home: Mapping[str, str], leaving: dict[str, list[_HandOver]]
    ) -> list[tuple[SegmentWork, list[Signal]]]:
        """A device's segments for one request, each with the arrivals that it waits for; also adds these to
        ``leaving``.
        """
        arriving: dict[str, _HandOver] = {}
        todo: list[tuple[SegmentWork, list[Signal]]] = []
        for one in queue:
            inputs: list[Signal] = []
            for tensor in one.reads:
                source = home.get(tensor, device)
                if source == device:
                    continue
                if tensor not in arriving:
                    transfer_s, copies = self._facts.transfer(source, device, tensor)
                    num_bytes = self._facts.problem.graph.tensors[tensor].num_bytes
                    arriving[tensor] = _HandOver(
                        tensor, source, one.segment, transfer_s, num_bytes, copies, Signal(self._env)
                    )
                    leaving.setdefault(tensor, []).append(arriving[tensor])
                inputs.append(arriving[tensor].arrival)
            todo.append((one, inputs))
        return todo

    def run(self) -> float:
        """When the last segment ends, in seconds."""
        self._last_s = 0.0
        self._env.run()
        return self._last_s

    def _device(self, device: str, todo: list[list[tuple[SegmentWork, list[Signal]]]]) -> Steps:
        """Rule 1: run segments request by request, strictly in order, each when its inputs have arrived."""
        env = self._env
        for request, queue in enumerate(todo):
            if not self._submitted[request].processed:
                yield self._submitted[request]
            for work, inputs in queue:
                for arrival in inputs:
                    if not arrival.processed:
                        yield arrival
                start_s = env.now
                segment = work.segment
                seconds = self._seconds[segment] if self._duration_s is None else self._duration_s(request, segment)
                yield self._memory.run(seconds, work.traffic_bytes)
                self.num_left -= 1
                self._last_s = env.now
                if self._record is not None:
                    self._record.spans.append(
                        Span(
                            kind="compute",
                            device=device,
                            ops=segment.ops,
                            start_s=start_s,
                            end_s=env.now,
                            request=request,
                        )
                    )
                self._send(request, work)
            self._num_busy[request] -= 1
            if not self._num_busy[request]:
                self._ended[request].fire(in_s=0.0)

    def _send(self, request: int, work: SegmentWork) -> None:
        """Rule 2: after a segment's end, send its outputs to each other device that reads them."""
        for i, tensor in enumerate(work.makes):
            for k, hand_over in enumerate(self._leaving[request].get(tensor, ())):
                if hand_over.copies:
                    self._channel.ask((request, work.position, i, k), self._copy(request, hand_over))
                else:
                    hand_over.arrival.fire(in_s=hand_over.transfer_s)
                    self._note(request, hand_over, self._env.now, self._env.now + hand_over.transfer_s)

    def _copy(self, request: int, hand_over: _HandOver) -> Steps:
        """Rule 2, copies: the memory channel's job for one copy."""
        start_s = self._env.now
        yield self._memory.run(hand_over.transfer_s, hand_over.num_bytes)
        hand_over.arrival.fire(in_s=0.0)
        yield hand_over.arrival
        self._note(request, hand_over, start_s, self._env.now)

    def _request(self, request: int) -> Steps:
        """Rule 4: a request is due, submitted, finished and collected."""
        load, host = self._load, self._platform.host
        arrival_s = request * load.every_s
        if arrival_s > 0:
            yield self._env.timeout(arrival_s)
        if request >= load.num_slots:
            free = self._collected[request - load.num_slots]
            if not free.processed:
                yield free
        if self._record is not None:
            self._record.arrivals_s.append(arrival_s if load.every_s else self._env.now)
        graph = self._facts.problem.graph
        self._host.ask((1, request), self._busy(host.submit_s(graph.input_bytes), self._submitted[request]))
        if not self._ended[request].processed:
            yield self._ended[request]
        self._host.ask((0, request), self._busy(host.collect_s(graph.output_bytes), self._collected[request]))

    def _busy(self, seconds: float, done: Signal) -> Steps:
        """Rule 4: a job of the host."""
        done.fire(in_s=seconds)
        yield done

    def _note(self, request: int, hand_over: _HandOver, start_s: float, end_s: float) -> None:
        if self._record is not None and end_s > start_s:
            self._record.spans.append(
                Span(
                    kind="hand-over",
                    device=hand_over.consumer.device,
                    ops=hand_over.consumer.ops,
                    start_s=start_s,
                    end_s=end_s,
                    tensor=hand_over.tensor,
                    source=hand_over.source,
                    request=request,
                )
            )
