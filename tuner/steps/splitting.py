"""Plans in which several devices work on one operator: found by measuring parts of many sizes in few walks.

Each walk is a replay of a plan that shares every run of some length between the devices, so one walk measures all runs
of that length at once. With what the walks measured, a shortest path over the cuts says which runs to share and which
to leave to one device (:mod:`hetsim.scheduler.stages`); the shares are moved until the devices should end at once. What
that promises is replayed in turn, and the path is sought again with what was learnt, until it stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise

import numpy as np

from hetsim.core.errors import PlanError
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.split import Split
from hetsim.costs.problems import make_problem, plan_problem
from hetsim.costs.profile import Unsupported
from hetsim.costs.profile_file import ProfileFile
from hetsim.costs.split_costs import COPY_BYTES_PER_S
from hetsim.models.model import Model, random_inputs
from hetsim.models.split.check import first_difference
from hetsim.models.split.rewrite import rewrite
from hetsim.models.split.rules import rule_for
from hetsim.models.split.run import check_split
from hetsim.runtime import RefusedError, Runtime
from hetsim.runtime.measure.profiler import Effort, replay
from hetsim.runtime.worker.device_local import MODEL_PRECISION
from hetsim.scheduler.stages import (
    Option,
    Stage,
    balanced,
    channel_splits,
    coarse_blocks,
    fastest_stages,
    merged,
    row_split,
    stage_plan,
    step_of,
)
from hetsim.sim.simulate import makespan_s
from hetsim.tuner.progress import Report, Stages
from hetsim.tuner.steps.budget import Budget
from hetsim.tuner.steps.final_measurement import SPLITS
from hetsim.tuner.steps.sharing import shared_runs

MAX_BLOCKS = 16
"""Into how many blocks a network is cut at most: runs between cuts grow with the square of that."""
_LENGTHS = (2, 1, 3, 4, 6, 8, 12, 16)
"""Lengths of runs to measure, in blocks; the most telling first, as time may not suffice for all."""
_LEAST_FRACTION = 0.1
"""A device that is slower than this part of all together gets no share: it would not make up for the hand-over."""
_MAIN_FRACTION = 0.6
"""A device that is faster than this part of all together keeps some runs to itself: what they take there is measured
as well as what their parts take."""
_DISTURBED = 1.5
"""A part that takes so many times as long as the whole run should take there was disturbed by something else."""
_HAND_OVER_S = 2e-5
"""What one more exchange between devices takes beyond what its segments do. The hand-over is the least of it; the rest
is that now one device and now the other comes late."""
PartTimes = tuple[tuple[float, ...], ...]
"""What each part of each split of a stage takes, in seconds."""
_NUM_PLANS = 4
"""How many of the best plans are offered: what replays tell apart by a few percent may be the other way round when all
devices run."""
_ROUNDS = 8
_STALL_BUDGET = 3
"""After so many rounds none of which replayed faster than those before, what is proposed differs by noise."""
_SERIAL_RUNS_PART = 0.75
"""How much of a time limit is for the walks; the rest is for replays of what is proposed."""


@dataclass(frozen=True, kw_only=True)
class SplitEffort:
    """How hard to look for splits.

    Attributes:
        budget_s: No walk begins after so many seconds, but some rounds of the search follow.
        budget_runs: Add to that what so many inferences on the fastest device take: a large network's walks are longer.
        walk: How often the plans are walked that measure many runs.
        replay: How often those are that the search proposes.
    """

    budget_s: float = 20.0
    budget_runs: int = 600
    serial_run: Effort = field(default_factory=lambda: Effort(repeats=6, warm_ups=3, budget_s=1.5, stall_budget_s=0.1))
    replay: Effort = field(default_factory=lambda: Effort(repeats=12, warm_ups=4, budget_s=4.0))


def split_plans(
    runtime: Runtime,
    model: Model,
    platform: Platform,
    file: ProfileFile,
    stages: Stages,
    *,
    effort: SplitEffort | None = None,
    budget: Budget | None = None,
) -> dict[str, Plan]:
    """The best plans with splits that were found, as ``splits`` and ``splits 2``; nothing where splits cannot help.

    Args:
        runtime: The devices, awake.
        model: The model, as it was imported.
        platform: The devices with their calibrated numbers.
        file: The profile, covers done; gains the walks.
        stages: Where progress is shown.
        effort: How hard to look.
        budget: When to end whatever has been found by then; three quarters of the time are the walks'.

    Raises:
        DeviceError: If a device failed.
    """
    with stages.stage("splits") as report:
        search = _Search(runtime, model, platform, file, effort or SplitEffort(), report)
        found = search.run(stages, budget or Budget())
        for plan in found[:1]:
            for run in shared_runs(model, plan):
                stages.say(f"splits: {run}")
    names = (SPLITS, *(f"{SPLITS} {number}" for number in range(2, len(found) + 1)))
    return {name: replace(plan, scheduler=name) for name, plan in zip(names, found, strict=False)}


class _Search:
    """What is known of each run, and how it came to be known."""

    def __init__(
        self,
        runtime: Runtime,
        model: Model,
        platform: Platform,
        file: ProfileFile,
        effort: SplitEffort,
        report: Report,
    ) -> None:
        self._runtime, self._model, self._platform, self._file = runtime, model, platform, file
        self._effort, self._report = effort, report
        self._problem = make_problem(model, platform, file.profile)
        # By operators and whether what they read lay in parts; then by how they were split.
        self._shared_s: dict[tuple[tuple[str, ...], bool], dict[tuple[Split, ...], PartTimes]] = {}
        self._alone_s: dict[tuple[str, tuple[str, ...], bool, bool], float] = {}  # and whether it goes on in parts
        names = platform.device_names
        self._blocks = coarse_blocks(model, lambda ops: min(self._whole_s(d, ops) for d in names), MAX_BLOCKS)
        speeds = {d: 1 / self._whole_s(d, self._ops(0, len(self._blocks))) for d in names}  # 0 where it cannot
        total = sum(speeds.values())
        self._devices = tuple(d for d in names if speeds[d] >= _LEAST_FRACTION * total)
        total = sum(speeds[d] for d in self._devices)
        self._fractions = tuple(speeds[d] / total for d in self._devices)
        self._converts = any(platform.device(d).precision != MODEL_PRECISION for d in self._devices)

    def run(self, stages: Stages, budget: Budget) -> list[Plan]:
        """Walk, then propose and replay until the proposal stays; returns the plans with the shortest replays.

        If the budget ends before a replay, the first proposal is returned as it is, if there is one.
        """
        if len(self._devices) < 2:
            return []
        self._serial_run_all(budget)
        replayed: dict[str, tuple[float, Plan]] = {}
        fastest_s, fastest_round = math.inf, 0
        ended = "the proposal stays"
        for number in range(_ROUNDS):
            self._report(0.8 + 0.2 * number / _ROUNDS, f"round {number + 1}")
            chosen, promised_s = self._choose()
            if not any(stage.splits for stage in chosen):
                ended = "no split promises to gain"
                break
            plan = stage_plan(self._model, chosen)
            if plan.digest in replayed:
                break
            if budget.spent():
                ended = budget.reason
                if not replayed and self._is_accepted(plan):
                    replayed[plan.digest] = promised_s, plan
                break
            if not self._measure(chosen, self._effort.replay):
                ended = "an engine refuses what is proposed"
                break
            replayed_s = makespan_s(plan_problem(self._model, self._platform, self._file.profile, plan), plan)
            num_splits = sum(len(stage.splits) for stage in chosen)
            stages.say(
                f"splits, round {number + 1}: {num_splits} splits in {len(chosen)} stages, promised "
                f"{promised_s * 1e3:.2f} ms, {replayed_s * 1e3:.2f} ms once replayed"
            )
            replayed[plan.digest] = replayed_s, plan
            if replayed_s < fastest_s:
                fastest_s, fastest_round = replayed_s, number
            elif number - fastest_round >= _STALL_BUDGET:
                ended = f"{_STALL_BUDGET} rounds found nothing faster"
                break
        stages.say(f"splits end: {ended}")
        best = [plan for _, plan in sorted(replayed.values(), key=lambda entry: entry[0])[:_NUM_PLANS]]
        return [plan for plan in best if self._is_right(plan, stages)]

    def _serial_run_all(self, budget: Budget) -> None:
        """Measure runs of many lengths, until the effort or the budget is spent."""
        everything = self._ops(0, len(self._blocks))
        fastest_s = min(self._whole_s(device, everything) for device in self._devices)
        allowed = budget.part(_SERIAL_RUNS_PART).at_most(self._effort.budget_s + self._effort.budget_runs * fastest_s)
        serial_runs = list(self._serial_runs())
        for number, serial_run in enumerate(serial_runs):
            if allowed.spent():
                break
            self._report(0.8 * number / len(serial_runs), f"walk {number + 1} of {len(serial_runs)}")
            self._measure(serial_run, self._effort.serial_run)

    def _is_accepted(self, plan: Plan) -> bool:
        """Whether all engines take the plan's segments."""
        try:
            self._runtime.load(self._model, plan).close()
        except RefusedError:
            return False
        return True

    def _is_right(self, plan: Plan, stages: Stages) -> bool:
        differing = first_difference(self._model, plan.rewrites, random_inputs(self._model))
        if differing is not None:
            stages.say(f"splits: a plan is rejected, as its tensor {differing!r} differs from the reference")
        return differing is None

    def _whole_s(self, device: str, ops: tuple[str, ...]) -> float:
        known = self._alone_s.get((device, ops, False, False))
        return self._problem.cost_s(device, ops) if known is None else known

    def _ops(self, start: int, stop: int) -> tuple[str, ...]:
        return tuple(op for block in self._blocks[start:stop] for op in block)

    def _serial_runs(self) -> Iterator[tuple[Stage, ...]]:
        """Plans that share all runs of one length, for each length and each place where the first may begin."""
        seen: set[tuple[Stage, ...]] = set()
        for length in _LENGTHS:
            if length > len(self._blocks):
                break
            for offset in range(length):
                cuts = [0, *range(offset or length, len(self._blocks), length), len(self._blocks)]
                runs = list(pairwise(cuts))
                shared = tuple(stage for i, j in runs for stage in self._shared(i, j))
                main = (
                    tuple(Stage(ops=self._ops(i, j), devices=(device,)) for i, j in runs)
                    for device, fraction in zip(self._devices, self._fractions, strict=True)
                    if fraction > _MAIN_FRACTION
                )
                for serial_run in (shared, *main):
                    if serial_run not in seen:
                        seen.add(serial_run)
                        yield serial_run
            if length == _LENGTHS[0]:
                serial_run = tuple(stage for i in range(len(self._blocks)) for stage in self._by_channels(i))
                if any(stage.splits for stage in serial_run):
                    yield serial_run

    def _shared(self, start: int, stop: int) -> tuple[Stage, ...]:
        """The blocks as one shared run; or block by block where they cannot be, so that no other is kept from it."""
        ops = self._ops(start, stop)
        split = row_split(self._model, ops, self._shares(ops))
        if split is not None:
            return (Stage(ops=ops, devices=self._devices, splits=(split,)),)
        if stop - start > 1:
            return tuple(stage for i in range(start, stop) for stage in self._shared(i, i + 1))
        return (self._alone(ops),)

    def _by_channels(self, block: int) -> tuple[Stage, ...]:
        ops = self._blocks[block]
        splits = channel_splits(self._model, ops, self._shares(ops))
        if splits:
            return (Stage(ops=ops, devices=self._devices, splits=splits),)
        return self._shared(block, block + 1)

    def _shares(self, ops: tuple[str, ...]) -> tuple[float, ...]:
        """How much of a run each device should compute: devices are not equally good at every operator."""
        speeds = [1 / self._whole_s(device, ops) for device in self._devices]
        if not all(speeds):
            return self._fractions
        shares = [max(_LEAST_FRACTION, speed / sum(speeds)) for speed in speeds]
        return tuple(share / sum(shares) for share in shares)

    def _alone(self, ops: tuple[str, ...]) -> Stage:
        best = min(self._platform.device_names, key=lambda device: self._whole_s(device, ops))
        return Stage(ops=ops, devices=(best,))

    def _measure(self, stages: Sequence[Stage], effort: Effort) -> bool:
        """Replay a plan of stages and note what each stage took; whether all engines took it."""
        plan = stage_plan(self._model, stages)
        try:
            context = replay(self._runtime, self._model, plan, self._file, effort=effort)
            times_s = self._times_s(stages, plan, context)
            if self._disturbed(stages, times_s):
                replay(self._runtime, self._model, plan, self._file, effort=effort, anew=True)
                times_s = self._times_s(stages, plan, context)
        except RefusedError as refusal:
            self._file.add(Unsupported(device=refusal.device, ops=refusal.segment, reason=str(refusal)))
            return False
        after = False
        going_on = [bool(stage.splits) for stage in stages[1:]] + [False]
        for stage, taken_s, before in zip(stages, times_s, going_on, strict=True):
            if not stage.splits:
                self._alone_s[stage.devices[0], stage.ops, after, before] = taken_s[0][0]
            else:
                self._shared_s.setdefault((stage.ops, after), {})[stage.splits] = taken_s
            after = bool(stage.splits)
        return True

    def _times_s(self, stages: Sequence[Stage], plan: Plan, context: str) -> list[PartTimes]:
        """What each part of each split of each stage took in a walk, in seconds; a stage on one device is one part."""
        parts = iter(rewrite(self._model, plan.rewrites).parts)
        ending = {segment.ops[-1]: segment.ops for segment in plan.segments}

        def seconds(device: str, ops: tuple[str, ...]) -> float:
            # Few samples on a machine that does other things too: its pauses are in the upper half.
            return float(np.percentile(self._file.profile.samples_s(device, ops, context), 25))

        found: list[PartTimes] = []
        for stage in stages:
            each = [(ending[stage.ops[-1]],)] if not stage.splits else [next(parts) for _ in stage.splits]
            found.append(tuple(tuple(map(seconds, stage.devices, ops)) for ops in each))
        return found

    def _disturbed(self, stages: Sequence[Stage], times_s: Sequence[PartTimes]) -> bool:
        """Whether some part of a run took much longer than the whole run should: something else was running there."""
        return any(
            seconds > _DISTURBED * self._whole_s(device, stage.ops)
            for stage, each in zip(stages, times_s, strict=True)
            if len(each) == 1
            for device, seconds in zip(stage.devices, each[0], strict=True)
        )

    def _choose(self) -> tuple[tuple[Stage, ...], float]:
        """The fastest stages by all that is known, and how long they should take in seconds."""
        chosen, seconds = fastest_stages(len(self._blocks), lambda i, j, after: self._options(i, j, after=after))
        return merged(chosen), seconds

    def _options(self, start: int, stop: int, *, after: bool) -> list[Option]:
        """Ways to compute a run; ``after`` says whether what it reads lies in parts."""
        ops = self._ops(start, stop)
        found: list[Option] = []
        for device in self._platform.device_names:
            seconds = self._alone_s.get((device, ops, after, False))
            if seconds is None:
                seconds = self._alone_s.get((device, ops, after, True))
            if seconds is None:
                seconds = self._whole_s(device, ops) + (self._copy_s(start) if after else 0.0)
            found.append(Option(Stage(ops=ops, devices=(device,)), seconds + (_HAND_OVER_S if start else 0.0)))
        measured = self._shared_s.get((ops, after)) or self._shared_s.get((ops, not after), {})
        # A device that computed what is read here by itself could have kept it in a format of its own.
        given_out_s = self._copy_s(start) if self._converts and start and not after else 0.0
        for splits, times_s in measured.items():
            found.append(self._together(ops, splits, times_s, given_out_s))
            moved, moved_s = self._moved(splits, times_s)
            if moved not in measured:
                found.append(self._together(ops, moved, moved_s, given_out_s))
        return found

    def _together(
        self, ops: tuple[str, ...], splits: tuple[Split, ...], times_s: PartTimes, given_out_s: float
    ) -> Option:
        seconds = given_out_s + sum(max(each_s) + _HAND_OVER_S for each_s in times_s)
        return Option(Stage(ops=ops, devices=self._devices, splits=splits), seconds)

    def _copy_s(self, block: int) -> float:
        """A guess at what it takes to put together, or to convert, what the block before hands on."""
        graph = self._model.graph
        made = graph.outputs_of(self._ops(0, block))
        return 2 * sum(graph.tensors[tensor].num_bytes for tensor in made) / COPY_BYTES_PER_S

    def _moved(self, splits: tuple[Split, ...], times_s: PartTimes) -> tuple[tuple[Split, ...], PartTimes]:
        """The splits with shares that should take equally long, and how long; as they are where that gains nothing."""
        moved = [self._balanced(split, each_s) for split, each_s in zip(splits, times_s, strict=True)]
        return tuple(split for split, _ in moved), tuple(each_s for _, each_s in moved)

    def _balanced(self, split: Split, times_s: tuple[float, ...]) -> tuple[Split, tuple[float, ...]]:
        size = rule_for(self._model, split.ops[-1], split.axis).size
        widths = [high - low for low, high in zip((0, *split.at), (*split.at, size), strict=True)]
        rates = [self._whole_s(device, split.ops) / size for device in self._devices]
        if not all(map(math.isfinite, rates)):
            return split, times_s
        new_widths, new_s = balanced(widths, times_s, rates, step_of(split.axis, size, len(widths)))
        if max(new_s) >= max(times_s):
            return split, times_s
        moved = replace(split, at=tuple(accumulate(new_widths[:-1])))
        try:
            check_split(self._model, moved)
        except PlanError:
            return split, times_s
        return moved, new_s
