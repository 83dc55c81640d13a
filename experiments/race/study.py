"""Question: how often does a race recommend the fastest plan, and how many executions does it save?

The plans of single devices, of the baselines and of both searches are executed in interleaved rounds without
elimination: ``rounds.csv`` has the median latency of each in each round. From these, races are drawn whose true
differences are known: each has the noise of recorded plans in consecutive rounds, the same rounds for all of its plans,
around latencies of which the best is 1 and the others are up to 1.2. Each race is decided as ``hetsim tune`` decides
it (:mod:`hetsim.tuner.steps.race`), and from all rounds of all plans.

``races.csv`` has a line for each race and way of deciding it, ``races.png`` shows how much slower the recommended
plans are than the best. Both are made from ``rounds.csv`` alone. A second call skips models that have rounds.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console

from experiments.shared.profiles import calibrated, profiled
from experiments.shared.records import Record, Settings, fill, model_label, model_names, read_rows, write_rows
from hetsim.analysis.plots.bars import Bar, Group, draw_bars
from hetsim.core.platform import DEFAULT_PLATFORM, Platform
from hetsim.io.platform_file import load_platform
from hetsim.models.model import Model
from hetsim.tuner.deadline import Deadline
from hetsim.tuner.options import Options, Pace
from hetsim.tuner.progress import OnScreen, Silent, Stages
from hetsim.tuner.steps.final_measurement import measure_finalists
from hetsim.tuner.steps.proposals import propose
from hetsim.tuner.steps.race import TIE, Race, find_standings
from hetsim.tuner.steps.scheduler_plans import propose_baselines, propose_searched

COMMAND = "python -m experiments.race"
RACE, ALL = "race", "all rounds"
LARGEST_DIFFERENCE = 0.2

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundLine:
    """A line of rounds.csv: one plan in one round.

    Attributes:
        model: The network.
        platform: The devices.
        plan: Name of the plan.
        number: The round, from 0.
        median_s: Median latency of its executions in that round.
    """

    model: str
    platform: str
    plan: str
    number: int
    median_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceLine:
    """A line of races.csv: how one race was decided.

    Attributes:
        number: Number of the race.
        way: ``race`` or ``all rounds``.
        num_plans: The number of plans.
        excess: How much longer the recommended plan takes than the best, as a fraction.
        num_rounds: Rounds of all plans together.
        num_undecided: Plans for which neither a tie with the fastest nor a difference was shown.
    """

    number: int
    way: str
    num_plans: int
    excess: float
    num_rounds: int
    num_undecided: int


@app.command()
def race(
    models: Annotated[str, typer.Option("--models", metavar="M,...", help="Names of the zoo, or .onnx files.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; results in it are continued.")],
    platform: Annotated[str, typer.Option(metavar="NAME|FILE", help="The devices.")] = DEFAULT_PLATFORM,
    seed: Annotated[int, typer.Option(help="Everything random comes from it.")] = 0,
    runs: Annotated[int, typer.Option(min=18, help="Recorded executions of each plan.")] = 120,
    count: Annotated[int, typer.Option("--races", min=1, help="Races to draw.")] = 200,
    plans: Annotated[int, typer.Option(min=2, help="Plans in each race, or all that were recorded.")] = 8,
) -> None:
    """Record rounds of real plans, draw races from them, and decide each as a race and from all rounds."""
    options = Options(
        seed=seed, pace=Pace(num_runs=runs, budget_s=60.0), command=(*shlex.split(COMMAND), *sys.argv[1:])
    )
    console = Console()
    record_rounds(model_names(models), load_platform(platform), out, options=options, stages=OnScreen(console))
    for text in conclude(out, count=count, num_plans=plans, seed=seed):
        console.print(text, markup=False, highlight=False)


def record_rounds(
    models: Sequence[str], platform: Platform, out: Path, *, options: Options, stages: Stages | None = None
) -> None:
    """Add the rounds of models that ``out/rounds.csv`` lacks.

    Raises:
        HetsimError: If a model or the platform does not fit, a device failed, or the folder holds results under other
            settings.
        OSError: If the folder cannot be written.
    """
    stages = stages or Silent()
    settings: Settings = {"platform": platform.name, "seed": options.seed, "runs": options.pace.num_runs}
    record = Record(out / "rounds.csv", RoundLine, settings=settings, command=shlex.join(options.command or (COMMAND,)))
    if any(not record.has(model_label(name)) for name in models):
        platform = calibrated(platform, out, stages=stages)

    def rows_of(model: Model) -> list[RoundLine]:
        with profiled(model, platform, out / model.name, options=options, stages=stages) as context:
            found = propose(context, (propose_baselines, propose_searched), Deadline())
            finalists = measure_finalists(context, found.plans, f"execute {model.name}")
        return [
            RoundLine(model=model.name, platform=platform.name, plan=name, number=number, median_s=median_s)
            for name, finalist in finalists.items()
            for number, median_s in enumerate(finalist.execution.round_medians_s)
        ]

    for name in models:
        fill(record, [name], rows_of, seed=options.seed)


def conclude(out: Path, *, count: int, num_plans: int, seed: int) -> list[str]:
    """Draw races from ``out/rounds.csv``, write ``races.csv`` and ``races.png``, and say what they show."""
    lines = decide(read_rows(out / "rounds.csv", RoundLine), count=count, num_plans=num_plans, seed=seed)
    write_rows(out / "races.csv", RaceLine, lines)
    by_way = {way: [line for line in lines if line.way == way] for way in (RACE, ALL)}
    limits = (0.001, TIE, 0.02, 0.05)
    draw_bars(
        [
            Group(
                label=f"within {100 * limit:g} %",
                bars=tuple(Bar(label=way, value=100 * _share_within(found, limit)) for way, found in by_way.items()),
            )
            for limit in limits
        ],
        out / "races.png",
        title="How close recommended plans are to the best",
        axis="races, %",
        subtitle=f"{count} races of up to {num_plans} plans, drawn from recorded rounds",
    )
    all_rounds = sum(line.num_rounds for line in by_way[ALL])
    return [
        f"{way}: {100 * _share_within(found, TIE):.1f} % of {len(found)} recommended plans within {100 * TIE:g} % of "
        f"the best, {100 * max(line.excess for line in found):.1f} % slower at worst; "
        f"{100 * sum(line.num_rounds for line in found) / all_rounds:.0f} % of all executions"
        for way, found in by_way.items()
    ]


def decide(rounds: Sequence[RoundLine], *, count: int, num_plans: int, seed: int) -> list[RaceLine]:
    """Each of ``count`` races, decided as a race and from all rounds, as many as ``hetsim tune`` makes at most.

    Args:
        rounds: Recorded rounds of at least two plans of each model, in the order of ``rounds.csv``.
        count: The number of races.
        num_plans: Plans in each, or as many as the model that is drawn has.
        seed: Seed of everything that is drawn.
    """
    generator = np.random.default_rng(seed)
    noise = _noise(rounds)
    num_rounds = Pace().rounds(1e-3)
    found: list[RaceLine] = []
    for race_number in range(count):
        model = noise[generator.integers(len(noise))]
        plans = generator.permutation(len(model))[:num_plans]
        first = generator.integers(model.shape[1])
        drawn = model[plans][:, (first + np.arange(num_rounds)) % model.shape[1]]
        true = np.concatenate([[1.0], 1 + LARGEST_DIFFERENCE * generator.random(len(plans) - 1)])
        medians = true[:, np.newaxis] * np.exp(drawn)
        simplicity = generator.permutation(len(plans))
        race = Race(range(len(plans)))
        for number in range(num_rounds):
            if not race.after_round({plan: float(medians[plan, number]) for plan in sorted(race.running)}):
                break
        for way, seen in ((RACE, race.medians_s), (ALL, dict(enumerate(medians.tolist())))):
            recommended, num_undecided = _recommended(seen, simplicity)
            found.append(
                RaceLine(
                    number=race_number,
                    way=way,
                    num_plans=len(plans),
                    excess=float(true[recommended] - 1),
                    num_rounds=sum(map(len, seen.values())),
                    num_undecided=num_undecided,
                )
            )
    return found


def _recommended(medians_s: Mapping[int, Sequence[float]], simplicity: npt.NDArray[np.intp]) -> tuple[int, int]:
    """The simplest plan of those that tie with the fastest, and how many others are undecided."""
    fastest, relations = find_standings(medians_s)
    tied = [fastest, *(plan for plan, relation in relations.items() if relation == "tie")]
    return min(tied, key=lambda plan: int(simplicity[plan])), list(relations.values()).count("undecided")


def _noise(rounds: Sequence[RoundLine]) -> list[npt.NDArray[np.float64]]:
    """By model, for each plan (rows) and round (columns) the logarithm of its latency over the plan's median."""
    found = []
    for _, lines in groupby(rounds, key=lambda line: line.model):
        by_plan = [[line.median_s for line in own] for _, own in groupby(lines, key=lambda line: line.plan)]
        logarithms = np.log(np.array(by_plan))
        found.append(logarithms - np.median(logarithms, axis=1, keepdims=True))
    return found


def _share_within(lines: Sequence[RaceLine], limit: float) -> float:
    return sum(line.excess <= limit for line in lines) / len(lines)
