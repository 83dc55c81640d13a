"""The final measurement: execute plans in interleaved rounds, and simulate each from its own serial runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from hetsim.core.plan import Plan
from hetsim.core.statistics import Summary, summarize
from hetsim.core.timeline import Timeline
from hetsim.models.model import Model
from hetsim.runtime import Inference, Session
from hetsim.runtime.measure.interleaved import RUNS_PER_ROUND, InterleavedRounds
from hetsim.runtime.measure.profiler import record
from hetsim.tuner.context import TuningContext
from hetsim.tuner.progress import Report
from hetsim.tuner.steps.expected_outputs import ExpectedOutputs, tolerance
from hetsim.tuner.steps.race import Race

_LOADED_WEIGHTS_BYTES = 1200 * 2**20


@dataclass(frozen=True, kw_only=True)
class Execution:
    """A plan's executions.

    Attributes:
        plan: The plan.
        latency: From submission to the last segment's end, over all runs.
        round_medians_s: The median latency of each round, in seconds.
        median_run: The timeline of the run that is nearest to the medians of all starts and ends.
        largest_error: Largest difference from the expected outputs, relative to the largest value of the output; of
            all timed runs, and of one on other inputs.
        hand_over_s: Duration of every hand-over that a device waited for, over all runs, in seconds.
    """

    plan: Plan
    latency: Summary
    round_medians_s: tuple[float, ...]
    median_run: Timeline
    largest_error: float
    hand_over_s: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A plan that was executed.

    Attributes:
        plan: The plan.
        simulated: From costs that its own serial runs gave.
        execution: What its parallel executions gave.
    """

    plan: Plan
    simulated: Timeline
    execution: Execution


def measure_finalists(
    context: TuningContext, plans: Mapping[str, Plan], title: str = "execute", *, is_race: bool = False
) -> dict[str, Finalist]:
    """Execute and replay every distinct plan, all in interleaved rounds, and simulate each from its replays.

    Args:
        context: The devices.
        plans: The plans by name.
        title: Name of the stage.
        is_race: Whether plans are executed only until the fastest is known (:mod:`hetsim.tuner.steps.race`).

    Returns:
        The finalists under the names of their plans, in the order of ``plans``; equal plans share one.

    Raises:
        DeviceError: If a device failed.
    """
    distinct = {plan.digest: plan for plan in plans.values()}
    with context.stages.stage(title) as report:
        executions = execute(context, list(distinct.values()), report, is_race=is_race)
    finalists = {
        digest: Finalist(plan=plan, simulated=context.simulate(plan), execution=execution)
        for (digest, plan), execution in zip(distinct.items(), executions, strict=True)
    }
    return {name: finalists[plan.digest] for name, plan in plans.items()}


