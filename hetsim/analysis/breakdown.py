"""How devices spend the time of a timeline, and how much of the network each runs."""

from __future__ import annotations

from dataclasses import dataclass

from hetsim.core.graph import Graph
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.timeline import Span, Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTime:
    """How one device spends the makespan, in four parts that add up to it.

    Attributes:
        device: Name of the device.
        label: Its name; a device that is not real hardware has its nature in it.
        num_segments: Number of segments that it ran.
        compute_s: Running segments, without their launches; cross-device access included.
        launch_s: Launching them: ``num_segments`` times the platform's ``launch_s``, at most all the time that it ran.
        hand_over_s: Idle during a hand-over of an input of its next segment.
        waiting_s: Idle otherwise: before its inputs are produced, and after its last segment.
    """

    device: str
    label: str
    num_segments: int
    compute_s: float
    launch_s: float
    hand_over_s: float
    waiting_s: float

    @property
    def total_s(self) -> float:
        """The makespan in seconds."""
        return self.compute_s + self.launch_s + self.hand_over_s + self.waiting_s

    @property
    def busy_share(self) -> float:
        """The fraction of the makespan in which it ran segments, from 0 to 1; 0 for an empty timeline."""
        return (self.compute_s + self.launch_s) / self.total_s if self.total_s > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """How all devices spend the makespan.

    Attributes:
        makespan_s: From the first submission to the last end.
        devices: One for each device of the platform, in its order, idle ones too.
    """

    makespan_s: float
    devices: tuple[DeviceTime, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The part of the network that one device runs.

    Attributes:
        device: Name of the device.
        label: Its name; a device that is not real hardware has its nature in it.
        num_ops: Number of operators that it runs.
        num_part_ops: Number of operators of which it computes a part and other devices the rest.
        total_ops: Number of operators of the network before rewrites.
        num_segments: Number of its segments.
        busy_share: The fraction of the makespan in which it runs them, from 0 to 1. Devices run in parallel, so the
            shares of a plan may add up to more than 1.
    """

    device: str
    label: str
    num_ops: int
    total_ops: int
    num_segments: int
    busy_share: float
    num_part_ops: int = 0

    def __str__(self) -> str:
        """One line for people.

        >>> str(Assignment(device="npu", label="npu (stand-in)", num_ops=38, total_ops=67, num_segments=2,
        ...                busy_share=0.712))
        'npu (stand-in): 38 of 67 operators, 71 % of the time'
        >>> str(Assignment(device="npu", label="npu (stand-in)", num_ops=2, total_ops=67, num_segments=5,
        ...                busy_share=0.712, num_part_ops=65))
        'npu (stand-in): 2 of 67 operators and parts of 65 more, 71 % of the time'
        """
        operators = f"{self.num_ops} of {self.total_ops} operators"
        if self.num_part_ops:
            operators += f" and parts of {self.num_part_ops} more"
        return f"{self.label}: {operators}, {100 * self.busy_share:.0f} % of the time"


def breakdown(timeline: Timeline, platform: Platform) -> Breakdown:
    """How each device of the platform spends the makespan of a timeline."""
    makespan_s = timeline.makespan_s
    return Breakdown(
        makespan_s=makespan_s,
        devices=tuple(
            _device_time(timeline, device.name, device.label, device.launch_s, makespan_s)
            for device in platform.devices
        ),
    )


def devices_by_op(graph: Graph, plan: Plan) -> dict[str, set[str]]:
    """By operator as before the splits, the devices that run it or parts of it; without operators that only move data.

    Args:
        graph: The graph that the plan is for, with the plan's rewrites.
        plan: The plan.
    """
    found: dict[str, set[str]] = {}
    for segment in plan.segments:
        for op in segment.ops:
            known = graph.by_name[op]
            if not known.moves_data:
                found.setdefault(known.part_of or op, set()).add(segment.device)
    return found


def device_assignments(graph: Graph, plan: Plan, timeline: Timeline, platform: Platform) -> tuple[Assignment, ...]:
    """The part of the network that each device of the platform runs, in the platform's order.

    Operators are counted as before the splits: a device that computes all parts of one runs it, and operators that only
    move data do not count.

    Args:
        graph: The graph that the plan is for, with the plan's rewrites.
        plan: The plan.
        timeline: Its timeline.
        platform: The devices.
    """
    devices_of = devices_by_op(graph, plan)
    makespan_s = timeline.makespan_s
    return tuple(
        Assignment(
            device=device.name,
            label=device.label,
            num_ops=sum(devices == {device.name} for devices in devices_of.values()),
            num_part_ops=sum(device.name in devices and len(devices) > 1 for devices in devices_of.values()),
            total_ops=len(devices_of),
            num_segments=len(plan.queues.get(device.name, ())),
            busy_share=timeline.busy_s(device.name) / makespan_s if makespan_s > 0 else 0.0,
        )
        for device in platform.devices
    )


def _device_time(timeline: Timeline, device: str, label: str, launch_s: float, makespan_s: float) -> DeviceTime:
    ran = [span for span in timeline.compute if span.device == device]
    busy_s = sum(span.duration_s for span in ran)
    launches_s = min(len(ran) * launch_s, busy_s)
    handovers = [span for span in timeline.spans if span.kind == "hand-over" and span.device == device]
    hand_over_s = sum(_hand_over_s(wait, handovers) for wait in _gaps(ran))
    return DeviceTime(
        device=device,
        label=label,
        num_segments=len(ran),
        compute_s=busy_s - launches_s,
        launch_s=launches_s,
        hand_over_s=hand_over_s,
        waiting_s=max(makespan_s - busy_s - hand_over_s, 0.0),
    )


def _gaps(ran: list[Span]) -> list[tuple[float, Span]]:
    """By segment of a device: when the device became idle before it, in seconds, and the segment."""
    free_s = [0.0, *(span.end_s for span in ran)]
    return list(zip(free_s, ran, strict=False))


def _hand_over_s(gap: tuple[float, Span], handovers: list[Span]) -> float:
    """How long, within the gap before a segment, at least one of its inputs was being handed over, in seconds."""
    idle_from_s, segment = gap
    busy_s = 0.0
    reached_s = idle_from_s
    for span in handovers:  # ordered by start
        if span.ops == segment.ops and span.request == segment.request:
            end_s = min(span.end_s, segment.start_s)
            busy_s += max(end_s - max(span.start_s, reached_s), 0.0)
            reached_s = max(reached_s, end_s)
    return busy_s
