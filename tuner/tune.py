"""From a model and a platform to the plan that measured best: profile, plan, measure what was guessed, execute."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from hetsim.analysis.breakdown import breakdown, who_runs_what
from hetsim.analysis.plots.plans import Baseline, Comparison, PlanRow, draw_plans
from hetsim.analysis.plots.timelines import draw_timelines
from hetsim.core.errors import PlanError
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.problem import Problem
from hetsim.core.statistics import Summary, summarize
from hetsim.costs.problems import make_problem
from hetsim.costs.profile_file import ProfileFile
from hetsim.io.chrome_trace import save_trace
from hetsim.io.files import write_atomically
from hetsim.io.folder_lock import lock_folder
from hetsim.io.plan_file import save_plan
from hetsim.io.platform_file import format_platform
from hetsim.models.model import Model
from hetsim.models.split.planned import planned_model
from hetsim.runtime import Runtime
from hetsim.runtime.machine.fingerprint import machine_fingerprint
from hetsim.runtime.measure.calibrate import calibrate
from hetsim.runtime.measure.profiler import Effort, make_header, measure_configurations
from hetsim.scheduler.registry import SINGLE, algorithm_names, make_plan, scheduler_names
from hetsim.tuner.cli.solving import stop_on_interrupt
from hetsim.tuner.progress import Silent, Stages
from hetsim.tuner.report.executed import executed_plans
from hetsim.tuner.report.html import write_html
from hetsim.tuner.report.outcome import Outcome, PlanOutcome
from hetsim.tuner.report.summary import summary
from hetsim.tuner.steps.budget import Budget
from hetsim.tuner.steps.final_measurement import (
    Finalist,
    Pace,
    allowed_error,
    by_scheduler,
    engines_alone,
    measure_finalists,
    ties_with,
)
from hetsim.tuner.steps.readiness import check_machine, check_profile
from hetsim.tuner.steps.rounds import Found, Rounds, accepted
from hetsim.tuner.steps.sharing import shared_runs
from hetsim.tuner.steps.splitting import split_plans
from hetsim.tuner.steps.truth import find_truth

BASELINES = ("type_based", "individual", "partition_tuner")
"""Baselines whose plans are executed beside those of all single devices and of the search. The others there are exist
to be compared on paper: executing a plan takes many times as long as simulating it, and no answer changes with them,
since what ``tune`` returns is the plan that measured best."""
ROUNDS_PART = 0.3
"""How much of the time that is left at their beginning the rounds may use, where splits are to be looked for as well:
those gain more."""
VERSIONS_OF = ("hetsim", "onnx", "onnxruntime", "openvino", "numpy", "simpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How thorough a tune run is.

    Attributes:
        seed: Everything random comes from it: inputs and search.
        also: Schedulers whose plans are executed besides :data:`BASELINES`, single devices and the search.
        rounds: How often the search may be told what the segments of its plans really take.
        time_limit_s: The rounds and the search of splits end when the run has taken this long, in seconds; the finals
            come on top. None stands for no limit.
        max_evaluations: Candidates that each search may simulate.
        effort: How often segments are measured.
        pace: How often plans are executed.
        splits: Whether to look for plans in which several devices work on one operator.
        command: The command line that does the same again, for the report.
    """

    seed: int = 0
    also: tuple[str, ...] = ()
    rounds: int = 4
    time_limit_s: float | None = None
    max_evaluations: int = 3000
    effort: Effort = field(default_factory=Effort)
    pace: Pace = field(default_factory=Pace)
    splits: bool = True
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.time_limit_s is not None and not 0 < self.time_limit_s < math.inf:  # NaN fails too
            raise PlanError(f"a time limit of {self.time_limit_s} s allows nothing; give more than 0, or none")


def tune(
    model: Model, platform: Platform, out: Path, *, options: Options | None = None, stages: Stages | None = None
) -> Outcome:
    """Find the plan that measures best, and leave all that led to it in a folder.

    The folder gets ``plan.json`` (the winner), ``plans/NAME.json`` (everyone's), ``profile.jsonl``, ``platform.toml``
    (as calibrated), ``summary.json``, ``timeline.png``, ``plans.png``, ``simulated.trace.json``,
    ``measured.trace.json`` and ``report.html``. Interrupted, it keeps the profile; the same call then goes on from
    there.

    Ctrl-C during the rounds or the search of splits ends the search alone: the finals are held between what has been
    found. A second one, or one at any other time, is the usual interrupt.

    Raises:
        HetsimError: If the model, the platform or a device cannot do what is asked, or the folder is being filled.
        OSError: If the folder cannot be written.
    """
    options = options or Options()
    stages = stages or Silent()
    for name in options.also:  # before any time is spent
        if name not in algorithm_names():
            raise PlanError(f"no scheduler {name!r}; choose from {', '.join(algorithm_names())}")
    started_s = time.monotonic()
    warnings = check_machine(platform, stages)
    with Runtime(platform) as runtime:
        held = lock_folder(out)
        with stages.stage("reference") as report:
            report(0.0, "the right answer, from the reference engine")
            truth = find_truth(model, seed=options.seed)
        platform = with_calibration(runtime, platform, out, stages)
        with ProfileFile(out / "profile.jsonl", make_header(runtime, model)) as file:
            warnings += update_profile(runtime, model, file, options, stages)
            plans, found = plan_all(runtime, model, platform, file, options, stages, started_s=started_s)
            with stages.stage("execute") as report:
                finalists = measure_finalists(
                    runtime, model, platform, plans, truth, file=file, pace=options.pace, report=report
                )
    with stages.stage("references") as report:
        alone = engines_alone(platform, model, truth.inputs, pace=options.pace, report=report)
    outcome = replace(judge(model, platform, finalists, alone, found, options), warnings=warnings)
    write_outputs(out, model, platform, finalists, outcome)
    del held
    return outcome


