"""The best that is known here: exact where a problem falls apart, a seeded local search where it does not.

Where fusing gains nothing, plans of single operators are all that matters: if exact planning
(:mod:`hetsim.scheduler.exact.exact`) does not prove its plan, annealing (:mod:`hetsim.scheduler.search.anneal`) goes on
from the best of it and the list schedulers. A plan that takes no longer than the least that any assignment gives its
busiest device to do is proven the fastest of all.

Where fusing may pay, a local search (:mod:`hetsim.scheduler.search.local_search`) starts from the best of exact
planning, of every baseline and of a shortest path over blocks (:mod:`hetsim.scheduler.search.blockwise`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.scheduler.baselines.individual import individual
from hetsim.scheduler.baselines.partition_tuner import partition_tuner
from hetsim.scheduler.baselines.single_device import single_device, whole_model_devices
from hetsim.scheduler.baselines.type_based import type_based
from hetsim.scheduler.bounds import on_grid, prices
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.exact.exact import bound_beside, exact_with_family
from hetsim.scheduler.list_scheduling.cpop import cpop
from hetsim.scheduler.list_scheduling.heft import heft
from hetsim.scheduler.list_scheduling.peft import peft
from hetsim.scheduler.search.anneal import anneal
from hetsim.scheduler.search.blockwise import blockwise
from hetsim.scheduler.solution import Solution
from hetsim.sim.compiled import CompiledSimulator
from hetsim.sim.simulate import makespan_s

EXACT_SHARE = 0.5
"""Of a time limit, for exact planning."""


def search(problem: Problem, effort: Effort | None = None) -> Solution:
    """The fastest plan found by the model; ties go to fewer segments, then to fewer devices, then to the first found.

    Never slower than any single device or baseline that it starts from, nor than the plan of
    :mod:`hetsim.scheduler.exact.exact`. Where that is proven to be the fastest of all plans, it is the answer.

    Args:
        problem: The problem.
        effort: Evaluations are candidates of the local search, or moves of annealing; the starting points come on top.
            The same seed and evaluations give the same plan.
    """
    effort = effort or Effort()
    started_s = time.perf_counter()
    rest = effort.started()
    found = exact_with_family(problem, Effort(stop=rest.until().part(EXACT_SHARE)))
    proof = found.solution
    if problem.fusing_gains_nothing:
        proof = proof if proof.proven or rest.stop() else _loaded(problem, proof)
        plan = proof.plan if proof.proven else _annealed(problem, rest, proof)
        num_evaluations = 0
    else:
        plan, num_evaluations = _searched(problem, rest, proof)
    best_s = makespan_s(problem, plan)
    bound_s, space = bound_beside(problem, plan, proof, found.family)
    return Solution(
        plan=replace(plan, scheduler="search"),
        makespan_s=best_s,
        bound_s=min(bound_s, best_s),
        space=space,
        num_evaluations=num_evaluations,
        planning_s=time.perf_counter() - started_s,
    )


def _loaded(problem: Problem, proof: Solution) -> Solution:
    """What exact planning says, with the least load of all assignments as another bound."""
    from hetsim.scheduler.search.assignment import (
        least_loaded,  # imports numba, which other schedulers need not pay for
    )

    load_s = least_loaded(prices(problem), proof.makespan_s, count=1).bound_s
    return replace(proof, bound_s=min(max(proof.bound_s, on_grid(problem, load_s)), proof.makespan_s))


def _annealed(problem: Problem, effort: Effort, proof: Solution) -> Plan:
    """Where fusing gains nothing: annealing from the best start."""
    starts = [proof.plan, *(make(problem, effort) for make in (heft, peft, cpop) if not effort.stop())]
    return anneal(problem, effort, start=min(starts, key=partial(makespan_s, problem)), bound_s=proof.bound_s)


def _searched(problem: Problem, effort: Effort, proof: Solution) -> tuple[Plan, int]:
    """Where fusing may pay: the best plan of the local search, and how many candidates it evaluated."""
    from hetsim.scheduler.search.local_search import LocalSearch, rank  # imports numba

    simulator = CompiledSimulator(problem)
    local_search = LocalSearch(problem, effort.seed, simulator)
    until = effort.until()
    starts = [local_search.candidate_of(plan) for plan in _start_plans(problem, proof.plan, effort)]
    path = None if until() else blockwise(problem, simulator, until)
    starts += [None if path is None else local_search.candidate(*path)]
    return local_search.climbed(min((start for start in starts if start is not None), key=rank), effort)


def _start_plans(problem: Problem, exact_plan: Plan, effort: Effort) -> Iterator[Plan]:
    """The plan of exact planning, and as time allows every single device and every baseline."""
    until = effort.until()
    yield exact_plan
    makers: list[Callable[[], Plan]] = [partial(single_device, problem, name) for name in whole_model_devices(problem)]
    makers += [partial(make, problem, effort) for make in (type_based, individual, partition_tuner)]
    for make in makers:
        if not until():
            yield make()
