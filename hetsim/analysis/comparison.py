"""The difference between a measured and a simulated makespan, in parts that add up to it.

Both timelines are read along one chain of segments, the *path*, which the measured inference waited for. It ends with
the segment that ended last. Before each segment comes the one that it waited for: the last to be ready of its
predecessor on the device and the producers of its inputs, hand-over included. Since each segment of the path waits for
the one before it in any execution of the plan, both makespans are sums along it. With ``c[1] ... c[n]`` the path,
``d`` durations, ``gap[i] = start(c[i]) - end(c[i-1])`` (from 0 for the first) and ``tail`` what a timeline still takes
after ``c[n]``::

    makespan = sum over i of (d[i] + gap[i])  +  tail               in each timeline; the measured tail is 0
    gap[i]   = hand_over[i] + wait[i]                               hand_over: c[i-1] is on another device

and, with ``D`` for measured minus simulated, the parts are::

    D makespan = launch + contention + compute + hand-over + waiting
    launch     = sum over i of  share[i] * D d[i]                   share   = min(1, launch_s / simulated d[i])
    contention = sum over i of  overlap[i] * (1 - share[i]) * D d[i]
    compute    = sum over i of  (1 - overlap[i]) * (1 - share[i]) * D d[i]
    hand-over  = sum over i of  D hand_over[i]
    waiting    = sum over i of  D wait[i]  +  D tail

``overlap[i]`` is the fraction of ``c[i]``'s measured duration in which another device ran a segment too. Without a
``launch_s`` of the platform, launches count as compute. Contention is negative if the simulation overestimates it.
Waiting is negative if another chain is the longest in the simulation, so that this one has slack there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from hetsim.core.dataflow import Dataflow, resolve
from hetsim.core.errors import PlanError
from hetsim.core.graph import Graph
from hetsim.core.interface.notebook import html_table
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.timeline import Span, SpanKind, Timeline

Part = Literal["compute", "contention", "hand-over", "launch", "waiting"]
PARTS: tuple[Part, ...] = ("compute", "contention", "hand-over", "launch", "waiting")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanDifference:
    """The same span of the path in both timelines.

    Attributes:
        kind: ``"compute"`` if the segment runs; ``"hand-over"`` and ``"wait"`` come before it on the path.
        device: The segment's device.
        ops: The segment's operators.
        label: The segment's short name.
        simulated_s: Its duration in the simulated timeline.
        measured_s: Its duration in the measured one.
        launch_s: The part of the difference that is attributed to the launch; 0 unless ``kind`` is ``"compute"``.
        contention_s: The part that is attributed to contention with other devices; 0 unless ``kind`` is ``"compute"``.
    """

    kind: SpanKind
    device: str
    ops: tuple[str, ...]
    label: str
    simulated_s: float
    measured_s: float
    launch_s: float = 0.0
    contention_s: float = 0.0

    @property
    def difference_s(self) -> float:
        """Measured minus simulated, in seconds."""
        return self.measured_s - self.simulated_s

    @property
    def parts_s(self) -> dict[Part, float]:
        """The difference by part, in seconds."""
        if self.kind == "hand-over":
            return {"hand-over": self.difference_s}
        if self.kind == "wait":
            return {"waiting": self.difference_s}
        return {
            "compute": self.difference_s - self.launch_s - self.contention_s,
            "contention": self.contention_s,
            "launch": self.launch_s,
        }

    @property
    def part(self) -> Part:
        """The largest part of the difference; the first in the order of ``PARTS`` among equal ones."""
        parts_s = self.parts_s
        return max(parts_s, key=lambda part: abs(parts_s[part]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The difference of two makespans by parts and spans.

    Attributes:
        simulated_s: The simulated makespan.
        measured_s: The measured one.
        path: The spans of the path, first to last: each segment, before it the hand-over and the wait that either
            timeline has there, and at the end the simulation's tail, if any, as a wait of the simulation's last
            segment.
        others: The segments beside the path, in model order. Their differences are not part of the makespan's.
        platform: The devices of the execution, if known.
    """

    simulated_s: float
    measured_s: float
    path: tuple[SpanDifference, ...]
    others: tuple[SpanDifference, ...]
    platform: Platform | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return (
            f"<Comparison: simulated {self.simulated_s * 1e3:.3f} ms, measured {self.measured_s * 1e3:.3f} ms, "
            f"difference {self.difference_s * 1e3:+.3f} ms>"
        )

    def _repr_html_(self) -> str:
        parts = [(part, f"{part_s * 1e3:+.3f}") for part, part_s in self.parts_s.items()]
        simulated, measured = f"{self.simulated_s * 1e3:.3f}", f"{self.measured_s * 1e3:.3f}"
        return html_table(("part", "ms"), [("simulated", simulated), *parts, ("measured", measured)])

    @property
    def difference_s(self) -> float:
        """Measured minus simulated, in seconds."""
        return self.measured_s - self.simulated_s

    @property
    def parts_s(self) -> dict[Part, float]:
        """The difference by part, in seconds, in the order of ``PARTS``; they add up to it up to rounding."""
        return {part: sum(span.parts_s.get(part, 0.0) for span in self.path) for part in PARTS}

    def worst(self, n: int = 5) -> tuple[SpanDifference, ...]:
        """At most ``n`` spans of the path with a difference, the largest first, ties by their place in the path."""
        differing = [span for span in self.path if span.difference_s]
        return tuple(sorted(differing, key=lambda span: -abs(span.difference_s))[:n])


