"""Question: how far is the simulation of a plan from what its execution measures?

Each model is profiled, every scheduler plans it, and random plans are added. Each distinct plan is simulated twice and
executed, all plans in interleaved rounds. No simulation uses the parallel execution of the same plan:

- ``predicted_s`` uses nothing that was measured on this plan, only profiling configurations (serial runs of the whole
  model on one device) and the serial replays of the other plans, both interleaved with the executions. Segments that
  are in neither are predicted from their parts.
- ``simulated_s`` also uses the durations of the plan's segments in its own serial replay, one device active at a time.

``plans.csv`` has a line for each scheduler and plan, ``errors.csv`` has one for each model, ``plans.json`` says where
they come from, and ``scatter.png`` is drawn from ``plans.csv`` alone. A second call skips models that have lines.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console

from experiments.shared.plan_errors import ErrorLine, PlanLine, distinct_plans, summarize_errors
from experiments.shared.profiles import calibrated, profiled, tuning_settings
from experiments.shared.records import Record, Settings, fill, model_label, model_names, read_rows, write_rows
from hetsim.analysis.plots.scatter import ScatterRow, draw_scatter
from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import DEFAULT_PLATFORM, Platform
from hetsim.core.problem import Problem
from hetsim.costs.noise import interference_noise
from hetsim.costs.problems import fitted
from hetsim.costs.profile import Profile
from hetsim.io.platform_file import load_platform
from hetsim.models.model import Model
from hetsim.runtime import RefusedError, Runtime
from hetsim.runtime.measure.configurations import configuration_plan, profiling_configurations
from hetsim.runtime.measure.profiler import Effort
from hetsim.scheduler.random_plans import RANDOM, random_plans
from hetsim.sim.segments import DurationFunction
from hetsim.sim.simulate import simulate
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.options import Options, Pace
from hetsim.tuner.pipeline import propose_within_limits, proposers_for
from hetsim.tuner.progress import OnScreen, Silent, Stages
from hetsim.tuner.steps.final_measurement import measure_finalists
from hetsim.tuner.steps.judging import allowed_error
from hetsim.tuner.steps.proposals import SEARCH_ROUND

COMMAND = "python -m experiments.simulated_vs_measured"

NUM_RANDOM = 16
"""Random plans of each model; with four different plans of schedulers, twenty plans are executed."""

_STALL_BUDGET_S = 45.0  # longest time that executions wait for the end of interference
_NUM_DRAWN = 41  # simulations with drawn interference, of which a prediction is the median
_KINDS = {SEARCH_ROUND: "search", RANDOM: "random"}  # plans whose names begin so have one scheduler in the CSV

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def simulated_vs_measured(
    models: Annotated[str, typer.Option("--models", metavar="M,...", help="Names of the zoo, or .onnx files.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; results in it are continued.")],
    platform: Annotated[str, typer.Option(metavar="NAME|FILE", help="The devices.")] = DEFAULT_PLATFORM,
    seed: Annotated[int, typer.Option(help="Everything random comes from it.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the search; its plan is measured after each.")] = 3,
    max_evaluations: Annotated[int, typer.Option(min=0, help="Candidates that each search simulates.")] = 3000,
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment.")] = 6,
    runs: Annotated[int, typer.Option(min=3, help="Counted executions of each plan.")] = 60,
    num_random: Annotated[int, typer.Option("--random", min=0, metavar="N", help="Random plans.")] = NUM_RANDOM,
    splits: Annotated[
        bool, typer.Option("--splits", help="Also search plans with splits; takes a quarter longer.")
    ] = False,
) -> None:
    """Simulate and execute the plans of every scheduler and random plans, and compare."""
    options = Options(
        seed=seed,
        rounds=rounds,
        max_evaluations=max_evaluations,
        effort=Effort(repeats=repeats),
        pace=Pace(num_runs=runs, stall_budget_s=_STALL_BUDGET_S),
        splits=splits,
        command=(*shlex.split(COMMAND), *sys.argv[1:]),
    )
    console = Console()
    lines = compare(
        model_names(models),
        load_platform(platform),
        out,
        options=options,
        num_random=num_random,
        stages=OnScreen(console),
    )
    for line in summarize_errors(lines):
        console.print(
            f"{line.model}: {line.num_plans} plans; simulated {line.simulated_mean_percent:.1f} % off on average, "
            f"{line.simulated_worst_percent:.1f} % at worst, {_format_tau(line)}; predicted "
            f"{line.predicted_mean_percent:.1f} % and {line.predicted_worst_percent:.1f} %",
            markup=False,
            highlight=False,
        )


def compare(
    models: Sequence[str],
    platform: Platform,
    out: Path,
    *,
    options: Options | None = None,
    num_random: int = NUM_RANDOM,
    stages: Stages | None = None,
) -> list[PlanLine]:
    """All lines of ``out/plans.csv``, after adding models that it lacks and updating the other files.

    Raises:
        HetsimError: If a model or the platform does not fit, a device failed, or the folder holds results under other
            settings.
        OSError: If the folder cannot be written.
    """
    options, stages = options or Options(), stages or Silent()
    searched = "searched" if options.splits else "left out"
    settings: Settings = {**tuning_settings(platform, options), "random": num_random, "splits": searched}
    path = out / "plans.csv"
    record = Record(path, PlanLine, settings=settings, command=shlex.join(options.command))
    if any(not record.has(model_label(name)) for name in models):
        platform = calibrated(platform, out, stages=stages)

    def rows_of(model: Model) -> list[PlanLine]:
        return _measure(model, platform, out / model.name, options, num_random, stages)

    for name in models:
        fill(record, [name], rows_of, seed=options.seed)
        conclude(path, out)
    return record.rows


def conclude(csv_path: Path, out: Path) -> None:
    """Write ``out/errors.csv`` and ``out/scatter.png`` from a plans.csv alone.

    Raises:
        HetsimError: If the CSV is malformed.
        OSError: If a file cannot be read or written.
    """
    lines = read_rows(csv_path, PlanLine)
    write_rows(out / "errors.csv", ErrorLine, summarize_errors(lines))
    draw(lines, out / "scatter.png")


def _measure(
    model: Model, platform: Platform, folder: Path, options: Options, num_random: int, stages: Stages
) -> list[PlanLine]:
    """The lines of one model, which is profiled, planned, simulated and executed."""
    with profiled(model, platform, folder, options=options, stages=stages) as context:
        plans = dict(propose_within_limits(context, proposers_for(context)).plans)
        problem = context.problem()
        plans |= draw_plans(context.runtime, model, problem, plans, num_random, seed=options.seed, stages=stages)
        profile = context.file.profile
        all_plans = {**plans, **configuration_plans(model, platform, profile)}
        measured = measure_finalists(context, all_plans, f"execute {model.name}")
    finalists = {name: measured[name] for name in plans}
    distinct = {finalist.plan.digest: finalist.plan for finalist in finalists.values()}
    predicted_s = {digest: predict_s(model, platform, profile, plan) for digest, plan in distinct.items()}
    lines: dict[tuple[str, str], PlanLine] = {}
    allowed = allowed_error(platform, finalists.values(), context.expected)
    for name, finalist in finalists.items():
        scheduler = next((kind for start, kind in _KINDS.items() if name.startswith(start)), name)
        latency, error = finalist.execution.latency, finalist.execution.largest_error
        if error > allowed:
            stages.say(f"{model.name}, {name}: outputs are off by {error:.2g}, more than rounding explains")
        lines[scheduler, finalist.plan.digest] = PlanLine(
            model=model.name,
            platform=platform.name,
            plan_id=finalist.plan.digest,
            scheduler=scheduler,
            num_segments=finalist.plan.num_segments,
            predicted_s=predicted_s[finalist.plan.digest],
            simulated_s=finalist.simulated.makespan_s,
            measured_s=latency.median_s,
            measured_iqr_s=latency.iqr_s,
            measured_low_s=latency.low_s,
            measured_high_s=latency.high_s,
            num_samples=latency.num_samples,
        )
    return list(lines.values())


def configuration_plans(model: Model, platform: Platform, profile: Profile) -> dict[str, Plan]:
    """By name, the profiling configurations of every device as plans, for serial runs between the executions.

    Raises:
        ProblemError: If an operator runs on no device.
    """
    return {
        f"configuration:{name} on {device}": configuration_plan(model, profile, platform.device_names, device, parts)
        for device in platform.device_names
        for name, parts in profiling_configurations(model.graph).items()
    }


def predict_s(model: Model, platform: Platform, profile: Profile, plan: Plan) -> float:
    """Latency of the plan, simulated from a profile without the measurements of this plan, in seconds.

    If serial runs between executions measured all operators, only these runs count. The latency is the median over
    simulations with interference as in serial runs of other plans.

    Raises:
        ProblemError: If some operator runs on no device.
    """
    known = profile.without(plan.digest)
    beside = known.beside_executions()
    if all(beside.samples_s(device, (op.name,)) for device in profile.header.engines for op in model.graph.ops):
        known = beside
    costs = fitted(model, platform, known)
    problem = (costs.unpicked() if plan.scheduler.startswith(RANDOM) else costs).problem_for(plan)
    duration_s = interference_noise(problem, known, plan, seed=0)
    drawn = (partial(_duration_in_request, duration_s, request) for request in range(_NUM_DRAWN))
    return median(simulate(problem, plan, duration_s=function).makespan_s for function in drawn)


def _duration_in_request(duration_s: DurationFunction, request: int, _: int, segment: Segment) -> float:
    """A segment's duration in the given request, whichever request is simulated."""
    return duration_s(request, segment)


