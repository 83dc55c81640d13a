"""Question: do memory-bound segments slow each other down as the simulation predicts?

The operators with the most weights of each model run in pairs, one operator on each device. In interleaved rounds, they
run one after the other and both at once. A pair is simulated with the durations of its serial runs, with a shared
memory and with a memory of unlimited bandwidth. The bytes that a segment moves come from the bytes that it touches, or
from a co-run of the operator beside itself, but not from the pair. ``contention.csv`` has a line for each device of
each pair; ``contention.png`` is drawn from it alone.
"""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from experiments.shared.profiles import calibrated, profiled
from experiments.shared.records import Record, Settings, fill, model_names, read_rows
from hetsim.analysis.plots.bars import Bar, Group, draw_bars
from hetsim.core.errors import ProblemError
from hetsim.core.platform import DEFAULT_PLATFORM, Platform
from hetsim.core.problem import Latency, Problem
from hetsim.core.statistics import summarize
from hetsim.costs.problems import make_problem
from hetsim.costs.profile import Profile
from hetsim.costs.touched import touched_bytes
from hetsim.costs.traffic import traffic_function
from hetsim.io.platform_file import load_platform
from hetsim.models.model import Model
from hetsim.runtime.measure.corun import SideBySide, profile_traffic, run_side_by_side
from hetsim.runtime.measure.profiler import Effort
from hetsim.sim.simulate import simulate
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.options import Options
from hetsim.tuner.progress import OnScreen, Stages

COMMAND = "python -m experiments.contention"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentionLine:
    """A line of contention.csv: one segment of a pair.

    Attributes:
        model: The network.
        platform: The devices.
        pair: Both operators, in the order of the devices.
        device: The device of this segment.
        op: The operator of this segment.
        touched_bytes: Size of its weights, inputs and outputs.
        moved_bytes: Memory traffic that the simulation assumes.
        alone_s: Median duration while the other device is idle.
        measured_s: Median duration while the other device runs the other operator.
        measured_low_s: Lower end of the 95 % confidence interval of that median.
        measured_high_s: Upper end of that interval.
        simulated_s: Simulated duration with a shared memory.
        without_s: Simulated duration with a memory of unlimited bandwidth.
        num_samples: Runs of the pair at once.
    """

    model: str
    platform: str
    pair: str
    device: str
    op: str
    touched_bytes: int
    moved_bytes: int
    alone_s: float
    measured_s: float
    measured_low_s: float
    measured_high_s: float
    simulated_s: float
    without_s: float
    num_samples: int


@app.command()
def contention(
    models: Annotated[str, typer.Option("--models", metavar="M,...", help="Names of the zoo, or .onnx files.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; results in it are continued.")],
    platform: Annotated[str, typer.Option(metavar="NAME|FILE", help="The devices.")] = DEFAULT_PLATFORM,
    num_ops: Annotated[int, typer.Option("--ops", min=1, help="Operators of each model that form pairs.")] = 2,
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment.")] = 12,
    runs: Annotated[int, typer.Option(min=3, help="Runs of each pair, one after the other and at once.")] = 40,
) -> None:
    """Run memory-bound operators side by side, and simulate them with and without contention."""
    console = Console()
    command = shlex.join((*shlex.split(COMMAND), *sys.argv[1:]))
    lines = contend(
        model_names(models),
        load_platform(platform),
        out,
        num_ops=num_ops,
        num_runs=runs,
        effort=Effort(repeats=repeats),
        command=command,
        stages=OnScreen(console),
    )
    for line in lines:
        console.print(
            f"{line.model}, {line.pair}: {line.op} on {line.device} {line.measured_s / line.alone_s:.2f} times as long "
            f"as alone; simulated {line.simulated_s / line.alone_s:.2f}, without contention "
            f"{line.without_s / line.alone_s:.2f}",
            markup=False,
            highlight=False,
        )


def contend(
    models: Sequence[str],
    platform: Platform,
    out: Path,
    *,
    num_ops: int,
    num_runs: int,
    effort: Effort,
    command: str,
    stages: Stages,
) -> list[ContentionLine]:
    """All lines of ``out/contention.csv``, after adding models that it lacks and drawing the picture.

    Raises:
        HetsimError: If a model or the platform does not fit, a device failed, or the folder holds results under other
            settings.
        OSError: If the folder cannot be written.
    """
    settings: Settings = {"platform": platform.name, "ops": num_ops, "repeats": effort.repeats, "runs": num_runs}
    path = out / "contention.csv"
    record = Record(path, ContentionLine, settings=settings, command=command)
    platform = calibrated(platform, out, stages=stages)
    fill(record, models, lambda m: measure(m, platform, out / m.name, num_ops, num_runs, effort, stages), seed=0)
    draw(read_rows(path, ContentionLine), out / "contention.png")
    return record.rows


