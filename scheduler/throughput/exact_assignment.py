"""The cheapest assignment of operators to more than two devices as an integer program; needs ``hetsim[cp-sat]``.

CP-SAT counts in whole numbers: costs are rounded down to a two-millionth of what the start costs, so that its bound
holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hetsim.scheduler.effort import FOREVER, Until
from hetsim.scheduler.throughput.assignments import PricedAssignments

_TICKS = 2_000_000
TIME_LIMIT_S = 5.0
"""Of one call, unless less time is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Least:
    """The cheapest assignment found.

    Attributes:
        device_of: By operator, its device.
        bound: No assignment costs less.
    """

    device_of: dict[str, str]
    bound: float


def least_assignment(
    priced: PricedAssignments, start: Mapping[str, int], *, seed: int = 0, until: Until = FOREVER
) -> Least:
    """The cheapest assignment, or the start and the bound of free crossings where OR-Tools is not installed.

    Args:
        priced: The costs.
        start: By operator, the number of its device in some assignment.
        seed: Of the solver. The same seed gives the same answer if it ends before its time limit.
        until: When to end.
    """
    names = priced.problem.platform.device_names
    least = Least(device_of={op: names[d] for op, d in start.items()}, bound=priced.least_of_ops())
    limit_s = min(TIME_LIMIT_S, until.left_s)
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        return least
    if limit_s <= 0 or until():
        return least
    tick = max(priced.cost(start), 1e-300) / _TICKS
    model, graph = cp_model.CpModel(), priced.problem.graph
    on: dict[str, dict[int, cp_model.IntVar]] = {}
    costs: list[cp_model.LinearExpr] = []
    for v, op in enumerate(graph.ops):
        on[op.name] = {int(d): model.new_bool_var("") for d in np.flatnonzero(np.isfinite(priced.ops[v]))}
        model.add_exactly_one(on[op.name].values())
        costs += [int(priced.ops[v, d] / tick) * var for d, var in on[op.name].items()]
        for d, var in on[op.name].items():
            model.add_hint(var, start[op.name] == d)
    for t, tensor in enumerate(priced.tensors):
        for source, made in on[graph.producer[tensor]].items():
            written = model.new_bool_var("")
            costs.append(int(priced.written[t, source] / tick) * written)
            for target in range(len(names)):
                crosses = model.new_bool_var("")
                readers = [on[op][target] for op in graph.consumers[tensor] if target in on[op]]
                if target == source or not readers:
                    continue
                costs.append(int(priced.crossing[t, source, target] / tick) * crosses)
                model.add_implication(crosses, written)
                for reader in readers:
                    model.add_bool_or(crosses, ~made, ~reader)
    model.minimize(sum(costs))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = limit_s if limit_s < math.inf else TIME_LIMIT_S
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    status = solver.solve(model)
    bound = max(least.bound, solver.best_objective_bound * tick)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Least(device_of=least.device_of, bound=bound)
    found = {op: names[next(d for d, var in some.items() if solver.value(var))] for op, some in on.items()}
    return Least(device_of=found, bound=bound)
