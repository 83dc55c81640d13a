"""The critical path: the chain of segments and hand-overs, each starting when the one before it ends, until the end.

The chain is found backwards from the segment that ends last. Before a segment comes what ended when it started: the
segment before it on its device; a hand-over to it; if that took no time, the segment that produced its input; or the
copy that a copy without duration waited for. Before a hand-over comes the segment that produced the tensor or, if the
memory channel was occupied then, the copy that occupied it. In the model every wait ends with another span, so the
chain has no gaps and its length is the makespan. That the longest chain of a schedule determines its length is the idea
of the critical path method: J. E. Kelley, "Critical-path planning and scheduling: mathematical basis", Operations
Research 9(3), 1961, doi 10.1287/opre.9.3.296.

Ties, where several spans ended at the time of a start: the segment before on the device comes first, then inputs in the
order in which the segment reads them; of segments that end last, the first in model order. So there may be other
critical paths.

With zero-copy hand-overs and no contention, shortening anything beside the path changes nothing: the path stays, and no
start becomes later. Copies and contention change that: a copy that is requested earlier may occupy the channel before
one on the path, and segments beside the path slow down segments on it. The length is the makespan in any case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hetsim.core.dataflow import Dataflow, Step, resolve
from hetsim.core.errors import PlanError
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import Platform
from hetsim.core.timeline import Span, Timeline


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The chain that determines the makespan.

    Attributes:
        spans: Segments and hand-overs that took time, first to last; each starts when the one before it ends.
    """

    spans: tuple[Span, ...]

    @property
    def length_s(self) -> float:
        """From the start of the first to the end of the last, in seconds: the makespan."""
        return self.spans[-1].end_s - self.spans[0].start_s if self.spans else 0.0

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments on it, first to last."""
        return tuple(Segment(span.device, span.ops) for span in self.spans if span.kind == "compute")

    def on_device_s(self, device: str) -> float:
        """Duration of the device's segments on it, in seconds."""
        return sum(span.duration_s for span in self.spans if span.kind == "compute" and span.device == device)

    def on_link_s(self, source: str, target: str) -> float:
        """Duration of its hand-overs from ``source`` to ``target``, in seconds."""
        pair = (source, target)
        return sum(s.duration_s for s in self.spans if s.kind == "hand-over" and (s.source, s.device) == pair)


def critical_path(graph: Graph, plan: Plan, timeline: Timeline, platform: Platform) -> CriticalPath:
    """The critical path of one simulated inference.

    Args:
        graph: The graph the plan is for.
        plan: The plan.
        timeline: Its simulation by :func:`hetsim.sim.simulate.simulate`.
        platform: Determines which hand-overs are copies.

    Raises:
        PlanError: If the timeline is of several inferences, or not of this plan, or has gaps that the plan does not
            explain, as measured ones have.
    """
    if timeline.origin != "simulated" or len(timeline.arrivals_s) != 1:
        raise PlanError(
            "only a simulated timeline of one inference has a critical path; this timeline is "
            f"{timeline.origin} and has {len(timeline.arrivals_s)}"
        )
    return CriticalPath(tuple(_Chain(resolve(graph, plan), timeline, platform).backwards())[::-1])


class _Chain:
    """A timeline by what each span waited for."""

    def __init__(self, flow: Dataflow, timeline: Timeline, platform: Platform) -> None:
        ran = {(span.device, span.ops): span for span in timeline.compute}
        self._flow = flow
        self._platform = platform
        try:
            self._runs = [ran[step.segment.device, step.segment.ops] for step in flow.steps]
        except KeyError as error:
            raise PlanError(f"the timeline does not run segment {error}, which the plan has") from None
        handed = [span for span in timeline.spans if span.kind == "hand-over"]
        self._arriving = {(span.device, span.tensor): span for span in handed}
        copies = [span for span in handed if platform.link(span.source, span.device).mode == "copy"]
        self._ending = {span.end_s: span for span in copies}  # copies run one at a time, so no two end together
        self._producers = {tensor: i for step in flow.steps for tensor, i in step.inputs if i is not None}

    def backwards(self) -> Iterator[Span]:
        """The spans from the last to the first."""
        if not self._runs:
            return
        step: int | None = max(range(len(self._runs)), key=lambda i: self._runs[i].end_s)
        while step is not None:
            yield self._runs[step]
            before = self._before(step)
            if isinstance(before, Span):
                yield before
                while not self._started_at_once(before):
                    before = self._copy_before(before)
                    yield before
                before = self._producers[before.tensor]
            step = before

    def _before(self, number: int) -> int | Span | None:
        """The step, or the hand-over, at whose end the step started; None at the beginning."""
        step, start_s = self._flow.steps[number], self._runs[number].start_s
        if step.before is not None and self._runs[step.before].end_s == start_s:
            return step.before
        for tensor, producer in step.inputs:
            if producer is None:
                continue
            arriving = self._arriving_at(step, tensor, producer)
            if (self._runs[producer] if arriving is None else arriving).end_s == start_s:
                return producer if arriving is None else arriving
            if arriving is None and start_s in self._ending and self._copied(step, producer):
                return self._ending[start_s]
        if start_s > 0:
            label = self._flow.graph.label(step.segment.ops)
            raise PlanError(f"nothing ends when segment {label!r} starts; is this the timeline of this plan?")
        return None

    def _arriving_at(self, step: Step, tensor: str, producer: int) -> Span | None:
        if self._runs[producer].device == step.segment.device:
            return None
        return self._arriving.get((step.segment.device, tensor))

    def _copied(self, step: Step, producer: int) -> bool:
        """Whether the producer's tensor is copied; a copy without duration may have waited for another copy."""
        source, target = self._runs[producer].device, step.segment.device
        return source != target and self._platform.link(source, target).mode == "copy"

    def _started_at_once(self, hand_over: Span) -> bool:
        """Whether a hand-over started when its tensor was produced."""
        return self._runs[self._producers[hand_over.tensor]].end_s == hand_over.start_s

    def _copy_before(self, hand_over: Span) -> Span:
        """The copy that occupied the channel until this one started."""
        found = self._ending.get(hand_over.start_s)
        if found is None:
            raise PlanError(
                f"nothing ends when {hand_over.tensor!r} is handed over; is this the timeline of this plan?"
            )
        return found