def measure(
    model: Model, platform: Platform, folder: Path, num_ops: int, num_runs: int, effort: Effort, stages: Stages
) -> list[ContentionLine]:
    """A line for each device of each pair of the operators with the most weights.

    Raises:
        ProblemError: If the number of devices is not two.
        DeviceError: If a device failed.
    """
    names = platform.device_names
    if len(names) != 2:
        raise ProblemError(f"pairs need two devices; platform {platform.name!r} has {', '.join(names)}")
    heavy = sorted(model.graph.ops, key=lambda op: -op.weight_bytes)[:num_ops]
    lines: list[ContentionLine] = []
    with profiled(model, platform, folder, options=Options(effort=effort), stages=stages) as context:
        runtime, file = context.runtime, context.file
        with stages.stage(f"{model.name}: co-runs") as report:
            profile_traffic(runtime, model, file, num_runs=num_runs, progress=report)
        problem = make_problem(model, platform, file.profile)
        with stages.stage(f"{model.name}: pairs") as report:
            pairs = list(product((op.name for op in heavy), repeat=2))
            for number, pair in enumerate(pairs):
                report(number / len(pairs), " beside ".join(pair))
                parts = {device: (op,) for device, op in zip(names, pair, strict=True)}
                found = run_side_by_side(runtime, model, parts, num_runs=num_runs)
                lines += _lines(problem, file.profile, pair, found)
    return lines


def _lines(problem: Problem, profile: Profile, pair: tuple[str, ...], found: SideBySide) -> list[ContentionLine]:
    """The lines of one pair, measured and simulated."""
    names = problem.platform.device_names
    alone_s = dict(
        zip(names, np.median([_by_device(run.durations_s, found) for run in found.alone], axis=0), strict=True)
    )
    together_s = np.array([_by_device(run.durations_s, found) for run in found.together])

    def alone(device: str, _: tuple[str, ...]) -> Latency:
        return Latency(float(alone_s[device]), measured=True)

    # The durations of the pair's own serial runs turn a share of the bandwidth into bytes.
    traffic = traffic_function(profile, problem.graph, problem.platform, alone)
    moved = {device: traffic(device, (op,)) if traffic else 0 for device, op in zip(names, pair, strict=True)}
    unlimited = replace(problem.platform, memory=replace(problem.platform.memory, shared_bytes_per_s=math.inf))
    pair_problem = Problem(
        graph=found.model.graph,
        platform=problem.platform,
        latency_function=alone,
        traffic_function=lambda device, _: moved[device],
    )
    simulated, without = (
        {
            span.device: span.duration_s
            for span in simulate(replace(pair_problem, platform=platform, _known={}), found.plan).compute
        }
        for platform in (problem.platform, unlimited)
    )
    lines = []
    for i, (device, op) in enumerate(zip(names, pair, strict=True)):
        measured = summarize(together_s[:, i].tolist())
        lines.append(
            ContentionLine(
                model=problem.graph.name,
                platform=problem.platform.name,
                pair=" + ".join(pair),
                device=device,
                op=op,
                touched_bytes=touched_bytes(problem.graph, (op,)),
                moved_bytes=moved[device],
                alone_s=float(alone_s[device]),
                measured_s=measured.median_s,
                measured_low_s=measured.low_s,
                measured_high_s=measured.high_s,
                simulated_s=simulated[device],
                without_s=without[device],
                num_samples=measured.num_samples,
            )
        )
    return lines


def _by_device(durations_s: np.ndarray, found: SideBySide) -> list[float]:
    """A run's durations in the order of the plan's devices."""
    by_device = {step.segment.device: float(d) for step, d in zip(found.alone[0].flow.steps, durations_s, strict=True)}
    return [by_device[device] for device in found.plan.queues]


def draw(lines: Sequence[ContentionLine], picture: Path) -> None:
    """Draw how much longer each segment takes beside the other.

    Raises:
        OSError: If the file cannot be written.
    """
    groups = [
        Group(
            label=f"{line.op} on {line.device}\nbeside {line.pair.split(' + ')[line.pair.split(' + ')[0] == line.op]}",
            bars=(
                Bar(
                    label="measured",
                    value=line.measured_s / line.alone_s,
                    low=line.measured_low_s / line.alone_s,
                    high=line.measured_high_s / line.alone_s,
                ),
                Bar(label="simulated, memory shared", value=line.simulated_s / line.alone_s),
                Bar(label="simulated without contention", value=line.without_s / line.alone_s),
            ),
        )
        for line in lines
    ]
    platforms = ", ".join(dict.fromkeys(line.platform for line in lines))
    draw_bars(
        groups, picture, title=f"Memory-bound operators side by side on {platforms}", axis="times as long as alone"
    )


def main() -> None:
    """Run the experiment; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)


if __name__ == "__main__":
    main()
