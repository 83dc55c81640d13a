"""What a plan takes on paper: the reference model, in SimPy, with each rule in one place.

1. A device runs its queue strictly in order, one segment at a time: :meth:`_Inference._device`.
2. A segment starts when its device is free and each of its inputs has arrived. What the caller provides is there at
   time 0. What another device made arrives the link's ``transfer_s`` after its producer ended, once for each tensor
   and receiving device, however many segments read it there: :meth:`_Inference._send`. Where the link says that
   hand-overs are copies they queue for the one memory channel, which each holds for its ``transfer_s``, first come
   first served: :meth:`_Inference._memory_channel`. Copies that are asked for at the same time go in plan order:
   that of the producing segments' first operators in the graph, then of the producer's outputs, then of the
   receiving devices on the platform.
3. Running segments and copies share the memory's bandwidth: :class:`hetsim.fluid.FluidMemory`. What a segment moves
   is ``problem.traffic_bytes``; nothing, unless the problem says otherwise.

Left out so far: the cost of submitting a request, noise. docs/model.md has the equations.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Mapping
from dataclasses import dataclass

import simpy
from simpy.events import NORMAL, EventPriority

from hetsim.errors import PlanError
from hetsim.fluid import FluidMemory, Signal
from hetsim.plan import Plan, Segment, check_plan
from hetsim.problem import Problem
from hetsim.timeline import Span, Timeline

Queues = Mapping[str, tuple[Segment, ...]]
"""By device, the segments in the order in which it runs them, as in :class:`~hetsim.plan.Plan`."""

_AFTER_ALL_ELSE = EventPriority(NORMAL + 1)


def simulate(problem: Problem, plan: Plan) -> Timeline:
    """The timeline of one inference by the model; hand-overs that take no time have no span.

    The span of a copy begins when it gets the memory channel, not when it began to wait for it.

    Raises:
        PlanError: If the plan is not valid, was made for another model, or puts a segment where it cannot run.
    """
    _check(problem, plan)
    spans: list[Span] = []
    Simulator(problem).run(plan.queues, spans)
    return Timeline(origin="simulated", spans=tuple(spans))


def makespan_s(problem: Problem, plan: Plan) -> float:
    """When the last segment ends by the model, in seconds.

    Raises:
        PlanError: As :func:`simulate` does.
    """
    _check(problem, plan)
    return Simulator(problem).run(plan.queues)


def _check(problem: Problem, plan: Plan) -> None:
    check_plan(problem.graph, plan, device_names=problem.platform.device_names, model_hash=problem.model_hash)


@dataclass(frozen=True, slots=True)
class _Work:
    """What a segment does, whatever plan it is in.

    Attributes:
        segment: The segment.
        seconds: Its time on its device.
        position: Its first operator's place in the graph.
        traffic_bytes: What it moves to and from the memory.
        reads: Tensors that operators outside it make.
        makes: Tensors that others, or the caller, read.
    """

    segment: Segment
    seconds: float
    position: int
    traffic_bytes: int
    reads: tuple[str, ...]
    makes: tuple[str, ...]


class Simulator:
    """Simulates many plans of one problem; remembers what each segment reads, makes and costs.

    Args:
        problem: The problem. Its costs are asked for once, so a simulator must not outlive a change of the profile.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._work: dict[Segment, _Work] = {}
        self._transfers: dict[tuple[str, str, str], tuple[float, bool]] = {}

    def work(self, segment: Segment) -> _Work:
        """The facts of a segment.

        Raises:
            PlanError: If its device cannot run it as one segment.
        """
        known = self._work.get(segment)
        if known is None:
            graph = self.problem.graph
            ops = graph.ordered(segment.ops)
            latency = self.problem.latency(segment.device, ops)
            if latency is None:
                raise PlanError(
                    f"{segment.device!r} cannot run segment {segment.label!r} as one; "
                    f"these can: {', '.join(self.problem.devices_for(ops)) or 'none'}; split it or place it elsewhere"
                )
            known = self._work[segment] = _Work(
                segment=segment,
                seconds=latency.seconds,
                position=graph.position[ops[0]],
                traffic_bytes=self.problem.traffic_bytes(ops),
                reads=tuple(tensor for tensor in graph.inputs_of(ops) if tensor in graph.producer),
                makes=graph.outputs_of(ops),
            )
        return known

    def transfer(self, source: str, target: str, tensor: str) -> tuple[float, bool]:
        """How long a hand-over takes once under way, in seconds, and whether it needs the memory channel."""
        key = (source, target, tensor)
        if key not in self._transfers:
            copies = self.problem.platform.link(source, target).mode == "copy"
            self._transfers[key] = self.problem.transfer_s(source, target, tensor), copies
        return self._transfers[key]

    def run(self, queues: Queues, spans: list[Span] | None = None) -> float:
        """When the last segment ends, in seconds; spans are appended to ``spans`` if it is given.

        Whether the queues make a valid plan is not checked (:func:`makespan_s` does). They may be those of a part of
        the graph: tensors that nothing in them makes are there at time 0.

        Raises:
            PlanError: If a device cannot run one of its segments, or devices wait for each other for ever.
        """
        inference = _Inference(self, queues, spans)
        end_s = inference.run()
        if inference.num_left:
            raise PlanError(f"plan can never finish: {inference.num_left} segments wait for each other")
        return end_s


