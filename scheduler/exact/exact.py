"""The fastest plan of a stated space, with a proof: a shortest path over blocks that are each solved exactly.

Everything before an articulation operator ends before it starts, and everything after it starts after it ended. So at
its end all devices are free and nothing is under way, and what follows depends on its device alone. The fastest plan is
a shortest path over (articulation operator, its device). A step of the path crosses the block up to the next one, whose
ways through are found by :mod:`hetsim.scheduler.exact.block`, and runs the segment that the articulation operator is
in. Where fusing may pay (:class:`~hetsim.core.problem.Problem`) segments come from the family in
:mod:`hetsim.scheduler.exact.candidates`: then that segment may stay open and take whole blocks that follow, or a step
may take whole blocks as one segment.

Blocks are solved only where it matters. Each path through a block has a lower and an upper bound; the shortest path by
lower bounds is looked up, what is not proven on it is tried harder, and so on until all of it is proven, as no path can
be shorter
then: after C. Dellin, S. Srinivasa, "A unifying formalism for shortest path problems with expensive edge evaluations
via lazy best-first search over paths with edge selectors", ICAPS 2016. Blocks that are alike are solved once. At any
time the path by upper bounds is a plan, and the length of the one by lower bounds bounds all plans of the space.

A block with too many downsets is planned by one list schedule. Where segments are single operators, annealing
(:mod:`hetsim.scheduler.search.anneal`) goes on from there, until the bound proves its plan or moves run out.

Copies that queue for the memory channel, and contention, are left out of the search, and what accessing a tensor across
devices costs its writer and its reader is part of the delay between them (:mod:`hetsim.scheduler.bounds`). All three
only make plans slower, so the bound holds; the plan is what the model says it is, and where that is more than the
bound, the gap says so.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.scheduler.bounds import lower_bound, on_grid
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.exact.decomposition import Decomposition
from hetsim.scheduler.solution import ROUNDING, Solution
from hetsim.sim.simulate import makespan_s

MAX_STATES = 20_000_000
"""States made in all, unless the effort says otherwise."""
MAX_MOVES = 3_000_000
"""Moves of annealing where blocks have too many downsets, unless the effort says otherwise."""
MAX_STATES_AT_ONCE = 4_000_000
"""States made in one attempt at one block; beyond, the block stays unproven."""


def exact(problem: Problem, effort: Effort | None = None, *, fused: bool | None = None) -> Solution:
    """The fastest plan of the space, or the best found within the effort; evaluations are states of blocks.

    Args:
        problem: The problem.
        effort: Limits and progress. At least one plan is found whatever they are; a round that was begun is ended,
            unless time is up. What could not be looked at in time is not part of the space.
        fused: Whether segments come from the family of :mod:`hetsim.scheduler.exact.candidates`, or are single
            operators. None stands for whether fusing may pay.
    """
    effort = (effort or Effort()).started()
    started_s = time.perf_counter()
    found = exact_with_family(problem, effort, fused=fused)
    if not found.has_listed or found.solution.proven or effort.stop():
        return found.solution
    return replace(_annealed(problem, effort, found.solution), planning_s=time.perf_counter() - started_s)


class Found(NamedTuple):
    """What is known once all blocks have been looked at.

    Attributes:
        solution: The plan and its bound.
        family: Every segment that plans of the space may have.
        has_listed: Whether single operators are all of the space, and the plan of some block is just a list schedule.
    """

    solution: Solution
    family: list[Segment]
    has_listed: bool


def exact_with_family(problem: Problem, effort: Effort | None = None, *, fused: bool | None = None) -> Found:
    """As :func:`exact`, without annealing."""
    effort = effort or Effort()
    started_s = time.perf_counter()
    until = effort.until()
    limit = MAX_STATES if effort.max_evaluations is None else effort.max_evaluations
    fused = not problem.fusing_gains_nothing if fused is None else fused
    path = Decomposition(problem, fused=fused, until=until)
    # Otherwise copies that queue, a memory that is short, or accesses make a plan slower than the path says.
    as_modelled = (
        problem.traffic_function is None
        and problem.sharing is None
        and not any(link.mode == "copy" for link in problem.platform.links.values())
    )
    best, best_s, bound_s, upper_s = None, math.inf, 0.0, math.inf
    while True:
        length_s, steps = path.shortest(lambda passage: passage.upper_s)
        if best is None or length_s < upper_s:
            upper_s = length_s
            plan = path.plan(steps)
            plan_s = length_s if as_modelled else makespan_s(problem, plan)
            if plan_s < best_s:
                best, best_s = plan, plan_s
        length_s, steps = path.shortest(lambda passage: passage.lower_s)
        bound_s = max(bound_s, length_s)
        num_states = path.num_states
        if effort.progress is not None:
            effort.progress(min(num_states, limit), limit, best_s, min(bound_s, best_s))
        open_ones = [step.block_path for step in steps if step.block_path is not None and step.block_path.can_widen]
        if not open_ones or bound_s >= best_s * (1 - ROUNDING) or num_states >= limit or until():
            break
        for block_path in dict.fromkeys(open_ones):
            block_path.widen(MAX_STATES_AT_ONCE, until)
            if until():
                break
    assert best is not None
    best_s = makespan_s(problem, best)
    family = path.segments()
    if bound_s < best_s * (1 - ROUNDING):
        bound_s = max(bound_s, lower_bound(problem, family))
        bound_s = bound_s if fused else on_grid(problem, bound_s)
    solution = Solution(
        plan=best,
        makespan_s=best_s,
        bound_s=min(bound_s, best_s),
        space=path.space,
        num_evaluations=path.num_states,
        planning_s=time.perf_counter() - started_s,
    )
    return Found(solution, family, path.has_listed and not fused)


def _annealed(problem: Problem, effort: Effort, found: Solution) -> Solution:
    """The solution, or a faster plan of single operators, found by annealing from there."""
    from hetsim.scheduler.search.anneal import anneal

    limit = MAX_MOVES if effort.max_evaluations is None else effort.max_evaluations
    limited = replace(effort, max_evaluations=limit, progress=None)
    plan = replace(anneal(problem, limited, start=found.plan, bound_s=found.bound_s), scheduler=found.plan.scheduler)
    best_s = makespan_s(problem, plan)
    if best_s >= found.makespan_s:
        return found
    return replace(found, plan=plan, makespan_s=best_s, bound_s=min(found.bound_s, best_s))


def bound_beside(
    problem: Problem, plan: Plan, proof: Solution, family: Sequence[Segment] | None = None
) -> tuple[float, str]:
    """A bound for a plan and its space in words: that of exact planning, if the plan has only segments that it knows.

    Args:
        problem: The problem.
        plan: A plan.
        proof: What :func:`exact` said of the problem.
        family: Every segment of its space; None if it had time to look at all.
    """
    if problem.fusing_gains_nothing:
        return proof.bound_s, proof.space
    known = dict.fromkeys(Decomposition(problem, fused=True).segments() if family is None else family)
    others = [segment for segment in plan.segments if segment not in known]
    if not others:
        return proof.bound_s, proof.space
    return lower_bound(problem, [*known, *others]), f"{proof.space} and {len(others)} more of this plan"
