"""A plan resolved for its graph: the segments in an order that could run serially, with their inputs and outputs.

Tensors that segments of several devices access are *shared*; what that costs is here, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import networkx as nx

from hetsim.core.errors import PlanError
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan, Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One segment of a plan with its inputs and outputs.

    Attributes:
        segment: The segment.
        inputs: Tensors that the segment reads and does not make, each with the index of the step that makes it; None
            if the caller provides it.
        outputs: Tensors that the segment makes for other segments or for the caller.
        before: Index of the previous step on the same device; None for the first.
    """

    segment: Segment
    inputs: tuple[tuple[str, int | None], ...]
    outputs: tuple[str, ...]
    before: int | None

    @property
    def waits_for(self) -> tuple[int, ...]:
        """Indices of the steps that must end before this one starts, each once, ascending."""
        made = {step for _, step in self.inputs if step is not None}
        return tuple(sorted(made if self.before is None else made | {self.before}))


@dataclass(frozen=True, kw_only=True)
class Dataflow:
    """A valid plan resolved for its graph.

    Attributes:
        graph: The graph.
        steps: One step for each segment, in *model order*: a step comes after all steps that it waits for, and among
            the steps that are ready the one whose first operator comes first in the graph is next.
    """

    graph: Graph
    steps: tuple[Step, ...]

    @cached_property
    def shared(self) -> frozenset[str]:
        """The tensors that steps on more than one device make or read."""
        devices: dict[str, set[str]] = {}
        for step in self.steps:
            for tensor in (*step.outputs, *(tensor for tensor, maker in step.inputs if maker is not None)):
                devices.setdefault(tensor, set()).add(step.segment.device)
        return frozenset(tensor for tensor, touching in devices.items() if len(touching) > 1)

    def shared_by(self, step: Step) -> tuple[str, ...]:
        """The shared tensors that a step reads, in the order of its inputs, then those that it makes."""
        return tuple(tensor for tensor in (*(name for name, _ in step.inputs), *step.outputs) if tensor in self.shared)


@dataclass(frozen=True, slots=True)
class SharingCosts:
    """What segments take longer for shared tensors, those that segments of several devices access.

    Attributes:
        read_s: From a device and a tensor to the seconds that a segment which reads the tensor takes longer; 0 or more.
        written_s: The same for the segment that makes the tensor.
    """

    read_s: Callable[[str, str], float]
    written_s: Callable[[str, str], float]


@dataclass(frozen=True, slots=True)
class Access:
    """By how much a segment takes longer because of one shared tensor.

    Attributes:
        tensor: Name of the tensor.
        is_made: Whether the segment makes the tensor; otherwise it reads it.
        seconds: More than 0.
    """

    tensor: str
    is_made: bool
    seconds: float


def resolve(graph: Graph, plan: Plan) -> Dataflow:
    """The plan resolved for a graph: its segments in model order, with their inputs and outputs.

    Raises:
        PlanError: If an operator is unknown, missing or placed twice, a segment is not convex, or the segments wait for
            each other in a circle.
    """
    segments = plan.segments
    home: dict[str, int] = {}  # by operator, the number of its segment
    for i, segment in enumerate(segments):
        for op in segment.ops:
            if op not in graph.by_name:
                raise PlanError(
                    f"plan places {op!r}, which model {graph.name!r} does not have; was the plan made for it?"
                )
            if op in home:
                raise PlanError(
                    f"plan places {op!r} twice, on {segments[home[op]].device!r} and on {segment.device!r}; "
                    "keep one of the two"
                )
            home[op] = i
    missing = [op.name for op in graph.ops if op.name not in home]
    if missing:
        raise PlanError(
            f"plan leaves out {len(missing)} of {len(graph.ops)} operators of {graph.name!r}, the first "
            f"{missing[0]!r}; each must be in exactly one segment"
        )
    follows = _waits(graph, plan, home)
    order = _model_order(graph, segments, follows)
    _check_segments(graph, segments, convex=order is not None)
    if order is None:
        raise PlanError(
            f"plan can never finish: {_circle(graph, segments, follows)}; change the order or split a segment"
        )
    index = {number: i for i, number in enumerate(order)}
    first = {0, *accumulate(len(queue) for queue in plan.queues.values())}  # numbers with which queues begin
    steps = tuple(
        Step(
            segment=segments[number],
            inputs=tuple(
                (tensor, index[home[graph.producer[tensor]]] if tensor in graph.producer else None)
                for tensor in graph.inputs_of(segments[number].ops)
            ),
            outputs=graph.outputs_of(segments[number].ops),
            before=None if number in first else index[number - 1],
        )
        for number in order
    )
    return Dataflow(graph=graph, steps=steps)