def compare(graph: Graph, plan: Plan, simulated: Timeline, measured: Timeline, platform: Platform) -> Comparison:
    """The difference of the makespans of two timelines of one inference by the same plan.

    Args:
        graph: The graph the plan is for.
        plan: The plan that was simulated and executed.
        simulated: The simulated timeline.
        measured: The measured timeline, which determines the path.
        platform: Gives the launch costs of the devices.

    Raises:
        PlanError: If the plan is not valid, or a timeline does not run each of its segments exactly once.
    """
    flow = resolve(graph, plan)
    simulation, measurement = _Lookup(flow, simulated), _Lookup(flow, measured)
    path = _path(flow, measurement)
    spans: list[SpanDifference] = []
    before: int | None = None
    for step in path:
        spans += _before(flow, simulation, measurement, before, step)
        spans.append(_compute(flow, simulation, measurement, step, platform))
        before = step
    if path:
        last = max(range(len(flow.steps)), key=lambda i: simulation.runs[i].end_s)
        tail_s = simulated.makespan_s - simulation.runs[path[-1]].end_s
        if tail_s > 0:
            spans.append(_difference(flow, last, "wait", tail_s, 0.0))
    on_path = set(path)
    return Comparison(
        simulated_s=simulated.makespan_s,
        measured_s=measured.makespan_s,
        path=tuple(spans),
        others=tuple(
            _compute(flow, simulation, measurement, i, platform) for i in range(len(flow.steps)) if i not in on_path
        ),
        platform=platform,
    )


class _Lookup:
    """A timeline by the steps of a plan.

    Attributes:
        runs: By step, the span in which it ran.
        arriving: By receiving device and tensor, the first hand-over.
    """

    def __init__(self, flow: Dataflow, timeline: Timeline) -> None:
        ran = {(span.device, span.ops): span for span in timeline.compute}
        wanted = [(step.segment.device, step.segment.ops) for step in flow.steps]
        if len(timeline.compute) != len(wanted) or ran.keys() != set(wanted):
            raise PlanError(
                f"the {timeline.origin} timeline has {len(timeline.compute)} compute spans, {len(ran)} of them "
                f"distinct, and the plan {len(wanted)} segments; compare timelines of one inference by this plan"
            )
        self.runs: Sequence[Span] = [ran[key] for key in wanted]
        self.arriving: Mapping[tuple[str, str], Span] = {
            (span.device, span.tensor): span for span in reversed(timeline.spans) if span.kind == "hand-over"
        }

    def arrival_s(self, device: str, tensor: str, producer: int) -> float:
        """When a tensor was ready for a device, in seconds."""
        if self.runs[producer].device != device and (device, tensor) in self.arriving:
            return self.arriving[device, tensor].end_s
        return self.runs[producer].end_s


