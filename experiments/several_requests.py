"""Question: does the model know what a plan does under load, with several requests in flight?

Each scheduler's plan serves requests, between serial runs of it: whenever there is room, and on a schedule that
keeps the devices partly idle. Those rounds count during which no core was slower than at its best, by a serial run
before and one after. From the serial runs between those two the same load is simulated, with their noise.
``several_requests.csv`` has a line for each model, plan, load and figure (throughput, median and 99th percentile of
latencies), and ``several_requests.png`` is drawn from it alone.
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
from hetsim.costs.profile_file import ProfileFile
from hetsim.io.platform_file import load_platform
from hetsim.models.model import Model, random_inputs
from hetsim.runtime import Inference, Runtime, Session
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.interference_monitor import InterferenceMonitor
from hetsim.runtime.measure.profiler import Effort, warm_up
from hetsim.runtime.measure.profiler import record as record_serial_runs
from hetsim.runtime.serving import serve
from hetsim.scheduler.registry import make_plan
from hetsim.sim.simulate import simulate
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.options import Options
from hetsim.tuner.progress import OnScreen, Stages

COMMAND = "python -m experiments.several_requests"
FIGURES = ("throughput_per_s", "p50_s", "p99_s")

_SERIAL_RUNS_PER_SIDE = 6  # before and after the requests of a round
_MOST_TRIES = 3  # so many times as many rounds are tried at most, while something slows the cores down
_SIMULATIONS_PER_ROUND = 10  # so that a late percentile of the simulation rests on many requests
_IDLE = 1.25  # requests on a schedule come this much more slowly than the devices could serve them
_RESAMPLES = 1000

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadLine:
    """A line of several_requests.csv: one figure of one plan under one load.

    Attributes:
        model: The network.
        platform: The devices.
        scheduler: Who made the plan.
        num_slots: Requests in flight at most.
        every_s: A request is due so often; 0 stands for whenever there is room.
        figure: ``throughput_per_s``, ``p50_s`` or ``p99_s``, the percentiles of latencies.
        measured: Over all rounds, in the figure's unit.
        measured_low: Lower end of its 95 % bootstrap interval over rounds.
        measured_high: Upper end of it.
        simulated: By the model.
        num_requests: Requests that were served.
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
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; one that is there is gone on with.")],
    platform: Annotated[str, typer.Option(metavar="NAME|FILE", help="The devices.")] = DEFAULT_PLATFORM,
    schedulers: Annotated[
        str, typer.Option(metavar="S,...", help="The schedulers of the plans.")
    ] = "single:npu,individual,partition_tuner",
    in_flight: Annotated[int, typer.Option("--in-flight", min=1, metavar="N", help="Requests under way at once.")] = 3,
    rounds: Annotated[int, typer.Option(min=2, help="Rounds of serial runs and requests.")] = 30,
    requests: Annotated[int, typer.Option(min=2, help="Requests of each turn.")] = 30,
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment.")] = 12,
    seed: Annotated[int, typer.Option(help="Everything random comes from it.")] = 0,
) -> None:
    """Serve requests with each scheduler's plan, simulate the same, and compare."""
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
            f"{line.model}, {line.scheduler}, {_load_description(line)}: {line.figure} {line.measured:.4g} "
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
    """All lines of ``out/several_requests.csv`` once every model has some, with the picture drawn.

    Args:
        models: Names of the zoo, or .onnx files.
        platform: The devices.
        out: Folder for the results.
        schedulers: Whose plans serve.
        load: The requests of each turn, due whenever there is room; they also come on a schedule.
        num_rounds: Rounds of serial runs and requests.
        effort: How often segments are measured.
        seed: Everything random comes from it.
        command: The command line, for the sidecar.
        stages: Where progress is shown.

    Raises:
        HetsimError: If a model, the platform or a device cannot do what is asked, or the folder holds results under
            other settings.
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

    def rows_of(model: Model) -> list[LoadLine]:
        lines: list[LoadLine] = []
        options = Options(effort=effort, seed=seed)
        with profiled(model, platform, out / model.name, options=options, stages=stages) as context:
            runtime, file, problem = context.runtime, context.file, context.problem()
            for scheduler in schedulers:
                plan = make_plan(scheduler, problem, seed=seed)
                for every_s in (0.0, _IDLE * _busiest_s(problem, plan)):
                    with stages.stage(f"{model.name}, {scheduler}") as report:
                        report(0.0, "serving")
                        due = replace(load, every_s=every_s)
                        lines += measure(runtime, model, platform, plan, due, num_rounds, file, scheduler, seed)
        return lines

    fill(record, models, rows_of, seed=seed)
    draw(read_rows(path, LoadLine), out / "several_requests.png")
    return record.rows


def measure(
    runtime: Runtime,
    model: Model,
    platform: Platform,
    plan: Plan,
    load: Load,
    num_rounds: int,
    file: ProfileFile,
    scheduler: str,
    seed: int,
) -> list[LoadLine]:
    """The three figures of one plan under one load, measured between serial runs, and simulated from those.

    Raises:
        DeviceError: If a device failed.
    """
    inputs = random_inputs(model, seed=seed)
    tried: list[_Round] = []
    with runtime.load(model, plan, num_slots=load.num_slots) as session:
        while (
            sum(round.slowness <= MAX_SLOWDOWN for round in tried) < num_rounds
            and len(tried) < _MOST_TRIES * num_rounds
        ):
            tried.append(_take_round(session, inputs, load, runtime.interference_monitor))
    counted = sorted(tried, key=lambda round: round.slowness)[:num_rounds]
    served = [round.served for round in counted]
    record_serial_runs(
        file, [serial_run for round in counted for serial_run in round.serial_runs], f"final:{plan.digest}"
    )
    problem = plan_problem(model, platform, file.profile, plan)
    simulated = []
    for number in range(_SIMULATIONS_PER_ROUND * num_rounds):
        noise = measured_noise(problem, file.profile, plan, seed=seed + number)
        simulated.append(simulate(problem, plan, load=load, duration_s=noise))
    measured, expected = _figures(served), _figures(simulated)
    generator = np.random.default_rng(seed)
    drawn = [_figures([served[i] for i in generator.integers(num_rounds, size=num_rounds)]) for _ in range(_RESAMPLES)]
    return [
        LoadLine(
            model=model.name,
            platform=platform.name,
            scheduler=scheduler,
            num_slots=load.num_slots,
            every_s=load.every_s,
            figure=figure,
            measured=measured[figure],
            measured_low=float(np.percentile([one[figure] for one in drawn], 2.5)),
            measured_high=float(np.percentile([one[figure] for one in drawn], 97.5)),
            simulated=expected[figure],
            num_requests=num_rounds * load.num_requests,
        )
        for figure in FIGURES
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """Requests that were served between serial runs, and by how much a core was slower then than at its best.

    A serial run before and one after all of these tell it: serial runs that decide which rounds count would know of
    fewer slow moments than the requests met.
    """

    serial_runs: list[Inference]
    served: Timeline
    slowness: float


def _take_round(
    session: Session, inputs: Mapping[str, Array], load: Load, interference_monitor: InterferenceMonitor
) -> _Round:
    def run_serially() -> list[Inference]:
        return [session.run(inputs, serial=True) for _ in range(_SERIAL_RUNS_PER_SIDE)]

    before = warm_up(session, inputs)
    serial_runs = run_serially()
    served = serve(session, inputs, load).timeline
    serial_runs += run_serially()
    after = session.run(inputs, serial=True)
    return _Round(serial_runs=serial_runs, served=served, slowness=interference_monitor.slowness(before, after))


def _figures(timelines: Sequence[Timeline]) -> dict[str, float]:
    """Median throughput of the rounds, and percentiles of all their latencies."""
    latencies_s = [latency_s for timeline in timelines for latency_s in timeline.latencies_s]
    median_s, late_s = np.percentile(latencies_s, [50, 99])
    throughput_per_s = np.median([timeline.throughput_per_s for timeline in timelines])
    return dict(zip(FIGURES, (float(throughput_per_s), float(median_s), float(late_s)), strict=True))


def _busiest_s(problem: Problem, plan: Plan) -> float:
    """What the device with the most work has to do for one request, in seconds."""
    return max(sum(problem.cost_s(segment.device, segment.ops) for segment in queue) for queue in plan.queues.values())


def _load_description(line: LoadLine) -> str:
    return f"one every {line.every_s * 1e3:.3g} ms" if line.every_s else f"{line.num_slots} in flight"


def draw(lines: Sequence[LoadLine], picture: Path) -> None:
    """Draw every figure, measured and simulated, relative to the measured one.

    Raises:
        OSError: If the file cannot be written.
    """
    groups = [
        Group(
            label=f"{line.model}, {line.scheduler}\n{line.figure.partition('_')[0]}, {_load_description(line)}",
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
