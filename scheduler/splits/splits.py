"""Plans with splits: whatever several devices gain by computing parts of one operator, beside branches at once.

First, stages: a shortest path over cuts, on which runs of operators are computed by one device, in branches, or in
parts by several (:mod:`hetsim.scheduler.splits.path`). Its costs of parts are estimates. The plan of the path is
simulated on the rewritten problem, which corrects the estimates, and the path is sought again until it stays the same.
Then boundaries of parts are moved and splits merged, cut and dropped
(:mod:`hetsim.scheduler.splits.refinement`), and the local search of :mod:`hetsim.scheduler.search.search` goes on from
there on the rewritten problem. The plan of ``search`` is the answer where that is faster.

Parts of rows whose sizes follow the speeds of their devices are those of L. Zeng et al., "CoEdge: cooperative DNN
inference with adaptive workload partitioning over heterogeneous edge devices", IEEE/ACM Transactions on Networking
29(2), 2021, doi 10.1109/TNET.2020.3042320.
"""

from __future__ import annotations

import time
from dataclasses import replace

from hetsim.core.problem import Problem
from hetsim.models.structure import Parts
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.search.search import MAX_EVALUATIONS, improved, search
from hetsim.scheduler.solution import Solution
from hetsim.scheduler.splits.bound import split_bound
from hetsim.scheduler.splits.part_times import PartTimes
from hetsim.scheduler.splits.path import StagePath
from hetsim.scheduler.splits.placement import NAME
from hetsim.scheduler.splits.refinement import Candidate, Refinement, whole_stages
from hetsim.scheduler.stages import Stage, coarse_blocks
from hetsim.sim.simulate import makespan_s

MAX_BLOCKS = 24
"""The largest number of blocks that a network is cut into: the number of runs grows with its square."""
MAX_CANDIDATES = 150
"""Rewritten problems that are simulated; each takes as long as some hundred candidates of the local search."""
MAX_PATHS = 5
"""How often the shortest path is sought."""
SEARCH_SHARE, REFINEMENT_SHARE = 0.5, 0.7
"""Of a time limit, for the search without splits; and of the rest, for stages and their refinement."""


def splits(problem: Problem, effort: Effort | None = None) -> Solution:
    """The fastest plan found by the model, with splits or without; never slower than that of ``search``.

    Without anything to split, or on one device alone, it is the plan of ``search``. The bound is one of the load alone
    otherwise, since an operator that is divided is on no critical path as a whole.

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
    if problem.splitting is None or len(problem.platform.devices) < 2:
        return replace(base, plan=replace(base.plan, scheduler=NAME))
    limit = MAX_EVALUATIONS if effort.max_evaluations is None else effort.max_evaluations
    best, best_s, num_evaluations = base.plan, base.makespan_s, base.num_evaluations
    found = None if until() else _staged(problem, effort, min(limit, MAX_CANDIDATES))
    if found is not None:
        start, num_candidates = found
        target = problem.for_plan(start.plan)
        plan, num_moves = improved(target, start.plan, replace(effort, max_evaluations=limit, progress=None))
        num_evaluations += num_candidates + num_moves
        plan_s = makespan_s(target, plan)
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


def _staged(problem: Problem, effort: Effort, max_candidates: int) -> tuple[Candidate, int] | None:
    """The fastest plan of stages with splits, and how many candidates were simulated; None if there is none."""
    until = effort.until().part(REFINEMENT_SHARE)
    coarse = coarse_blocks(problem, lambda ops: _fastest_s(problem, ops), MAX_BLOCKS)
    times = PartTimes(problem, coarse)
    refinement = Refinement(problem, times, coarse, max_candidates, until)
    for probe in _probes(problem, times, coarse):
        if not refinement.ended:
            refinement.candidate(probe)
    path = StagePath(problem, times, coarse)
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
    if best is None:
        return None
    return refinement.improved(best), refinement.num_candidates


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