def draw_plans(
    runtime: Runtime,
    model: Model,
    problem: Problem,
    others: Mapping[str, Plan],
    count: int,
    *,
    seed: int,
    stages: Stages,
) -> dict[str, Plan]:
    """By name, at most ``count`` random plans that the engines accept and that are not among ``others``.

    A plan that an engine refuses is dropped with a message, and another one is drawn. The refusal is not recorded in
    the profile, because the other plans were made without it.

    Raises:
        DeviceError: If a device failed.
    """
    known = {plan.digest for plan in others.values()}
    drawn: dict[str, Plan] = {}
    for plan in random_plans(problem, 2 * count + len(known) if count else 0, seed=seed):
        if len(drawn) == count:
            break
        if plan.digest in known:
            continue
        try:
            runtime.load(model, plan).close()
        except RefusedError as refusal:
            stages.say(f"{model.name}, {plan.scheduler}: dropped, {refusal}")
        else:
            drawn[plan.scheduler] = plan
    return drawn


def _format_tau(line: ErrorLine) -> str:
    if line.kendall_tau is None:
        return "nothing to rank"
    return f"tau {line.kendall_tau:.2f} ({line.tau_low:.2f} to {line.tau_high:.2f})"


def draw(lines: Sequence[PlanLine], picture: Path) -> None:
    """Draw measured over simulated latencies; a plan is drawn once, for the first scheduler that made it.

    Raises:
        OSError: If the file cannot be written.
    """
    lines = distinct_plans(lines)
    rows = [
        ScatterRow(
            model=line.model,
            scheduler=line.scheduler,
            simulated_s=line.simulated_s,
            measured_s=line.measured_s,
            low_s=line.measured_low_s,
            high_s=line.measured_high_s,
        )
        for line in lines
    ]
    platforms = ", ".join(dict.fromkeys(line.platform for line in lines))
    draw_scatter(rows, picture, title=f"Simulated against measured latency on {platforms}")


def main() -> None:
    """Run the experiment; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)


if __name__ == "__main__":
    main()
