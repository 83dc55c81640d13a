"""What happened when: spans of devices at work, simulated or measured, and a checker that trusts neither."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

from hetsim.errors import PlanError
from hetsim.machine.platform import Platform
from hetsim.model.graph import Graph
from hetsim.plan import Plan, Segment

SpanKind = Literal["compute", "hand-over", "wait"]
Origin = Literal["simulated", "measured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One stretch of time.

    Attributes:
        kind: ``"compute"``: a device runs a segment. ``"hand-over"``: a tensor is on its way to another device.
            ``"wait"``: a device is idle although it has segments left, until its next one starts.
        device: The device; for a hand-over the one that receives.
        ops: The segment's operators; for a wait those of the segment waited for, for a hand-over the consumer's.
        start_s: Seconds since the request was submitted.
        end_s: Not before ``start_s``.
        tensor: What is handed over; empty otherwise.
        source: For a hand-over, the device that sends; empty otherwise.
        request: Which inference it belongs to, from 0.
    """

    kind: SpanKind
    device: str
    ops: tuple[str, ...]
    start_s: float
    end_s: float
    tensor: str = ""
    source: str = ""
    request: int = 0

    @property
    def duration_s(self) -> float:
        """Length of the span in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """All spans of one or more inferences, ordered by start, ties by device, then by kind.

    Attributes:
        origin: Whether a simulation or a clock said so.
        spans: The spans.
    """

    origin: Origin
    spans: tuple[Span, ...]

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.spans, key=lambda s: (s.start_s, s.device, s.kind, s.end_s, s.tensor)))
        object.__setattr__(self, "spans", ordered)

    @cached_property
    def compute(self) -> tuple[Span, ...]:
        """The spans in which devices run segments."""
        return tuple(span for span in self.spans if span.kind == "compute")

    @property
    def makespan_s(self) -> float:
        """When the last segment ended, in seconds since the first request was submitted; 0 with no spans."""
        return max((span.end_s for span in self.compute), default=0.0)

    def busy_s(self, device: str) -> float:
        """How long the device ran segments, in seconds."""
        return sum(span.duration_s for span in self.compute if span.device == device)

    def with_waits(self) -> Timeline:
        """The same timeline with the gaps before each device's segments made into wait spans."""
        waits: list[Span] = []
        free_s: dict[str, float] = {}
        for span in self.compute:
            idle_from_s = free_s.get(span.device, 0.0)
            if span.start_s > idle_from_s:
                waits.append(
                    Span(
                        kind="wait",
                        device=span.device,
                        ops=span.ops,
                        start_s=idle_from_s,
                        end_s=span.start_s,
                        request=span.request,
                    )
                )
            free_s[span.device] = span.end_s
        return Timeline(origin=self.origin, spans=(*(s for s in self.spans if s.kind != "wait"), *waits))


def check_timeline(
    graph: Graph,
    platform: Platform,
    plan: Plan,
    timeline: Timeline,
    *,
    duration_s: Callable[[str, tuple[str, ...]], float] | None = None,
    tolerance_s: float = 1e-9,
) -> None:
    """Hold a timeline of one inference against the physics, without asking whoever made it.

    Checked: every segment of the plan ran exactly once, on its device; a device ran one segment at a time, in the
    plan's order; nothing started before time 0 or ended before it started; no segment started before everything it
    reads had been made and, in a simulated timeline, handed over. This looks at operators and tensors alone and
    shares no code with the simulator or the runtime.

    Args:
        graph: The graph the plan is for.
        platform: Gives the hand-over times that a simulated timeline must respect.
        plan: The plan that was simulated or executed.
        timeline: What is checked.
        duration_s: If given, each segment must have taken just this long, by device and operators.
        tolerance_s: Slack for rounding, in seconds.

    Raises:
        PlanError: On the first violation, which the message names.
    """
    ran: dict[str, list[Span]] = {device: [] for device in plan.queues}
    for span in timeline.compute:
        if span.device not in ran:
            raise PlanError(f"timeline runs {_name(span)} on {span.device!r}, for which the plan has nothing")
        if not -tolerance_s <= span.start_s <= span.end_s < math.inf:  # NaN fails too
            raise PlanError(f"timeline has {_name(span)} from {span.start_s} s to {span.end_s} s")
        ran[span.device].append(span)
    for device, queue in plan.queues.items():
        _check_device(device, queue, ran[device], tolerance_s)
    made: dict[str, Span] = {
        tensor: span for span in timeline.compute for op in span.ops for tensor in graph.by_name[op].outputs
    }
    for span in timeline.compute:
        if duration_s is not None and abs(span.duration_s - duration_s(span.device, span.ops)) > tolerance_s:
            raise PlanError(
                f"timeline gives {_name(span)} {span.duration_s} s, not {duration_s(span.device, span.ops)} s"
            )
        for op in span.ops:
            for tensor in graph.by_name[op].inputs:
                _check_arrival(graph, platform, timeline.origin, made, span, tensor, tolerance_s)


def _check_device(device: str, queue: tuple[Segment, ...], spans: list[Span], tolerance_s: float) -> None:
    """One device: the plan's segments, in its order, one at a time."""
    if [span.ops for span in spans] != [segment.ops for segment in queue]:
        raise PlanError(f"timeline of {device!r} does not run the plan's {len(queue)} segments once each in its order")
    for earlier, later in pairwise(spans):
        if later.start_s < earlier.end_s - tolerance_s:
            raise PlanError(f"timeline of {device!r} starts {_name(later)} before {_name(earlier)} ended")


def _check_arrival(
    graph: Graph,
    platform: Platform,
    origin: Origin,
    made: Mapping[str, Span],
    span: Span,
    tensor: str,
    tolerance_s: float,
) -> None:
    """One tensor that a segment reads: made, and where simulated handed over, before the segment started."""
    if tensor not in graph.producer or made[tensor] is span:
        return
    maker = made[tensor]
    arrival_s = maker.end_s
    if origin == "simulated" and maker.device != span.device:
        arrival_s += platform.link(maker.device, span.device).transfer_s(graph.tensors[tensor].num_bytes)
    if span.start_s < arrival_s - tolerance_s:
        raise PlanError(f"timeline starts {_name(span)} on {span.device!r} before {tensor!r} arrived")


def _name(span: Span) -> str:
    return repr(Segment(span.device, span.ops).label)
