"""CPOP, critical path on a processor: the critical path stays on one device, the rest goes where it ends first.

H. Topcuoglu, S. Hariri, M.-Y. Wu, "Performance-effective and low-complexity task scheduling for heterogeneous
computing", IEEE Transactions on Parallel and Distributed Systems 13(3), 2002, doi 10.1109/71.993206. An operator's
priority is the length of the longest path through it, costs and hand-overs averaged: upward plus downward rank. Among
the operators whose predecessors are placed, the one with the highest priority is next.

The paper has every processor run every task. Here the path's device is the one that can run most of the path, of those
the one that takes least for it; what it cannot run goes where it ends first.
"""

from __future__ import annotations

import heapq

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.list_scheduling.timetable import CostTable, Timetable


def cpop(problem: Problem, effort: Effort | None = None) -> Plan:
    """CPOP's plan; ties go to the operator that comes first in the graph, then to the first device.

    Args:
        problem: The problem.
        effort: Its deadline, for the :class:`~hetsim.scheduler.list_scheduling.timetable.Timetable`.
    """
    until = (effort or Effort()).until()
    costs = CostTable(problem)
    graph, upward_s, downward_s = problem.graph, costs.upward_ranks_s(), costs.downward_ranks_s()
    priority_s = {op: upward_s[op] + downward_s[op] for op in upward_s}
    path = _critical_path(problem, priority_s)
    names = problem.platform.device_names

    def on_path(device: str) -> tuple[int, float]:
        runnable = [costs.seconds[op][device] for op in path if device in costs.seconds[op]]
        return -len(runnable), sum(runnable)

    home = min(names, key=on_path)
    on = frozenset(path)
    timetable = Timetable(costs, until)
    missing = {op: len(before) for op, before in graph.predecessors.items()}
    ready = [(-priority_s[op], graph.position[op], op) for op, count in missing.items() if not count]
    heapq.heapify(ready)
    while ready:
        *_, op = heapq.heappop(ready)
        if op in on and home in costs.seconds[op]:
            timetable.place(op, home)
        else:
            timetable.place_where_it_ends_first(op)
        for after in graph.successors[op]:
            missing[after] -= 1
            if not missing[after]:
                heapq.heappush(ready, (-priority_s[after], graph.position[after], after))
    return timetable.plan("cpop")


def _critical_path(problem: Problem, priority_s: dict[str, float]) -> list[str]:
    """From the source with the highest priority to a sink, by the successor with the highest priority each time."""
    graph = problem.graph
    nexts = tuple(op for op, before in graph.predecessors.items() if not before)
    path: list[str] = []
    while nexts:
        path.append(max(nexts, key=lambda op: priority_s[op]))  # the first of equal ones
        nexts = graph.successors[path[-1]]
    return path
