"""From assignments to queues and back: the device and the level of every operator make a valid plan.

Every operator ``v`` gets a *level*::

    level(v) = raised(v) + max over predecessors p of (level(p) + (0 if p is on v's device else 1))

(with 0 for the maximum over none), and operators of one device and level form one segment. A device runs its segments
by level. So an operator joins the segment of its predecessor if both are on one device, unless it is raised: to raise
the level of an operator cuts the plan before it; a higher level puts the operator off.

Sound: any assignment makes a valid plan.
  *Convex.* Levels never fall along an edge. If a path leaves a segment of level ``n`` and comes back, all of it has
  level ``n``; so no edge on it changes the device, which would raise the level, and all of it is in the segment.
  *No deadlock.* An edge between two segments leads to a higher level: it does if the device changes, and on one device
  two segments differ in level. So does each step in a device's queue. Nothing can wait in a circle.
Complete: every valid plan has an assignment (:func:`assignment_of`): take as level of a segment the longest path to it
  among the waits of the plan, queue order included, and raise each operator by what is missing. It is never negative,
  as predecessors are in the same segment or in one that this one waits for.

With ``connected`` a segment is split into its connected parts, ordered by their first operators: what merging
neighbours gives, where two branches side by side stay two segments. The above still holds: a path inside a segment is
inside one part, no edge joins two parts of one level, and (level, first operator) grows along every wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hetsim.core.dataflow import Dataflow
from hetsim.core.errors import ProblemError
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem

Queues = dict[str, tuple[Segment, ...]]


def queues_from_assignment(
    graph: Graph,
    device_of: Mapping[str, str],
    level_of: Mapping[str, int] | None = None,
    *,
    connected: bool = False,
    ops: Iterable[str] | None = None,
) -> Queues:
    """Each device's segments in order, operators in topological order; devices by their first operator in the graph.

    Args:
        graph: The graph.
        device_of: Every operator's device.
        level_of: How many levels operators are raised, 0 or more; absent ones are not.
        connected: Whether to split segments into their connected parts.
        ops: Operators in topological order, if only they are wanted; the others are taken as not there.
    """
    level_of = level_of or {}
    level: dict[str, int] = {}
    members: dict[tuple[str, int], list[str]] = {}
    for name in graph.predecessors if ops is None else ops:
        device = device_of[name]
        height = 0
        for other in graph.predecessors[name]:
            if other in level:
                least = level[other] if device_of[other] == device else level[other] + 1
                if least > height:
                    height = least
        height += level_of.get(name, 0)
        level[name] = height
        members.setdefault((device, height), []).append(name)
    queues: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
    for (device, height), fused in members.items():
        parts = _connected_parts(graph, fused) if connected else [tuple(fused)]
        queues.setdefault(device, []).extend((height, part) for part in parts)
    for queue in queues.values():
        queue.sort(key=lambda entry: entry[0])  # stable: parts of one level stay in the graph's order
    return {device: tuple(Segment(device, ops) for _, ops in queue) for device, queue in queues.items()}


def assignment_of(dataflow: Dataflow) -> tuple[dict[str, str], dict[str, int]]:
    """Devices and levels from which :func:`queues_from_assignment` makes the plan again, not ``connected``."""
    heights: list[int] = []
    level: dict[str, int] = {}
    device_of: dict[str, str] = {}
    for step in dataflow.steps:
        height = max((heights[other] + 1 for other in step.waits_for), default=0)
        heights.append(height)
        for op in step.segment.ops:
            level[op] = height
            device_of[op] = step.segment.device
    level_of: dict[str, int] = {}
    for op, before in dataflow.graph.predecessors.items():
        least = max((level[other] + (device_of[other] != device_of[op]) for other in before), default=0)
        if level[op] > least:
            level_of[op] = level[op] - least
    return device_of, level_of


def plan_from_assignment(
    problem: Problem,
    scheduler: str,
    device_of: Mapping[str, str],
    level_of: Mapping[str, int] | None = None,
    *,
    connected: bool = False,
) -> Plan:
    """The plan that the assignment makes. A segment that its device cannot run as one is split into its operators.

    Args:
        problem: The problem.
        scheduler: Name of the algorithm that chose the assignment.
        device_of: As for :func:`queues_from_assignment`.
        level_of: As for :func:`queues_from_assignment`.
        connected: As for :func:`queues_from_assignment`.

    Raises:
        ProblemError: If an operator is on a device that cannot run it.
    """
    queues = queues_from_assignment(problem.graph, device_of, level_of, connected=connected)
    return problem.plan(
        {
            device: tuple(part for segment in queues.get(device, ()) for part in _runnable(problem, segment))
            for device in problem.platform.device_names
        },
        scheduler=scheduler,
    )


def _runnable(problem: Problem, segment: Segment) -> tuple[Segment, ...]:
    """The segment, or its operators one by one where the device refuses it as one."""
    if problem.latency(segment.device, segment.ops) is not None:
        return (segment,)
    for op in segment.ops:
        if problem.latency(segment.device, (op,)) is None:
            raise ProblemError(
                f"operator {op!r} was put on {segment.device!r}, which cannot run it; "
                f"these can: {', '.join(problem.devices_for((op,)))}"
            )
    return tuple(Segment(segment.device, (op,)) for op in segment.ops)


def _connected_parts(graph: Graph, ops: list[str]) -> list[tuple[str, ...]]:
    """The weakly connected parts of a set of operators, by first operator; each in the order of ``ops``.

    Args:
        graph: The graph.
        ops: Operators in topological order.
    """
    root: dict[str, str] = {}

    def root_of(op: str) -> str:
        while root[op] != op:
            root[op] = root[root[op]]
            op = root[op]
        return op

    for op in ops:
        root[op] = op
        for before in graph.predecessors[op]:
            if before in root:
                root[root_of(before)] = op
    members: dict[str, list[str]] = {}
    for op in ops:
        members.setdefault(root_of(op), []).append(op)
    return [tuple(part) for part in members.values()]
