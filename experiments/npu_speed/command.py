"""Question: how does the best latency change with the speed of a hypothetical NPU?

The best plan changes with the hardware, so the model is planned anew at each speed, with splits of operators and
without; exact planning proves the optimum if it can. The results are compared with the plan that is best at speed 1,
with each device alone, and with limits, lower bounds by load and by critical path. The experiment also varies the
number of NPUs and the memory's bandwidth. A map over speed and bandwidth shows the gain of the best plan over the best
single device. All of it needs a profile of the measured devices only, which is measured first if the folder has none.

With ``--execute`` the plans are also executed at each speed from 0.5 to 8, on the real devices beside an emulated NPU.

``npu_speed.csv``, ``npu_count.csv``, ``memory_bandwidth.csv`` and ``speed_bandwidth.csv`` have the latencies.
``turning_points.csv`` has the speeds at which the best plan changes and from which on a faster NPU no longer helps,
``emulated_errors.csv`` the errors of simulations relative to executions. A ``.json`` beside a CSV says where its rows
come from. Pictures of the same names are drawn from the CSVs alone; several models have a folder each.
"""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from experiments.npu_speed.plots import draw_all
from experiments.npu_speed.rows import BandwidthLine, CountLine, ErrorLine, MapLine, SpeedLine, TurningLine
from experiments.npu_speed.study import Lines, Study, Variations
from experiments.shared.profiles import calibrated, measured_profile
from experiments.shared.records import Record, Settings, model_label, model_names, read_rows, write_rows
from experiments.sweeps.hypothetical_points import Base
from experiments.sweeps.workers import Workers, workers_for
from hetsim.core.errors import PlatformError
from hetsim.core.platform import DEFAULT_PLATFORM, Platform
from hetsim.io.platform_file import format_platform, load_platform
from hetsim.models.importer import load_model
from hetsim.models.model import Model
from hetsim.runtime.measure.profiler import Effort
from hetsim.tuner.cli.arguments import DaskOption, WorkersOption
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.options import Options, Pace
from hetsim.tuner.progress import OnScreen, Silent, Stages

COMMAND = "python -m experiments.npu_speed.__main__"
BANDWIDTHS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
MAP_SPEEDS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
MAX_COUNT = 4

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def npu_speed(
    models: Annotated[str, typer.Option("--models", metavar="M,...", help="Names of the zoo, or .onnx files.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; results in it are continued.")],
    platform: Annotated[str, typer.Option(metavar="NAME|FILE", help="The devices.")] = DEFAULT_PLATFORM,
    device: Annotated[str, typer.Option(help="The device to vary.")] = "npu",
    slowest: Annotated[float, typer.Option(help="Lowest speed, relative to the device as measured.")] = 0.25,
    fastest: Annotated[float, typer.Option(help="Highest speed.")] = 16.0,
    points: Annotated[int, typer.Option(min=2, help="Number of speeds, equal ratios apart.")] = 13,
    counts: Annotated[
        int, typer.Option(min=0, help="Largest number of such devices to plan for; 0: do not vary it.")
    ] = MAX_COUNT,
    memory: Annotated[bool, typer.Option(help="Vary the memory's bandwidth as well.")] = True,
    execute: Annotated[
        bool, typer.Option("--execute", help="Execute the plans beside an emulated device, at speeds from 0.5 to 8.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Everything random comes from it.")] = 0,
    max_evaluations: Annotated[int, typer.Option(min=0, help="Candidates that each search simulates.")] = 3000,
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment, if they are measured.")] = 12,
    runs: Annotated[int, typer.Option(min=3, help="Counted executions of each plan.")] = 36,
    workers: WorkersOption = None,
    dask: DaskOption = None,
) -> None:
    """Plan each model anew for NPUs of other speeds, for several NPUs, and for memories of other bandwidths."""
    options = Options(
        seed=seed,
        max_evaluations=max_evaluations,
        effort=Effort(repeats=repeats),
        pace=Pace(num_runs=runs),
        command=(*shlex.split(COMMAND), *sys.argv[1:]),
    )
    varied = Variations(
        device=device,
        speeds=log_speeds(slowest, fastest, points),
        counts=tuple(range(1, counts + 1)),
        bandwidths=BANDWIDTHS if memory else (),
        map_speeds=MAP_SPEEDS if memory else (),
        execute=execute,
    )
    console = Console()
    names, machine = model_names(models), load_platform(platform)
    with workers_for(workers, dask) as pool:
        vary(names, machine, out, varied, options=options, workers=pool, stages=OnScreen(console))
    for line in read_rows(out / "turning_points.csv", TurningLine):
        console.print(
            f"{line.model}: {line.what} at {line.speed:.3g}x, {line.description}", markup=False, highlight=False
        )
    for error in read_rows(out / "emulated_errors.csv", ErrorLine) if execute else ():
        console.print(
            f"{error.model}, {error.plans}: {error.num_plans} plans; simulated {error.mean_percent:.2f} % off on "
            f"average, {error.worst_percent:.1f} % at worst, bias {error.bias_percent:+.2f} %; from the profile alone "
            f"{error.predicted_mean_percent:.1f} %",
            markup=False,
            highlight=False,
        )


