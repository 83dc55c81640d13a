"""The linear programs of throughput, written down in full and solved by OR-Tools: a referee of column generation."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from ortools.linear_solver import pywraplp

from hetsim.core.problem import Problem
from hetsim.scheduler.throughput.loads import CHANNEL, HOST, MEMORY, resources


def best_rates(relative_loads: NDArray[np.float64]) -> float:
    """The most requests per second of plans with these loads, by plan and resource, relative to capacities."""
    solver = pywraplp.Solver.CreateSolver("GLOP")
    finite = relative_loads[np.isfinite(relative_loads).all(axis=1)]
    rates = [solver.NumVar(0, solver.infinity(), "") for _ in finite]
    for column in finite.T:
        solver.Add(sum(float(load) * rate for load, rate in zip(column, rates, strict=True)) <= 1)
    solver.Maximize(sum(rates))
    assert solver.Solve() == pywraplp.Solver.OPTIMAL
    return float(solver.Objective().Value())


def best_relaxed_rate(problem: Problem) -> float | None:
    """The most requests per second if two devices may compute any part of each operator; None if there is no limit.

    A tensor that crosses costs the channel and the memory its part that does, for the reader that lacks most of it.
    """
    names, kinds, graph = problem.platform.device_names, resources(problem), problem.graph
    solver = pywraplp.Solver.CreateSolver("GLOP")
    rate = solver.NumVar(0, solver.infinity(), "")
    on = {}
    used = dict.fromkeys(kinds.names, 0.0 * rate)
    for op in graph.ops:
        for name in names:
            cost_s = problem.cost_s(name, (op.name,))
            on[op.name, name] = solver.NumVar(0, solver.infinity() if cost_s < math.inf else 0, "")
            if cost_s < math.inf:
                used[name] += cost_s * on[op.name, name]
        solver.Add(sum(on[op.name, name] for name in names) == rate)
    for tensor, maker in graph.producer.items():
        for source in names:
            for target in names:
                if source == target or problem.platform.link(source, target).mode != "copy":
                    continue
                crosses = solver.NumVar(0, solver.infinity(), "")
                for reader in graph.consumers[tensor]:
                    solver.Add(crosses >= on[maker, source] - on[reader, source])
                used[CHANNEL] += problem.transfer_s(source, target, tensor) * crosses
                if MEMORY in used:
                    used[MEMORY] += graph.tensors[tensor].num_bytes * crosses
    host = problem.platform.host
    if HOST in used:
        used[HOST] += (host.submit_s(graph.input_bytes) + host.collect_s(graph.output_bytes)) * rate
    for name, capacity in zip(kinds.names, kinds.capacities, strict=True):
        solver.Add(used[name] <= float(capacity))
    solver.Maximize(rate)
    return float(rate.solution_value()) if solver.Solve() == pywraplp.Solver.OPTIMAL else None
