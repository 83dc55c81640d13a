"""PEFT, predict earliest finish time: a list scheduler that looks ahead by an optimistic cost table.

H. Arabnejad, J. G. Barbosa, "List scheduling algorithm for heterogeneous systems by an optimistic cost table", IEEE
Transactions on Parallel and Distributed Systems 25(3), 2014, doi 10.1109/TPDS.2013.57. The table holds, for an operator
and its device, the longest path from its end to the end of all if each operator on the path were put where that is
shortest. The next operator is, of those whose predecessors are placed, the one with the largest average in the table;
it goes where its end plus its entry is least. Averages and minima are over the devices that can run an operator.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from statistics import fmean

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.list_scheduling.timetable import CostTable, Timetable


def peft(problem: Problem, effort: Effort | None = None) -> Plan:
    """PEFT's plan; ties go to the operator that comes first in the graph, then to the first device.

    Args:
        problem: The problem.
        effort: Its deadline, for the :class:`~hetsim.scheduler.list_scheduling.timetable.Timetable`.
    """
    until = (effort or Effort()).until()
    costs = CostTable(problem)
    graph, table_s = problem.graph, optimistic_costs_s(costs)
    rank_s = {op: fmean(entries.values()) for op, entries in table_s.items()}
    timetable = Timetable(costs, until)
    missing = {op: len(before) for op, before in graph.predecessors.items()}
    ready = [(-rank_s[op], graph.position[op], op) for op, count in missing.items() if not count]
    heapq.heapify(ready)
    while ready:
        *_, op = heapq.heappop(ready)
        ends_s = {device: timetable.earliest_s(op, device)[1] + entry_s for device, entry_s in table_s[op].items()}
        timetable.place(op, min(ends_s, key=ends_s.__getitem__))
        for after in graph.successors[op]:
            missing[after] -= 1
            if not missing[after]:
                heapq.heappush(ready, (-rank_s[after], graph.position[after], after))
    return timetable.plan("peft")


def optimistic_costs_s(costs: CostTable) -> Mapping[str, Mapping[str, float]]:
    """The optimistic cost table: by operator and device that can run it, seconds; 0 for operators without successors.

    An edge between different devices counts its average hand-over, as in the paper.
    """
    table_s: dict[str, dict[str, float]] = {}
    graph = costs.problem.graph
    for op in reversed(graph.ops):
        table_s[op.name] = {
            device: max(
                (
                    min(
                        table_s[after][there]
                        + seconds
                        + (costs.mean_hand_over_s(op.name, after) if there != device else 0.0)
                        for there, seconds in costs.seconds[after].items()
                    )
                    for after in graph.successors[op.name]
                ),
                default=0.0,
            )
            for device in costs.seconds[op.name]
        }
    return table_s
