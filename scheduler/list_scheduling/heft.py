"""HEFT, heterogeneous earliest finish time: the list scheduler that others are measured against.

H. Topcuoglu, S. Hariri, M.-Y. Wu, "Performance-effective and low-complexity task scheduling for heterogeneous
computing", IEEE Transactions on Parallel and Distributed Systems 13(3), 2002, doi 10.1109/71.993206. Operators go by
descending upward rank, the longest path from their start to the end of all, costs and hand-overs averaged; each goes
where it ends first, into a gap if it fits (:mod:`hetsim.scheduler.list_scheduling.timetable`). Averages are over the
devices that can run an operator, and over the pairs of different ones.
"""

from __future__ import annotations

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.list_scheduling.timetable import CostTable, Timetable


def heft(problem: Problem, effort: Effort | None = None) -> Plan:
    """HEFT's plan; ties go to the operator that comes first in the graph, then to the first device.

    Args:
        problem: The problem.
        effort: Its deadline, for the :class:`~hetsim.scheduler.list_scheduling.timetable.Timetable`.
    """
    until = (effort or Effort()).until()
    costs = CostTable(problem)
    ranks_s = costs.upward_ranks_s()
    timetable = Timetable(costs, until)
    # No rank is below that of a successor, and the sort is stable, so predecessors come first.
    for op in sorted(ranks_s, key=lambda op: (-ranks_s[op], problem.graph.position[op])):
        timetable.place_where_it_ends_first(op)
    return timetable.plan("heft")
