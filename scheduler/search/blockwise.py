"""A good start for the search: a shortest path over the graph's blocks, each fused with others or spread over devices.

Everything up to an articulation operator ends before anything after it starts. So if no segment reaches across one
except where whole blocks are fused into a *run*, the times of blocks and runs add up, and the best such plan is a
shortest path over (block boundary, device of the operator before it). An edge is either a run of blocks as one segment
or one block whose branches are spread over the devices; what such a block takes, the model says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

from hetsim.core.errors import PlanError
from hetsim.core.problem import Problem
from hetsim.models.structure import blocks, branches
from hetsim.scheduler.segments import queues_from_assignment
from hetsim.sim.compiled import CompiledSimulator

MAX_PATTERNS = 256
"""Up to so many ways to spread a block's branches all are compared; beyond, one branch is changed at a time."""

Assignment = tuple[dict[str, str], dict[str, int]]


def block_branches(problem: Problem) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """For each block its branches, cut where they reach beyond the block; in topological order."""
    branch_of = {op: i for i, branch in enumerate(branches(problem.graph)) for op in branch}
    result = []
    for block in blocks(problem.graph):
        parts: dict[int, list[str]] = {}
        for op in block:
            parts.setdefault(branch_of[op], []).append(op)
        result.append(tuple(tuple(part) for part in parts.values()))
    return tuple(result)


def entries(problem: Problem, ops: tuple[str, ...]) -> tuple[str, ...]:
    """The operators among ``ops`` that read from none of them; raising these cuts before ``ops``."""
    inside = set(ops)
    return tuple(op for op in ops if not any(before in inside for before in problem.graph.predecessors[op]))


def blockwise(problem: Problem, simulator: CompiledSimulator) -> Assignment | None:
    """Assignment (see :mod:`hetsim.scheduler.segments`) of the shortest path, or None if there is none.

    Ties go to the edge found first: runs before spread blocks, shorter runs before longer ones.
    """
    graph = problem.graph
    parts = block_branches(problem)
    whole = [graph.ordered(op for branch in block for op in branch) for block in parts]
    # best[i][device]: least seconds until block i starts, the operator before it on that device, and how it got there
    best: list[dict[str, tuple[float, str, int, dict[str, str]]]] = [{} for _ in range(len(parts) + 1)]
    best[0][""] = (0.0, "", 0, {})

    def relax(start: int, source: str, end: int, seconds: float, device_of: dict[str, str]) -> None:
        total_s = best[start][source][0] + seconds
        device = device_of[whole[end - 1][-1]]
        if total_s < best[end].get(device, (math.inf,))[0]:
            best[end][device] = (total_s, source, start, device_of)

    for start, block in enumerate(parts):
        for device in problem.platform.device_names:
            ops: tuple[str, ...] = ()
            for end in range(start + 1, len(parts) + 1):
                ops = graph.ordered((*ops, *whole[end - 1]))
                latency = problem.latency(device, ops)
                if latency is None:
                    continue
                arriving = [tensor for tensor in graph.inputs_of(ops) if tensor in graph.producer]
                for source in best[start]:
                    arrive_s = max((problem.transfer_s(source, device, tensor) for tensor in arriving), default=0.0)
                    relax(start, source, end, arrive_s + latency.seconds, dict.fromkeys(ops, device))
        if len(block) > 1:
            before = whole[start - 1][-1] if start else None
            for source in best[start]:
                for seconds, device_of in _spreads(simulator, before, source, block, whole[start]):
                    relax(start, source, start + 1, seconds, device_of)
    if not best[-1]:
        return None
    device = min(best[-1], key=lambda name: best[-1][name][0])
    placed: dict[str, str] = {}
    level_of: dict[str, int] = {}
    end = len(parts)
    while end:
        _, source, start, device_of = best[end][device]
        placed.update(device_of)
        level_of.update(dict.fromkeys(entries(problem, whole[start]), 1))
        end, device = start, source
    return placed, level_of


def _spreads(
    simulator: CompiledSimulator,
    before: str | None,
    source: str,
    block: tuple[tuple[str, ...], ...],
    ops: tuple[str, ...],
) -> Iterator[tuple[float, dict[str, str]]]:
    """Ways to spread a block's branches, with the seconds from the end of ``before`` on ``source`` to its own end."""
    problem = simulator.problem
    level_of = dict.fromkeys(entries(problem, ops), 1)
    runnable = [
        [name for name in problem.platform.device_names if all(problem.latency(name, (op,)) for op in branch)]
        for branch in block
    ]

    def seconds(units: tuple[str, ...]) -> tuple[float, dict[str, str]]:
        device_of = {op: unit for branch, unit in zip(block, units, strict=True) for op in branch}
        known, first = ({**device_of, before: source}, (before,)) if before else (device_of, ())
        queues = queues_from_assignment(problem.graph, known, level_of, ops=(*first, *ops))
        try:
            return simulator.run(queues) - (problem.cost_s(source, (before,)) if before else 0.0), device_of
        except PlanError:  # some device refuses its share as one segment
            return math.inf, device_of

    if not all(runnable):
        return
    if math.prod(map(len, runnable)) <= MAX_PATTERNS:
        yield from map(seconds, product(*runnable))
        return
    units = tuple(names[0] for names in runnable)
    found = seconds(units)
    yield found
    improved = True
    while improved:
        improved = False
        for i, names in enumerate(runnable):
            for name in names:
                other = (*units[:i], name, *units[i + 1 :])
                tried = seconds(other)
                yield tried
                if tried[0] < found[0]:
                    units, found, improved = other, tried, True
