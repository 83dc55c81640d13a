"""Question: how many plans a second can be evaluated, and by what?

Random layered graphs on two devices with contention, so that every event changes how the memory is shared. The same
random plans of single operators, encoded beforehand, go through the SimPy model and through its compiled equal, in
interleaved rounds on one core; ``evaluation_speed.csv`` has a line for each evaluator and size. Each makespan that both
work out must be the same to the last bit.
"""

from __future__ import annotations

import random
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from experiments.shared.random_graphs import layered_problem
from experiments.shared.records import Settings, write_rows, write_sidecar
from hetsim.analysis.plots.speeds import SpeedRow, draw_speeds
from hetsim.core.errors import HetsimError
from hetsim.core.plan import Segment
from hetsim.core.statistics import summarize
from hetsim.sim.compiled import CompiledSimulator
from hetsim.sim.segments import Queues
from hetsim.sim.simulate import Simulator
from hetsim.tuner.cli.exits import run_to_exit

COMMAND = "python -m experiments.evaluation_speed"
SIZES = "20,50,100,200,500,1000"
CONTENTION = 1.5
"""What the devices demand from the memory on average, over what it sustains."""
SIMPY_S = 0.5
"""How long SimPy's part of a round should take at least."""
NUM_PLANS = 2000
"""Plans that the compiled simulator evaluates in a round; SimPy gets the first of them."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedLine:
    """A line of evaluation_speed.csv.

    Attributes:
        evaluator: ``simpy`` or ``compiled``.
        num_ops: Operators of the graph, each a segment of its own.
        plans_per_s: Median over rounds.
        plans_per_s_low: Lower end of its 95 % confidence interval.
        plans_per_s_high: Upper end of it.
        num_rounds: Rounds.
    """

    evaluator: str
    num_ops: int
    plans_per_s: float
    plans_per_s_low: float
    plans_per_s_high: float
    num_rounds: int


@app.command()
def evaluation_speed(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    sizes: Annotated[str, typer.Option(metavar="N,...", help="Operators of the graphs.")] = SIZES,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of both evaluators.")] = 7,
    seed: Annotated[int, typer.Option(help="Of graphs and plans.")] = 0,
) -> None:
    """Time the SimPy model and its compiled equal on the same plans."""
    console = Console()
    counts = _counts(sizes)
    settings: Settings = {"sizes": sizes, "rounds": rounds, "seed": seed, "contention": CONTENTION, "devices": 2}
    lines: list[SpeedLine] = []
    for num_ops in counts:
        lines += compare(num_ops, rounds=rounds, seed=seed)
        slow, fast = lines[-2:]
        console.print(
            f"{num_ops} operators: simpy {slow.plans_per_s:,.0f} plans/s, compiled {fast.plans_per_s:,.0f} plans/s, "
            f"{fast.plans_per_s / slow.plans_per_s:.0f} times",
            highlight=False,
        )
    path = out / "evaluation_speed.csv"
    command = shlex.join((*shlex.split(COMMAND), *sys.argv[1:]))
    write_sidecar(path.with_suffix(".json"), settings=settings, command=command)
    write_rows(path, SpeedLine, lines)
    draw(lines, out / "evaluation_speed.png")


def compare(num_ops: int, *, rounds: int, seed: int) -> list[SpeedLine]:
    """The lines of SimPy and of the compiled simulator, in this order.

    Raises:
        HetsimError: If they do not agree to the last bit.
    """
    problem = layered_problem(num_ops, seed=seed, contention=CONTENTION)
    starts, rows = _random_plans(num_ops, random.Random(seed))
    names, ops = problem.platform.device_names, problem.graph.ops
    reference, compiled = Simulator(problem), CompiledSimulator(problem)
    queues: list[Queues] = [
        {
            name: tuple(Segment(name, (ops[op].name,)) for op in row[start[i] : start[i + 1]])
            for i, name in enumerate(names)
        }
        for start, row in zip(starts, rows, strict=True)
    ]
    reference_s = _seconds(lambda: reference.run(queues[0]))  # also warms up
    few = queues[: max(2, min(NUM_PLANS, round(SIMPY_S / reference_s)))]
    expected = [reference.run(each) for each in few]
    if compiled.makespans_s(starts, rows)[: len(few)].tolist() != expected:
        raise HetsimError(f"the compiled simulator and SimPy differ on plans of {num_ops} operators; seed {seed}")
    slow: list[float] = []
    fast: list[float] = []
    for _ in range(rounds):
        slow.append(len(few) / _seconds(lambda: [reference.run(each) for each in few]))
        fast.append(NUM_PLANS / _seconds(lambda: compiled.makespans_s(starts, rows)))
    return [_line(name, num_ops, speeds) for name, speeds in (("simpy", slow), ("compiled", fast))]


def draw(lines: Sequence[SpeedLine], path: Path) -> None:
    """Plans per second over the size, from the lines of the CSV alone."""
    rows = [SpeedRow(label=line.evaluator, num_ops=line.num_ops, plans_per_s=line.plans_per_s) for line in lines]
    draw_speeds(rows, path, title="Evaluating plans on two devices with contention, one core")


def _random_plans(num_ops: int, generator: random.Random) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Plans with a random device for each operator, in the graph's order, as the compiled simulator takes them."""
    starts = np.empty((NUM_PLANS, 3), np.uint32)
    rows = np.empty((NUM_PLANS, num_ops), np.uint32)
    for i in range(NUM_PLANS):
        second = {op for op in range(num_ops) if generator.random() < 0.5}
        starts[i] = 0, num_ops - len(second), num_ops
        rows[i] = [op for op in range(num_ops) if op not in second] + sorted(second)
    return starts, rows


def _seconds(do: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    do()
    return time.perf_counter() - start_s


def _line(evaluator: str, num_ops: int, speeds: Sequence[float]) -> SpeedLine:
    found = summarize(speeds)
    return SpeedLine(
        evaluator=evaluator,
        num_ops=num_ops,
        plans_per_s=found.median_s,
        plans_per_s_low=found.low_s,
        plans_per_s_high=found.high_s,
        num_rounds=len(speeds),
    )


def _counts(description: str) -> list[int]:
    try:
        counts = [int(word) for word in description.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise HetsimError(f"--sizes {description!r} is not a list of whole numbers above 0, such as {SIZES}")
    return counts


def main() -> None:
    """Run the command; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)


if __name__ == "__main__":
    main()
