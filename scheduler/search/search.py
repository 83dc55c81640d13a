"""The best that is known here: exact where a problem falls apart, a seeded local search where it does not.

Where fusing gains nothing, plans of single operators are all that matters: if exact planning
(:mod:`hetsim.scheduler.exact.exact`) does not prove its plan, annealing (:mod:`hetsim.scheduler.search.anneal`) goes on
from the best of it and the list schedulers. A plan that takes no longer than the least that any assignment gives its
busiest device to do is proven the fastest of all.

Where fusing may pay, a local search over the device of every branch and the first operators of segments starts from the
best of exact planning, of every baseline and of a shortest path over blocks (:mod:`hetsim.scheduler.search.blockwise`),
and goes by late acceptance hill climbing: E. K. Burke, Y. Bykov, "The late acceptance Hill-Climbing heuristic",
European Journal of Operational Research 258(1), 2017. A candidate is an assignment: a device and a level for each
operator (:mod:`hetsim.scheduler.segments`): every candidate is a valid plan, and every valid plan is one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from hetsim.core.dataflow import resolve
from hetsim.core.errors import PlanError
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.models.structure import branches, fused_chains
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
from hetsim.scheduler.search.blockwise import block_branches, blockwise, entries
from hetsim.scheduler.segments import Queues, assignment_of, plan_from_assignment, queues_from_assignment
from hetsim.scheduler.solution import Solution
from hetsim.sim.compiled import CompiledSimulator
from hetsim.sim.simulate import makespan_s

MAX_EVALUATIONS = 3000
MEMORY = 40
"""A candidate may be as slow as the one accepted so many evaluations ago."""
MAX_EVALUATIONS_WITHOUT_GAIN = 600
"""After so many evaluations without a better plan the local search returns to the best plan."""
EXACT_SHARE = 0.5
"""Of a time limit, for exact planning."""
TIE_S = 1e-12
"""Times that round to the same multiple of this are ties."""
PROGRESS_EVERY = 20


@dataclass(frozen=True)
class _Candidate:
    """An assignment, the queues that it makes, and their simulated makespan."""

    device_of: dict[str, str]
    level_of: dict[str, int]
    queues: Queues
    makespan_s: float
    rank: tuple[int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        num_segments = sum(map(len, self.queues.values()))
        object.__setattr__(self, "rank", (round(self.makespan_s / TIE_S), num_segments, len(self.queues)))


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
    local_search = _LocalSearch(problem, random.Random(effort.seed))
    start = min(local_search.starts(proof.plan, effort), key=lambda candidate: candidate.rank)
    return _climbed(local_search, start, effort)


def improved(problem: Problem, start: Plan, effort: Effort) -> tuple[Plan, int]:
    """The best plan of the local search from one plan, never slower than that, and how many candidates it evaluated.

    Args:
        problem: The problem.
        start: A valid plan for it.
        effort: As for :func:`search`.
    """
    local_search = _LocalSearch(problem, random.Random(effort.seed))
    first = local_search.candidate(start)
    return (start, 0) if first is None else _climbed(local_search, first, effort)


def _climbed(local_search: _LocalSearch, start: _Candidate, effort: Effort) -> tuple[Plan, int]:
    """Late acceptance hill climbing."""
    limit = MAX_EVALUATIONS if effort.max_evaluations is None else effort.max_evaluations
    current = best = start
    history = [current.makespan_s] * MEMORY
    best_at = 0
    num_evaluations = 0
    while num_evaluations < limit and not effort.stop():
        i = num_evaluations
        if effort.progress is not None and i % PROGRESS_EVERY == 0:
            effort.progress(i, limit, best.makespan_s)  # of other segments than those that were tried nothing is known
        candidate = local_search.neighbour(current)
        num_evaluations += 1
        if candidate is not None and candidate.makespan_s <= max(current.makespan_s, history[i % MEMORY]):
            current = candidate
            if candidate.rank < best.rank:
                best, best_at = candidate, i
        history[i % MEMORY] = min(history[i % MEMORY], current.makespan_s)
        if i - best_at == MAX_EVALUATIONS_WITHOUT_GAIN:
            current, best_at = best, i
            history = [best.makespan_s * random_slack for random_slack in local_search.slacks(MEMORY)]
    if effort.progress is not None:
        effort.progress(limit, limit, best.makespan_s)
    return plan_from_assignment(local_search.problem, "search", best.device_of, best.level_of), num_evaluations


class _LocalSearch:
    """Candidates of one problem: where to start, and where to go from one of them."""

    def __init__(self, problem: Problem, generator: random.Random) -> None:
        self.problem = problem
        self._random = generator
        self._simulator = CompiledSimulator(problem)
        self._runnable = {op.name: problem.devices_for((op.name,)) for op in problem.graph.ops}
        self._names = problem.platform.device_names
        self._blocks = block_branches(problem)
        self._block_ops = [problem.graph.ordered(op for part in block for op in part) for block in self._blocks]
        self._chains = fused_chains(problem.graph)
        self._units = tuple(dict.fromkeys((*branches(problem.graph), *self._chains)))
        self._moves = (
            self._move_unit,
            self._move_unit,
            self._move_cut,
            self._move_cut,
            self._fuse_run,
            self._spread_block,
            self._move_stretch,
        )

    def starts(self, exact_plan: Plan, effort: Effort) -> Iterator[_Candidate]:
        """The plan of exact planning, every single device, and as time allows every baseline and the shortest path over
        blocks."""
        problem, until = self.problem, effort.until()
        makers: list[Callable[[], Plan]] = [lambda: exact_plan]
        makers += [partial(single_device, problem, name) for name in whole_model_devices(problem)]
        makers += [partial(make, problem, effort) for make in (type_based, individual, partition_tuner)]
        for number, make in enumerate(makers):
            if number == 0 or not until():
                start = self.candidate(make())
                if start is not None:
                    yield start
        path = None if until() else blockwise(problem, self._simulator, until)
        start = None if path is None else self._evaluate(*path)
        if start is not None:
            yield start

    def candidate(self, plan: Plan) -> _Candidate | None:
        """The candidate that is a valid plan; None if a device refuses one of its segments."""
        return self._evaluate(*assignment_of(resolve(self.problem.graph, plan)))

    def neighbour(self, current: _Candidate) -> _Candidate | None:
        """A random step from ``current``, or None if it leads nowhere."""
        device_of, level_of = dict(current.device_of), dict(current.level_of)
        self._random.choice(self._moves)(device_of, level_of)
        queues = queues_from_assignment(self.problem.graph, device_of, level_of)
        if queues == current.queues:
            return None
        return self._evaluate(device_of, level_of, queues)

    def slacks(self, count: int) -> list[float]:
        """Factors of 1 to 1.02 by which a restarted local search may get worse."""
        return [1.0 + 0.02 * self._random.random() for _ in range(count)]

    def _evaluate(
        self, device_of: dict[str, str], level_of: dict[str, int], queues: Queues | None = None
    ) -> _Candidate | None:
        queues = queues or queues_from_assignment(self.problem.graph, device_of, level_of)
        try:
            makespan_s = self._simulator.run(queues)
        except PlanError:  # a device refuses one of the segments
            return None
        return _Candidate(device_of, level_of, queues, makespan_s)

    def _place(self, device_of: dict[str, str], ops: Sequence[str], device: str) -> None:
        """Put those of ``ops`` on a device that it can run."""
        for op in ops:
            if device in self._runnable[op]:
                device_of[op] = device

    def _cut_before(self, level_of: dict[str, int], ops: Sequence[str], levels: int) -> None:
        for op in ops:
            if levels:
                level_of[op] = levels
            else:
                level_of.pop(op, None)

    def _move_unit(self, device_of: dict[str, str], level_of: dict[str, int]) -> None:
        """A branch, or a chain of it, to some device."""
        unit = self._random.choice(self._units)
        self._place(device_of, unit, self._random.choice(self._names))
        if self._random.random() < 0.5:
            self._cut_before(level_of, unit[:1], self._random.randrange(2))

    def _move_cut(self, device_of: dict[str, str], level_of: dict[str, int]) -> None:  # noqa: ARG002  (all moves alike)
        """Begin a segment before a branch or chain, or no longer, or put it off."""
        self._cut_before(level_of, self._random.choice(self._units)[:1], self._random.randrange(3))

    def _fuse_run(self, device_of: dict[str, str], level_of: dict[str, int]) -> None:
        """One to a few neighbouring blocks as one segment."""
        first = self._random.randrange(len(self._blocks))
        last = min(first + int(self._random.expovariate(0.4)), len(self._blocks) - 1)
        device = self._random.choice(self._names)
        for ops in self._block_ops[first : last + 1]:
            self._place(device_of, ops, device)
            self._cut_before(level_of, ops, 0)
        self._cut_before(level_of, entries(self.problem, self._block_ops[first]), self._random.randrange(2))

    def _spread_block(self, device_of: dict[str, str], level_of: dict[str, int]) -> None:
        """Each branch of a block to some device."""
        k = self._random.randrange(len(self._blocks))
        for branch in self._blocks[k]:
            self._place(device_of, branch, self._random.choice(self._names))
        self._cut_before(level_of, entries(self.problem, self._block_ops[k]), self._random.randrange(2))

    def _move_stretch(self, device_of: dict[str, str], level_of: dict[str, int]) -> None:
        """A few neighbouring chains to one device, fused where they can be."""
        first = self._random.randrange(len(self._chains))
        last = min(first + int(self._random.expovariate(0.3)), len(self._chains) - 1)
        device = self._random.choice(self._names)
        for chain in self._chains[first : last + 1]:
            self._place(device_of, chain, device)
            self._cut_before(level_of, chain[:1], 0)
        self._cut_before(level_of, self._chains[first][:1], self._random.randrange(2))
