"""A good start for the search: a shortest path over the graph's blocks, each fused with others or spread over devices.

Everything up to an articulation operator ends before anything after it starts. So if no segment reaches across one
except where whole blocks are fused into a *run*, the times of blocks and runs add up, and the best such plan is a
shortest path over (block boundary, device of the operator before it). An edge is either a run of blocks as one segment
or one block whose branches are spread over the devices; what such a block takes, the model says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, product

from hetsim.core.errors import PlanError
from hetsim.core.problem import Problem
from hetsim.models.structure import Parts, blocks, branches
from hetsim.scheduler.effort import FOREVER, Until
from hetsim.scheduler.segments import queues_from_assignment
from hetsim.scheduler.stretches import stretch_ends
from hetsim.sim.compiled import CompiledSimulator

MAX_PATTERNS = 256
"""Up to so many ways to spread a block's branches all are compared; beyond, one branch is changed at a time."""

MAX_CHANGES = 1000
"""So many changes are tried at most."""

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


@dataclass(frozen=True, slots=True)
class _Edge:
    """How a stretch of blocks came to its end.

    Attributes:
        seconds: From the start of all to its end.
        source: Device of the operator before it.
        start: Its first block.
        device_of: By operator its device, or the one device of them all.
    """

    seconds: float
    source: str
    start: int
    device_of: Mapping[str, str] | str


def blockwise(problem: Problem, simulator: CompiledSimulator, until: Until = FOREVER) -> Assignment | None:
    """Assignment (see :mod:`hetsim.scheduler.segments`) of the shortest path, or None if there is none.

    Ties go to the edge found first: runs before spread blocks, shorter runs before longer ones.

    Args:
        problem: The problem.
        simulator: Simulates it.
        until: Once it says yes, only single blocks on one device are looked at.
    """
    graph = problem.graph
    parts = block_branches(problem)
    whole = blocks(graph)
    names = tuple(op.name for op in graph.ops)
    begins = list(accumulate(map(len, whole), initial=0))
    best: list[dict[str, _Edge]] = [{} for _ in range(len(parts) + 1)]  # by blocks done and device of the last operator
    best[0][""] = _Edge(0.0, "", 0, "")

    def relax(start: int, source: str, end: int, seconds: float, device_of: Mapping[str, str] | str) -> None:
        total_s = best[start][source].seconds + seconds
        device = device_of if isinstance(device_of, str) else device_of[whole[end - 1][-1]]
        if device not in best[end] or total_s < best[end][device].seconds:
            best[end][device] = _Edge(total_s, source, start, device_of)

    all_ends = stretch_ends(list(map(len, whole)))
    for start, block in enumerate(parts):
        before = whole[start - 1][-1] if start else None
        # Everything that reads from before a stretch reads from the operator before it, in the stretch's first block.
        arriving = [tensor for tensor in graph.by_name[before].outputs if graph.consumers[tensor]] if before else []
        for device in problem.platform.device_names:
            for end in all_ends[start]:
                if end > start + 1 and until():
                    break
                latency = problem.latency(device, names[begins[start] : begins[end]])
                if latency is None:
                    continue
                for source in best[start]:
                    arrive_s = max((problem.hand_over_s(source, device, tensor) for tensor in arriving), default=0.0)
                    relax(start, source, end, arrive_s + latency.seconds, device)
        if len(block) > 1 and not until():
            for source in best[start]:
                for seconds, device_of in spreads(simulator, before, source, block, whole[start], until):
                    relax(start, source, start + 1, seconds, device_of)
    return _traced(problem, whole, best)


def _traced(problem: Problem, whole: Parts, best: Sequence[Mapping[str, _Edge]]) -> Assignment | None:
    """The assignment of the path that ends first."""
    if not best[-1]:
        return None
    device = min(best[-1], key=lambda name: best[-1][name].seconds)
    placed: dict[str, str] = {}
    level_of: dict[str, int] = {}
    end = len(whole)
    while end:
        edge = best[end][device]
        for ops in whole[edge.start : end]:
            for op in ops:
                placed[op] = edge.device_of if isinstance(edge.device_of, str) else edge.device_of[op]
        level_of.update(dict.fromkeys(entries(problem, whole[edge.start]), 1))
        end, device = edge.start, edge.source
    return placed, level_of


def spreads(
    simulator: CompiledSimulator,
    before: str | None,
    source: str,
    block: tuple[tuple[str, ...], ...],
    ops: tuple[str, ...],
    until: Until,
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
        for pattern in product(*runnable):
            yield seconds(pattern)
            if until():
                return
        return
    units = tuple(names[0] for names in runnable)
    found = seconds(units)
    yield found
    improved, num_tried = True, 0
    while improved:
        improved = False
        for i, names in enumerate(runnable):
            for name in names:
                other = (*units[:i], name, *units[i + 1 :])
                if until() or num_tried == MAX_CHANGES:
                    return
                num_tried += 1
                tried = seconds(other)
                yield tried
                if tried[0] < found[0]:
                    units, found, improved = other, tried, True
