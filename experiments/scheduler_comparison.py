"""Question: how fast are the plans of the schedulers, and how long does planning take?

Every scheduler plans networks of the zoo and random layered graphs of increasing size
(:func:`experiments.shared.random_graphs.layered_problem`). A network's costs come from a profile if the folder of
profiles has one (``MODEL/profile.jsonl`` beside ``platform.toml``, as other experiments write them), else from
:mod:`experiments.shared.synthetic_costs`; the column ``costs`` says which. Slow schedulers plan graphs up to the size
in ``LARGEST`` only; a message says which rows are missing. ``--schedulers`` selects schedulers, also referees:
``cp_sat`` gets HEFT's plan as a hint. Numba compiles before anything is timed.

``scheduler_comparison.csv`` has the results, ``scheduler_comparison.json`` says where they come from, and
``scheduler_comparison.png`` is drawn from the CSV alone.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from experiments.shared.random_graphs import layered_problem
from experiments.shared.records import Record, Settings, model_label, model_names, read_rows
from experiments.shared.scheduler_rows import SchedulerLine, summary
from experiments.shared.synthetic_costs import synthetic_problem
from hetsim.analysis.plots.schedulers import Planned, draw_schedulers
from hetsim.core.errors import PlanError, ProblemError
from hetsim.core.problem import Problem
from hetsim.costs.problems import make_problem
from hetsim.costs.profile_file import load_profile
from hetsim.io.platform_file import load_platform
from hetsim.models.importer import load_model
from hetsim.models.zoo import zoo_names
from hetsim.scheduler.exact.cp_sat import NUM_WORKERS, cp_sat
from hetsim.scheduler.list_scheduling.heft import heft
from hetsim.scheduler.registry import Effort, algorithm_names, scheduler_names, solve
from hetsim.scheduler.solution import Solution
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.progress import OnScreen, Silent, Stages

COMMAND = "python -m experiments.scheduler_comparison"
NAME = "scheduler_comparison"
SIZES = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
LARGEST = {"ios": 1000, "genetic": 1000}
"""Largest number of operators for a scheduler, with which it plans for about ten seconds on one core."""

WARM_UP_OPS = 8
"""Operators of the graph that is planned before anything is timed."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of the schedulers' effort.

    Attributes:
        max_evaluations: Candidates that a search simulates; ignored if there is a time limit.
        time_limit_s: Time limit of a search; None limits the candidates only.
        referee_s: Time limit of CP-SAT.
        num_workers: Threads of CP-SAT.
    """

    max_evaluations: int = 3000
    time_limit_s: float | None = None
    referee_s: float = 60.0
    num_workers: int = NUM_WORKERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A problem to compare schedulers on, which is made when it is needed.

    Attributes:
        name: Its name.
        make: Makes the problem; also returns where its costs come from.
    """

    name: str
    make: Callable[[], tuple[Problem, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An instance as :class:`~experiments.shared.records.Record` takes it.

    Attributes:
        name: Its name.
        hash: Digest of the network; empty for random graphs, which their names determine.
    """

    name: str
    hash: str


@app.command()
def scheduler_comparison(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; results in it are continued.")],
    models: Annotated[
        str, typer.Option("--models", metavar="M,...", help="Names of the zoo, or .onnx files; 'none' for none.")
    ] = ",".join(zoo_names()),
    sizes: Annotated[
        str, typer.Option("--sizes", metavar="N,...", help="Operators of the random graphs; 'none' for none.")
    ] = ",".join(map(str, SIZES)),
    graphs: Annotated[int, typer.Option(min=1, help="Random graphs of each size.")] = 3,
    profiles: Annotated[
        Path | None, typer.Option("--profiles", help="Folder of profiles from another experiment.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Everything random comes from it.")] = 0,
    max_evaluations: Annotated[int, typer.Option(min=0, help="Candidates that each search simulates.")] = 3000,
    schedulers: Annotated[
        str | None, typer.Option("--schedulers", metavar="S,...", help="The schedulers; default: all but referees.")
    ] = None,
    time_limit_s: Annotated[
        float | None, typer.Option("--time-limit", metavar="S", help="Seconds for each search, instead of candidates.")
    ] = None,
    referee_s: Annotated[float, typer.Option("--referee-time-limit", metavar="S", help="Seconds for CP-SAT.")] = 60.0,
    num_workers: Annotated[int, typer.Option("--workers", min=1, help="Threads of CP-SAT.")] = NUM_WORKERS,
) -> None:
    """Compare all schedulers on networks and on random graphs."""
    instances = [
        *networks([] if models == "none" else model_names(models), profiles, seed=seed),
        *random_graphs([] if sizes == "none" else parse_sizes(sizes), graphs, seed=seed),
    ]
    command = shlex.join((*shlex.split(COMMAND), *sys.argv[1:]))
    limits = Limits(
        max_evaluations=max_evaluations, time_limit_s=time_limit_s, referee_s=referee_s, num_workers=num_workers
    )
    names = () if schedulers is None else parse_schedulers(schedulers)
    stages = OnScreen(Console())
    rows = compare(instances, out, seed=seed, limits=limits, schedulers=names, command=command, stages=stages)
    for line in summary(rows):
        stages.say(line)


def parse_schedulers(text: str) -> tuple[str, ...]:
    """Schedulers in a comma-separated list.

    Raises:
        PlanError: If there is no such algorithm.
    """
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in algorithm_names():
            raise PlanError(f"--schedulers: no scheduler {name!r}; choose from {', '.join(algorithm_names())}")
    return names


def parse_sizes(text: str) -> tuple[int, ...]:
    """Sizes in a comma-separated list.

    Raises:
        ProblemError: If it is not a list of numbers from 1.
    """
    try:
        sizes = tuple(int(word) for word in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise ProblemError(f"--sizes {text!r} must be numbers of operators from 1, such as 20,50,100, or 'none'")
    return tuple(dict.fromkeys(sizes))


def networks(names: Sequence[str], profiles: Path | None, *, seed: int) -> Iterator[Instance]:
    """An instance for each network; its costs come from a profile if the folder has one for it."""
    for name in names:
        yield Instance(name=model_label(name), make=partial(_network, name, profiles, seed))


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
    """``count`` instances of each size; their seeds begin with ``seed``."""
    for num_ops in sizes:
        for graph_seed in range(seed, seed + count):
            yield Instance(name=f"layered-{num_ops}/{graph_seed}", make=partial(_random_graph, num_ops, graph_seed))


def _random_graph(num_ops: int, seed: int) -> tuple[Problem, str]:
    return layered_problem(num_ops, seed=seed), "random"


def compare(
    instances: Sequence[Instance],
    out: Path,
    *,
    seed: int = 0,
    limits: Limits = Limits(),
    schedulers: Sequence[str] = (),
    command: str = COMMAND,
    stages: Stages | None = None,
) -> list[SchedulerLine]:
    """All lines of ``out/scheduler_comparison.csv``, after adding instances that it lacks and drawing the picture.

    Args:
        instances: The problems to plan; those that the file has are not planned again.
        out: Folder for the results.
        seed: Seed of every scheduler that chooses at random.
        limits: Limits of the schedulers' effort.
        schedulers: The schedulers; empty stands for all but referees.
        command: The command line, for the sidecar.
        stages: Where progress is shown; None shows nothing.

    Raises:
        HetsimError: If a problem cannot be made, or the folder holds results under other settings.
        OSError: If the folder cannot be written.
    """
    stages = stages or Silent()
    finite = {name: value for name, value in asdict(limits).items() if value is not None}
    settings: Settings = {"seed": seed, "schedulers": ",".join(schedulers), **finite}
    path = out / f"{NAME}.csv"
    record = Record(path, SchedulerLine, settings=settings, command=command)
    if not all(record.has(instance.name) for instance in instances):
        warm_up = layered_problem(WARM_UP_OPS, seed=0)
        for scheduler in schedulers or scheduler_names(warm_up):
            _solved(scheduler, warm_up, 0, Limits(max_evaluations=1, referee_s=1.0))
    for instance in instances:
        if not record.has(instance.name):
            problem, costs = instance.make()
            lines = _lines(instance.name, problem, costs, schedulers, seed, limits, stages)
            record.add(Subject(name=instance.name, hash=problem.model_hash), lines)
    draw(path, out / f"{NAME}.png")
    return record.rows


def _lines(
    name: str,
    problem: Problem,
    costs: str,
    schedulers: Sequence[str],
    seed: int,
    limits: Limits,
    stages: Stages,
) -> list[SchedulerLine]:
    num_ops = len(problem.graph.ops)
    lines = []
    with stages.stage(f"plan {name}") as report:
        schedulers = schedulers or scheduler_names(problem)
        for number, scheduler in enumerate(schedulers):
            report(number / len(schedulers), scheduler)
            if num_ops > LARGEST.get(scheduler, num_ops):
                stages.say(f"{name}: {scheduler} left out, beyond {LARGEST[scheduler]} operators it takes too long")
                continue
            fresh = replace(problem, _known={})  # without the costs that other schedulers looked up
            found = _solved(scheduler, fresh, seed, limits)
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


def _solved(scheduler: str, problem: Problem, seed: int, limits: Limits) -> Solution:
    if scheduler == "cp_sat":
        effort = Effort(seed=seed, time_limit_s=limits.referee_s)
        return cp_sat(problem, effort, hint=heft(problem), num_workers=limits.num_workers)
    if limits.time_limit_s is not None:
        return solve(scheduler, problem, Effort(seed=seed, time_limit_s=limits.time_limit_s))
    return solve(scheduler, problem, Effort(seed=seed, max_evaluations=limits.max_evaluations))


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
