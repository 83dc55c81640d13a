"""What the makespan is made of: the chain of segments and hand-overs in which each begins as the one before it ends.

The chain is read backwards from the segment that ends last. Before a segment comes whatever it started at the end of:
the segment before it on its device, or a hand-over to it, or, where that took no time, the segment that made its input;
or the copy for whose end a copy that takes no time had waited.
Before a hand-over comes the segment that made the tensor, or, if the memory channel was taken then, the copy that held
the channel. In the model nothing waits without somebody to wait for, so the chain has no gaps, and its length is the
makespan. That the longest chain of a schedule decides its length is the idea of the critical path method: J. E. Kelley,
"Critical-path planning and scheduling: mathematical basis", Operations Research 9(3), 1961, doi 10.1287/opre.9.3.296.

Ties, where several ended at the time of a start: the segment before on the device, then inputs in the order in which
the segment reads them; of segments that end last, the first in model order. So it is one critical path among several.

With zero-copy hand-overs and a memory that is never short, making anything off the path shorter changes nothing: the
path stays, and no start gets later. Copies and contention break that. A copy that is asked for earlier may take the
channel from one on the path, and work beside the path slows down what is on it; the length is still the makespan.
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
    """The chain that decides the makespan.

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
        """How much of it is segments of that device, in seconds."""
        return sum(span.duration_s for span in self.spans if span.kind == "compute" and span.device == device)

    def on_link_s(self, source: str, target: str) -> float:
        """How much of it is hand-overs from ``source`` to ``target``, in seconds."""
        pair = (source, target)
        return sum(s.duration_s for s in self.spans if s.kind == "hand-over" and (s.source, s.device) == pair)


def critical_path(graph: Graph, plan: Plan, timeline: Timeline, platform: Platform) -> CriticalPath:
    """The critical path of one simulated inference.

    Args:
        graph: The graph the plan is for.
        plan: The plan.
        timeline: What :func:`hetsim.sim.simulate.simulate` made of it.
        platform: Says which hand-overs are copies.

    Raises:
        PlanError: If the timeline is of several inferences, or not of this plan, or has gaps that the plan does not
            explain, as measured ones have.
    """
    if timeline.origin != "simulated" or len(timeline.arrivals_s) != 1:
        raise PlanError(
            f"a critical path is that of one simulated inference; this timeline is {timeline.origin} and has "
            f"{len(timeline.arrivals_s)}"
        )
    return CriticalPath(tuple(_Chain(resolve(graph, plan), timeline, platform).backwards())[::-1])


class _Chain:
    """A timeline by who was waited for."""

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
        self._ending = {span.end_s: span for span in copies}  # one at a time, so each end is one's
        self._makers = {tensor: i for step in flow.steps for tensor, i in step.inputs if i is not None}

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
                while not self._was_made(before):
                    before = self._copy_before(before)
                    yield before
                before = self._makers[before.tensor]
            step = before

    def _before(self, number: int) -> int | Span | None:
        """The step, or the hand-over, at whose end the step started; None at the beginning."""
        step, start_s = self._flow.steps[number], self._runs[number].start_s
        if step.before is not None and self._runs[step.before].end_s == start_s:
            return step.before
        for tensor, maker in step.inputs:
            if maker is None:
                continue
            arriving = self._arriving_at(step, tensor, maker)
            if (self._runs[maker] if arriving is None else arriving).end_s == start_s:
                return maker if arriving is None else arriving
            if arriving is None and start_s in self._ending and self._copied(step, maker):
                return self._ending[start_s]
        if start_s > 0:
            label = self._flow.graph.label(step.segment.ops)
            raise PlanError(f"nothing ends when segment {label!r} starts; is the timeline of this plan?")
        return None

    def _arriving_at(self, step: Step, tensor: str, maker: int) -> Span | None:
        if self._runs[maker].device == step.segment.device:
            return None
        return self._arriving.get((step.segment.device, tensor))

    def _copied(self, step: Step, maker: int) -> bool:
        """Whether what the maker hands over is copied; a copy that takes no time can still have waited for others."""
        source, target = self._runs[maker].device, step.segment.device
        return source != target and self._platform.link(source, target).mode == "copy"

    def _was_made(self, hand_over: Span) -> bool:
        """Whether a hand-over was under way as soon as its tensor was made."""
        return self._runs[self._makers[hand_over.tensor]].end_s == hand_over.start_s

    def _copy_before(self, hand_over: Span) -> Span:
        """The copy that held the channel until this one began."""
        found = self._ending.get(hand_over.start_s)
        if found is None:
            raise PlanError(f"nothing ends when {hand_over.tensor!r} is handed over; is the timeline of this plan?")
        return found
