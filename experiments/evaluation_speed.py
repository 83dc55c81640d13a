"""Question: how many plans per second do the SimPy simulator and the compiled simulator evaluate?

The problems are random layered graphs on two devices with contention, so every event changes the shares of the memory's
bandwidth. Each segment is one operator. Both simulators evaluate the same random plans, encoded beforehand, in
interleaved rounds on one core. Makespans of plans that both evaluate must agree to the last bit.
``evaluation_speed.csv`` has a line for each simulator and size.
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
"""Mean bandwidth that the devices at work demand, relative to the memory's bandwidth."""
SIMPY_S = 0.5
"""Time that SimPy's part of a round should take."""
NUM_PLANS = 2000
"""Plans that the compiled simulator evaluates in a round; SimPy evaluates the first few of them."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedLine:
    """A line of evaluation_speed.csv.

    Attributes:
        evaluator: The simulator, ``simpy`` or ``compiled``.
        num_ops: Operators of the graph, each a segment of its own.
        plans_per_s: Plans per second, median over rounds.
        plans_per_s_low: Lower end of the median's 95 % confidence interval.
        plans_per_s_high: Upper end of that interval.
        num_rounds: Number of rounds.
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
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of both simulators.")] = 7,
    seed: Annotated[int, typer.Option(help="Seed of graphs and plans.")] = 0,
) -> None:
    """Time the SimPy simulator and the compiled simulator on the same plans."""
    console = Console()
    all_num_ops = _parse_sizes(sizes)
    settings: Settings = {"sizes": sizes, "rounds": rounds, "seed": seed, "contention": CONTENTION, "devices": 2}
    lines: list[SpeedLine] = []
    for num_ops in all_num_ops:
        lines += compare(num_ops, rounds=rounds, seed=seed)
        simpy, compiled = lines[-2:]
        console.print(
            f"{num_ops} operators: simpy {simpy.plans_per_s:,.0f} plans/s, "
            f"compiled {compiled.plans_per_s:,.0f} plans/s, {compiled.plans_per_s / simpy.plans_per_s:.0f} times",
            highlight=False,
        )
    path = out / "evaluation_speed.csv"
    command = shlex.join((*shlex.split(COMMAND), *sys.argv[1:]))
    write_sidecar(path.with_suffix(".json"), settings=settings, command=command)
    write_rows(path, SpeedLine, lines)
    draw(lines, out / "evaluation_speed.png")


def compare(num_ops: int, *, rounds: int, seed: int) -> list[SpeedLine]:
    """The lines of the SimPy simulator and of the compiled simulator, in this order.

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
    expected = [reference.run(plan) for plan in few]
    if compiled.makespans_s(starts, rows)[: len(few)].tolist() != expected:
        raise HetsimError(f"the compiled simulator and SimPy differ on plans of {num_ops} operators; seed {seed}")
    slow: list[float] = []
    fast: list[float] = []
    for _ in range(rounds):
        slow.append(len(few) / _seconds(lambda: [reference.run(plan) for plan in few]))
        fast.append(NUM_PLANS / _seconds(lambda: compiled.makespans_s(starts, rows)))
    return [_line(name, num_ops, speeds) for name, speeds in (("simpy", slow), ("compiled", fast))]


def draw(lines: Sequence[SpeedLine], path: Path) -> None:
    """Draw plans per second over the number of operators, from the lines of the CSV alone."""
    rows = [SpeedRow(label=line.evaluator, num_ops=line.num_ops, plans_per_s=line.plans_per_s) for line in lines]
    draw_speeds(rows, path, title="Evaluating plans on two devices with contention, one core")


def _random_plans(num_ops: int, generator: random.Random) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Plans in the compiled simulator's encoding: a random device for each operator; queues have the graph's order."""
    starts = np.empty((NUM_PLANS, 3), np.uint32)
    rows = np.empty((NUM_PLANS, num_ops), np.uint32)
    for i in range(NUM_PLANS):
        second = {op for op in range(num_ops) if generator.random() < 0.5}
        starts[i] = 0, num_ops - len(second), num_ops
        rows[i] = [op for op in range(num_ops) if op not in second] + sorted(second)
    return starts, rows


def _seconds(do: Callable[[], object]) -> float:
    """Time that a call takes."""
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


def _parse_sizes(text: str) -> list[int]:
    """The numbers of operators in a comma-separated list."""
    try:
        sizes = [int(word) for word in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise HetsimError(f"--sizes {text!r} is not a list of whole numbers above 0, such as {SIZES}")
    return sizes


def main() -> None:
    """Run the command; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)


if __name__ == "__main__":
    main()