def log_speeds(slowest: float, fastest: float, count: int) -> tuple[float, ...]:
    """``count`` speeds from ``slowest`` to ``fastest``, equal ratios apart, rounded to four digits.

    >>> log_speeds(0.25, 8, 6)
    (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)

    Raises:
        PlatformError: If they are not positive and ascending.
    """
    if not 0 < slowest < fastest < math.inf:
        raise PlatformError(
            f"speeds from {slowest} to {fastest} make no sweep; they must be more than 0, and --slowest below --fastest"
        )
    ratio = math.log2(fastest / slowest) / (count - 1)
    return tuple(sorted({float(f"{slowest * 2 ** (ratio * i):.4g}") for i in range(count)}))


def vary(
    models: Sequence[str],
    platform: Platform,
    out: Path,
    varied: Variations,
    *,
    options: Options | None = None,
    workers: Workers | None = None,
    stages: Stages | None = None,
) -> list[SpeedLine]:
    """All lines of ``out/npu_speed.csv``, after adding models that it lacks and updating all other files.

    Raises:
        HetsimError: If a model or the platform does not fit, a device failed, or the folder holds results under other
            settings.
        OSError: If the folder cannot be written.
    """
    options, stages = options or Options(), stages or Silent()
    platform.device(varied.device)  # raises now if there is no such device
    if varied.execute and platform.hypothetical_devices:
        names = ", ".join(device.name for device in platform.hypothetical_devices)
        raise PlatformError(f"--execute needs measured devices, but {names} are hypothetical on {platform.name!r}")
    records = Records(out, _settings(platform, varied, options), shlex.join(options.command))
    missing = [name for name in models if not records.speed.has(model_label(name))]
    if missing:
        platform = calibrated(platform, out, stages=stages)
    for name in missing:
        model = load_model(name, seed=options.seed)
        profile = measured_profile(model, platform, out / model.name, effort=options.effort, stages=stages)
        base = Base(
            model=name,
            platform=format_platform(platform),
            profile=str(out / model.name / "profile.jsonl") if profile else "",
            seed=options.seed,
        )
        study = Study(
            model,
            base,
            varied,
            out / model.name,
            max_evaluations=options.max_evaluations,
            pace=options.pace,
            workers=workers,
            stages=stages,
        )
        records.add(model, study.lines(platform, profile))
        del model  # before the next one is loaded
        conclude(out)
    if not missing:  # an earlier run may have been killed before it drew pictures
        conclude(out)
    return records.speed.rows


