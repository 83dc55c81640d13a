"""Question: how good are the schedulers, and how long do they plan?

Every scheduler plans networks of the zoo, and random layered graphs of growing size
(:func:`hetsim.random_graphs.layered_problem`). A network's costs come from a profile where the folder of profiles has
one (``MODEL/profile.jsonl`` beside ``platform.toml``, as other experiments leave them), else from
:mod:`experiments.synthetic_costs`; the column ``costs`` says which. Schedulers that take too long are left out beyond
the sizes in ``LARGEST``, which is said, and seen in the CSV by their absence.

``scheduler_comparison.csv`` has the numbers, ``scheduler_comparison.json`` says where they come from, and
``scheduler_comparison.png`` is drawn from the CSV alone.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from experiments.records import Record, Settings, model_label, model_names, read_rows
from experiments.synthetic_costs import synthetic_problem
from hetsim.costs import make_problem
from hetsim.errors import ProblemError
from hetsim.machine.platform import load_platform
from hetsim.model import load_model, zoo_names
from hetsim.pictures import Planned, draw_schedulers
from hetsim.problem import Problem
from hetsim.profile import load_profile
from hetsim.random_graphs import layered_problem
from scheduler.registry import Effort, scheduler_names, solve
from tuner.exits import run_to_exit
from tuner.progress import OnScreen, Silent, Stages

COMMAND = "python -m experiments.scheduler_comparison"
NAME = "scheduler_comparison"
SIZES = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
LARGEST = {"ios": 1000, "genetic": 1000}
"""Operators up to which a scheduler takes part: about ten seconds on one core."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerLine:
    """A line of scheduler_comparison.csv: a scheduler's plan for a problem.

    Attributes:
        problem: The network, or the random graph's name with its seed.
        num_ops: Operators that it has.
        scheduler: Who planned.
        simulated_s: What the plan takes by the model.
        bound_s: No plan in the space that the scheduler speaks of is faster.
        planning_s: What planning took, costs looked up for the first time.
        num_segments: Compiled units.
        num_devices: Of the platform.
        costs: ``profile``, ``synthetic``, or ``random``.
    """

    problem: str
    num_ops: int
    scheduler: str
    simulated_s: float
    bound_s: float
    planning_s: float
    num_segments: int
    num_devices: int
    costs: str

    @property
    def model(self) -> str:
        """What rows are kept by."""
        return self.problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A problem to compare schedulers on; made when its turn comes.

    Attributes:
        name: Its name.
        make: Makes the problem, and says where its costs come from.
    """

    name: str
    make: Callable[[], tuple[Problem, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the record calls an instance.

    Attributes:
        name: Its name.
        hash: Of the network; empty for random graphs, whose names say all.
    """

    name: str
    hash: str


@app.command()
def scheduler_comparison(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; one that is there is gone on with.")],
    models: Annotated[
        str, typer.Option("--models", metavar="M,...", help="Names of the zoo, or .onnx files; 'none' for none.")
    ] = ",".join(zoo_names()),
    sizes: Annotated[
        str, typer.Option("--sizes", metavar="N,...", help="Operators of the random graphs; 'none' for none.")
    ] = ",".join(map(str, SIZES)),
    graphs: Annotated[int, typer.Option(min=1, help="Random graphs of each size.")] = 3,
    profiles: Annotated[
        Path | None, typer.Option("--profiles", help="Folder of profiles that another experiment left.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Everything random comes from it.")] = 0,
    max_evaluations: Annotated[int, typer.Option(min=0, help="Candidates that each search simulates.")] = 3000,
) -> None:
    """Compare all schedulers on networks and on random graphs."""
    instances = [
        *networks([] if models == "none" else model_names(models), profiles, seed=seed),
        *random_graphs([] if sizes == "none" else parse_sizes(sizes), graphs, seed=seed),
    ]
    command = shlex.join((*shlex.split(COMMAND), *sys.argv[1:]))
    compare(instances, out, seed=seed, max_evaluations=max_evaluations, command=command, stages=OnScreen(Console()))


