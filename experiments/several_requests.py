"""Question: does the simulation predict what a plan does under load, with several requests in flight?

In each round, a scheduler's plan serves requests between serial runs of the same plan. There are two loads: a request
is sent whenever there is room, or at regular intervals that leave the devices partly idle. A round counts if no core
was slower than at its best, according to a serial run at the beginning of the round and one at its end. The same load
is simulated with durations and noise of the other serial runs. ``several_requests.csv`` has a line for each model,
plan, load and figure (throughput, median and 99th percentile of latencies); ``several_requests.png`` is drawn from it
alone.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from experiments.shared.profiles import calibrated, profiled
from experiments.shared.records import Record, Settings, fill, model_names, read_rows
from hetsim.analysis.plots.bars import Bar, Group, draw_bars
from hetsim.core.load import Load
from hetsim.core.plan import Plan
from hetsim.core.platform import DEFAULT_PLATFORM, Platform
from hetsim.core.problem import Problem
from hetsim.core.timeline import Timeline
from hetsim.costs.fitting.interference import MAX_SLOWDOWN
from hetsim.costs.noise import measured_noise
from hetsim.costs.problems import plan_problem
from hetsim.io.platform_file import load_platform
from hetsim.models.model import Model, random_inputs
from hetsim.runtime import Inference, Session
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.interference_monitor import InterferenceMonitor
from hetsim.runtime.measure.profiler import Effort, warm_up
from hetsim.runtime.measure.profiler import record as record_serial_runs
from hetsim.runtime.serving.load import serve
from hetsim.scheduler.registry import make_plan
from hetsim.sim.simulate import simulate
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.context import TuningContext
from hetsim.tuner.options import Options
from hetsim.tuner.progress import OnScreen, Stages

COMMAND = "python -m experiments.several_requests"
FIGURES = ("throughput_per_s", "p50_s", "p99_s")

_SERIAL_RUNS_PER_SIDE = 6  # before and after the requests of a round
_MAX_ROUNDS_FACTOR = 3  # rounds taken at most, relative to those that count, while something slows the cores down
_SIMULATIONS_PER_ROUND = 10  # many, because a high percentile needs many requests
_INTERVAL_FACTOR = 1.25  # interval of regular requests, relative to the time that the busiest device needs for one
_RESAMPLES = 1000  # for bootstrap intervals

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadLine:
    """A line of several_requests.csv: one figure of one plan under one load.

    Attributes:
        model: The network.
        platform: The devices.
        scheduler: The scheduler that made the plan.
        num_slots: Largest number of requests in flight.
        every_s: Interval between requests; 0 if a request is sent whenever there is room.
        figure: ``throughput_per_s``, or a percentile of latencies, ``p50_s`` or ``p99_s``.
        measured: The measured figure over all rounds, in its own unit.
        measured_low: Lower end of its 95 % bootstrap interval over rounds.
        measured_high: Upper end of that interval.
        simulated: The simulated figure.
        num_requests: Requests that were measured.
    """

    model: str
    platform: str
    scheduler: str
    num_slots: int
    every_s: float
    figure: str
    measured: float
    measured_low: float
    measured_high: float
    simulated: float
    num_requests: int


@app.command()
def several_requests(
    models: Annotated[str, typer.Option("--models", metavar="M,...", help="Names of the zoo, or .onnx files.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; results in it are continued.")],
    platform: Annotated[str, typer.Option(metavar="NAME|FILE", help="The devices.")] = DEFAULT_PLATFORM,
    schedulers: Annotated[
        str, typer.Option(metavar="S,...", help="The schedulers of the plans.")
    ] = "single:npu,individual,partition_tuner",
    in_flight: Annotated[int, typer.Option("--in-flight", min=1, metavar="N", help="Requests in flight at once.")] = 3,
    rounds: Annotated[int, typer.Option(min=2, help="Rounds of serial runs and requests.")] = 30,
    requests: Annotated[int, typer.Option(min=2, help="Requests of each round.")] = 30,
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment.")] = 12,
    seed: Annotated[int, typer.Option(help="Everything random comes from it.")] = 0,
) -> None:
    """Serve requests with each scheduler's plan, simulate the same load, and compare."""
    console = Console()
    command = shlex.join((*shlex.split(COMMAND), *sys.argv[1:]))
    lines = serve_all(
        model_names(models),
        load_platform(platform),
        out,
        schedulers=tuple(filter(None, schedulers.split(","))),
        load=Load(num_requests=requests, num_slots=in_flight),
        num_rounds=rounds,
        effort=Effort(repeats=repeats),
        seed=seed,
        command=command,
        stages=OnScreen(console),
    )
    for line in lines:
        console.print(
            f"{line.model}, {line.scheduler}, {_describe_load(line)}: {line.figure} {line.measured:.4g} "
            f"({line.measured_low:.4g} to {line.measured_high:.4g}), simulated {line.simulated:.4g}, "
            f"{(line.simulated / line.measured - 1) * 100:+.1f} %",
            markup=False,
            highlight=False,
        )


