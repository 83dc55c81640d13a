"""Types of the simulators' inputs and results, and the facts about segments that do not depend on a plan."""

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
"""The seconds that a segment takes alone in a request, cross-device access included, by the request's number, from 0,
and the segment."""


@dataclass(frozen=True, slots=True)
class Record:
    """The events of a simulation, in order of time.

    Attributes:
        spans: Segments, and hand-overs that took time.
        arrivals_s: By request, when it was due. If requests are due as soon as a slot is free, when one was.
    """

    spans: list[Span] = field(default_factory=list)
    arrivals_s: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SegmentWork:
    """What a segment reads, makes and costs in any plan.

    Attributes:
        segment: The segment.
        seconds: Its latency on its device, to which plans add cross-device access.
        position: Position of its first operator in the graph.
        traffic_bytes: Bytes that it moves to and from memory.
        reads: Tensors that it reads and that operators outside it make.
        makes: Tensors that it makes and that others, or the caller, read.
    """

    segment: Segment
    seconds: float
    position: int
    traffic_bytes: int
    reads: tuple[str, ...]
    makes: tuple[str, ...]


class SegmentFacts:
    """What the segments of one problem read, make and cost. Each segment is analysed once.

    Args:
        problem: The problem. Costs are read once, so create a new object when the profile changes.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._work: dict[Segment, SegmentWork] = {}
        self._transfers: dict[tuple[str, str, str], tuple[float, bool]] = {}

    def work(self, segment: Segment) -> SegmentWork:
        """What a segment reads, makes and costs.

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
        """How long a hand-over takes once it has started, in seconds, and whether it needs the memory channel."""
        key = (source, target, tensor)
        if key not in self._transfers:
            copies = self.problem.platform.link(source, target).mode == "copy"
            self._transfers[key] = self.problem.transfer_s(source, target, tensor), copies
        return self._transfers[key]
