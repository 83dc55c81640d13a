"""A seeded local search for plans whose load costs least by given prices, charged by what the problem says of segments.

A move puts a group of operators (one, a fused chain, a branch, a block or a run of blocks) on another device. What
follows is fused as :mod:`hetsim.scheduler.segments` does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from hetsim.core.dataflow import resolve
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.models.structure import blocks, branches, fused_chains, runs
from hetsim.scheduler.effort import Until
from hetsim.scheduler.segments import assignment_of, plan_from_assignment


def improvements(
    problem: Problem, start: Plan, cost_of: Callable[[Plan], float], *, num_moves: int, seed: int, until: Until
) -> Iterator[Plan]:
    """Plans each of which costs less than the one before, the first less than the start.

    Args:
        problem: The problem; for a start with splits it is rewritten with them.
        start: A valid plan.
        cost_of: What a plan costs; infinite for one that is not wanted.
        num_moves: How many moves to try.
        seed: Draws the moves.
        until: When to end.
    """
    problem = problem.for_plan(start)
    graph, names = problem.graph, problem.platform.device_names
    device_of, level_of = assignment_of(resolve(graph, start))
    generator, groups = random.Random(seed), _groups(graph)
    best = cost_of(start)
    for _ in range(num_moves if len(names) > 1 else 0):
        if until():
            return
        group = generator.choice(generator.choice(groups))
        target = generator.choice(names)
        moved = {op: target for op in group if problem.latency(target, (op,)) is not None}
        if all(device_of[op] == device for op, device in moved.items()):
            continue
        levels = {op: level for op, level in level_of.items() if op not in moved}
        plan = plan_from_assignment(problem, "mixture", device_of | moved, levels)
        cost = cost_of(plan)
        if cost < best * (1 - 1e-9):
            best, device_of, level_of = cost, device_of | moved, levels
            yield plan


def _groups(graph: Graph) -> list[tuple[tuple[str, ...], ...]]:
    """Partitions of the operators, from small parts to large ones."""
    by_block = blocks(graph)
    found = [tuple((op.name,) for op in graph.ops), fused_chains(graph), branches(graph), by_block]
    length = 2
    while length < len(by_block):
        found.append(runs(by_block, length))
        length *= 2
    return found