def parse_sizes(words: str) -> tuple[int, ...]:
    """Sizes in a comma-separated list.

    Raises:
        ProblemError: If it is not a list of numbers from 1.
    """
    try:
        sizes = tuple(int(word) for word in words.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise ProblemError(f"--sizes {words!r} must be numbers of operators from 1, such as 20,50,100, or 'none'")
    return tuple(dict.fromkeys(sizes))


def networks(names: Sequence[str], profiles: Path | None, *, seed: int) -> Iterator[Instance]:
    """An instance for each network, its costs from a profile if the folder has one of it."""
    for name in names:
        yield Instance(name=model_label(name), make=lambda name=name: _network(name, profiles, seed))  # type: ignore[misc]


def _network(name: str, profiles: Path | None, seed: int) -> tuple[Problem, str]:
    model = load_model(name, seed=seed)
    if profiles is not None:
        path, platform = profiles / model.name / "profile.jsonl", profiles / "platform.toml"
        if path.exists() and platform.exists():
            profile = load_profile(path)
            if profile.header.model_hash == model.hash:
                return make_problem(model, load_platform(platform), profile), "profile"
    return synthetic_problem(model), "synthetic"


def random_graphs(sizes: Sequence[int], count: int, *, seed: int) -> Iterator[Instance]:
    """``count`` instances of each size."""
    for num_ops in sizes:
        for own in range(seed, seed + count):
            yield Instance(
                name=f"layered-{num_ops}/{own}",
                make=lambda num_ops=num_ops, own=own: (layered_problem(num_ops, seed=own), "random"),  # type: ignore[misc]
            )


def compare(
    instances: Sequence[Instance],
    out: Path,
    *,
    seed: int = 0,
    max_evaluations: int = 3000,
    command: str = COMMAND,
    stages: Stages | None = None,
) -> list[SchedulerLine]:
    """All lines of ``out/scheduler_comparison.csv`` once every instance has some; the picture is brought up to date.

    Raises:
        HetsimError: If a problem cannot be made, or the folder holds results under other settings.
        OSError: If the folder cannot be written.
    """
    stages = stages or Silent()
    settings: Settings = {"seed": seed, "max_evaluations": max_evaluations}
    path = out / f"{NAME}.csv"
    record = Record(path, SchedulerLine, settings=settings, command=command)
    for instance in instances:
        if not record.has(instance.name):
            problem, costs = instance.make()
            lines = _lines(instance.name, problem, costs, seed, max_evaluations, stages)
            record.add(Subject(name=instance.name, hash=problem.model_hash), lines)
    draw(path, out / f"{NAME}.png")
    return record.rows


def _lines(
    name: str, problem: Problem, costs: str, seed: int, max_evaluations: int, stages: Stages
) -> list[SchedulerLine]:
    num_ops = len(problem.graph.ops)
    lines = []
    with stages.stage(f"plan {name}") as report:
        schedulers = scheduler_names(problem)
        for number, scheduler in enumerate(schedulers):
            report(number / len(schedulers), scheduler)
            if num_ops > LARGEST.get(scheduler, num_ops):
                stages.say(f"{name}: {scheduler} left out, beyond {LARGEST[scheduler]} operators it takes too long")
                continue
            fresh = replace(problem, _known={})  # so that each scheduler asks for costs itself
            found = solve(scheduler, fresh, Effort(seed=seed, max_evaluations=max_evaluations))
            lines.append(
                SchedulerLine(
                    problem=name,
                    num_ops=num_ops,
                    scheduler=scheduler,
                    simulated_s=found.makespan_s,
                    bound_s=found.bound_s,
                    planning_s=found.planning_s,
                    num_segments=found.plan.num_segments,
                    num_devices=len(problem.platform.devices),
                    costs=costs,
                )
            )
    return lines


def draw(csv_path: Path, picture: Path) -> None:
    """Draw what a scheduler_comparison.csv holds.

    Raises:
        HetsimError: If the CSV is malformed.
        OSError: If a file cannot be read or written.
    """
    draw_schedulers(
        [
            Planned(
                problem=f"{line.problem} ({line.costs} costs)" if line.costs != "random" else line.problem,
                num_ops=line.num_ops,
                scheduler=line.scheduler,
                simulated_s=line.simulated_s,
                planning_s=line.planning_s,
            )
            for line in read_rows(csv_path, SchedulerLine)
        ],
        picture,
        title="Schedulers: makespan and planning time",
    )


def main() -> None:
    """Run the experiment; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)


if __name__ == "__main__":
    main()