def execute(context: TuningContext, plans: Sequence[Plan], report: Report, *, is_race: bool = False) -> list[Execution]:
    """Run each plan many times, in rounds of a few runs: as planned, and as a serial replay for the profile.

    Both are requests to one session in the same buffers, so that they differ in nothing but what runs in parallel. A
    round of a plan begins with a run that is not counted, since it finds the caches filled by another plan and takes up
    to twice as long; the next takes at most 1 % longer. A serial replay follows, a few parallel runs, and another
    replay. While a core is slow rounds are put off, and one that met a slow core counts only where time runs out
    (:mod:`hetsim.runtime.measure.interleaved`). As many plans as fit into memory are loaded together and interleaved;
    where not all fit, all groups are gone through twice. The replays' samples go to the context's file, under
    ``final:DIGEST``; those of the parallel runs go into the result alone.

    Args:
        context: The devices.
        plans: Distinct plans.
        report: Told how far it is.
        is_race: Whether plans that are surely slower leave before the last round. Where the outputs of one are not
            precise, none does, as the fastest may be wrong.

    Raises:
        DeviceError: If a device failed.
    """
    groups, inputs, pace = _groups(context.model, plans), context.expected.inputs, context.options.pace
    race = Race(range(len(plans)))
    passes = 1 if len(groups) == 1 else 2
    runs: list[list[Inference]] = [[] for _ in plans]
    replays: list[list[Inference]] = [[] for _ in plans]
    errors = [0.0 for _ in plans]
    num_rounds = 0  # the same for all, since plans are compared round by round
    for number in range(passes * len(groups)):
        with ExitStack() as stack:
            sessions: dict[int, Session] = {}
            for index in groups[number % len(groups)]:
                if index not in race.running:
                    continue
                report(number / (passes * len(groups)), f"compiling plan {index + 1} of {len(plans)}")
                sessions[index] = stack.enter_context(context.load(plans[index]))
                first = sessions[index].run(inputs, serial=True)  # engines allocate on their first run
                errors[index] = max(
                    context.expected.error(first.outputs), _error_on_other_inputs(context, sessions[index])
                )
            if not sessions:
                continue
            if not num_rounds:
                slowest_s = max(session.run(inputs, serial=True).latency_s for session in sessions.values())
                num_rounds = -(-pace.rounds(slowest_s) // passes)
            stall_budget_s = pace.stall_budget_s / (passes * len(groups))
            rounds = InterleavedRounds(
                sessions,
                inputs,
                context.runtime.interference_monitor,
                num_rounds=num_rounds,
                stall_budget_s=stall_budget_s,
                after_round=race.after_round if is_race and _are_right(context, plans, errors) else None,
            )
            for done in rounds.run_all():
                report((number + done) / (passes * len(groups)), "executing plans in interleaved rounds")
            for index in sessions:
                runs[index] += rounds.runs_of(index)
                replays[index] += [replay for each in rounds.rounds_of(index) for replay in each.replays]
    for plan, results in zip(plans, replays, strict=True):
        record(context.file, results, f"final:{plan.digest}", splits=plan.rewrites)
    return [
        _execution(plan, results, context.expected, error)
        for plan, results, error in zip(plans, runs, errors, strict=True)
    ]


def find_median_run(runs: Sequence[Inference]) -> Inference:
    """The run that is nearest to the medians of all segments' starts and ends; ties go to the earliest.

    Args:
        runs: At least one, all of the same plan.
    """
    stamps_ns = np.array([run.stamps_ns - run.submitted_ns for run in runs])
    distance_ns = np.abs(stamps_ns - np.median(stamps_ns, axis=0)).sum(axis=(1, 2))
    return runs[int(distance_ns.argmin())]


def _groups(model: Model, plans: Sequence[Plan]) -> list[list[int]]:
    """Indices of the plans that are loaded together: their compiled weights share a limit."""
    weight_bytes = max(1, sum(op.weight_bytes for op in model.graph.ops))
    size = max(1, _LOADED_WEIGHTS_BYTES // weight_bytes)
    return [list(range(start, min(start + size, len(plans)))) for start in range(0, len(plans), size)]


def _are_right(context: TuningContext, plans: Sequence[Plan], errors: Sequence[float]) -> bool:
    """Whether the outputs computed so far are as precise as those of single devices."""
    alone = [error for plan, error in zip(plans, errors, strict=True) if len(plan.queues) == 1]
    return max(errors) <= tolerance(context.platform, alone)


def _error_on_other_inputs(context: TuningContext, session: Session) -> float:
    """The error of one run on other inputs than those that are timed; emulated devices have outputs for these alone."""
    other = context.expected.other
    if other is None or context.target.is_emulated:
        return 0.0
    return other.error(session.run(other.inputs, serial=True).outputs)


def _execution(plan: Plan, runs: list[Inference], expected: ExpectedOutputs, error: float) -> Execution:
    return Execution(
        plan=plan,
        latency=summarize([run.latency_s for run in runs]),
        round_medians_s=tuple(
            float(np.median([run.latency_s for run in runs[i : i + RUNS_PER_ROUND]]))
            for i in range(0, len(runs), RUNS_PER_ROUND)
        ),
        median_run=find_median_run(runs).timeline,
        largest_error=max(error, *(expected.error(run.outputs) for run in runs)),
        hand_over_s=tuple(span.duration_s for run in runs for span in run.timeline.spans if span.kind == "hand-over"),
    )