def serve_all(
    models: Sequence[str],
    platform: Platform,
    out: Path,
    *,
    schedulers: Sequence[str],
    load: Load,
    num_rounds: int,
    effort: Effort,
    seed: int,
    command: str,
    stages: Stages,
) -> list[LoadLine]:
    """All lines of ``out/several_requests.csv``, after adding models that it lacks and drawing the picture.

    Args:
        models: Names of the zoo, or .onnx files.
        platform: The devices.
        out: Folder for the results.
        schedulers: The schedulers of the plans.
        load: The requests of a round, each sent as soon as there is room; they are also sent at regular intervals.
        num_rounds: Rounds that count.
        effort: How often segments are measured.
        seed: Everything random comes from it.
        command: The command line, for the sidecar.
        stages: Where progress is shown.

    Raises:
        HetsimError: If a model or the platform does not fit, a device failed, or the folder holds results under other
            settings.
        OSError: If the folder cannot be written.
    """
    settings: Settings = {
        "platform": platform.name,
        "schedulers": ",".join(schedulers),
        "in_flight": load.num_slots,
        "requests": load.num_requests,
        "rounds": num_rounds,
        "repeats": effort.repeats,
        "seed": seed,
    }
    path = out / "several_requests.csv"
    record = Record(path, LoadLine, settings=settings, command=command)
    platform = calibrated(platform, out, stages=stages)
    options = Options(effort=effort, seed=seed)

    def lines_of(model: Model) -> list[LoadLine]:
        with profiled(model, platform, out / model.name, options=options, stages=stages) as context:
            return measure_plans(context, schedulers, load, num_rounds)

    fill(record, models, lines_of, seed=seed)
    draw(read_rows(path, LoadLine), out / "several_requests.png")
    return record.rows


def measure_plans(context: TuningContext, schedulers: Sequence[str], load: Load, num_rounds: int) -> list[LoadLine]:
    """All lines of one model: each scheduler's plan, with requests whenever there is room and at regular intervals.

    Raises:
        DeviceError: If a device failed.
    """
    problem = context.problem()
    lines: list[LoadLine] = []
    for scheduler in schedulers:
        plan = make_plan(scheduler, problem, seed=context.options.seed)
        for every_s in (0.0, _INTERVAL_FACTOR * _busiest_s(problem, plan)):
            with context.stages.stage(f"{context.model.name}, {scheduler}") as report:
                report(0.0, "serving")
                lines += measure(context, plan, replace(load, every_s=every_s), num_rounds, scheduler)
    return lines


