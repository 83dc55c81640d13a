"""What a plan takes on paper: the reference model, in SimPy, with each rule in one place.

1. A device runs its queue strictly in order, one segment at a time, and all of one request before any of the next:
   :meth:`_Run._device`.
2. A segment starts when its device is free and each of its inputs has arrived. What the caller provides is there when
   the request reaches the devices. What another device made arrives the link's ``transfer_s`` after its producer ended,
   once for each tensor and receiving device, however many segments read it there: :meth:`_Run._send`. Where the link
   says that hand-overs are copies they queue for the one memory channel, which each holds for its ``transfer_s``, first
   come first served: :meth:`_Run._copy`. Copies that are asked for at the same time go by request, then in plan order:
   that of the producing segments' first operators in the graph, then of the producer's outputs, then of the receiving
   devices on the platform.
3. Running segments and copies share the memory's bandwidth: :class:`hetsim.sim.fluid.FluidMemory`. What a segment moves
   is ``problem.traffic_bytes``; nothing, unless the problem says otherwise.
4. Under a load (:class:`hetsim.core.load.Load`) a host submits each request, once it is due and a slot is free, and
   collects it after its last segment, which frees its slot. It does one thing at a time, first come first served; at
   the same time collecting goes first, then the earlier request: :meth:`_Run._request`. Without a load one request is
   with the devices at time 0, and there is no host.

Whatever can happen at one time has happened before the host picks its next job; then the memory channel picks one; and
when neither has more to start, bandwidth is shared out. So no outcome hangs on the order in which SimPy gets round to
things, and :mod:`hetsim.sim.compiled` can do the same arithmetic.

Durations are the problem's, or come from a function of (request, segment), which is how measured noise gets in.
docs/model.md has the equations.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field

import simpy
from simpy.events import NORMAL, EventPriority

from hetsim.core.dataflow import check_plan
from hetsim.core.errors import PlanError
from hetsim.core.load import Load
from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.core.timeline import Span, Timeline
from hetsim.sim.fluid import FluidMemory, Signal

Queues = Mapping[str, tuple[Segment, ...]]
"""By device, the segments in the order in which it runs them, as in :class:`~hetsim.core.plan.Plan`."""

DurationFunction = Callable[[int, Segment], float]
"""From a request's number, from 0, and a segment to the seconds that the segment takes alone in that request."""

Steps = Generator[simpy.Event, None, None]
"""A SimPy process, or a part of one."""

_HOST, _CHANNEL = EventPriority(NORMAL + 1), EventPriority(NORMAL + 2)
"""When either picks a job: after all else at that time, and before bandwidth is shared out."""
_ALONE = Load()


def simulate(
    problem: Problem, plan: Plan, *, load: Load | None = None, duration_s: DurationFunction | None = None
) -> Timeline:
    """The timeline of one inference by the model, or of many; hand-overs that take no time have no span.

    The span of a copy begins when it gets the memory channel, not when it began to wait for it.

    Args:
        problem: The problem.
        plan: The plan.
        load: The requests. None stands for one that is with the devices at time 0.
        duration_s: What segments take instead of what the problem says.

    Raises:
        PlanError: If the plan is not valid, was made for another model, or puts a segment where it cannot run.
    """
    _check(problem, plan)
    record = Record()
    Simulator(problem).run(plan.queues, record, load=load, duration_s=duration_s)
    return Timeline(origin="simulated", spans=tuple(record.spans), arrivals_s=tuple(record.arrivals_s))


def makespan_s(problem: Problem, plan: Plan) -> float:
    """When the last segment of one inference ends by the model, in seconds.

    Raises:
        PlanError: As :func:`simulate` does.
    """
    _check(problem, plan)
    return Simulator(problem).run(plan.queues)


