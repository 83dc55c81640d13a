"""What happened when: spans of devices at work, simulated or measured, and a checker that trusts neither."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Literal

from hetsim.core.errors import PlanError
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import Platform

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
        start_s: Seconds since the first request was due.
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
        arrivals_s: By request, when it was due; ascending.
    """

    origin: Origin
    spans: tuple[Span, ...]
    arrivals_s: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.spans, key=lambda s: (s.start_s, s.device, s.kind, s.end_s, s.tensor)))
        object.__setattr__(self, "spans", ordered)

    @cached_property
    def compute(self) -> tuple[Span, ...]:
        """The spans in which devices run segments."""
        return tuple(span for span in self.spans if span.kind == "compute")

    @property
    def makespan_s(self) -> float:
        """When the last segment ended, in seconds since the first request was due; 0 with no spans."""
        return max((span.end_s for span in self.compute), default=0.0)

    @cached_property
    def ends_s(self) -> tuple[float, ...]:
        """By request, when its last segment ended, in seconds since the first request was due."""
        ends_s = list(self.arrivals_s)
        for span in self.compute:
            ends_s[span.request] = max(ends_s[span.request], span.end_s)
        return tuple(ends_s)

    @property
    def latencies_s(self) -> tuple[float, ...]:
        """By request, from when it was due to the end of its last segment, in seconds."""
        return tuple(end_s - arrival_s for end_s, arrival_s in zip(self.ends_s, self.arrivals_s, strict=True))

    @property
    def throughput_per_s(self) -> float:
        """Requests per second: those after the first over the time from its end to the last one's.

        Of a single request, one over its latency. Infinite where no time passes.
        """
        ends_s = self.ends_s
        num_requests, seconds = len(ends_s) - 1, ends_s[-1] - ends_s[0]
        if not num_requests:
            num_requests, seconds = 1, self.latencies_s[0]
        return num_requests / seconds if seconds > 0 else math.inf

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
        return replace(self, spans=(*(s for s in self.spans if s.kind != "wait"), *waits))


def check_timeline(
    graph: Graph,
    platform: Platform,
    plan: Plan,
    timeline: Timeline,
    *,
    duration_s: Callable[[str, tuple[str, ...]], float] | None = None,
    tolerance_s: float = 1e-9,
) -> None:
    """Hold a timeline of one inference, or of several, against the physics, without asking whoever made it.

    Checked: every segment of the plan ran exactly once for each request, on its device; a device ran one segment at a
    time, in the plan's order, and all of one request before any of the next; nothing started before its request was
    due or ended before it started; no segment started before everything it reads had been made and, in a simulated
    timeline, handed over. This looks at operators and tensors alone and shares no code with the simulator or the
    runtime.

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
        if not 0 <= span.request < len(timeline.arrivals_s):
            raise PlanError(f"timeline runs {_name(span)} for request {span.request} of {len(timeline.arrivals_s)}")
        due_s = timeline.arrivals_s[span.request]
        if not due_s - tolerance_s <= span.start_s <= span.end_s < math.inf:  # NaN fails too
            raise PlanError(f"timeline has {_name(span)} from {span.start_s} s to {span.end_s} s")
        ran[span.device].append(span)
    for device, queue in plan.queues.items():
        _check_device(device, queue, ran[device], len(timeline.arrivals_s), tolerance_s)
    made: dict[tuple[int, str], Span] = {
        (span.request, tensor): span
        for span in timeline.compute
        for op in span.ops
        for tensor in graph.by_name[op].outputs
    }
    for span in timeline.compute:
        if duration_s is not None and abs(span.duration_s - duration_s(span.device, span.ops)) > tolerance_s:
            raise PlanError(
                f"timeline gives {_name(span)} {span.duration_s} s, not {duration_s(span.device, span.ops)} s"
            )
        for op in span.ops:
            for tensor in graph.by_name[op].inputs:
                _check_arrival(graph, platform, timeline.origin, made, span, tensor, tolerance_s)


def _check_device(
    device: str, queue: tuple[Segment, ...], spans: list[Span], num_requests: int, tolerance_s: float
) -> None:
    """One device: the plan's segments for each request in turn, in its order, one at a time."""
    wanted = [(request, segment.ops) for request in range(num_requests) for segment in queue]
    if [(span.request, span.ops) for span in spans] != wanted:
        raise PlanError(
            f"timeline of {device!r} does not run the plan's {len(queue)} segments once each in its order for each of "
            f"{num_requests} request(s)"
        )
    for earlier, later in pairwise(spans):
        if later.start_s < earlier.end_s - tolerance_s:
            raise PlanError(f"timeline of {device!r} starts {_name(later)} before {_name(earlier)} ended")


def _check_arrival(
    graph: Graph,
    platform: Platform,
    origin: Origin,
    made: Mapping[tuple[int, str], Span],
    span: Span,
    tensor: str,
    tolerance_s: float,
) -> None:
    """One tensor that a segment reads: made, and where simulated handed over, before the segment started."""
    maker = made.get((span.request, tensor))
    if maker is None or maker is span:  # the caller provides it, or it is made inside
        return
    arrival_s = maker.end_s
    if origin == "simulated" and maker.device != span.device:
        arrival_s += platform.link(maker.device, span.device).transfer_s(graph.tensors[tensor].num_bytes)
    if span.start_s < arrival_s - tolerance_s:
        raise PlanError(f"timeline starts {_name(span)} on {span.device!r} before {tensor!r} arrived")


def _name(span: Span) -> str:
    return repr(Segment(span.device, span.ops).label)