def conclude(out: Path) -> None:
    """Write ``emulated_errors.csv`` and the pictures from the other CSVs alone.

    Raises:
        HetsimError: If a CSV is malformed.
        OSError: If a file cannot be read or written.
    """
    errors = summarize_errors(read_rows(out / "npu_speed.csv", SpeedLine))
    if errors:
        write_rows(out / "emulated_errors.csv", ErrorLine, errors)
    draw_all(out)


def _settings(platform: Platform, varied: Variations, options: Options) -> Settings:
    return {
        "platform": platform.name,
        "device": varied.device,
        "speeds": list(varied.speeds),
        "counts": [float(count) for count in varied.counts],
        "bandwidths": list(varied.bandwidths),
        "map_speeds": list(varied.map_speeds),
        "runs": options.pace.num_runs if varied.execute else 0,
        "seed": options.seed,
        "max_evaluations": options.max_evaluations,
    }


class Records:
    """The CSVs with their sidecars. A model is added to npu_speed.csv last, so a model in that file is in all files."""

    def __init__(self, out: Path, settings: Settings, command: str) -> None:
        self.speed = Record(out / "npu_speed.csv", SpeedLine, settings=settings, command=command)
        self._count = Record(out / "npu_count.csv", CountLine, settings=settings, command=command)
        self._bandwidth = Record(out / "memory_bandwidth.csv", BandwidthLine, settings=settings, command=command)
        self._map = Record(out / "speed_bandwidth.csv", MapLine, settings=settings, command=command)
        self._turning = Record(out / "turning_points.csv", TurningLine, settings=settings, command=command)

    def add(self, model: Model, lines: Lines) -> None:
        """Add all lines of a model, except to files in which a killed run has already put them.

        Raises:
            OSError: If the folder cannot be written.
        """
        if not self._count.has(model.name):
            self._count.add(model, lines.count)
        if not self._bandwidth.has(model.name):
            self._bandwidth.add(model, lines.bandwidth)
        if not self._map.has(model.name):
            self._map.add(model, lines.map)
        if not self._turning.has(model.name):
            self._turning.add(model, lines.turning)
        self.speed.add(model, lines.speed)


def summarize_errors(lines: Iterable[SpeedLine]) -> list[ErrorLine]:
    """Errors of simulations relative to executions, by model, then over all; a plan counts once at each speed."""
    distinct = {
        (line.model, line.platform, line.speed, line.plan_id): line for line in lines if line.measured_s is not None
    }
    found: list[ErrorLine] = []
    models = dict.fromkeys((model, platform) for model, platform, _, _ in distinct)
    platforms = dict.fromkeys(platform for _, platform in models)
    groups: list[tuple[str, str, tuple[str, ...]]] = [(name, platform, (name,)) for name, platform in models]
    groups += [("all", platform, tuple(name for name, _ in models)) for platform in platforms if len(models) > 1]
    for label, platform, names in groups:
        own = [line for line in distinct.values() if line.model in names and line.platform == platform]
        on_both = [line for line in own if line.num_devices > 1]
        if own:
            found.append(_errors(label, platform, "all", own))
        if on_both:
            found.append(_errors(label, platform, "on both", on_both))
    return found


def _errors(label: str, platform: str, plans: str, lines: Sequence[SpeedLine]) -> ErrorLine:
    pairs = [(line, line.measured_s) for line in lines if line.measured_s is not None]
    simulated = [(line.simulated_s / measured_s - 1) * 100 for line, measured_s in pairs]
    predicted = [(line.predicted_s / measured_s - 1) * 100 for line, measured_s in pairs]
    return ErrorLine(
        model=label,
        platform=platform,
        plans=plans,
        num_plans=len(pairs),
        mean_percent=sum(map(abs, simulated)) / len(pairs),
        worst_percent=max(map(abs, simulated)),
        bias_percent=sum(simulated) / len(pairs),
        predicted_mean_percent=sum(map(abs, predicted)) / len(pairs),
    )


def main() -> None:
    """Run the experiment; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)
