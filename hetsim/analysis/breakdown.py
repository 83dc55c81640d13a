"""Where the time of a timeline goes, and which device runs how much of the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hetsim.core.graph import Graph
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.timeline import Span, Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTime:
    """How one device spends the makespan; the four parts add up to it.

    Attributes:
        device: Name of the device.
        label: The name as people should see it.
        num_segments: Segments it ran.
        compute_s: Running segments, without their launches.
        launch_s: Launching them: ``num_segments`` times the platform's ``launch_s``, at most all the time it ran.
        hand_over_s: Idle while an input of its next segment was on its way.
        waiting_s: Idle otherwise: before its inputs are made, and after its last segment.
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
        """The part of the makespan in which it ran segments, from 0 to 1; 0 for an empty timeline."""
        return (self.compute_s + self.launch_s) / self.total_s if self.total_s > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Where the time goes.

    Attributes:
        makespan_s: From the first submission to the last end.
        devices: One for each device of the platform, in its order, idle ones too.
    """

    makespan_s: float
    devices: tuple[DeviceTime, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What one device runs.

    Attributes:
        device: Name of the device.
        label: The name as people should see it.
        num_ops: Operators that the plan gives it.
        num_part_ops: Operators that it computes a part of, others the rest.
        total_ops: Operators of the network, as it was before a plan had some computed in parts.
        num_segments: Segments that those form.
        busy_share: The part of the makespan in which it runs them, from 0 to 1. Devices overlap, so the shares of
            a parallel plan add up to more than 1.
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
    """Where the time of a timeline goes, device by device."""
    makespan_s = timeline.makespan_s
    return Breakdown(
        makespan_s=makespan_s,
        devices=tuple(
            _device_time(timeline, device.name, device.label, device.launch_s, makespan_s)
            for device in platform.devices
        ),
    )


def who_runs_what(
    graph: Graph, plan: Plan, timeline: Timeline, platform: Platform, original_op: Mapping[str, str] | None = None
) -> tuple[Assignment, ...]:
    """What each device of the platform runs, in the platform's order; ``str()`` of each is a line for people.

    Args:
        graph: What the plan is for, rewritten if the plan rests on rewrites.
        plan: The plan.
        timeline: Its timeline.
        platform: The devices.
        wholes: For a rewritten graph :attr:`hetsim.models.Model.original_op`: operators are counted as they were
            before. One that a device computes all parts of is its own, and what only moves tensors does not count.
    """
    if original_op is None:
        original_op = {op.name: op.name for op in graph.ops}
    makers: dict[str, set[str]] = {}
    for segment in plan.segments:
        for op in segment.ops:
            if op in original_op:
                makers.setdefault(original_op[op], set()).add(segment.device)
    makespan_s = timeline.makespan_s
    return tuple(
        Assignment(
            device=device.name,
            label=device.label,
            num_ops=sum(makes == {device.name} for makes in makers.values()),
            num_part_ops=sum(device.name in makes and len(makes) > 1 for makes in makers.values()),
            total_ops=len(makers),
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
    hand_over_s = sum(_under_way_s(wait, handovers) for wait in _gaps(ran))
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
    """For each segment of a device: since when the device has been idle, in seconds, and the segment."""
    free_s = [0.0, *(span.end_s for span in ran)]
    return list(zip(free_s, ran, strict=False))


def _under_way_s(gap: tuple[float, Span], handovers: list[Span]) -> float:
    """How long, within the gap before a segment, at least one of that segment's inputs was on its way."""
    idle_from_s, segment = gap
    covered_s = 0.0
    reached_s = idle_from_s
    for span in handovers:  # ordered by start
        if span.ops == segment.ops and span.request == segment.request:
            end_s = min(span.end_s, segment.start_s)
            covered_s += max(end_s - max(span.start_s, reached_s), 0.0)
            reached_s = max(reached_s, end_s)
    return covered_s
