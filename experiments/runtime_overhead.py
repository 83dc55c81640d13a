"""Question: how much time does the runtime add to that of the engine?

Each model runs as a whole on each device, in interleaved rounds: as a plan of one segment, and by the engine called
directly in a process of its own on the same core (:mod:`experiments.shared.direct_engine`). The ratio is taken in each
round, so drift of the machine affects both sides alike. ``runtime_overhead.csv`` has a line for each model and device.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import numpy as np
import onnx
import typer
from rich.console import Console

from experiments.shared.direct_engine import CALLS
from experiments.shared.records import Record, Settings, model_label, model_names
from hetsim.core.errors import PlatformError
from hetsim.core.plan import whole_plan
from hetsim.core.platform import DEFAULT_PLATFORM, Device, Platform
from hetsim.core.statistics import summarize
from hetsim.io.platform_file import load_platform
from hetsim.models.importer import load_model
from hetsim.models.model import Model, random_inputs
from hetsim.runtime import Runtime
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.progress import OnScreen, Stages

COMMAND = "python -m experiments.runtime_overhead"
_RUNS_PER_ROUND = 3  # counted runs of each side

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverheadLine:
    """A line of runtime_overhead.csv.

    Attributes:
        model: The network.
        device: The device.
        engine: The engine of the device.
        direct_s: Median time of the engine called directly.
        runtime_s: Median latency of the plan of one segment, from submission to the segment's end.
        ratio: Median over rounds of the ratio of the runtime's median to the direct median.
        ratio_low: Lower end of the ratio's 95 % confidence interval.
        ratio_high: Upper end of that interval.
        num_rounds: Number of rounds.
    """

    model: str
    device: str
    engine: str
    direct_s: float
    runtime_s: float
    ratio: float
    ratio_low: float
    ratio_high: float
    num_rounds: int


@app.command()
def runtime_overhead(
    models: Annotated[str, typer.Option("--models", metavar="M,...", help="Names of the zoo, or .onnx files.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; results in it are continued.")],
    platform: Annotated[str, typer.Option(metavar="NAME|FILE", help="The devices.")] = DEFAULT_PLATFORM,
    rounds: Annotated[int, typer.Option(min=3, help="Rounds of three runs on each side.")] = 30,
) -> None:
    """Compare a plan of one segment with the engine called directly."""
    console = Console()
    found = load_platform(platform)
    settings: Settings = {"platform": found.name, "rounds": rounds}
    command = shlex.join((*shlex.split(COMMAND), *sys.argv[1:]))
    record = Record(out / "runtime_overhead.csv", OverheadLine, settings=settings, command=command)
    for name in model_names(models):
        if not record.has(model_label(name)):
            model = load_model(name)
            record.add(model, compare(model, found, rounds, OnScreen(console)))
    for line in record.rows:
        console.print(
            f"{line.model} on {line.device}: {line.ratio:.3f} times the engine called directly "
            f"(95 % interval {line.ratio_low:.3f} - {line.ratio_high:.3f}, {line.num_rounds} rounds)",
            markup=False,
            highlight=False,
        )


def compare(model: Model, platform: Platform, rounds: int, stages: Stages) -> list[OverheadLine]:
    """A line for each device of the platform.

    Raises:
        PlatformError: If a device is not pinned to one core, or its engine cannot be called directly here.
        DeviceError: If a device failed.
    """
    inputs = random_inputs(model)
    lines: list[OverheadLine] = []
    with tempfile.TemporaryDirectory(prefix="hetsim-") as folder, Runtime(platform) as runtime:
        model_path, inputs_path = Path(folder) / "model.onnx", Path(folder) / "inputs.npz"
        onnx.save(model.proto, model_path)
        np.savez(inputs_path, **inputs)
        for device in platform.devices:
            with (
                stages.stage(f"{model.name} on {device.name}") as report,
                DirectEngine(device, model_path, inputs_path) as direct,
                runtime.load(model, whole_plan(model.graph, device.name)) as session,
            ):
                sides: list[tuple[list[float], list[float]]] = []
                for round in range(rounds + 1):  # the first warms up
                    report(round / (rounds + 1), "in interleaved rounds")
                    direct_s = direct.run(1 + _RUNS_PER_ROUND)[1:]
                    session.run(inputs)
                    sides.append((direct_s, [session.run(inputs).latency_s for _ in range(_RUNS_PER_ROUND)]))
                lines.append(_line(model.name, device, sides[1:]))
    return lines


class DirectEngine:
    """The process that calls the engine directly; a context manager."""

    def __init__(self, device: Device, model_path: Path, inputs_path: Path) -> None:
        if device.backend not in CALLS or len(device.cores) != 1 or device.precision != "f32":
            raise PlatformError(
                f"device {device.name!r} cannot be compared: only {', '.join(CALLS)} in f32, pinned to one core, "
                "are called directly here"
            )
        command = ["experiments.shared.direct_engine", device.backend, model_path, inputs_path, device.cores[0]]
        self._process = subprocess.Popen(
            [sys.executable, "-m", *map(str, command)],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def run(self, count: int) -> list[float]:
        """Seconds of ``count`` inferences, one after the other."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(count, file=self._process.stdin, flush=True)
        seconds: list[float] = json.loads(self._process.stdout.readline())
        return seconds


def _line(model: str, device: Device, sides: Sequence[tuple[Sequence[float], Sequence[float]]]) -> OverheadLine:
    ratio = summarize([float(np.median(ours) / np.median(direct)) for direct, ours in sides])
    return OverheadLine(
        model=model,
        device=device.name,
        engine=device.backend,
        direct_s=float(np.median([second for direct, _ in sides for second in direct])),
        runtime_s=float(np.median([second for _, ours in sides for second in ours])),
        ratio=ratio.median_s,
        ratio_low=ratio.low_s,
        ratio_high=ratio.high_s,
        num_rounds=len(sides),
    )


def main() -> None:
    """Run the command; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)


if __name__ == "__main__":
    main()
