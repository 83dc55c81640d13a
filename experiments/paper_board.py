"""Question: what does PartitionTuner gain on the board of its paper, with one VTA unit and with four?

The board is hypothetical: its devices are defined by data sheets (hetsim/io/platforms/paper-board.toml has the figures
and their sources), so every time here is simulated. The gains are compared with those that the paper's abstract states
(Yu et al., ETRI Journal 45(2), 2023, doi 10.4218/etrij.2021-0446).
docs/decisions/0030-the-board-of-the-partitiontuner-paper.md discusses the differences.

Many figures of the board are assumed. ``paper_board_assumptions.csv`` has the gains with each assumed figure halved and
doubled. ``paper_board.csv`` has the gains as assumed, and the .json files say where they come from.
``paper_board_1.png`` and ``paper_board_4.png`` are drawn from the CSVs alone; a whisker spans a gain over all changes
of assumed figures.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from experiments.shared.board_assumptions import ASSUMPTIONS
from experiments.shared.published import PUBLISHED
from experiments.shared.records import Record, Settings, fill, model_names, read_rows
from hetsim.analysis.plots.bars import Bar, Group, draw_bars
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.costs.problems import make_problem
from hetsim.io.platform_file import load_platform
from hetsim.models.model import Model
from hetsim.scheduler.baselines.type_based import HEAVY_KINDS
from hetsim.scheduler.registry import make_plan
from hetsim.scheduler.segments import plan_from_assignment
from hetsim.sim.simulate import makespan_s
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.progress import OnScreen, Silent, Stages

COMMAND = "python -m experiments.paper_board"
NAME = "paper_board"
MODELS = ("squeezenet", "resnet18", "resnet50", "inception_v1", "inception_v2", "shufflenet", "mobilenet_v2")
"""The abstract names the first three; the authors' compiler has examples of the others or of similar networks."""
BOARDS: Mapping[str, int] = {"paper-board": 1, "paper-board-4": 4}
"""By platform, its number of VTA units."""
TYPE_BASED, WITH_RELU, INDIVIDUAL, TUNER, OURS, SPLITS = (
    "type_based",
    "type_based+relu",
    "individual",
    "partition_tuner",
    "search",
    "splits",
)
OVER = {
    TYPE_BASED: "over type-based",
    WITH_RELU: "over type-based that fuses ReLU",
    INDIVIDUAL: "over individual profiles",
}
"""By baseline, the label of a gain over it."""
FACTORS = (0.5, 2.0)
"""Factors by which assumed figures are changed."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardLine:
    """A line of paper_board.csv: a scheduler's plan for one network on one board.

    Attributes:
        model: The network.
        platform: The board.
        num_npus: VTA units of the board.
        scheduler: The scheduler that made the plan.
        simulated_s: Simulated latency of the plan.
        num_segments: Compiled units of the plan.
        num_devices: Devices that the plan uses.
        tuner_gain: The part of this latency that PartitionTuner's plan saves; negative if that plan is slower.
        published_gain: The same according to the paper's abstract; None if the abstract does not state it.
        search_gain: The part of this latency that the plan of ``search`` saves.
        splits_gain: The part of this latency that the plan of ``splits`` saves.
    """

    model: str
    platform: str
    num_npus: int
    scheduler: str
    simulated_s: float
    num_segments: int
    num_devices: int
    tuner_gain: float
    published_gain: float | None
    search_gain: float
    splits_gain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AssumptionLine:
    """A line of paper_board_assumptions.csv: PartitionTuner's gain with one assumed figure changed.

    Attributes:
        model: The network.
        platform: The board.
        num_npus: VTA units of the board.
        assumption: The assumed figure that is changed.
        factor: The factor by which it is multiplied.
        scheduler: The baseline.
        tuner_gain: The part of the baseline's latency that PartitionTuner's plan saves.
    """

    model: str
    platform: str
    num_npus: int
    assumption: str
    factor: float
    scheduler: str
    tuner_gain: float


@app.command()
def paper_board(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; results in it are continued.")],
    models: Annotated[
        str, typer.Option("--models", metavar="M,...", help="Names of the zoo, or .onnx files.")
    ] = ",".join(MODELS),
    seed: Annotated[int, typer.Option(help="Everything random comes from it.")] = 0,
    max_evaluations: Annotated[int, typer.Option(min=0, help="Candidates that each search simulates.")] = 3000,
) -> None:
    """Plan networks for the board of the PartitionTuner paper, which is hypothetical here."""
    command = shlex.join((*shlex.split(COMMAND), *sys.argv[1:]))
    screen = Console()
    lines = compare(
        model_names(models),
        out,
        seed=seed,
        max_evaluations=max_evaluations,
        command=command,
        stages=OnScreen(screen),
    )
    print_lines(lines, screen)


def compare(
    models: Sequence[str],
    out: Path,
    *,
    seed: int = 0,
    max_evaluations: int = 3000,
    command: str = COMMAND,
    stages: Stages | None = None,
) -> list[BoardLine]:
    """All lines of ``out/paper_board.csv``, after adding models that the CSVs lack and drawing the pictures.

    Raises:
        HetsimError: If a model cannot be planned, or the folder holds results under other settings.
        OSError: If the folder cannot be written.
    """
    stages = stages or Silent()
    settings: Settings = {"platforms": ", ".join(BOARDS), "seed": seed, "max_evaluations": max_evaluations}
    path = out / f"{NAME}.csv"
    record = Record(path, BoardLine, settings=settings, command=command)
    varied_path = out / f"{NAME}_assumptions.csv"
    varied = Record(varied_path, AssumptionLine, settings={**settings, "factors": list(FACTORS)}, command=command)

    def rows_of(model: Model) -> list[BoardLine]:
        with stages.stage(f"plan {model.name}") as report:
            lines = []
            for number, board in enumerate(BOARDS):
                report(number / len(BOARDS), board)
                lines += _lines(model, board, seed=seed, max_evaluations=max_evaluations)
            return lines

    def varied_of(model: Model) -> list[AssumptionLine]:
        with stages.stage(f"vary {model.name}") as report:
            cases = [(board, name, factor) for board in BOARDS for name in ASSUMPTIONS for factor in FACTORS]
            lines = []
            for number, (board, name, factor) in enumerate(cases):
                report(number / len(cases), f"{name} x {factor:g}")
                lines += _varied(model, board, name, factor)
            return lines

    fill(record, models, rows_of, seed=seed)
    fill(varied, models, varied_of, seed=seed)
    draw(path, varied_path, out)
    return record.rows


def _lines(model: Model, board: str, *, seed: int, max_evaluations: int) -> list[BoardLine]:
    problem = make_problem(model, load_platform(board))
    plans = _plans(problem)
    plans |= {name: make_plan(name, problem, seed=seed, max_evaluations=max_evaluations) for name in (OURS, SPLITS)}
    takes_s = {name: makespan_s(problem, plan) for name, plan in plans.items()}
    return [
        BoardLine(
            model=model.name,
            platform=board,
            num_npus=BOARDS[board],
            scheduler=name,
            simulated_s=takes_s[name],
            num_segments=plan.num_segments,
            num_devices=sum(map(bool, plan.queues.values())),
            tuner_gain=1 - takes_s[TUNER] / takes_s[name],
            published_gain=PUBLISHED.get((model.name, name)),
            search_gain=1 - takes_s[OURS] / takes_s[name],
            splits_gain=1 - takes_s[SPLITS] / takes_s[name],
        )
        for name, plan in plans.items()
    ]


def _plans(problem: Problem) -> dict[str, Plan]:
    """The plans of PartitionTuner and of its baselines."""
    plans = {TYPE_BASED: make_plan(TYPE_BASED, problem), WITH_RELU: with_relu(problem)}
    return {**plans, INDIVIDUAL: make_plan(INDIVIDUAL, problem), TUNER: make_plan(TUNER, problem)}


def _varied(model: Model, board: str, assumption: str, factor: float) -> list[AssumptionLine]:
    problem = make_problem(model, ASSUMPTIONS[assumption](load_platform(board), factor))
    takes_s = {name: makespan_s(problem, plan) for name, plan in _plans(problem).items()}
    return [
        AssumptionLine(
            model=model.name,
            platform=board,
            num_npus=BOARDS[board],
            assumption=assumption,
            factor=factor,
            scheduler=name,
            tuner_gain=1 - takes_s[TUNER] / takes_s[name],
        )
        for name in (TYPE_BASED, WITH_RELU, INDIVIDUAL)
    ]


def with_relu(problem: Problem) -> Plan:
    """The plan of ``type_based``, but with a ReLU on the NPU if its convolution is; that compiler fuses them."""
    devices, graph = problem.platform.devices, problem.graph
    cpu = next(device.name for device in devices if device.kind == "cpu")
    npu = next(device.name for device in devices if device.kind == "npu")
    device_of: dict[str, str] = {}
    for op in graph.ops:
        before = graph.predecessors[op.name]
        follows = op.kind == "Relu" and len(before) == 1 and device_of[before[0]] == npu
        heavy = op.kind in HEAVY_KINDS or follows
        device_of[op.name] = npu if heavy and npu in problem.devices_for((op.name,)) else cpu
    return plan_from_assignment(problem, WITH_RELU, device_of, connected=True)


def draw(csv_path: Path, varied_path: Path, folder: Path) -> None:
    """Draw the rows of a paper_board.csv and of a paper_board_assumptions.csv, a picture for each board.

    Raises:
        HetsimError: If a CSV is malformed.
        OSError: If a file cannot be read or written.
    """
    rows, varied = read_rows(csv_path, BoardLine), read_rows(varied_path, AssumptionLine)
    for num_npus in sorted(set(BOARDS.values())):
        own = [row for row in rows if row.num_npus == num_npus]
        draw_bars(
            [
                Group(label=model, bars=tuple(_bars([row for row in own if row.model == model], varied)))
                for model in dict.fromkeys(row.model for row in own)
            ],
            folder / f"{NAME}_{num_npus}.png",
            title=f"PartitionTuner on a Cortex-A53 with {num_npus} VTA unit{'s' if num_npus > 1 else ''}",
            subtitle="Hypothetical board, simulated; published: on a real one. Whiskers: an assumed figure x 0.5 or 2.",
            axis="time saved, %",
        )


def _bars(rows: Sequence[BoardLine], varied: Sequence[AssumptionLine]) -> Iterator[Bar]:
    """One network's bars on one board."""
    for row in rows:
        if row.scheduler in OVER:
            gains = [
                line.tuner_gain
                for line in varied
                if (line.model, line.num_npus, line.scheduler) == (row.model, row.num_npus, row.scheduler)
            ]
            low, high = min(gains, default=row.tuner_gain), max(gains, default=row.tuner_gain)
            yield Bar(
                label=OVER[row.scheduler],
                value=100 * row.tuner_gain,
                low=100 * min(low, row.tuner_gain),
                high=100 * max(high, row.tuner_gain),
            )
        if row.published_gain is not None:
            yield Bar(label=f"published, {OVER[row.scheduler]}", value=100 * row.published_gain)
        if row.scheduler == TUNER:
            yield Bar(label="search over PartitionTuner", value=100 * row.search_gain)
            yield Bar(label="splits over PartitionTuner", value=100 * row.splits_gain)


def print_lines(lines: Sequence[BoardLine], screen: Console) -> None:
    """Print a table with the latency of each plan, and with what PartitionTuner, search and splits gain over it."""
    table = Table("network", "VTA", "plan", "ms", "PartitionTuner", "published", "search", "splits", box=None)
    for column in table.columns[3:]:
        column.justify = "right"
    for line in lines:
        table.add_row(
            line.model,
            str(line.num_npus),
            line.scheduler,
            f"{line.simulated_s * 1e3:.2f}",
            f"{line.tuner_gain:.2%}",
            "" if line.published_gain is None else f"{line.published_gain:.2%}",
            f"{line.search_gain:.2%}",
            f"{line.splits_gain:.2%}",
        )
    screen.print("Milliseconds on hypothetical boards, and the part that other plans save of them:")
    screen.print(table)


def main() -> None:
    """Run the experiment; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)


if __name__ == "__main__":
    main()
