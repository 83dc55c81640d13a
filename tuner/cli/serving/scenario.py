"""``hetsim scenario``: several models on one machine."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hetsim.core.platform import DEFAULT_PLATFORM
from hetsim.tuner.cli.arguments import ExplorationsOption, PlatformOption, SeedOption
from hetsim.tuner.cli.screen import say, screen

if TYPE_CHECKING:
    from hetsim.tuner.scenario.outcome import ScenarioOutcome


def scenario(
    file: Annotated[Path, typer.Argument(metavar="SCENARIO", help="A TOML file, or one of Band's JSON files.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that is found; profiles in it are used.")],
    platform: PlatformOption = DEFAULT_PLATFORM,
    seed: SeedOption = 0,
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment.")] = 6,
    explorations: ExplorationsOption = 4,
) -> None:
    """Serve several models' requests: choose plans and policy by simulation, execute, and compare.

    Beside what is found, the best choice with each whole model on one device is executed.
    """
    from hetsim.io.platform_file import load_platform
    from hetsim.io.serving.scenario_file import load_scenario
    from hetsim.runtime.measure.profiler import Effort
    from hetsim.tuner.cli.sources import Bindings, read_model
    from hetsim.tuner.options import Options
    from hetsim.tuner.progress import OnScreen
    from hetsim.tuner.scenario.pipeline import run_scenario

    found = load_scenario(file)
    models = {one.name: read_model(one.model, Bindings([], [], [])) for one in found.models}
    options = Options(
        seed=seed,
        effort=Effort(repeats=repeats, explorations=explorations),
        command=("hetsim", *sys.argv[1:]),
    )
    outcome = run_scenario(found, models, load_platform(platform), out, options=options, stages=OnScreen(screen()))
    print_scenario(outcome)
    say(f"Open {out / 'measured.trace.json'} in Perfetto; the plans are in {out}/MODEL/deployment.json.")


def print_scenario(outcome: ScenarioOutcome) -> None:
    """Print what became of each model's requests, measured beside simulated."""
    from rich.table import Table

    for name, one in outcome.executions.items():
        table = Table(box=None, pad_edge=False, title=f"{name}, {one.choice.policy}", title_justify="left")
        table.add_column("model")
        for heading in ("requests", "missed", "simulated", "p50, ms", "p99, ms", "simulated", "deadline", "jitter, ms"):
            table.add_column(heading, justify="right")
        for measured, simulated in zip(one.measured.workloads, one.simulated.workloads, strict=True):
            table.add_row(
                measured.name,
                str(len(measured.due_s)),
                f"{measured.miss_rate:.1%}",
                f"{simulated.miss_rate:.1%}",
                f"{measured.percentile_s(50) * 1e3:.3g}",
                f"{measured.percentile_s(99) * 1e3:.3g}",
                f"{simulated.percentile_s(99) * 1e3:.3g}",
                f"{measured.deadline_s * 1e3:.3g}" if measured.deadline_s < math.inf else "-",
                f"{measured.jitter_s * 1e3:.2g}",
            )
        screen().print(table)
        busy = ", ".join(f"{device} {share:.0%}" for device, share in one.measured.utilisation.items())
        say(f"Devices at work: {busy}.")
    say(f"By the predicted costs, at most {outcome.highest_factor:.2f} times these rates fit on the devices.")
