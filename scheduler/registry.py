"""The schedulers by name. A new algorithm is a file of its own and an entry here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module

from hetsim.core.errors import PlanError
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.scheduler.baselines.single_device import single_device, whole_model_devices
from hetsim.scheduler.bounds import lower_bound
from hetsim.scheduler.effort import Effort, Progress
from hetsim.scheduler.solution import Solution, space_of
from hetsim.sim.simulate import makespan_s

__all__ = ["REFEREES", "SINGLE", "Effort", "algorithm_names", "make_plan", "scheduler_names", "solve"]

PLANNING_SHARE = 0.9
"""Of a time limit, for planning; the rest is for the simulation of the plan and for its bound."""
SINGLE = "single:"
"""What names of single devices' plans start with."""


@dataclass(frozen=True, kw_only=True)
class _Algorithm:
    """Where an algorithm is; it is imported when it first plans.

    Attributes:
        module: Its module, below this package.
        function: Its name there; takes the problem and the effort, and returns a plan or a solution.
        options: Further arguments.
    """

    module: str
    function: str
    options: Mapping[str, bool] = field(default_factory=dict)

    def __call__(self, problem: Problem, effort: Effort) -> Plan | Solution:
        function: Callable[..., Plan | Solution]
        function = getattr(import_module(f"hetsim.scheduler.{self.module}"), self.function)
        return function(problem, effort, **self.options)


_ALGORITHMS: Mapping[str, _Algorithm] = {
    "type_based": _Algorithm(module="baselines.type_based", function="type_based"),
    "individual": _Algorithm(module="baselines.individual", function="individual"),
    "partition_tuner": _Algorithm(module="baselines.partition_tuner", function="partition_tuner"),
    "heft": _Algorithm(module="list_scheduling.heft", function="heft"),
    "cpop": _Algorithm(module="list_scheduling.cpop", function="cpop"),
    "peft": _Algorithm(module="list_scheduling.peft", function="peft"),
    "ios": _Algorithm(module="list_scheduling.ios", function="ios"),
    "genetic": _Algorithm(module="list_scheduling.genetic", function="genetic"),
    "exact": _Algorithm(module="exact.exact", function="exact"),
    "search": _Algorithm(module="search.search", function="search"),
    "splits": _Algorithm(module="splits.splits", function="splits"),
    "exact_operators": _Algorithm(module="exact.exact", function="exact", options={"fused": False}),
    "cp_sat": _Algorithm(module="exact.cp_sat", function="cp_sat"),
}

REFEREES = ("exact_operators", "cp_sat")
"""Algorithms that plan single operators to judge others by, not to be executed; cp_sat needs ``hetsim[cp-sat]``."""


def algorithm_names() -> tuple[str, ...]:
    """The algorithms that there are for any problem, referees included."""
    return tuple(_ALGORITHMS)


def scheduler_names(problem: Problem, *, referees: bool = False) -> tuple[str, ...]:
    """What :func:`solve` knows: ``single:DEVICE`` for each device that runs all operators, then the algorithms.

    Args:
        problem: What to plan.
        referees: Whether :data:`REFEREES` are among them, at the end.
    """
    names = (*(SINGLE + name for name in whole_model_devices(problem)), *_ALGORITHMS)
    return tuple(name for name in names if referees or name not in REFEREES)


def solve(name: str, problem: Problem, effort: Effort | None = None) -> Solution:
    """What the scheduler of that name makes of a problem, with a bound.

    Every algorithm looks at its time limit, and answers with the best that it has once that is over. The same arguments
    give the same plan, as long as no time limit and nobody stops it. Algorithms that know no bound
    get the one of :mod:`hetsim.scheduler.bounds`.

    Args:
        name: One of :func:`scheduler_names`, referees included.
        problem: What to plan.
        effort: How hard to try; None stands for each algorithm's own limits.

    Raises:
        PlanError: If there is no such scheduler for this problem.
    """
    started_s = time.perf_counter()
    made = _made(name, problem, effort or Effort())
    return made if isinstance(made, Solution) else _bounded(problem, made, time.perf_counter() - started_s)


def make_plan(
    name: str,
    problem: Problem,
    *,
    seed: int = 0,
    max_evaluations: int | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> Plan:
    """The plan that the scheduler of that name makes; the same arguments always give the same plan.

    Args:
        name: One of :func:`scheduler_names`, referees included.
        problem: What to plan.
        seed: For schedulers that choose at random.
        max_evaluations: For schedulers that search, the candidates that they may evaluate; None stands for their own
            limits.
        progress: For schedulers that search, called now and then with the candidates evaluated, their largest
            number, the best time so far and its lower bound in seconds.
        stop: For schedulers that search, says whether they should be content with the best so far.

    Raises:
        PlanError: If there is no such scheduler for this problem.
    """
    effort = Effort(seed=seed, max_evaluations=max_evaluations, progress=progress)
    made = _made(name, problem, effort if stop is None else replace(effort, stop=stop))
    return made.plan if isinstance(made, Solution) else made


def _made(name: str, problem: Problem, effort: Effort) -> Plan | Solution:
    until = effort.until()
    names = scheduler_names(problem, referees=True)
    if name not in names:
        raise PlanError(f"no scheduler {name!r} for {problem.graph.name!r}; choose from {', '.join(names)}")
    if name.startswith(SINGLE):
        return single_device(problem, name.removeprefix(SINGLE))
    return _ALGORITHMS[name](problem, replace(effort, time_limit_s=None, stop=until.part(PLANNING_SHARE)))


def _bounded(problem: Problem, plan: Plan, planning_s: float) -> Solution:
    """A plan with the bound of all plans of single operators and of the segments that it fuses itself."""
    best_s = makespan_s(problem, plan)
    fused = [] if problem.fusing_gains_nothing else [segment for segment in plan.segments if len(segment.ops) > 1]
    return Solution(
        plan=plan,
        makespan_s=best_s,
        bound_s=min(lower_bound(problem, fused), best_s),
        space=space_of(problem, len(fused)),
        planning_s=planning_s,
    )
