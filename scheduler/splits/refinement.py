"""Improves a plan of stages on rewritten problems: moves boundaries of parts, merges, cuts and drops splits.

Each candidate is a rewritten problem with its plan, simulated. A candidate is accepted if it ends earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from hetsim.core.errors import PlanError, ProblemError
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.core.timeline import Timeline
from hetsim.models.structure import Parts
from hetsim.scheduler.effort import Until
from hetsim.scheduler.splits.part_times import PartTimes
from hetsim.scheduler.splits.placement import split_plan
from hetsim.scheduler.stages import Stage, checked, merged, splitting_of, step_of
from hetsim.sim.simulate import simulate

Stages = tuple[Stage, ...]

GAIN = 1 - 1e-6
"""A candidate has to be faster by more than rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Stages, the plan that they make, and its simulation.

    Attributes:
        stages: The stages.
        plan: Their plan.
        timeline: Its simulated timeline.
    """

    stages: Stages
    plan: Plan
    timeline: Timeline

    @property
    def makespan_s(self) -> float:
        """The simulated makespan in seconds."""
        return self.timeline.makespan_s


class Refinement:
    """Candidates of one problem.

    Args:
        problem: A problem whose operators can be split.
        times: Estimates of parts, which each candidate corrects.
        coarse: Runs of whole blocks; splits are cut between them.
        max_candidates: How many candidates are made at most.
        until: When to end.

    Attributes:
        max_candidates: How many candidates are made at most.
        num_candidates: How many candidates were made.
    """

    def __init__(self, problem: Problem, times: PartTimes, coarse: Parts, max_candidates: int, until: Until) -> None:
        self._problem = problem
        self._times = times
        self._coarse = coarse
        self.max_candidates = max_candidates
        self._until = until
        self.num_candidates = 0

    @property
    def ended(self) -> bool:
        """Whether no candidate may be made any more."""
        return self.num_candidates >= self.max_candidates or self._until()

    def candidate(self, stages: Stages) -> Candidate | None:
        """The candidate with these stages; None if no plan of them is possible."""
        self.num_candidates += 1
        splits = tuple(split for stage in stages for split in stage.splits)
        try:
            plan = split_plan(self._problem, stages)
            if splits:
                self._times.learn(splits, self._problem.rewritten(splits))
            return Candidate(stages=stages, plan=plan, timeline=simulate(self._problem, plan))
        except (PlanError, ProblemError):
            return None

    def improved(self, best: Candidate) -> Candidate:
        """The candidate that no move makes faster, or the best one once the candidates are used up."""
        best = self._polished(self._balanced(best))
        improving = True
        while improving and not self.ended:
            improving = False
            for move in (self.without_one, self._merged, self._cut):
                found = self._best_of(best, move)
                if found.makespan_s < best.makespan_s * GAIN:
                    best, improving = self._balanced(found), True
            if improving:
                best = self._polished(best)
        return best

    def _best_of(self, best: Candidate, move: Callable[[Candidate], Iterator[Stages]]) -> Candidate:
        """The fastest of the candidates that a move leads to; the best so far if none is faster."""
        tried = best
        for stages in move(best):
            if self.ended:
                break
            found = self.candidate(stages)
            if found is not None and found.makespan_s < tried.makespan_s * GAIN:
                tried = found
        return tried

    def _balanced(self, best: Candidate) -> Candidate:
        """The candidate with all boundaries moved at once, as long as that helps."""
        while not self.ended:
            ends_s = self._ends_s(best)
            numbers = iter(range(len(ends_s)))
            stages = tuple(
                replace(
                    stage,
                    splits=tuple(
                        self._times.rebalanced(split, stage.devices, ends_s[next(numbers)]) for split in stage.splits
                    ),
                )
                for stage in best.stages
            )
            found = None if stages == best.stages else self.candidate(stages)
            if found is None or not found.makespan_s < best.makespan_s * GAIN:
                return best
            best = found
        return best

    def _ends_s(self, found: Candidate) -> list[tuple[float, ...]]:
        """By split and part, when the last operator that computes a part of it ends, in seconds."""
        end_of = {op: span.end_s for span in found.timeline.compute for op in span.ops}
        parts = self._problem.rewritten(found.plan.rewrites).parts if found.plan.rewrites else ()
        graph = self._problem.for_plan(found.plan).graph
        return [
            tuple(max(end_of[op] for op in ops if not graph.by_name[op].moves_data) for ops in each) for each in parts
        ]

    def without_one(self, best: Candidate) -> Iterator[Stages]:
        """One stage of parts on one device as a whole."""
        for i, stage in enumerate(best.stages):
            for device in stage.devices if stage.splits else ():
                alone = Stage(ops=stage.ops, devices=(device,))
                yield merged((*best.stages[:i], alone, *best.stages[i + 1 :]))

    def _merged(self, best: Candidate) -> Iterator[Stages]:
        """Two neighbouring stages of parts as one, where the same devices divide both by rows."""
        for i, (one, other) in enumerate(zip(best.stages, best.stages[1:], strict=False)):
            if one.devices == other.devices and one.splits and other.splits:
                yield from self._as_one(best.stages, i, i + 2, one.devices)

    def _as_one(self, stages: Stages, start: int, stop: int, devices: tuple[str, ...]) -> Iterator[Stages]:
        ops = tuple(op for stage in stages[start:stop] for op in stage.ops)
        split = self._times.row_split(ops, devices)
        if split is not None:
            yield (*stages[:start], Stage(ops=ops, devices=devices, splits=(split,)), *stages[stop:])

    def _cut(self, best: Candidate) -> Iterator[Stages]:
        """One stage of parts as two, each by rows or by channels."""
        for i, stage in enumerate(best.stages):
            for one, other in self._halves(stage.ops) if stage.splits else ():
                for first in self._ways(one, stage.devices):
                    for second in self._ways(other, stage.devices):
                        yield (*best.stages[:i], first, second, *best.stages[i + 1 :])

    def _halves(self, ops: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        """The run cut in two between blocks, in the middle first."""
        inside = frozenset(ops)
        ends = [len(block) for block in self._coarse if inside.issuperset(block)]
        cuts = [sum(ends[:i]) for i in range(1, len(ends)) if sum(ends) == len(ops)]
        for cut in sorted(cuts, key=lambda cut: abs(2 * cut - len(ops))):
            yield ops[:cut], ops[cut:]

    def _ways(self, ops: tuple[str, ...], devices: tuple[str, ...]) -> Iterator[Stage]:
        split = self._times.row_split(ops, devices)
        if split is not None:
            yield Stage(ops=ops, devices=devices, splits=(split,))
        splits = self._times.channel_splits(ops, devices)
        if splits:
            yield Stage(ops=ops, devices=devices, splits=splits)

    def _polished(self, best: Candidate) -> Candidate:
        """The candidate with single boundaries moved, one after the other, each as far as that helps."""
        for i, stage in enumerate(best.stages):
            for j, split in enumerate(stage.splits):
                for k in range(len(split.at)):
                    for sign in (1, -1):
                        best = self._moved(best, i, j, k, sign)
        return best

    def _moved(self, best: Candidate, i: int, j: int, k: int, sign: int) -> Candidate:
        """The candidate with boundary ``k`` of split ``j`` of stage ``i`` moved, by steps twice as long each time."""
        count = 1
        while not self.ended:
            stage = best.stages[i]
            split = stage.splits[j]
            size = splitting_of(self._problem).length(split.ops[-1], split.axis) or 0
            items = sign * count * step_of(split.axis, size, split.num_parts)
            at = (*split.at[:k], split.at[k] + items, *split.at[k + 1 :])
            if not all(low < high for low, high in pairwise((0, *at, size))):
                return best
            moved = checked(self._problem, split.ops, split.axis, at)
            if moved is None:
                return best
            splits = (*stage.splits[:j], moved, *stage.splits[j + 1 :])
            found = self.candidate((*best.stages[:i], replace(stage, splits=splits), *best.stages[i + 1 :]))
            if found is None or not found.makespan_s < best.makespan_s * GAIN:
                return best
            best, count = found, 2 * count
        return best


def whole_stages(stages: Sequence[Stage]) -> bool:
    """Whether no stage divides an operator."""
    return not any(stage.splits for stage in stages)
