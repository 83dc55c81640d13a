"""An independent checker for timelines, simulated or measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise

from hetsim.core.dataflow import SharingCosts
from hetsim.core.errors import PlanError
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import Platform
from hetsim.core.timeline import Origin, Span, Timeline


def check_timeline(
    graph: Graph,
    platform: Platform,
    plan: Plan,
    timeline: Timeline,
    *,
    duration_s: Callable[[str, tuple[str, ...]], float] | None = None,
    sharing: SharingCosts | None = None,
    tolerance_s: float = 1e-9,
) -> None:
    """Check that a timeline of one or more inferences is physically possible and follows its plan.

    The rules: every segment of the plan ran exactly once for each request, on its device. A device ran one segment at a
    time, in the plan's order, and all segments of one request before any of the next. Nothing started before its
    request was due or ended before it started. No segment started before each of its inputs had been made and, in a
    simulated timeline, handed over. The checker uses only operators and tensors, and shares no code with the simulator
    or the runtime.

    Args:
        graph: The graph that the plan is for.
        platform: Its links give the minimum hand-over times of a simulated timeline.
        plan: The plan that was simulated or executed.
        timeline: The timeline to check.
        duration_s: If given, what each segment takes in seconds, by device and operators, without access to shared
            tensors. Each must take exactly as long, and longer by what these cost.
        sharing: What shared tensors cost; None if nothing.
        tolerance_s: Tolerance for rounding, in seconds.

    Raises:
        PlanError: If the timeline breaks a rule; the message names the first violation.
    """
    label = graph.label
    ran: dict[str, list[Span]] = {device: [] for device in plan.queues}
    for span in timeline.compute:
        if span.device not in ran:
            raise PlanError(f"timeline runs {label(span.ops)!r} on {span.device!r}, to which the plan assigns nothing")
        if not 0 <= span.request < len(timeline.arrivals_s):
            raise PlanError(
                f"timeline runs {label(span.ops)!r} for request {span.request} of {len(timeline.arrivals_s)}"
            )
        due_s = timeline.arrivals_s[span.request]
        if not due_s - tolerance_s <= span.start_s <= span.end_s < math.inf:  # NaN fails too
            raise PlanError(f"timeline has {label(span.ops)!r} from {span.start_s} s to {span.end_s} s")
        ran[span.device].append(span)
    for device, queue in plan.queues.items():
        _check_device(graph, device, queue, ran[device], len(timeline.arrivals_s), tolerance_s)
    made: dict[tuple[int, str], Span] = {
        (span.request, tensor): span
        for span in timeline.compute
        for op in span.ops
        for tensor in graph.by_name[op].outputs
    }
    device_of = {op: device for device, queue in plan.queues.items() for segment in queue for op in segment.ops}
    for span in timeline.compute:
        if duration_s is not None:
            wanted_s = duration_s(span.device, span.ops) + _access_s(graph, sharing, device_of, span)
            if abs(span.duration_s - wanted_s) > tolerance_s:
                raise PlanError(f"timeline gives {label(span.ops)!r} {span.duration_s} s, not {wanted_s} s")
        for op in span.ops:
            for tensor in graph.by_name[op].inputs:
                _check_arrival(graph, platform, timeline.origin, made, span, tensor, tolerance_s)


def _access_s(graph: Graph, sharing: SharingCosts | None, device_of: Mapping[str, str], span: Span) -> float:
    """By how much a segment takes longer as it accesses tensors that other devices access, in seconds."""
    if sharing is None:
        return 0.0
    inside, seconds = set(span.ops), 0.0

    def is_shared(tensor: str) -> bool:
        return len({device_of[op] for op in (graph.producer[tensor], *graph.consumers[tensor])}) > 1

    for tensor in dict.fromkeys(tensor for op in span.ops for tensor in graph.by_name[op].inputs):
        if tensor in graph.producer and graph.producer[tensor] not in inside and is_shared(tensor):
            seconds += sharing.read_s(span.device, tensor)
    for op in span.ops:
        seconds += sum(
            sharing.written_s(span.device, tensor) for tensor in graph.by_name[op].outputs if is_shared(tensor)
        )
    return seconds


def _check_device(
    graph: Graph, device: str, queue: tuple[Segment, ...], spans: list[Span], num_requests: int, tolerance_s: float
) -> None:
    """Check that a device ran the plan's segments for each request, in order, one at a time."""
    wanted = [(request, segment.ops) for request in range(num_requests) for segment in queue]
    if [(span.request, span.ops) for span in spans] != wanted:
        raise PlanError(
            f"timeline of {device!r} does not run the plan's {len(queue)} segments once each in its order for each of "
            f"{num_requests} request(s)"
        )
    for earlier, later in pairwise(spans):
        if later.start_s < earlier.end_s - tolerance_s:
            raise PlanError(
                f"timeline of {device!r} starts {graph.label(later.ops)!r} before {graph.label(earlier.ops)!r} ended"
            )


def _check_arrival(
    graph: Graph,
    platform: Platform,
    origin: Origin,
    made: Mapping[tuple[int, str], Span],
    span: Span,
    tensor: str,
    tolerance_s: float,
) -> None:
    """Check that an input was made and, if simulated, handed over before the segment started."""
    maker = made.get((span.request, tensor))
    if maker is None or maker is span:  # the caller provides it, or the segment makes it itself
        return
    arrival_s = maker.end_s
    if origin == "simulated" and maker.device != span.device:
        arrival_s += platform.link(maker.device, span.device).transfer_s(graph.tensors[tensor].num_bytes)
    if span.start_s < arrival_s - tolerance_s:
        raise PlanError(f"timeline starts {graph.label(span.ops)!r} on {span.device!r} before {tensor!r} arrived")
