"""The command of ``experiments.scenarios``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from experiments.scenarios.examples import examples
from experiments.shared.profiles import calibrated
from experiments.shared.records import Record, Settings, read_rows
from hetsim.analysis.plots.bars import Bar, Group, draw_bars
from hetsim.core.platform import DEFAULT_PLATFORM, Platform
from hetsim.core.serving.outcome import Outcome
from hetsim.io.platform_file import load_platform
from hetsim.io.serving.scenario_file import ServingScenario
from hetsim.models.importer import load_model
from hetsim.runtime.measure.profiler import Effort
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.options import Options
from hetsim.tuner.progress import OnScreen, Stages
from hetsim.tuner.scenario.pipeline import OURS, WHOLE, execute_choice, prepare_model
from hetsim.tuner.scenario.planning import Planner, highest_factor

COMMAND = "python -m experiments.scenarios"
_MARGIN = 0.95  # of the highest simulated rate, at which both are executed

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioRow:
    """A line of scenarios.csv: one contender of one scenario.

    Attributes:
        model: The scenario.
        platform: The devices.
        contender: ``ours``, or ``whole models``: the best with each whole model on one device.
        policy: Which ready segment a free device runs next.
        num_models: Models of the scenario.
        highest_factor: Factor of all rates at which, simulated without noise, no model misses more than a hundredth.
        bound_factor: By which no mixture of the candidates can exceed the rates.
        executed_factor: The factor at which it was executed.
        measured_miss_rate: Misses of the model with the most, executed.
        simulated_miss_rate: The same, simulated with the noise of serial runs.
        measured_busy: Utilisation of the busiest device, executed.
        num_requests: Requests that were executed.
    """

    model: str
    platform: str
    contender: str
    policy: str
    num_models: int
    highest_factor: float
    bound_factor: float
    executed_factor: float
    measured_miss_rate: float
    simulated_miss_rate: float
    measured_busy: float
    num_requests: int


@dataclass(frozen=True, slots=True)
class _Subject:
    """A scenario as the subject of rows; its name determines its content."""

    name: str
    hash: str = ""


@app.command()
def scenarios(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; profiles in it are used.")],
    platform: Annotated[str, typer.Option(metavar="NAME|FILE", help="The devices.")] = DEFAULT_PLATFORM,
    only: Annotated[str, typer.Option(metavar="S,...", help="Names of scenarios; all if left out.")] = "",
    voice: Annotated[str, typer.Option(metavar="FILE", help="A voice detector for the scenario that has one.")] = "",
    seconds: Annotated[float, typer.Option(min=0.1, help="How long requests are due.")] = 3.0,
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment.")] = 6,
    seed: Annotated[int, typer.Option(help="Everything random comes from it.")] = 0,
) -> None:
    """Find the highest rates at which deadlines are met, by plans over both devices and by whole models; execute."""
    console = Console()
    stages = OnScreen(console)
    path = out / "scenarios.csv"
    settings: Settings = {"platform": platform, "seconds": seconds, "repeats": repeats, "seed": seed}
    record = Record(path, ScenarioRow, settings=settings, command=shlex.join((*shlex.split(COMMAND), *sys.argv[1:])))
    devices = calibrated(load_platform(platform), out, stages=stages)
    options = Options(effort=Effort(repeats=repeats), seed=seed)
    for name, scenario in examples(seconds, voice=voice).items():
        if not record.has(name) and (not only or name in only.split(",")):
            record.add(_Subject(name), measure(name, scenario, devices, out, options=options, stages=stages))
    rows = read_rows(path, ScenarioRow)
    draw(rows, out / "scenarios.png")
    for line in summarise(rows):
        console.print(line, markup=False, highlight=False)


def measure(
    name: str, scenario: ServingScenario, platform: Platform, out: Path, *, options: Options, stages: Stages
) -> list[ScenarioRow]:
    """Both contenders of a scenario.

    Raises:
        HetsimError: If a model cannot run on the devices, or a device failed.
    """
    prepared = [
        prepare_model(
            one, load_model(one.model, seed=options.seed), platform, out / one.name, options=options, stages=stages
        )
        for one in scenario.models
    ]
    planned = [one.planned for one in prepared]
    rows = []
    with stages.stage(f"{name}: highest rates"):
        planner = Planner(scenario, planned, seed=options.seed)
        found = {OURS: planner.highest_rate(), WHOLE: planner.highest_rate(whole_models_only=True)}
        bound = highest_factor(planned)
    for contender, (factor, _) in found.items():
        faster = factor * _MARGIN
        choice = planner.best(faster=faster, whole_models_only=contender == WHOLE)
        executed = execute_choice(
            scenario, prepared, choice, platform, options=options, stages=stages, name=contender, faster=faster
        )
        rows.append(
            ScenarioRow(
                model=name,
                platform=platform.name,
                contender=contender,
                policy=choice.policy,
                num_models=len(scenario.models),
                highest_factor=factor,
                bound_factor=bound,
                executed_factor=faster,
                measured_miss_rate=_worst(executed.measured),
                simulated_miss_rate=_worst(executed.simulated),
                measured_busy=max(executed.measured.utilisation.values()),
                num_requests=sum(len(one.due_s) for one in executed.measured.workloads),
            )
        )
    return rows


def _worst(outcome: Outcome) -> float:
    return max(one.miss_rate for one in outcome.workloads)


def summarise(rows: Sequence[ScenarioRow]) -> list[str]:
    """A line for each scenario, and the geometric mean of the gains."""
    lines, gains = [], []
    for name in dict.fromkeys(row.model for row in rows):
        own = {row.contender: row for row in rows if row.model == name}
        ours, whole = own[OURS], own[WHOLE]
        gains.append(ours.highest_factor / whole.highest_factor)
        lines.append(
            f"{name}: {gains[-1]:.2f} times the rates of whole models ({ours.policy}; misses "
            f"{ours.measured_miss_rate:.1%}, simulated {ours.simulated_miss_rate:.1%}; whole models {whole.policy}, "
            f"{whole.measured_miss_rate:.1%}, {whole.simulated_miss_rate:.1%})"
        )
    off = [abs(row.measured_miss_rate - row.simulated_miss_rate) for row in rows]
    lines.append(
        f"geometric mean {float(np.exp(np.mean(np.log(gains)))):.2f}; miss rates off by {np.mean(off) * 100:.1f} "
        f"points on average, {max(off) * 100:.1f} at worst"
    )
    return lines


def draw(rows: Sequence[ScenarioRow], picture: Path) -> None:
    """Draw the highest rates of both contenders, relative to whole models.

    Raises:
        OSError: If the file cannot be written.
    """
    groups = []
    for name in dict.fromkeys(row.model for row in rows):
        own = {row.contender: row for row in rows if row.model == name}
        base = own[WHOLE].highest_factor
        bars = (Bar(label=contender, value=own[contender].highest_factor / base) for contender in (WHOLE, OURS))
        groups.append(Group(label=name, bars=(*bars, Bar(label="bound", value=own[OURS].bound_factor / base))))
    platforms = ", ".join(dict.fromkeys(row.platform for row in rows))
    draw_bars(groups, picture, title=f"Highest rates on {platforms}, simulated", axis="relative to whole models")


def main() -> None:
    """Run the experiment; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)