@dataclass(slots=True)
class _HandOver:
    """A tensor's way to another device.

    Attributes:
        tensor: The tensor.
        source: Device that makes it.
        consumer: First segment that waits for it on the receiving device.
        transfer_s: Seconds that it takes once under way.
        num_bytes: Size of the tensor.
        copies: Whether it needs the memory channel.
        arrival: Happens when it is there.
    """

    tensor: str
    source: str
    consumer: Segment
    transfer_s: float
    num_bytes: int
    copies: bool
    arrival: Signal


class _Inference:
    """One inference: devices and the memory channel as SimPy processes, hand-overs as what they wait for."""

    def __init__(self, simulator: Simulator, queues: Queues, spans: list[Span] | None) -> None:
        platform, sizes = simulator.problem.platform, simulator.problem.graph.tensors
        self._needs_channel = any(link.mode == "copy" for link in platform.links.values())
        self._spans = spans
        self._env = simpy.Environment(initial_time=0.0)
        self._memory = FluidMemory(self._env, platform.memory.shared_bytes_per_s)
        self._leaving: dict[str, list[_HandOver]] = {}  # by tensor, in the order of devices
        self._copies: list[tuple[float, int, int, int, _HandOver]] = []  # a heap, first come first
        self._copy_wanted = self._env.event()
        work = {
            device: [simulator.work(segment) for segment in queues[device]]
            for device in platform.device_names
            if device in queues
        }
        self.num_left = sum(map(len, work.values()))
        home = {tensor: device for device, queue in work.items() for one in queue for tensor in one.makes}
        for device, queue in work.items():
            arriving: dict[str, _HandOver] = {}
            todo: list[tuple[_Work, list[Signal]]] = []
            for one in queue:
                inputs: list[Signal] = []
                for tensor in one.reads:
                    source = home.get(tensor, device)
                    if source == device:
                        continue
                    if tensor not in arriving:
                        transfer_s, copies = simulator.transfer(source, device, tensor)
                        arrival = Signal(self._env)
                        arriving[tensor] = _HandOver(
                            tensor, source, one.segment, transfer_s, sizes[tensor].num_bytes, copies, arrival
                        )
                        self._leaving.setdefault(tensor, []).append(arriving[tensor])
                    inputs.append(arriving[tensor].arrival)
                todo.append((one, inputs))
            self._env.process(self._device(device, todo))

    def run(self) -> float:
        """When nothing more can happen, in seconds."""
        if self._needs_channel:
            self._env.process(self._memory_channel())
        self._env.run()
        return float(self._env.now)

    def _device(self, device: str, queue: list[tuple[_Work, list[Signal]]]) -> Generator[simpy.Event, None, None]:
        """Rule 1: strictly in order, one at a time, each when its inputs are there."""
        env = self._env
        for work, inputs in queue:
            for arrival in inputs:
                if not arrival.processed:
                    yield arrival
            start_s = env.now
            yield self._memory.run(work.seconds, work.traffic_bytes)
            self.num_left -= 1
            if self._spans is not None:
                self._spans.append(
                    Span(kind="compute", device=device, ops=work.segment.ops, start_s=start_s, end_s=env.now)
                )
            self._send(work)

    def _send(self, work: _Work) -> None:
        """Rule 2: a segment has ended, and what it made goes to each other device that reads it."""
        for i, tensor in enumerate(work.makes):
            for k, hand_over in enumerate(self._leaving.get(tensor, ())):
                if not hand_over.copies:
                    self._start(hand_over)
                else:
                    heapq.heappush(self._copies, (self._env.now, work.position, i, k, hand_over))
                    if not self._copy_wanted.triggered:
                        self._copy_wanted.succeed()

    def _memory_channel(self) -> Generator[simpy.Event, None, None]:
        """Rule 2, copies: one at a time, first come first served, ties in plan order."""
        while True:
            if not self._copies:
                self._copy_wanted = self._env.event()
                yield self._copy_wanted
            settled = Signal(self._env)  # whatever else ends at this time asks before anyone is served
            settled.fire(in_s=0.0, priority=_AFTER_ALL_ELSE)
            yield settled
            *_, hand_over = heapq.heappop(self._copies)
            start_s = self._env.now
            yield self._memory.run(hand_over.transfer_s, hand_over.num_bytes)
            hand_over.arrival.fire(in_s=0.0)
            yield hand_over.arrival
            self._note(hand_over, start_s, self._env.now)

    def _start(self, hand_over: _HandOver) -> None:
        """The tensor sets out now, and nothing holds it up."""
        now, transfer_s = self._env.now, hand_over.transfer_s
        hand_over.arrival.fire(in_s=transfer_s)
        self._note(hand_over, now, now + transfer_s)

    def _note(self, hand_over: _HandOver, start_s: float, end_s: float) -> None:
        if self._spans is not None and end_s > start_s:
            self._spans.append(
                Span(
                    kind="hand-over",
                    device=hand_over.consumer.device,
                    ops=hand_over.consumer.ops,
                    start_s=start_s,
                    end_s=end_s,
                    tensor=hand_over.tensor,
                    source=hand_over.source,
                )
            )