def _check_segments(graph: Graph, segments: Sequence[Segment], *, convex: bool) -> None:
    """Check the order of each segment's operators and, unless it is known, that segments are convex.

    A path that leaves a segment and comes back makes it wait for itself, so segments that wait in no circle are convex.
    """
    for segment in segments:
        label = graph.label(segment.ops)
        if segment.ops != graph.ordered(segment.ops):
            raise PlanError(
                f"segment {label!r} on {segment.device!r} lists its operators out of the model's order; "
                "use Plan.in_order to sort them"
            )
        if not convex and not graph.is_convex(segment.ops):
            raise PlanError(
                f"segment {label!r} on {segment.device!r} is not convex: a path leaves it and comes back; split it"
            )


def _waits(graph: Graph, plan: Plan, home: Mapping[str, int]) -> nx.DiGraph[int]:
    """Numbers of segments, an edge from each to those that wait for it: by their inputs, or in a device's queue."""
    follows: nx.DiGraph[int] = nx.DiGraph()
    first = 0
    for queue in plan.queues.values():
        numbers = range(first, first + len(queue))
        follows.add_nodes_from(numbers)
        nx.add_path(follows, numbers)
        first += len(queue)
    for op in graph.ops:
        makers = (home[before] for before in graph.predecessors[op.name])
        follows.add_edges_from((before, home[op.name]) for before in makers if before != home[op.name])
    return follows


def _model_order(graph: Graph, segments: Sequence[Segment], follows: nx.DiGraph[int]) -> list[int] | None:
    """The segments, each after all that it waits for; ties go by the graph's order. None if they wait in a circle."""
    try:
        return list(nx.lexicographical_topological_sort(follows, key=lambda i: graph.position[segments[i].ops[0]]))
    except nx.NetworkXUnfeasible:
        return None


def _circle(graph: Graph, segments: Sequence[Segment], follows: nx.DiGraph[int]) -> str:
    """Which segments wait for each other in a circle, in words."""
    circle = [number for number, _ in reversed(nx.find_cycle(follows))]
    start = circle.index(next(number for number in range(len(segments)) if number in circle))
    return " waits for ".join(
        f"{graph.label(segments[i].ops)!r} on {segments[i].device!r}"
        for i in (*circle[start:], *circle[:start], circle[start])
    )


def check_plan(graph: Graph, plan: Plan, *, device_names: Sequence[str], model_hash: str = "") -> Dataflow:
    """Check that a plan was made for this model and these devices, and resolve it.

    Args:
        graph: The model's graph.
        plan: The plan.
        device_names: Devices of the platform.
        model_hash: The model's hash. The hashes are compared only if this one and the plan's are both non-empty.

    Raises:
        PlanError: As :func:`resolve` does, and if the plan was made for another model or names an unknown device.
    """
    if model_hash and plan.model_hash and model_hash != plan.model_hash:
        raise PlanError(
            f"plan was made for model {plan.model!r} (hash {plan.model_hash[:12]}), but this is {graph.name!r} "
            f"(hash {model_hash[:12]}); plan it anew with: hetsim plan {graph.name}"
        )
    for device in plan.queues:
        if device not in device_names:
            raise PlanError(f"plan uses device {device!r}, but the platform has {', '.join(device_names)}")
    return resolve(graph, plan)
