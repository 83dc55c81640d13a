"""Orders and plans of single operators, enumerated for tests."""

from __future__ import annotations

from collections.abc import Sequence

from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem


def topological_orders(problem: Problem, placed: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    predecessors = problem.graph.predecessors
    free = [op for op in predecessors if op not in placed and set(predecessors[op]) <= set(placed)]
    if not free:
        return [placed]
    return [order for op in free for order in topological_orders(problem, (*placed, op))]


def planned(problem: Problem, order: Sequence[str], devices: Sequence[str]) -> Plan:
    queues: dict[str, tuple[Segment, ...]] = {}
    for op, device in zip(order, devices, strict=True):
        queues[device] = (*queues.get(device, ()), Segment(device, (op,)))
    return Plan(model=problem.graph.name, queues=queues)
