"""The command of ``experiments.throughput``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from experiments.shared.profiles import calibrated, profiled
from experiments.shared.records import Record, Settings, fill, model_names, read_rows
from experiments.throughput.plots import draw
from experiments.throughput.study import CAPS, LOADS, ThroughputRow, measure_model
from hetsim.core.platform import DEFAULT_PLATFORM
from hetsim.io.platform_file import load_platform
from hetsim.models.model import Model
from hetsim.runtime.measure.profiler import Effort
from hetsim.scheduler.registry import SINGLE
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.options import Options
from hetsim.tuner.progress import OnScreen
from hetsim.tuner.serving.candidates import SIDE_BY_SIDE
from hetsim.tuner.serving.measured import ServingPace
from hetsim.tuner.serving.proposing import OURS

COMMAND = "python -m experiments.throughput"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def throughput(
    models: Annotated[str, typer.Option("--models", metavar="M,...", help="Names of the zoo, or .onnx files.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; results in it are continued.")],
    platform: Annotated[str, typer.Option(metavar="NAME|FILE", help="The devices.")] = DEFAULT_PLATFORM,
    rounds: Annotated[int, typer.Option(min=2, help="Rounds in which every contender serves requests.")] = 8,
    round_s: Annotated[float, typer.Option(min=0.0, help="Seconds that a contender serves in a round.")] = 0.5,
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment.")] = 6,
    seed: Annotated[int, typer.Option(help="Everything random comes from it.")] = 0,
) -> None:
    """Find deployments with the most requests per second, without and with caps of the latency, and execute them."""
    console = Console()
    stages = OnScreen(console)
    path = out / "throughput.csv"
    settings: Settings = {
        "platform": platform,
        "rounds": rounds,
        "round_s": round_s,
        "repeats": repeats,
        "seed": seed,
    }
    names = model_names(models)
    record = Record(path, ThroughputRow, settings=settings, command=shlex.join((*shlex.split(COMMAND), *sys.argv[1:])))
    devices = calibrated(load_platform(platform), out, stages=stages)
    options = Options(effort=Effort(repeats=repeats), seed=seed)
    pace = ServingPace(num_rounds=rounds, round_s=round_s)

    def rows_of(model: Model) -> list[ThroughputRow]:
        with profiled(model, devices, out / model.name, options=options, stages=stages) as context:
            return measure_model(context, pace)

    fill(record, names, rows_of, seed=seed)
    rows = read_rows(path, ThroughputRow)
    draw(rows, out)
    for line in summarise(rows):
        console.print(line, markup=False, highlight=False)


def summarise(rows: Sequence[ThroughputRow]) -> list[str]:
    """A line for each model, and geometric means over models.

    Gains are relative to the best single device, and errors are simulated by measured.
    """
    lines, gains, shares = [], dict[str, list[float]](), list[float]()
    for model in dict.fromkeys(row.model for row in rows):
        own = {row.contender: row for row in rows if row.model == model}
        singles = [row.measured_per_s for name, row in own.items() if name.startswith(SINGLE)]
        best, total = max(singles), sum(singles)
        parts = [f"{model}: best single {best:.4g}/s"]
        for name in (SIDE_BY_SIDE, OURS, *(f"{OURS}:{cap:g}" for cap in CAPS)):
            if name in own:
                gains.setdefault(name, []).append(own[name].measured_per_s / best)
                parts.append(f"{name} {own[name].measured_per_s / best:.2f}")
        if OURS in own:
            shares.append(own[OURS].measured_per_s / total)
            parts.append(f"{shares[-1]:.0%} of the sum")
        lines.append(", ".join(parts))
    means = [f"{name} {float(np.exp(np.mean(np.log(values)))):.3f}" for name, values in gains.items()]
    lines.append(f"geometric means over the best single device: {', '.join(means)}")
    if shares:
        lines.append(f"{OURS} is {float(np.exp(np.mean(np.log(shares)))):.1%} of the sum of all devices")
    lines += _errors("at full load", [row for row in rows if not row.every_s])
    lines += _errors("below a cap", [row for row in rows if row.contender.startswith(f"{OURS}:")])
    for load in LOADS:
        lines += _errors(
            f"at {load:.0%} of what {OURS} served at full load",
            [row for row in rows if row.contender == f"{OURS}@{load:.0%}"],
        )
    return lines


def _errors(label: str, rows: Sequence[ThroughputRow]) -> list[str]:
    """How far simulated figures are from measured ones; nothing without rows."""
    if not rows:
        return []
    errors = np.array([abs(row.simulated_per_s / row.measured_per_s - 1) for row in rows])
    tails = np.array([abs(row.simulated_p99_s / row.measured_p99_s - 1) for row in rows])
    return [
        f"{label}, simulated throughput is off by {errors.mean():.1%} on average, {errors.max():.1%} at worst; "
        f"the 99th percentile by {tails.mean():.1%} and {tails.max():.1%}"
    ]


def main() -> None:
    """Run the experiment; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)
