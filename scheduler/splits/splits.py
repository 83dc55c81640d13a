"""Plans with splits: whatever several devices gain by computing parts of one operator, beside branches at once.

First, stages: a shortest path over cuts, on which runs of operators are computed by one device, in branches, or in
parts by several (:mod:`hetsim.scheduler.splits.path`). Its costs of parts are estimates. The plan of the path is
simulated on the rewritten problem, which corrects the estimates, and the path is sought again until it stays the same.
Then boundaries of parts are moved and splits merged, cut and dropped
(:mod:`hetsim.scheduler.splits.refinement`), and the local search of :mod:`hetsim.scheduler.search.search` goes on from
there on the rewritten problem. Into its plan and that of ``search``, single splits are put where that makes them faster
(:mod:`hetsim.scheduler.splits.grafting`). If nothing is faster than the plan of ``search``, that is the answer.

Parts of rows whose sizes follow the speeds of their devices are those of L. Zeng et al., "CoEdge: cooperative DNN
inference with adaptive workload partitioning over heterogeneous edge devices", IEEE/ACM Transactions on Networking
29(2), 2021, doi 10.1109/TNET.2020.3042320.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.models.structure import Parts
from hetsim.scheduler.effort import MAX_EVALUATIONS, Effort, Until
from hetsim.scheduler.search.search import search
from hetsim.scheduler.solution import Solution
from hetsim.scheduler.splits.bound import split_bound
from hetsim.scheduler.splits.grafting import grafted
from hetsim.scheduler.splits.part_times import PartTimes
from hetsim.scheduler.splits.path import StagePath
from hetsim.scheduler.splits.placement import NAME
from hetsim.scheduler.splits.refinement import Candidate, Refinement, whole_stages
from hetsim.scheduler.stages import Stage, coarse_blocks
from hetsim.sim.simulate import makespan_s

MAX_BLOCKS = 24
"""The largest number of blocks that a network is cut into: the number of runs grows with its square."""
MAX_CANDIDATES, MAX_GRAFTS = 150, 40
"""Rewritten problems that are simulated for stages, and with single splits more; one takes as long as some hundred
candidates of the local search."""
NEARLY = 1.1
"""Single splits are tried in plans that take up to so many times as long as the best."""
MAX_PATHS = 5
"""How often the shortest path is sought."""
SEARCH_SHARE, REFINEMENT_SHARE = 0.5, 0.7
"""Of a time limit, for the search without splits; and of the rest, for stages and their refinement."""


def splits(problem: Problem, effort: Effort | None = None) -> Solution:
    """The fastest plan found by the model, with splits or without; never slower than that of ``search``.

    Without a model, of a problem that is rewritten already, or on one device alone, it is the plan of ``search``. The
    bound is one of the load alone otherwise, since an operator that is divided is on no critical path as a whole.

    Args:
        problem: The problem.
        effort: Evaluations are those of ``search``, as many again of the local search on the rewritten problem, and
            rewritten problems, of which there are at most :data:`MAX_CANDIDATES`. The same seed and evaluations give
            the same plan.
    """
    effort = (effort or Effort()).started()
    started_s = time.perf_counter()
    until = effort.until()
    base = search(problem, replace(effort, stop=until.part(SEARCH_SHARE)))
    if problem.splitting is None or problem.rewrites or len(problem.platform.devices) < 2:
        return replace(base, plan=replace(base.plan, scheduler=NAME))
    limit = MAX_EVALUATIONS if effort.max_evaluations is None else effort.max_evaluations
    best, best_s, num_evaluations = base.plan, base.makespan_s, base.num_evaluations
    for plan, num_more in () if until() else _with_splits(problem, effort, base.plan, limit):
        plan_s = makespan_s(problem, plan)
        num_evaluations += num_more
        if plan_s < best_s:
            best, best_s = plan, plan_s
    bound_s, space = split_bound(problem, [base.plan, best], until=until)
    return Solution(
        plan=replace(best, scheduler=NAME),
        makespan_s=best_s,
        bound_s=min(bound_s, best_s),
        space=space,
        num_evaluations=num_evaluations,
        planning_s=time.perf_counter() - started_s,
    )


def _with_splits(problem: Problem, effort: Effort, base: Plan, limit: int) -> Iterator[tuple[Plan, int]]:
    """Plans with splits, each with how many candidates were evaluated for it."""
    until = effort.until().part(REFINEMENT_SHARE)
    path, refinement = path_and_candidates(problem, min(limit, MAX_CANDIDATES), until)
    staged = _staged(path, refinement, until)
    plans = [base]
    if staged is not None:
        plan, num_moves = _improved(problem, staged.plan, effort, limit)
        plans.append(plan)
        yield plan, refinement.num_candidates + num_moves
    good_s = NEARLY * min(makespan_s(problem, plan) for plan in plans)
    for start in plans:
        num_before = refinement.num_candidates
        refinement.max_candidates = num_before + min(limit, MAX_GRAFTS)
        if refinement.ended or makespan_s(problem, start) > good_s:
            continue
        found = grafted(problem, start, path.options(), refinement)
        if found is not start:
            plan, num_moves = _improved(problem, found, effort, limit)
            yield plan, refinement.num_candidates - num_before + num_moves


def path_and_candidates(problem: Problem, max_candidates: int, until: Until) -> tuple[StagePath, Refinement]:
    """The paths over stages of a problem and the candidates that they make, once both know what parts of blocks take.

    Args:
        problem: A problem whose operators can be split.
        max_candidates: How many candidates are made at most, two of them here.
        until: When to end.
    """
    coarse = coarse_blocks(problem, lambda ops: _fastest_s(problem, ops), MAX_BLOCKS)
    times = PartTimes(problem, coarse)
    refinement = Refinement(problem, times, coarse, max_candidates, until)
    for probe in _probes(problem, times, coarse):
        if not refinement.ended:
            refinement.candidate(probe)
    return StagePath(problem, times, coarse), refinement


def _improved(problem: Problem, start: Plan, effort: Effort, limit: int) -> tuple[Plan, int]:
    """The best plan of the local search on the problem rewritten for a plan, and its evaluations."""
    from hetsim.scheduler.search.local_search import improved  # imports numba

    return improved(problem.for_plan(start), start, replace(effort, max_evaluations=limit, progress=None))


def _staged(path: StagePath, refinement: Refinement, until: Until) -> Candidate | None:
    """The fastest plan of stages with splits; None if there is none."""
    best: Candidate | None = None
    seen: set[tuple[Stage, ...]] = set()
    for _ in range(MAX_PATHS):
        stages = () if refinement.ended else path.stages(until)
        if stages in seen or not stages or whole_stages(stages):
            break
        seen.add(stages)
        found = refinement.candidate(stages)
        if found is not None and (best is None or found.makespan_s < best.makespan_s):
            best = found
    return None if best is None else refinement.improved(best)


def _probes(problem: Problem, times: PartTimes, coarse: Parts) -> list[tuple[Stage, ...]]:
    """Stages that tell exact costs of parts of every block, on all devices that run it: by rows, and by channels."""
    by_rows: list[Stage] = []
    by_channels: list[Stage] = []
    for ops in coarse:
        devices = problem.devices_for(ops)
        spread = () if devices else tuple((op, problem.devices_for((op,))[0]) for op in ops)
        alone = Stage(ops=ops, devices=devices[:1], spread=spread)
        split = times.row_split(ops, devices) if len(devices) > 1 else None
        by_rows.append(alone if split is None else Stage(ops=ops, devices=devices, splits=(split,)))
        found = times.channel_splits(ops, devices) if len(devices) > 1 else ()
        by_channels.append(Stage(ops=ops, devices=devices, splits=found) if found else alone)
    return [tuple(probe) for probe in (by_rows, by_channels) if not whole_stages(probe)]


def _fastest_s(problem: Problem, ops: tuple[str, ...]) -> float:
    return min(problem.cost_s(device, ops) for device in problem.platform.device_names)