def measure(context: TuningContext, plan: Plan, load: Load, num_rounds: int, scheduler: str) -> list[LoadLine]:
    """The three figures of one plan under one load, measured, and simulated from the serial runs of the same rounds.

    Raises:
        DeviceError: If a device failed.
    """
    model, file, seed = context.model, context.file, context.options.seed
    rounds = _take_rounds(context, plan, load, num_rounds)
    served = [round.served for round in rounds]
    serial_runs = [serial_run for round in rounds for serial_run in round.serial_runs]
    record_serial_runs(file, serial_runs, f"final:{plan.digest}")
    problem = plan_problem(model, context.platform, file.profile, plan)
    simulated = []
    for number in range(_SIMULATIONS_PER_ROUND * num_rounds):
        noise = measured_noise(problem, file.profile, plan, seed=seed + number)
        simulated.append(simulate(problem, plan, load=load, duration_s=noise))
    measured, expected = _figures(served), _figures(simulated)
    generator = np.random.default_rng(seed)
    resampled = [
        _figures([served[i] for i in generator.integers(num_rounds, size=num_rounds)]) for _ in range(_RESAMPLES)
    ]
    return [
        LoadLine(
            model=model.name,
            platform=context.platform.name,
            scheduler=scheduler,
            num_slots=load.num_slots,
            every_s=load.every_s,
            figure=figure,
            measured=measured[figure],
            measured_low=float(np.percentile([figures[figure] for figures in resampled], 2.5)),
            measured_high=float(np.percentile([figures[figure] for figures in resampled], 97.5)),
            simulated=expected[figure],
            num_requests=num_rounds * load.num_requests,
        )
        for figure in FIGURES
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """Requests served between serial runs.

    Attributes:
        serial_runs: Serial runs before and after the requests.
        served: Timeline of the requests.
        slowness: By how much a core was slower during the round than at its best. It comes from one serial run before
            all others and one after them. If it came from ``serial_runs``, those of the rounds that count would have
            met fewer slow moments than the requests.
    """

    serial_runs: list[Inference]
    served: Timeline
    slowness: float


def _take_rounds(context: TuningContext, plan: Plan, load: Load, num_rounds: int) -> list[_Round]:
    """The ``num_rounds`` rounds with the fastest cores; more are taken while too few had undisturbed cores."""
    inputs = random_inputs(context.model, seed=context.options.seed)
    taken: list[_Round] = []
    with context.runtime.load(context.model, plan, num_slots=load.num_slots) as session:
        while (
            sum(round.slowness <= MAX_SLOWDOWN for round in taken) < num_rounds
            and len(taken) < _MAX_ROUNDS_FACTOR * num_rounds
        ):
            taken.append(_take_round(session, inputs, load, context.runtime.interference_monitor))
    return sorted(taken, key=lambda round: round.slowness)[:num_rounds]


def _take_round(session: Session, inputs: Mapping[str, Array], load: Load, monitor: InterferenceMonitor) -> _Round:
    def run_serially() -> list[Inference]:
        return [session.run(inputs, serial=True) for _ in range(_SERIAL_RUNS_PER_SIDE)]

    before = warm_up(session, inputs)
    serial_runs = run_serially()
    served = serve(session, inputs, load).timeline
    serial_runs += run_serially()
    after = session.run(inputs, serial=True)
    return _Round(serial_runs=serial_runs, served=served, slowness=monitor.slowness(before, after))


def _figures(timelines: Sequence[Timeline]) -> dict[str, float]:
    """Median throughput over timelines, and percentiles of the latencies of all."""
    latencies_s = [latency_s for timeline in timelines for latency_s in timeline.latencies_s]
    median_s, late_s = np.percentile(latencies_s, [50, 99])
    throughput_per_s = np.median([timeline.throughput_per_s for timeline in timelines])
    return dict(zip(FIGURES, (float(throughput_per_s), float(median_s), float(late_s)), strict=True))


def _busiest_s(problem: Problem, plan: Plan) -> float:
    """Time that one request takes on the device with the most work, in seconds."""
    times_s = problem.segment_times_s(plan.segments)
    return max(sum(times_s[segment] for segment in queue) for queue in plan.queues.values())


def _describe_load(line: LoadLine) -> str:
    return f"one every {line.every_s * 1e3:.3g} ms" if line.every_s else f"{line.num_slots} in flight"


def draw(lines: Sequence[LoadLine], picture: Path) -> None:
    """Draw every figure, measured and simulated, relative to the measured figure.

    Raises:
        OSError: If the file cannot be written.
    """
    groups = [
        Group(
            label=f"{line.model}, {line.scheduler}\n{line.figure.partition('_')[0]}, {_describe_load(line)}",
            bars=(
                Bar(
                    label="measured",
                    value=1.0,
                    low=line.measured_low / line.measured,
                    high=line.measured_high / line.measured,
                ),
                Bar(label="simulated", value=line.simulated / line.measured),
            ),
        )
        for line in lines
    ]
    platforms = ", ".join(dict.fromkeys(line.platform for line in lines))
    draw_bars(groups, picture, title=f"Under load on {platforms}", axis="relative to measured")


def main() -> None:
    """Run the experiment; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)


if __name__ == "__main__":
    main()
