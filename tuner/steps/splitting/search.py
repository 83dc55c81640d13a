"""The proposer of plans in which several devices work on one operator.

First, serial runs of plans that share every run of some length measure all runs of that length at once. Then a shortest
path over the cuts says which runs to share and which to leave to one device (:mod:`hetsim.scheduler.stages`), with
shares moved until the devices should end at the same time. The plan of that path is replayed, and the path is sought
again with what was measured, until it stays the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hetsim.core.plan import Plan
from hetsim.models.model import random_inputs
from hetsim.models.split.check import first_difference
from hetsim.models.split.rewrite import rewrite
from hetsim.runtime import RefusedError
from hetsim.runtime.measure.profiler import Effort
from hetsim.scheduler.stages import Stage, stage_plan
from hetsim.tuner.context import TuningContext
from hetsim.tuner.deadline import Deadline
from hetsim.tuner.progress import Report
from hetsim.tuner.steps.proposals import SPLITS, Proposals
from hetsim.tuner.steps.splitting.choice import fastest_known
from hetsim.tuner.steps.splitting.serial_runs import plans_to_measure
from hetsim.tuner.steps.splitting.shared_runs import shared_runs
from hetsim.tuner.steps.splitting.times import PartTimes, RunTimes

_DISTURBED_RATIO = 1.5
"""A part that takes this many times as long as the whole run should take was disturbed by something else."""
_NUM_PLANS = 4
"""The number of best plans to propose: an order that replays tell by a few percent may differ in parallel execution."""
_MAX_ROUNDS = 8
_MAX_ROUNDS_WITHOUT_GAIN = 3
"""After this many rounds without a faster replay, new proposals differ by noise only."""
_SERIAL_RUNS_SHARE = 0.75
"""The part of the time left that is for serial runs of many lengths; the rest is for replays of proposals."""


@dataclass(frozen=True, kw_only=True)
class SplitEffort:
    """How thoroughly to look for splits.

    Attributes:
        budget_s: No serial run of many lengths begins after this many seconds; some rounds of the search follow.
        budget_runs: That time is longer by what so many inferences take on the fastest device, as serial runs of large
            networks take longer.
        serial_run: How often plans that measure many runs are run serially.
        replay: How often plans that the search proposes are.
    """

    budget_s: float = 20.0
    budget_runs: int = 600
    serial_run: Effort = field(default_factory=lambda: Effort(repeats=6, warm_ups=3, budget_s=1.5, stall_budget_s=0.1))
    replay: Effort = field(default_factory=lambda: Effort(repeats=12, warm_ups=4, budget_s=4.0))


def propose_splits(
    context: TuningContext, known: Proposals, deadline: Deadline, effort: SplitEffort | None = None
) -> Proposals:
    """The best plans with splits that were found, as ``splits``, ``splits 2`` and so on; none where splits cannot help.

    Args:
        context: The devices; the profile gains the serial runs.
        known: What was proposed before.
        deadline: When to end with what has been found by then.
        effort: How thoroughly to look.

    Raises:
        DeviceError: If a device failed.
    """
    if deadline.passed():
        return known
    with context.stages.stage("splits") as report:
        found = _Search(context, effort or SplitEffort(), report).run(deadline)
        for plan in found[:1]:
            for run in shared_runs(context.model, plan):
                context.stages.say(f"splits: {run}")
    names = (SPLITS, *(f"{SPLITS} {number}" for number in range(2, len(found) + 1)))
    return known.with_plans({name: replace(plan, scheduler=name) for name, plan in zip(names, found, strict=False)})


class _Search:
    """The measured times, and the plans replayed so far."""

    def __init__(self, context: TuningContext, effort: SplitEffort, report: Report) -> None:
        self._context = context
        self._effort = effort
        self._report = report
        self._times = RunTimes(context)
        self._replayed: dict[str, tuple[float, Plan]] = {}  # by digest: makespan in seconds, plan

    def run(self, deadline: Deadline) -> list[Plan]:
        """Measure, then propose and replay until the proposal stays; returns the plans with the shortest replays.

        If the deadline passes before the first replay, the first proposal is returned without one, if there is any.
        """
        if len(self._times.sharing) < 2:
            return []
        self._measure_runs(deadline)
        ended = self._improve(deadline)
        self._context.stages.say(f"splits end: {ended}")
        best = sorted(self._replayed.values(), key=lambda entry: entry[0])[:_NUM_PLANS]
        return [plan for _, plan in best if self._is_right(plan)]

    def _measure_runs(self, deadline: Deadline) -> None:
        """Measure runs of many lengths, until the effort is spent or the deadline has passed."""
        everything = self._times.ops(0, self._times.num_blocks)
        fastest_s = min(self._times.whole_s(device, everything) for device in self._times.sharing)
        longest_s = self._effort.budget_s + self._effort.budget_runs * fastest_s
        end = deadline.part(_SERIAL_RUNS_SHARE).at_most(longest_s)
        plans = list(plans_to_measure(self._times))
        for number, stages in enumerate(plans):
            if end.passed():
                break
            self._report(0.8 * number / len(plans), f"serial run {number + 1} of {len(plans)}")
            self._measure(stages, self._effort.serial_run)

    def _improve(self, deadline: Deadline) -> str:
        """Propose, replay and propose again; returns why that ended."""
        fastest_s, fastest_round = math.inf, 0
        for number in range(_MAX_ROUNDS):
            self._report(0.8 + 0.2 * number / _MAX_ROUNDS, f"round {number + 1}")
            chosen, predicted_s = fastest_known(self._times)
            if not any(stage.splits for stage in chosen):
                return "no split is predicted to be faster"
            plan = stage_plan(self._times.problem, chosen)
            if plan.digest in self._replayed:
                break
            if deadline.passed():
                if not self._replayed and self._context.refusal(plan) is None:
                    self._replayed[plan.digest] = predicted_s, plan
                return deadline.reason
            if not self._measure(chosen, self._effort.replay):
                return "an engine refuses what is proposed"
            replayed_s = self._context.makespan_s(plan)
            num_splits = sum(len(stage.splits) for stage in chosen)
            self._context.stages.say(
                f"splits, round {number + 1}: {num_splits} splits in {len(chosen)} stages, predicted "
                f"{predicted_s * 1e3:.2f} ms, {replayed_s * 1e3:.2f} ms once replayed"
            )
            self._replayed[plan.digest] = replayed_s, plan
            if replayed_s < fastest_s:
                fastest_s, fastest_round = replayed_s, number
            elif number - fastest_round >= _MAX_ROUNDS_WITHOUT_GAIN:
                return f"{_MAX_ROUNDS_WITHOUT_GAIN} rounds found nothing faster"
        return "the proposal stays the same"

    def _is_right(self, plan: Plan) -> bool:
        """Whether the reference engine gives the same outputs for the rewritten model."""
        model = self._context.model
        differing = first_difference(model, plan.rewrites, random_inputs(model))
        if differing is not None:
            self._context.stages.say(
                f"splits: a plan is rejected, as its tensor {differing!r} differs from the reference"
            )
        return differing is None

    def _measure(self, stages: Sequence[Stage], effort: Effort) -> bool:
        """Replay a plan of stages and note what each stage took; returns whether all engines took it."""
        plan = stage_plan(self._times.problem, stages)
        try:
            name = self._context.replay(plan, effort)
            times_s = self._times_s(stages, plan, name)
            if self._disturbed(stages, times_s):
                self._context.replay(plan, effort, anew=True)
                times_s = self._times_s(stages, plan, name)
        except RefusedError as refusal:
            self._context.note(refusal)
            return False
        self._times.note(stages, times_s)
        return True

    def _times_s(self, stages: Sequence[Stage], plan: Plan, name: str) -> list[PartTimes]:
        """What each part of each split of each stage took in seconds; a stage on one device is one part.

        Args:
            stages: The stages.
            plan: Their plan.
            name: Of the profile's context that holds the plan's serial runs.
        """
        parts = iter(rewrite(self._context.model, plan.rewrites).parts)
        ending = {segment.ops[-1]: segment.ops for segment in plan.segments}

        def seconds(device: str, ops: tuple[str, ...]) -> float:
            # The lower quartile: samples are few, and pauses that others cause are in the upper half.
            return float(np.percentile(self._context.file.profile.samples_s(device, ops, name), 25))

        found: list[PartTimes] = []
        for stage in stages:
            each = [(ending[stage.ops[-1]],)] if not stage.splits else [next(parts) for _ in stage.splits]
            found.append(tuple(tuple(map(seconds, stage.devices, ops)) for ops in each))
        return found

    def _disturbed(self, stages: Sequence[Stage], times_s: Sequence[PartTimes]) -> bool:
        """Whether some part of a run took much longer than the whole run should take."""
        return any(
            seconds > _DISTURBED_RATIO * self._times.whole_s(device, stage.ops)
            for stage, each in zip(stages, times_s, strict=True)
            if len(each) == 1
            for device, seconds in zip(stage.devices, each[0], strict=True)
        )
