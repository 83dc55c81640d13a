"""The cheapest assignment of operators to more than two devices as an integer program; needs ``hetsim[cp-sat]``.

Each operator is on one device, and each edge between operators joins a device to a device: the devices of its edges add
up to those of their ends. A tensor crosses to a device as much as the edge does that crosses most. The relaxation, in
which all of this may be fractions, is the local one of C. Chekuri, S. Khanna, J. Naor, L. Zosin, "A linear programming
formulation and approximation algorithms for the metric labeling problem", SIAM Journal on Discrete Mathematics 18(3),
2004, doi 10.1137/S0895480101396937; it is nearly tight, so that branching ends soon. OR-Tools' SCIP solves it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetsim.scheduler.effort import FOREVER, Until
from hetsim.scheduler.throughput.assignments import PricedAssignments

TIME_LIMIT_S = 5.0
"""Of one call, unless less time is left."""
_ACCURACY = 1e-6
"""The solver's bound may be too high by this part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Least:
    """The cheapest assignment found.

    Attributes:
        device: By operator, the number of its device on the platform.
        bound: No assignment costs less.
    """

    device: dict[str, int]
    bound: float


def least_assignment(priced: PricedAssignments, start: Mapping[str, int], until: Until = FOREVER) -> Least:
    """The cheapest assignment; or the start, with the bound of free hand-overs, where OR-Tools or time is missing.

    Args:
        priced: The costs.
        start: By operator, the number of its device in some assignment.
        until: When to end.
    """
    given = Least(device=dict(start), bound=priced.least_of_ops())
    limit_s = min(TIME_LIMIT_S, until.left_s)
    try:
        from ortools.linear_solver import pywraplp
    except ImportError:
        return given
    solver = pywraplp.Solver.CreateSolver("SCIP")
    cost = priced.cost(start)
    if solver is None or until() or not limit_s > 0 or not 0 < cost < math.inf:
        return given
    on = _program(solver, priced, 1 / cost)
    solver.SetTimeLimit(max(1, round(limit_s * 1e3)))
    status = solver.Solve()
    bound = max(given.bound, solver.Objective().BestBound() * cost * (1 - _ACCURACY))
    if status not in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
        return Least(device=given.device, bound=given.bound)
    found = {op: max(some, key=lambda d: some[d].solution_value()) for op, some in on.items()}
    return Least(device=found, bound=bound)


def _program(solver: Any, priced: PricedAssignments, scale: float) -> dict[str, dict[int, Any]]:
    """Write the program; by operator and number of the device, the variable that says whether it is there.

    Args:
        solver: Gets the program.
        priced: The costs.
        scale: What they are multiplied by.
    """
    graph = priced.problem.graph
    on: dict[str, dict[int, Any]] = {}
    total = solver.Objective()
    total.SetMinimization()
    for v, op in enumerate(graph.ops):
        on[op.name] = {int(d): solver.BoolVar("") for d in np.flatnonzero(np.isfinite(priced.ops[v]))}
        solver.Add(sum(on[op.name].values()) == 1)
        for d, var in on[op.name].items():
            total.SetCoefficient(var, float(priced.ops[v, d]) * scale)
    for t, tensor in enumerate(priced.tensors):
        makers = on[graph.producer[tensor]]
        if not priced.received[t].any() and not priced.written[t].any():
            continue
        joins = [_edge(solver, makers, on[reader]) for reader in graph.consumers[tensor]]
        for source in makers:
            written = solver.NumVar(0, 1, "")
            total.SetCoefficient(written, float(priced.written[t, source]) * scale)
            for target in sorted({d for join in joins for s, d in join if s == source != d}):
                crosses = solver.NumVar(0, 1, "")
                total.SetCoefficient(crosses, float(priced.received[t, source, target]) * scale)
                solver.Add(written >= crosses)
                for join in joins:
                    if (source, target) in join:
                        solver.Add(crosses >= join[source, target])
    return on


def _edge(solver: Any, makers: Mapping[int, Any], readers: Mapping[int, Any]) -> dict[tuple[int, int], Any]:
    """By source and target, how much of an edge joins the two."""
    joins = {(s, d): solver.NumVar(0, 1, "") for s in makers for d in readers}
    for s, var in makers.items():
        solver.Add(sum(joins[s, d] for d in readers) == var)
    for d, var in readers.items():
        solver.Add(sum(joins[s, d] for s in makers) == var)
    return joins