@dataclass(frozen=True, slots=True)
class Record:
    """What happened in a simulation, in the order in which it did.

    Attributes:
        spans: Segments that ran and hand-overs that took time.
        arrivals_s: By request, when it was due; where requests are due as soon as there is room, when there was.
    """

    spans: list[Span] = field(default_factory=list)
    arrivals_s: list[float] = field(default_factory=list)


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
                    f"{segment.device!r} cannot run segment {graph.label(ops)!r} as one; "
                    f"these can: {', '.join(self.problem.devices_for(ops)) or 'none'}; split it or place it elsewhere"
                )
            known = self._work[segment] = _Work(
                segment=segment,
                seconds=latency.seconds,
                position=graph.position[ops[0]],
                traffic_bytes=self.problem.traffic_bytes(segment.device, ops),
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

    def run(
        self,
        queues: Queues,
        record: Record | None = None,
        *,
        load: Load | None = None,
        duration_s: DurationFunction | None = None,
    ) -> float:
        """When the last segment ends, in seconds; what happens goes into ``record`` if it is given.

        Whether the queues make a valid plan is not checked (:func:`makespan_s` does). They may be those of a part of
        the graph: tensors that nothing in them makes are there from the start.

        Raises:
            PlanError: If a device cannot run one of its segments, or devices wait for each other for ever.
        """
        run = _Run(self, queues, record, load, duration_s)
        end_s = run.run()
        if run.num_left:
            raise PlanError(f"plan can never finish: {run.num_left} segments wait for each other")
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


class _Server:
    """Does one job at a time, first come first served; jobs that are asked for at the same time go by their keys."""

    def __init__(self, env: simpy.Environment, priority: EventPriority) -> None:
        self._env = env
        self._priority = priority
        self._jobs: list[tuple[float, tuple[int, ...], Steps]] = []  # a heap, first come first
        self._wanted = env.event()
        env.process(self._serve())

    def ask(self, key: tuple[int, ...], job: Steps) -> None:
        """Have a job done; keys of jobs differ."""
        heapq.heappush(self._jobs, (self._env.now, key, job))
        if not self._wanted.triggered:
            self._wanted.succeed()

    def _serve(self) -> Steps:
        while True:
            if not self._jobs:
                self._wanted = self._env.event()
                yield self._wanted
            quiesced = Signal(self._env)  # whatever else ends at this time asks before anyone is served
            quiesced.fire(in_s=0.0, priority=self._priority)
            yield quiesced
            yield from heapq.heappop(self._jobs)[-1]


class _Run:
    """One simulation: devices, requests and servers as SimPy processes, hand-overs as what they wait for."""

    def __init__(
        self,
        simulator: Simulator,
        queues: Queues,
        record: Record | None,
        load: Load | None,
        duration_s: DurationFunction | None,
    ) -> None:
        self._simulator = simulator
        self._platform = simulator.problem.platform
        self._load = load or _ALONE
        self._record = record
        self._duration_s = duration_s
        self._env = simpy.Environment(initial_time=0.0)
        self._memory = FluidMemory(self._env, self._platform.memory.shared_bytes_per_s)
        self._work = {
            device: [simulator.work(segment) for segment in queues[device]]
            for device in self._platform.device_names
            if device in queues
        }
        self.num_left = self._load.num_requests * sum(map(len, self._work.values()))
        if any(link.mode == "copy" for link in self._platform.links.values()):
            self._channel = _Server(self._env, _CHANNEL)
        self._submitted: list[Signal] = []  # by request
        self._num_busy: list[int] = []  # by request, the devices that have not ended it
        self._ended: list[Signal] = []  # by request
        self._leaving: list[dict[str, list[_HandOver]]] = []  # by request and tensor, in the order of devices
        todo: dict[str, list[list[tuple[_Work, list[Signal]]]]] = {device: [] for device in self._work}
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
            self._host = _Server(self._env, _HOST)
            self._collected = [Signal(self._env) for _ in range(load.num_requests)]
            for request in range(load.num_requests):
                self._env.process(self._request(request))

    def _incoming(
        self, device: str, queue: list[_Work], home: Mapping[str, str], leaving: dict[str, list[_HandOver]]
    ) -> list[tuple[_Work, list[Signal]]]:
        """A device's segments for one request, each with the arrivals that it waits for; ``leaving`` gains those."""
        arriving: dict[str, _HandOver] = {}
        todo: list[tuple[_Work, list[Signal]]] = []
        for one in queue:
            inputs: list[Signal] = []
            for tensor in one.reads:
                source = home.get(tensor, device)
                if source == device:
                    continue
                if tensor not in arriving:
                    transfer_s, copies = self._simulator.transfer(source, device, tensor)
                    num_bytes = self._simulator.problem.graph.tensors[tensor].num_bytes
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

    def _device(self, device: str, todo: list[list[tuple[_Work, list[Signal]]]]) -> Steps:
        """Rule 1: request by request, strictly in order, one at a time, each when its inputs are there."""
        env = self._env
        for request, queue in enumerate(todo):
            if not self._submitted[request].processed:
                yield self._submitted[request]
            for work, inputs in queue:
                for arrival in inputs:
                    if not arrival.processed:
                        yield arrival
                start_s = env.now
                seconds = work.seconds if self._duration_s is None else self._duration_s(request, work.segment)
                yield self._memory.run(seconds, work.traffic_bytes)
                self.num_left -= 1
                self._last_s = env.now
                if self._record is not None:
                    self._record.spans.append(
                        Span(
                            kind="compute",
                            device=device,
                            ops=work.segment.ops,
                            start_s=start_s,
                            end_s=env.now,
                            request=request,
                        )
                    )
                self._send(request, work)
            self._num_busy[request] -= 1
            if not self._num_busy[request]:
                self._ended[request].fire(in_s=0.0)

    def _send(self, request: int, work: _Work) -> None:
        """Rule 2: a segment has ended, and what it made goes to each other device that reads it."""
        for i, tensor in enumerate(work.makes):
            for k, hand_over in enumerate(self._leaving[request].get(tensor, ())):
                if hand_over.copies:
                    self._channel.ask((request, work.position, i, k), self._copy(request, hand_over))
                else:
                    hand_over.arrival.fire(in_s=hand_over.transfer_s)
                    self._note(request, hand_over, self._env.now, self._env.now + hand_over.transfer_s)

    def _copy(self, request: int, hand_over: _HandOver) -> Steps:
        """Rule 2, copies: what the memory channel does for one of them."""
        start_s = self._env.now
        yield self._memory.run(hand_over.transfer_s, hand_over.num_bytes)
        hand_over.arrival.fire(in_s=0.0)
        yield hand_over.arrival
        self._note(request, hand_over, start_s, self._env.now)

    def _request(self, request: int) -> Steps:
        """Rule 4: due, submitted, ended, collected."""
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
        graph = self._simulator.problem.graph
        self._host.ask((1, request), self._busy(host.submit_s(graph.input_bytes), self._submitted[request]))
        if not self._ended[request].processed:
            yield self._ended[request]
        self._host.ask((0, request), self._busy(host.collect_s(graph.output_bytes), self._collected[request]))

    def _busy(self, seconds: float, done: Signal) -> Steps:
        """Rule 4: what the host does for a request."""
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
