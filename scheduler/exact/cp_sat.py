"""An independent referee: the same problem as a constraint program for OR-Tools' CP-SAT; needs ``hetsim[cp-sat]``.

Every operator is a segment of its own. It has an optional interval on each device that can run it, just one of which is
present; intervals on a device do not overlap; an operator starts after each one that it reads from, and later by the
hand-over if that is on another device. The solver: L. Perron, F. Didier, "CP-SAT", Google,
https://developers.google.com/optimization/cp/cp_solver.

CP-SAT counts in whole numbers. A tick is a power of two of seconds, such that everything in a row takes from ``2**23``
to ``2**24`` ticks, and all times are rounded down to ticks. So no plan takes more ticks than it should, and the
solver's bound holds; and times that are multiples of a coarser power of two stay exact.

Where operators lie between two articulation operators, each device has to do its share of them in between. That
follows from the rest, but the solver proves little without it; it can be left out, so that the referee takes nothing
for granted.

Copies that queue and contention are left out, and access across devices is part of the hand-over, as in
:mod:`hetsim.scheduler.exact.exact`.
"""

from __future__ import annotations

import math
import time
from types import ModuleType
from typing import Any

import numpy as np

from hetsim.core.errors import PlanError
from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.scheduler.baselines.individual import individual
from hetsim.scheduler.bounds import prices
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.exact.candidates import parts
from hetsim.scheduler.segments import plan_from_assignment
from hetsim.scheduler.solution import Solution
from hetsim.sim.simulate import makespan_s, simulate

NAME = "cp_sat"
SPACE = "single operators"
TIME_LIMIT_S = 60.0
"""Unless the effort says otherwise."""
NUM_WORKERS = 8
"""So many of CP-SAT's strategies run side by side; with fewer the ones that prove much are left out."""
DIGITS = 24
"""Binary digits of the ticks that everything in a row takes."""


def cp_sat(
    problem: Problem,
    effort: Effort | None = None,
    *,
    hint: Plan | None = None,
    num_workers: int = NUM_WORKERS,
    shares: bool = True,
) -> Solution:
    """The fastest plan found and the solver's bound; there are no evaluations to count or to limit.

    Args:
        problem: The problem.
        effort: Seed, time limit and progress.
        hint: A plan to start from, its segments taken apart into operators; None stands for that of ``individual``.
        num_workers: Threads of the solver. With one, the same seed gives the same plan if it ends before the limit;
            with more, plans may differ, but what proven ones take may not.
        shares: Whether the solver is told that devices share what lies between two articulation operators.

    Raises:
        PlanError: If OR-Tools is not installed.
    """
    cp_model = _solver()
    effort = (effort or Effort()).started()
    until = effort.until()
    started_s = time.perf_counter()
    program = _Program(problem, cp_model)
    first = _taken_apart(problem, individual(problem) if hint is None else hint)
    if shares:
        program.share()
    program.start_from(first)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = TIME_LIMIT_S if until.left_s == math.inf else until.left_s
    solver.parameters.num_workers = num_workers
    solver.parameters.random_seed = effort.seed
    solver.parameters.catch_sigint_signal = True  # Ctrl-C ends the search, not the program
    status = solver.solve(program.model, _tell(cp_model, effort, program.tick_s))
    plans = [first]
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        plans.append(program.plan(solver))
    best_s, best = min(((makespan_s(problem, plan), plan) for plan in reversed(plans)), key=lambda found: found[0])
    return Solution(
        plan=best,
        makespan_s=best_s,
        bound_s=min(max(solver.best_objective_bound * program.tick_s, 0.0), best_s),
        space=SPACE,
        planning_s=time.perf_counter() - started_s,
    )


def _solver() -> ModuleType:
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        raise PlanError(
            f"scheduler {NAME!r} needs OR-Tools, which is not installed; install it with: pip install 'hetsim[cp-sat]'"
        ) from None
    return cp_model


def _tell(cp_model: ModuleType, effort: Effort, tick_s: float) -> Any:
    """A callback of the solver that passes on how far it is."""

    class Tell(cp_model.CpSolverSolutionCallback):  # type: ignore[misc, name-defined]
        def on_solution_callback(self) -> None:
            if effort.progress is not None:
                effort.progress(0, 1, self.objective_value * tick_s, max(self.best_objective_bound * tick_s, 0.0))
            if effort.stop():
                self.stop_search()

    return Tell()


def _taken_apart(problem: Problem, plan: Plan) -> Plan:
    """The plan with every operator in a segment of its own; where one cannot run so, some plan in which all can."""
    queues = {
        device: tuple(Segment(device, (op,)) for segment in queue for op in segment.ops)
        for device, queue in plan.queues.items()
    }
    if any(problem.latency(s.device, s.ops) is None for queue in queues.values() for s in queue):
        graph = problem.graph
        device_of = {op.name: problem.devices_for((op.name,))[0] for op in graph.ops}
        queues = dict(plan_from_assignment(problem, NAME, device_of, {op.name: 1 for op in graph.ops}).queues)
        queues = {d: tuple(Segment(d, (op,)) for s in queue for op in s.ops) for d, queue in queues.items()}
    return problem.plan(queues, scheduler=NAME)