def with_calibration(runtime: Runtime, platform: Platform, out: Path, stages: Stages) -> Platform:
    """The platform with measured numbers, its own or new ones, which is put into ``out/platform.toml``.

    Raises:
        DeviceError: If a device failed.
        OSError: If the file cannot be written.
    """
    if platform.calibration is None:
        with stages.stage("calibrate") as report:
            platform = calibrate(runtime, progress=report)
    write_atomically(out / "platform.toml", format_platform(platform).encode())
    return platform


def update_profile(
    runtime: Runtime, model: Model, file: ProfileFile, options: Options, stages: Stages
) -> tuple[str, ...]:
    """Bring a profile's covers up to date; returns warnings, if what it holds already is no longer so.

    Raises:
        ProblemError: If an operator runs on no device.
        DeviceError: If a device failed.
    """
    warnings = check_profile(runtime, model, file.profile, effort=options.effort, stages=stages)
    with stages.stage("profile") as report:
        measure_configurations(runtime, model, file, effort=options.effort, progress=report)
    stages.say(f"profiled {file.profile.num_segments} segments, {file.profile.num_samples} samples")
    return warnings


def plan_all(
    runtime: Runtime,
    model: Model,
    platform: Platform,
    file: ProfileFile,
    options: Options,
    stages: Stages,
    *,
    started_s: float | None = None,
) -> tuple[dict[str, Plan], Found]:
    """The plans to execute, by their schedulers' names, and how the search came to its own.

    The search's plans are those of the closed loop that measured best (:mod:`hetsim.tuner.steps.rounds`); their names
    begin with ``search round``. Plans in which devices share operators come after them
    (:mod:`hetsim.tuner.steps.splitting`). Ctrl-C ends both, and what has been found by then is the answer. Of what a
    time limit leaves, the rounds get a part and the search of splits all that they do not need.

    Args:
        runtime: The devices, awake.
        model: The model.
        platform: The devices with their calibrated numbers.
        file: The profile, covers done; gains replays of the plans that were found.
        options: How hard to try.
        stages: Where progress is shown.
        started_s: When the time limit began to run, by :func:`time.monotonic`; None stands for now.

    Raises:
        ProblemError: If an operator runs on no device.
        DeviceError: If a device failed.
    """
    until_s = math.inf
    if options.time_limit_s is not None:
        until_s = (time.monotonic() if started_s is None else started_s) + options.time_limit_s
    with stop_on_interrupt() as interrupted:
        budget = Budget(until_s=until_s, interrupted=interrupted)
        with stages.stage("plan") as report:
            plans = _baselines(runtime, model, platform, file, options, stop=interrupted)
            rounds = Rounds(
                runtime,
                model,
                platform,
                file,
                num_rounds=options.rounds,
                seed=options.seed,
                max_evaluations=options.max_evaluations,
                effort=options.effort,
                stages=stages,
            )
            found = rounds.run(plans, budget.part(ROUNDS_PART) if options.splits else budget, report)
        plans |= found.plans
        if options.splits and not budget.spent():
            plans |= split_plans(runtime, model, platform, file, stages, budget=budget)
    return plans, found


def _baselines(
    runtime: Runtime, model: Model, platform: Platform, file: ProfileFile, options: Options, *, stop: Callable[[], bool]
) -> dict[str, Plan]:
    """What everybody but the search makes of the model, by name; ``stop`` ends those that search."""
    names = executed_names(make_problem(model, platform, file.profile), options.also)

    def baseline(name: str) -> Plan:
        return accepted(
            runtime,
            model,
            file,
            lambda: make_plan(name, make_problem(model, platform, file.profile), seed=options.seed, stop=stop),
        )

    return {name: baseline(name) for name in names if name != "search"}


def executed_names(problem: Problem, also: Collection[str] = ()) -> tuple[str, ...]:
    """The schedulers whose plans are worth executing: single devices, :data:`BASELINES`, the search, and ``also``."""
    wanted = (*BASELINES, *also, "search")
    return tuple(name for name in scheduler_names(problem) if name.startswith(SINGLE) or name in wanted)


