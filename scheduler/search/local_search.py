"""A seeded local search over the device of every branch and the first operators of segments.

It goes by late acceptance hill climbing: E. K. Burke, Y. Bykov, "The late acceptance Hill-Climbing heuristic", European
Journal of Operational Research 258(1), 2017. A candidate is an assignment: a device and a level for each operator
(:mod:`hetsim.scheduler.segments`): every candidate is a valid plan, and every valid plan is one.

numba is imported where a search begins.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hetsim.core.dataflow import resolve
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.models.structure import branches, fused_chains
from hetsim.scheduler.effort import MAX_EVALUATIONS, Effort
from hetsim.scheduler.search.assigned_plans import Assigned, AssignedPlans
from hetsim.scheduler.search.blockwise import block_branches, entries
from hetsim.scheduler.segments import assignment_of, plan_from_assignment
from hetsim.sim.compiled import CompiledSimulator
from hetsim.sim.kernel.arrays import Ints

MEMORY = 40
"""A candidate may be as slow as the one accepted so many evaluations ago."""
MAX_EVALUATIONS_WITHOUT_GAIN = 600
"""After so many evaluations without a better plan the local search returns to the best plan."""
TIE_S = 1e-12
"""Times that round to the same multiple of this are ties."""
PROGRESS_EVERY = 20

_Ops = NDArray[np.intp]
"""Positions of operators in the graph."""


class _Group(NamedTuple):
    """Operators that move together.

    Attributes:
        ops: All of them, in topological order.
        entries: Those that read from none of them; raising these begins a segment.
        on: By device, those that it can run.
    """

    ops: _Ops
    entries: _Ops
    on: tuple[_Ops, ...]


class LocalSearch:
    """Candidates of one problem, and where to go from one of them.

    Args:
        problem: The problem.
        seed: Seed of all random choices.
        simulator: The simulator of the problem.
    """

    def __init__(self, problem: Problem, seed: int, simulator: CompiledSimulator) -> None:
        graph = problem.graph
        self._problem = problem
        self._random = random.Random(seed)
        self._plans = AssignedPlans(problem, simulator)
        self._names = tuple(op.name for op in graph.ops)
        devices = problem.platform.device_names
        self._devices = range(len(devices))
        self._device = {name: number for number, name in enumerate(devices)}
        self._runs = np.array([[problem.latency(name, (op,)) is not None for op in self._names] for name in devices])
        chains = fused_chains(graph)
        self._chains = list(map(self._group, chains))
        chain_of = {op: chain for chain in chains for op in chain}
        larger = (branch for branch in branches(graph) if not set(branch) < set(chain_of[branch[0]]))
        self._units = list(map(self._group, dict.fromkeys((*larger, *chains))))
        parts = block_branches(problem)
        self._branches = [list(map(self._group, block)) for block in parts]
        self._blocks = [self._group(graph.ordered(op for part in block for op in part)) for block in parts]
        self._moves = (
            self._move_unit,
            self._move_unit,
            self._move_cut,
            self._move_cut,
            self._fuse_run,
            self._spread_block,
            self._move_stretch,
        )

    def candidate(self, device_of: Mapping[str, str], level_of: Mapping[str, int]) -> Assigned | None:
        """The candidate with these devices and levels; None if a device refuses one of its segments."""
        device = np.array([self._device[device_of[op]] for op in self._names], np.uint32)
        return self._plans.simulate(device, np.array([level_of.get(op, 0) for op in self._names], np.uint32))

    def candidate_of(self, plan: Plan) -> Assigned | None:
        """The candidate that is a valid plan; None if a device refuses one of its segments."""
        return self.candidate(*assignment_of(resolve(self._problem.graph, plan)))

    def climbed(self, start: Assigned, effort: Effort) -> tuple[Plan, int]:
        """The best plan found from a start, never slower than that, and how many candidates were evaluated.

        Args:
            start: The candidate to start from.
            effort: Evaluations are candidates.
        """
        limit = MAX_EVALUATIONS if effort.max_evaluations is None else effort.max_evaluations
        current = best = start
        history = [current.makespan_s] * MEMORY
        best_at = 0
        num_evaluations = 0
        while num_evaluations < limit and not effort.stop():
            i = num_evaluations
            if effort.progress is not None and i % PROGRESS_EVERY == 0:
                effort.progress(i, limit, best.makespan_s)  # of segments that were not tried nothing is known
            candidate = self._neighbour(current)
            num_evaluations += 1
            if candidate is not None and candidate.makespan_s <= max(current.makespan_s, history[i % MEMORY]):
                current = candidate
                if rank(candidate) < rank(best):
                    best, best_at = candidate, i
            history[i % MEMORY] = min(history[i % MEMORY], current.makespan_s)
            if i - best_at == MAX_EVALUATIONS_WITHOUT_GAIN:
                current, best_at = best, i
                history = [best.makespan_s * (1.0 + 0.02 * self._random.random()) for _ in range(MEMORY)]
        if effort.progress is not None:
            effort.progress(limit, limit, best.makespan_s)
        devices = self._problem.platform.device_names
        device_of = {op: devices[number] for op, number in zip(self._names, best.device, strict=True)}
        level_of = {op: int(levels) for op, levels in zip(self._names, best.extra_levels, strict=True)}
        return plan_from_assignment(self._problem, "search", device_of, level_of), num_evaluations

    def _neighbour(self, current: Assigned) -> Assigned | None:
        """A random step from ``current``, or None if it leads nowhere."""
        device, extra_levels = current.device.copy(), current.extra_levels.copy()
        self._random.choice(self._moves)(device, extra_levels)
        return self._plans.simulate(device, extra_levels, current)

    def _group(self, ops: tuple[str, ...]) -> _Group:
        position = self._problem.graph.position
        found = np.array([position[op] for op in ops], np.intp)
        first = np.array([position[op] for op in entries(self._problem, ops)], np.intp)
        return _Group(found, first, tuple(found[runs[found]] for runs in self._runs))

    def _neighbours(self, groups: list[_Group], rate: float) -> list[_Group]:
        """One group and, on average, about ``1 / rate`` of those that follow it."""
        first = self._random.randrange(len(groups))
        return groups[first : first + int(self._random.expovariate(rate)) + 1]

    def _move_unit(self, device: Ints, extra_levels: Ints) -> None:
        """A branch, or a chain of it, to some device."""
        unit = self._random.choice(self._units)
        number = self._random.choice(self._devices)
        device[unit.on[number]] = number
        if self._random.random() < 0.5:
            extra_levels[unit.ops[0]] = self._random.randrange(2)

    def _move_cut(self, device: Ints, extra_levels: Ints) -> None:  # noqa: ARG002  (all moves alike)
        """Begin a segment before a branch or chain, or no longer, or put it off."""
        unit = self._random.choice(self._units)
        extra_levels[unit.ops[0]] = self._random.randrange(3)

    def _fuse_run(self, device: Ints, extra_levels: Ints) -> None:
        """One to a few neighbouring blocks as one segment."""
        blocks = self._neighbours(self._blocks, 0.4)
        number = self._random.choice(self._devices)
        for block in blocks:
            device[block.on[number]] = number
            extra_levels[block.ops] = 0
        extra_levels[blocks[0].entries] = self._random.randrange(2)

    def _spread_block(self, device: Ints, extra_levels: Ints) -> None:
        """Each branch of a block to some device."""
        k = self._random.randrange(len(self._blocks))
        for branch in self._branches[k]:
            number = self._random.choice(self._devices)
            device[branch.on[number]] = number
        extra_levels[self._blocks[k].entries] = self._random.randrange(2)

    def _move_stretch(self, device: Ints, extra_levels: Ints) -> None:
        """A few neighbouring chains to one device, fused where they can be."""
        chains = self._neighbours(self._chains, 0.3)
        number = self._random.choice(self._devices)
        for chain in chains:
            device[chain.on[number]] = number
            extra_levels[chain.ops[0]] = 0
        extra_levels[chains[0].ops[0]] = self._random.randrange(2)


def rank(candidate: Assigned) -> tuple[int, int, int]:
    """Less is better: the makespan, where that is a tie the segments, then the devices."""
    num_devices = int(np.count_nonzero(np.diff(candidate.queue_start)))
    return round(candidate.makespan_s / TIE_S), len(candidate.queue), num_devices


def improved(problem: Problem, start: Plan, effort: Effort) -> tuple[Plan, int]:
    """The best plan of the local search from one plan, never slower than that, and how many candidates it evaluated.

    Args:
        problem: The problem.
        start: A valid plan for it.
        effort: Evaluations are candidates, :data:`~hetsim.scheduler.effort.MAX_EVALUATIONS` if none are given.
    """
    local_search = LocalSearch(problem, effort.seed, CompiledSimulator(problem))
    first = local_search.candidate_of(start)
    return (start, 0) if first is None else local_search.climbed(first, effort)
