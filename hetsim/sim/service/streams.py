"""Plans as streams of steps: what the service simulators need to know of a problem and a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hetsim.core.dataflow import check_plan
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.problem import Problem
from hetsim.core.serving.service import Service
from hetsim.sim.segments import SegmentFacts
from hetsim.sim.simulate import Simulator


@dataclass(frozen=True, slots=True)
class HandOver:
    """A tensor's way to another device, once for each receiving device.

    Attributes:
        producer: Number of the step that makes the tensor.
        target: Number of the receiving device.
        transfer_s: Seconds that it takes once it has started.
        copies: Whether it occupies the memory channel.
        num_bytes: Size of the tensor.
    """

    producer: int
    target: int
    transfer_s: float
    copies: bool
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Step:
    """A segment of the plan.

    Attributes:
        device: Number of its device.
        ops: Its operators.
        seconds: What it takes alone, cross-device access included.
        traffic_bytes: Bytes that it moves to and from memory.
        arrivals: Numbers of the hand-overs that it waits for.
    """

    device: int
    ops: tuple[str, ...]
    seconds: float
    traffic_bytes: int
    arrivals: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A plan of one workload, resolved.

    Attributes:
        workload: Number of the workload.
        num_slots: Requests that may be in flight.
        steps: Its segments, device by device in the order of their queues.
        hand_overs: By producer, then tensor, then receiving device.
        queues: By device, the numbers of its steps, in order.
        submit_s: Time that the host takes to submit a request.
        collect_s: Time that the host takes to collect one.
        latency_s: What one request takes alone, without the host.
        host_factors: By step, by how much it is longer as the host takes its time from a device. Durations that replace
            the steps' own must be multiplied by it. Empty if the host has a core of its own.
    """

    workload: int
    num_slots: int
    steps: tuple[Step, ...]
    hand_overs: tuple[HandOver, ...]
    queues: tuple[tuple[int, ...], ...]
    submit_s: float
    collect_s: float
    latency_s: float
    host_factors: tuple[float, ...] = ()

    @property
    def busiest_s(self) -> float:
        """Time that one request takes on the device with the most work for it, in seconds."""
        return max(sum(self.steps[i].seconds for i in queue) for queue in self.queues)


def make_streams(service: Service, problems: Mapping[str, Problem | Sequence[Problem]]) -> tuple[Stream, ...]:
    """The streams of all workloads' instances, workload by workload.

    Args:
        service: The service.
        problems: By name of a workload, the costs of its model, or by instance what its plan costs. All problems have
            one platform.

    Raises:
        PlanError: If a plan does not fit its problem, or puts a segment where it cannot run.
    """
    used = {name for one in service.workloads for instance in one.deployment.instances for name in instance.plan.queues}
    streams: list[Stream] = []
    for number, workload in enumerate(service.workloads):
        given, instances = problems[workload.name], workload.deployment.instances
        own = [given] * len(instances) if isinstance(given, Problem) else given
        streams += [_stream(number, one.num_slots, cost, one.plan) for one, cost in zip(instances, own, strict=True)]
    platform = platform_of(problems)
    overlap = sum(one.num_slots for one in streams) > 1  # else the devices are idle while the host works
    shares = platform.host.shares_cores and used == set(platform.device_names) and overlap
    return tuple(_with_host(one) if shares else one for one in streams)


def _with_host(stream: Stream) -> Stream:
    """The stream where the host takes its time from a device: from the one with the most work for the request.

    Where devices wait for each other within a request, whichever is late delays both.
    """
    totals_s = [sum(stream.steps[i].seconds for i in queue) for queue in stream.queues]
    device = max(range(len(totals_s)), key=lambda i: totals_s[i])
    longer = 1 + (stream.submit_s + stream.collect_s) / totals_s[device] if totals_s[device] else 1.0
    factors = tuple(longer if step.device == device else 1.0 for step in stream.steps)
    steps = tuple(
        replace(step, seconds=step.seconds * factor) for step, factor in zip(stream.steps, factors, strict=True)
    )
    return replace(stream, steps=steps, host_factors=factors)


def platform_of(problems: Mapping[str, Problem | Sequence[Problem]]) -> Platform:
    """The platform that all problems have."""
    first = next(iter(problems.values()))
    return first.platform if isinstance(first, Problem) else first[0].platform


def _stream(workload: int, num_slots: int, problem: Problem, plan: Plan) -> Stream:
    problem = problem.for_plan(plan)
    names, graph = problem.platform.device_names, problem.graph
    check_plan(graph, plan, device_names=names, model_hash=problem.model_hash)
    facts = SegmentFacts(problem)
    works = [facts.work(segment) for name in names for segment in plan.queues.get(name, ())]
    devices = [names.index(work.segment.device) for work in works]
    maker = {tensor: i for i, work in enumerate(works) for tensor in work.makes}
    readers: dict[tuple[int, str, int], None] = {}
    for work, device in zip(works, devices, strict=True):
        for tensor in work.reads:
            if devices[maker[tensor]] != device:
                readers[maker[tensor], tensor, device] = None
    order = sorted(readers, key=lambda one: (works[one[0]].position, works[one[0]].makes.index(one[1]), one[2]))
    number = {(tensor, target): i for i, (_, tensor, target) in enumerate(order)}
    seconds = problem.segment_times_s(work.segment for work in works)
    return Stream(
        workload=workload,
        num_slots=num_slots,
        steps=tuple(
            Step(
                device=device,
                ops=work.segment.ops,
                seconds=seconds[work.segment],
                traffic_bytes=work.traffic_bytes,
                arrivals=tuple(number[tensor, device] for tensor in work.reads if (tensor, device) in number),
            )
            for work, device in zip(works, devices, strict=True)
        ),
        hand_overs=tuple(
            HandOver(
                producer,
                target,
                *facts.transfer(names[devices[producer]], names[target], tensor),
                graph.tensors[tensor].num_bytes,
            )
            for producer, tensor, target in order
        ),
        queues=tuple(_numbers(devices, device) for device in range(len(names))),
        submit_s=problem.platform.host.submit_s(graph.input_bytes),
        collect_s=problem.platform.host.collect_s(graph.output_bytes),
        latency_s=Simulator(problem).run(plan.queues),
    )


def _numbers(devices: Sequence[int], device: int) -> tuple[int, ...]:
    return tuple(i for i, other in enumerate(devices) if other == device)