def judge(
    model: Model,
    platform: Platform,
    finalists: Mapping[str, Finalist],
    alone: Mapping[str, Summary],
    searched: Found,
    options: Options,
) -> Outcome:
    """Put simulated beside measured for every scheduler and name the winner: the best measured, the simplest of ties.

    Simpler is on fewer devices; then with fewer operators shared, by splits; then in fewer segments; then faster. Plans
    whose outputs are off by more than the tolerance are rejected, unless all are.
    """
    found = by_scheduler(finalists)
    rows = {
        name: PlanOutcome(
            name=name,
            simulated_s=finalist.simulated.makespan_s,
            measured_s=finalist.execution.latency.median_s,
            measured_iqr_s=finalist.execution.latency.iqr_s,
            measured_low_s=finalist.execution.latency.low_s,
            measured_high_s=finalist.execution.latency.high_s,
            num_segments=finalist.plan.num_segments,
            num_devices=len(finalist.plan.queues),
            num_splits=len(finalist.plan.rewrites),
        )
        for name, finalist in found.items()
    }
    tolerance = allowed_error(platform, finalists)
    errors = {name: finalist.execution.largest_error for name, finalist in found.items()}
    rejected = {name: error for name, error in errors.items() if error > tolerance}
    sound = [row for row in rows.values() if row.name not in rejected] or list(rows.values())
    fastest = found[min(sound, key=lambda row: row.measured_s).name].execution
    tied = [row for row in sound if ties_with(found[row.name].execution, fastest)]
    winner = min(tied, key=lambda row: (row.num_devices, row.num_splits, row.num_segments, row.measured_s))
    won = found[winner.name]
    planned = planned_model(model, won.plan)
    largest_error = max(finalist.execution.largest_error for finalist in finalists.values())
    hand_over_s = [each_s for finalist in finalists.values() for each_s in finalist.execution.hand_over_s]
    return Outcome(
        model=model.graph.name,
        platform=platform.name,
        plans=tuple(rows.values()),
        best_single_device_s=min((row.measured_s for row in rows.values() if row.num_devices == 1), default=None),
        winner=winner.name,
        tied=tuple(row.name for row in tied if row is not winner),
        outputs_match=largest_error <= tolerance,
        largest_error=largest_error,
        tolerance=tolerance,
        rejected=rejected,
        hand_over_s=summarize(hand_over_s).median_s if hand_over_s else None,
        assignments=who_runs_what(planned.graph, won.plan, won.execution.median_run, platform, planned.original_op),
        shared=shared_runs(model, won.plan),
        where=breakdown(won.execution.median_run, platform),
        rounds=searched.rounds,
        rounds_ended=searched.ended,
        reference_engines_s={label: latency.median_s for label, latency in alone.items()},
        reference_latencies=dict(alone),
        reference_threads=len(platform.cores),
        num_samples=min(finalist.execution.latency.num_samples for finalist in finalists.values()),
        seed=options.seed,
        machine=machine_fingerprint(),
        versions=versions(),
        command=options.command,
    )


def versions() -> dict[str, str]:
    """Versions of the packages that take part, as far as they were installed under these names."""
    found: dict[str, str] = {}
    for name in VERSIONS_OF:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def write_outputs(
    out: Path, model: Model, platform: Platform, finalists: Mapping[str, Finalist], outcome: Outcome
) -> None:
    """Write the folder's files, the summary last: where it is, all is."""
    rows = by_scheduler(finalists)
    for name, finalist in rows.items():
        save_plan(replace(finalist.plan, scheduler=name), out / "plans" / f"{name.replace(':', '-')}.json")
    won, single_s = rows[outcome.winner], outcome.best_single_device_s
    simulated, measured = won.simulated, won.execution.median_run
    save_plan(replace(won.plan, scheduler=outcome.winner), out / "plan.json")
    title = f"{model.graph.name} on {platform.name}: {outcome.winner}"
    graph = planned_model(model, won.plan).graph
    draw_timelines(simulated, measured, out / "timeline.png", platform=platform, graph=graph, title=title)
    draw_plans(
        [
            PlanRow(
                scheduler=plan.name,
                simulated_s=plan.simulated_s,
                measured_s=plan.measured_s,
                low_s=plan.measured_low_s,
                high_s=plan.measured_high_s,
            )
            for plan in outcome.plans
        ],
        out / "plans.png",
        title=f"{model.graph.name} on {platform.name}",
        against=Comparison(
            best_single=None if single_s is None else Baseline(label="best single device", seconds=single_s),
            references=tuple(
                Baseline(label=f"{label}, {outcome.reference_threads} threads", seconds=seconds)
                for label, seconds in outcome.reference_engines_s.items()
            ),
            interval="95 % confidence interval of the median",
        ),
    )
    for timeline, name in ((simulated, "simulated"), (measured, "measured")):
        save_trace(timeline, out / f"{name}.trace.json", platform=platform, graph=graph, label=name)
    plans = executed_plans(model, platform, rows)
    write_html(outcome, out / "report.html", plans=plans, devices=platform.devices)
    write_atomically(out / "summary.json", msgspec.json.format(msgspec.json.encode(summary(outcome)), indent=2) + b"\n")
