"""What a simulator is given and gives back, and what it remembers of each segment whatever plan the segment is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hetsim.core.errors import PlanError
from hetsim.core.plan import Segment
from hetsim.core.problem import Problem
from hetsim.core.timeline import Span

Queues = Mapping[str, tuple[Segment, ...]]
"""By device, the segments in the order in which it runs them, as in :class:`~hetsim.core.plan.Plan`."""

DurationFunction = Callable[[int, Segment], float]
"""From a request's number, from 0, and a segment to the seconds that the segment takes alone in that request."""


@dataclass(frozen=True, slots=True)
class Record:
    """What happened in a simulation, in the order in which it did.

    Attributes:
        spans: Segments that ran and hand-overs that took time.
        arrivals_s: By request, when it was due; where requests are due as soon as there is room, when there was.
    """

    spans: list[Span] = field(default_factory=list)
    arrivals_s: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SegmentWork:
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


class SegmentFacts:
    """What the segments of one problem read, make and cost, each worked out once.

    Args:
        problem: The problem. Its costs are asked for once, so this must not outlive a change of the profile.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._work: dict[Segment, SegmentWork] = {}
        self._transfers: dict[tuple[str, str, str], tuple[float, bool]] = {}

    def work(self, segment: Segment) -> SegmentWork:
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
            known = self._work[segment] = SegmentWork(
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
