"""Execute plans side by side, so that drift hits them all alike, and hold their outputs against the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace

import numpy as np

from hetsim.core.plan import Plan, whole_plan
from hetsim.core.platform import Device, Platform
from hetsim.core.statistics import Summary, signed_rank_p, summarize
from hetsim.core.timeline import Timeline
from hetsim.costs.problems import plan_problem
from hetsim.costs.profile_file import ProfileFile
from hetsim.models.model import Model
from hetsim.runtime import Inference, RefusedError, Runtime, Session
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.emulation import Emulation
from hetsim.runtime.measure.interleaved import RUNS_PER_ROUND, InterleavedRounds
from hetsim.runtime.measure.profiler import record
from hetsim.sim.simulate import simulate
from hetsim.tuner.progress import Report
from hetsim.tuner.steps.truth import Truth, tolerance

SEARCH_ROUND = "search round "
"""How the plans of the search's rounds are called before the best of them is."""

SPLITS = "splits"
"""How the best plan in which devices share operators is called; those after it are numbered from 2."""

_FEWEST_ROUNDS = 6  # from so many on turns tell a plan from the fastest with 95 %
_WEIGHTS_AT_ONCE_BYTES = 1200 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often plans are executed.

    Attributes:
        num_runs: Counted executions of each plan, at least 3, and as many replays.
        budget_s: Plans so slow that this many seconds do not suffice are executed less often, but at least 18 times.
        stall_budget_s: For so long in all, executions are put off while something slows the cores down.
    """

    num_runs: int = 60
    budget_s: float = 2.5
    stall_budget_s: float = 15.0

    def rounds(self, latency_s: float) -> int:
        """How many turns of a few runs each a plan of that latency gets."""
        runs = min(self.num_runs, max(_FEWEST_ROUNDS * RUNS_PER_ROUND, round(self.budget_s / latency_s)))
        return -(-runs // RUNS_PER_ROUND)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """A plan's executions.

    Attributes:
        plan: The plan.
        latency: From submission to the last segment's end, over all runs.
        round_medians_s: The median latency of each turn, in seconds.
        typical: The timeline of the run that comes nearest to the medians of all starts and ends.
        largest_error: Largest difference from the expected outputs, relative to the largest value of the output.
        hand_over_s: Medians' raw material: each hand-over for which a device sat waiting, in seconds.
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
        simulated: From costs that its own serial replays gave.
        execution: What its parallel execution gave.
    """

    plan: Plan
    simulated: Timeline
    execution: Execution


def measure_finalists(
    runtime: Runtime,
    model: Model,
    platform: Platform,
    plans: Mapping[str, Plan],
    truth: Truth,
    *,
    file: ProfileFile,
    pace: Pace,
    report: Report,
) -> dict[str, Finalist]:
    """Execute and replay every distinct plan, all in turns, and simulate each from its replays.

    Returns:
        The finalists under the names of their plans, in the order of ``plans``; plans that do the same share one.

    Raises:
        DeviceError: If a device failed.
    """
    distinct = {plan.digest: plan for plan in plans.values()}
    executions = execute(runtime, model, list(distinct.values()), truth, file=file, pace=pace, report=report)
    finalists = {
        digest: Finalist(
            plan=plan,
            simulated=simulate(plan_problem(model, platform, file.profile, plan), plan),
            execution=execution,
        )
        for (digest, plan), execution in zip(distinct.items(), executions, strict=True)
    }
    return {name: finalists[plan.digest] for name, plan in plans.items()}


def allowed_error(platform: Platform, finalists: Mapping[str, Finalist]) -> float:
    """The tolerance for all plans, from those that run on one device alone."""
    alone = (f.execution.largest_error for f in finalists.values() if len(f.plan.queues) == 1)
    return tolerance(platform, alone)


def by_scheduler(finalists: Mapping[str, Finalist]) -> dict[str, Finalist]:
    """Each scheduler's finalist, of several of one's the one that measured best.

    The search's rounds come under the name ``search``, and all plans with splits as ``splits``, at the end.
    """
    families = {"search": SEARCH_ROUND, SPLITS: SPLITS}
    found = {name: one for name, one in finalists.items() if not name.startswith(tuple(families.values()))}
    for family, beginning in families.items():
        members = [finalist for name, finalist in finalists.items() if name.startswith(beginning)]
        if members:
            found[family] = min(members, key=lambda finalist: finalist.execution.latency.median_s)
    return found


def ties_with(one: Execution, fastest: Execution) -> bool:
    """Whether noise alone may have put a plan behind the fastest.

    The two are compared turn by turn, since turns of one round lie close together and drift of the machine drops out
    (:mod:`hetsim.runtime.measure.interleaved`). They tie unless a signed-rank test of the ratios leaves chance less
    than one case in forty: were both as fast, a turn's ratio would be as likely above 1 as below it by the same factor.
    Fewer than six turns cannot show that, and tie unless the plan was slower in each. Where one took fewer turns than
    the other, as those may that were not loaded together, as many are compared.
    """
    ratios = [mine / best for mine, best in zip(one.round_medians_s, fastest.round_medians_s, strict=False)]
    least_p = 0.5 ** len(ratios)  # what the test gives where all are above 1
    return signed_rank_p([math.log(ratio) for ratio in ratios]) > max(1 / 40, least_p)


def execute(
    runtime: Runtime,
    model: Model,
    plans: Sequence[Plan],
    truth: Truth,
    *,
    file: ProfileFile,
    pace: Pace,
    report: Report,
    emulation: Emulation | None = None,
) -> list[Execution]:
    """Run each plan many times, in turns of a few runs: as planned, and as a serial replay for the profile.

    The two alternate run by run, as requests to one session in the same buffers, so that nothing differs but what runs
    side by side. A turn begins with runs that are not counted, since they meet the caches of another plan: the first is
    up to a quarter slower, and only after about six do they get no faster. While a core is slow turns are put off, and
    runs that met it count only where there are no others in the same round (:mod:`hetsim.runtime.measure.interleaved`).
    Plans take turns with as many others as fit into memory; where not all fit, the whole round is gone through twice.
    The replays' samples go to the profile in the context ``final:DIGEST``; those of the parallel runs go into the
    result alone. Emulated devices go by ``emulation``.

    Raises:
        DeviceError: If a device failed.
    """
    batches, inputs = _batches(model, plans), truth.inputs
    passes = 1 if len(batches) == 1 else 2
    runs: list[list[Inference]] = [[] for _ in plans]
    replays: list[list[Inference]] = [[] for _ in plans]
    num_rounds = 0  # as many for all, since plans are compared turn by turn
    for number in range(passes * len(batches)):
        with ExitStack() as stack:
            sessions: dict[int, Session] = {}
            for index in batches[number % len(batches)]:
                report(number / (passes * len(batches)), f"compiling plan {index + 1} of {len(plans)}")
                sessions[index] = stack.enter_context(runtime.load(model, plans[index], emulation=emulation))
                sessions[index].run(inputs, serial=True)  # engines allocate on their first run
            if not num_rounds:
                slowest_s = max(session.run(inputs, serial=True).latency_s for session in sessions.values())
                num_rounds = -(-pace.rounds(slowest_s) // passes)
            stall_budget_s = pace.stall_budget_s / (passes * len(batches))
            rounds = InterleavedRounds(
                sessions, inputs, runtime.interference_monitor, num_rounds=num_rounds, stall_budget_s=stall_budget_s
            )
            for done in rounds.take_all():
                report((number + done) / (passes * len(batches)), "executing plans in turns")
            for index in sessions:
                for pair in rounds.counted(index):
                    runs[index].append(pair.run)
                    replays[index].append(pair.replay)
    for plan, results in zip(plans, replays, strict=True):
        record(file, results, f"final:{plan.digest}")
    return [_conclude(plan, results, truth) for plan, results in zip(plans, runs, strict=True)]


def find_median_run(runs: Sequence[Inference]) -> Inference:
    """The run that comes nearest to the medians of all segments' starts and ends; ties go to the earliest.

    Args:
        runs: At least one, all of the same plan.
    """
    stamps_ns = np.array([run.stamps_ns - run.submitted_ns for run in runs])
    distance_ns = np.abs(stamps_ns - np.median(stamps_ns, axis=0)).sum(axis=(1, 2))
    return runs[int(distance_ns.argmin())]


def _batches(model: Model, plans: Sequence[Plan]) -> list[list[int]]:
    """Indices of the plans that are loaded together: their compiled weights share a budget."""
    weight_bytes = max(1, sum(op.weight_bytes for op in model.graph.ops))
    size = max(1, _WEIGHTS_AT_ONCE_BYTES // weight_bytes)
    return [list(range(start, min(start + size, len(plans)))) for start in range(0, len(plans), size)]


def _conclude(plan: Plan, runs: list[Inference], truth: Truth) -> Execution:
    return Execution(
        plan=plan,
        latency=summarize([run.latency_s for run in runs]),
        round_medians_s=tuple(
            float(np.median([run.latency_s for run in runs[i : i + RUNS_PER_ROUND]]))
            for i in range(0, len(runs), RUNS_PER_ROUND)
        ),
        median_run=find_median_run(runs).timeline,
        largest_error=max(truth.error(run.outputs) for run in runs),
        hand_over_s=tuple(span.duration_s for run in runs for span in run.timeline.spans if span.kind == "hand-over"),
    )


def engines_alone(
    platform: Platform, model: Model, inputs: Mapping[str, Array], *, pace: Pace, report: Report
) -> dict[str, Summary]:
    """The latency of each engine alone with a thread on every core that the platform uses, by the device's label.

    A plan that keeps several cores busy competes with this, not only with one core.

    Raises:
        DeviceError: If a device failed.
    """
    cores = platform.cores
    alone: dict[str, Summary] = {}
    for number, device in enumerate(platform.devices):
        if len(device.cores) != 1 or len(cores) < 2:
            continue
        report(number / len(platform.devices), device.label)
        wide = replace(device, cores=cores, threads=len(cores))
        with suppress(RefusedError):  # an engine that cannot run the whole model is no reference
            alone[device.label] = _single(platform, wide, model, inputs, pace)
    return alone


def _single(platform: Platform, device: Device, model: Model, inputs: Mapping[str, Array], pace: Pace) -> Summary:
    only = platform.with_devices(device).only(device.name)
    with Runtime(only) as runtime, runtime.load(model, whole_plan(model.graph, device.name)) as session:
        session.run(inputs, serial=True)
        num_rounds = pace.rounds(session.run(inputs, serial=True).latency_s)
        rounds = InterleavedRounds(
            {0: session},
            inputs,
            runtime.interference_monitor,
            num_rounds=num_rounds,
            stall_budget_s=pace.stall_budget_s,
        )
        for _ in rounds.take_all():
            pass
        return summarize([pair.run.latency_s for pair in rounds.counted(0)])