class _Program:
    """The constraint program of a problem.

    Attributes:
        model: What the solver solves.
        tick_s: Its unit of time, in seconds.
    """

    def __init__(self, problem: Problem, cp_model: ModuleType) -> None:
        graph, names = problem.graph, problem.platform.device_names
        self._problem = problem
        self._at = graph.position
        cost_s = prices(problem)
        hand_over_s = {
            edge: np.array([[max(problem.hand_over_s(a, b, t) for t in tensors) for b in names] for a in names])
            for edge, tensors in graph.tensors_between.items()
        }
        whole_s = float(np.where(np.isfinite(cost_s), cost_s, 0.0).max(axis=1).sum())
        whole_s += sum(float(delay.max()) for delay in hand_over_s.values())
        self.tick_s = 2.0 ** (math.frexp(whole_s)[1] - DIGITS) if whole_s > 0 else 1.0
        horizon = self._ticks(whole_s) + len(graph.ops)
        model = self.model = cp_model.CpModel()
        self._starts = {op.name: model.new_int_var(0, horizon, "") for op in graph.ops}
        self._on: dict[tuple[str, int], Any] = {}
        ends: dict[str, Any] = {}
        intervals: list[list[Any]] = [[] for _ in names]
        for op, row in zip(graph.ops, cost_s, strict=True):
            runnable = [d for d in range(len(names)) if row[d] < math.inf]
            for d in runnable:
                on = self._on[op.name, d] = model.new_bool_var("")
                length = self._ticks(row[d])
                intervals[d].append(model.new_optional_fixed_size_interval_var(self._starts[op.name], length, on, ""))
            model.add_exactly_one(self._on[op.name, d] for d in runnable)
            ends[op.name] = self._starts[op.name] + sum(self._ticks(row[d]) * self._on[op.name, d] for d in runnable)
        for some in intervals:
            model.add_no_overlap(some)
        for (u, v), delay in hand_over_s.items():
            model.add(self._starts[v] >= ends[u])
            for a in range(len(names)):
                for b in range(len(names)):
                    ticks = self._ticks(delay[a, b])
                    if ticks and (u, a) in self._on and (v, b) in self._on:
                        later = model.add(self._starts[v] >= ends[u] + ticks)
                        later.only_enforce_if(self._on[u, a], self._on[v, b])
        last = self._last = model.new_int_var(0, horizon, "")
        self._ends = ends
        self._cost_s = cost_s
        for op in graph.ops:
            if not graph.successors[op.name]:
                model.add(last >= ends[op.name])
        model.minimize(last)

    def share(self) -> None:
        """Say that between two articulation operators each device has time for its operators."""
        for part in parts(self._problem.graph):
            begin = self._ends[part.before] if part.before else 0
            end = self._starts[part.join] if part.join else self._last
            for d in range(self._cost_s.shape[1]):
                here = [(op, self._ticks(self._cost_s[self._at[op], d])) for op in part.inside if (op, d) in self._on]
                self.model.add(end >= begin + sum(ticks * self._on[op, d] for op, ticks in here))

    def _ticks(self, seconds: float) -> int:
        return math.floor(seconds / self.tick_s)

    def start_from(self, plan: Plan) -> None:
        """Give the solver a plan of single operators to begin with."""
        names = self._problem.platform.device_names
        for span in simulate(self._problem, plan).compute:
            self.model.add_hint(self._starts[span.ops[0]], self._ticks(span.start_s))
            for d, name in enumerate(names):
                if (span.ops[0], d) in self._on:
                    self.model.add_hint(self._on[span.ops[0], d], name == span.device)

    def plan(self, solver: Any) -> Plan:
        """The plan that the solver found: operators by start; ties by end, then by the graph's order."""
        graph, names = self._problem.graph, self._problem.platform.device_names
        ends = []
        for position, op in enumerate(graph.ops):
            d = next(d for d in range(len(names)) if (op.name, d) in self._on and solver.value(self._on[op.name, d]))
            start = solver.value(self._starts[op.name])
            cost_s = self._problem.cost_s(names[d], (op.name,))
            ends.append((start, start + self._ticks(cost_s), position, names[d], op.name))
        queues: dict[str, list[Segment]] = {name: [] for name in names}
        for *_, device, name in sorted(ends):
            queues[device].append(Segment(device, (name,)))
        in_order = {device: tuple(queue) for device, queue in queues.items()}
        return self._problem.plan(in_order, scheduler=NAME)