def _path(flow: Dataflow, measurement: _Lookup) -> list[int]:
    """The path, first to last; among equal times the device's own queue comes first, then the first producer."""
    path: list[int] = []
    step: int | None = max(range(len(flow.steps)), key=lambda i: measurement.runs[i].end_s, default=None)
    while step is not None:
        path.append(step)
        found = flow.steps[step]
        ready = [] if found.before is None else [(measurement.runs[found.before].end_s, found.before)]
        ready += [
            (measurement.arrival_s(found.segment.device, tensor, producer), producer)
            for tensor, producer in found.inputs
            if producer is not None
        ]
        step = max(ready, key=lambda one: one[0])[1] if ready else None
    return path[::-1]


def _before(
    flow: Dataflow, simulation: _Lookup, measurement: _Lookup, before: int | None, step: int
) -> list[SpanDifference]:
    """The gap before a segment of the path: a hand-over, then a wait, each only if either timeline has one."""
    (simulated_s, simulated_wait_s), (measured_s, measured_wait_s) = (
        _gap_s(flow, timeline, before, step) for timeline in (simulation, measurement)
    )
    spans = (
        _difference(flow, step, "hand-over", simulated_s, measured_s),
        _difference(flow, step, "wait", simulated_wait_s, measured_wait_s),
    )
    return [span for span in spans if span.simulated_s or span.measured_s]


def _gap_s(flow: Dataflow, timeline: _Lookup, before: int | None, step: int) -> tuple[float, float]:
    """Seconds of hand-over and of waiting between two neighbours on the path."""
    run = timeline.runs[step]
    if before is None:
        return 0.0, run.start_s
    gap_s = run.start_s - timeline.runs[before].end_s
    if timeline.runs[before].device == run.device:
        return 0.0, gap_s
    hand_overs_s = [
        timeline.arriving[run.device, tensor].duration_s
        for tensor, producer in flow.steps[step].inputs
        if producer == before and (run.device, tensor) in timeline.arriving
    ]
    hand_over_s = min(max(hand_overs_s, default=0.0), gap_s)
    return hand_over_s, gap_s - hand_over_s


def _compute(
    flow: Dataflow, simulation: _Lookup, measurement: _Lookup, step: int, platform: Platform
) -> SpanDifference:
    simulated_s, run = simulation.runs[step].duration_s, measurement.runs[step]
    launch_s = platform.device(run.device).launch_s
    share = launch_s / simulated_s if simulated_s > launch_s else float(launch_s > 0)
    difference_s = run.duration_s - simulated_s
    return _difference(
        flow,
        step,
        "compute",
        simulated_s,
        run.duration_s,
        launch_s=share * difference_s,
        contention_s=_overlap(run, measurement.runs) * (1 - share) * difference_s,
    )


def _overlap(run: Span, runs: Sequence[Span]) -> float:
    """The fraction of a segment's duration in which another device ran a segment, from 0 to 1."""
    shared_s, reached_s = 0.0, run.start_s
    for other in sorted(runs, key=lambda span: span.start_s):
        if other.device != run.device:
            end_s = min(other.end_s, run.end_s)
            shared_s += max(end_s - max(other.start_s, reached_s), 0.0)
            reached_s = max(reached_s, end_s)
    return min(shared_s / run.duration_s, 1.0) if run.duration_s > 0 else 0.0


def _difference(
    flow: Dataflow,
    step: int,
    kind: SpanKind,
    simulated_s: float,
    measured_s: float,
    *,
    launch_s: float = 0.0,
    contention_s: float = 0.0,
) -> SpanDifference:
    segment = flow.steps[step].segment
    return SpanDifference(
        kind=kind,
        device=segment.device,
        ops=segment.ops,
        label=flow.graph.label(segment.ops),
        simulated_s=simulated_s,
        measured_s=measured_s,
        launch_s=launch_s,
        contention_s=contention_s,
    )
