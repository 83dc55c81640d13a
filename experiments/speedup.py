"""Question: how much faster do networks run with hetsim's plans than on one device, and than with other plans?

``hetsim tune`` runs for each network: profile, closed loop, and a final measurement that interleaves the executions of
all plans. ``ours`` is the plan that it returns, ``ours_without_splits`` the best of those without splits. For
reference, each engine runs the network alone with a thread on each of the cores that the platform uses, as is possible
without hetsim. These runs follow the final measurement and are not interleaved with it.

``speedup.csv`` has a line for each contender. ``gains.csv`` has a line for each network with the gains that follow, and
with those that PartitionTuner's authors published. ``speedup.json`` says where they come from, and ``speedup.png`` is
drawn from ``speedup.csv`` alone. The report of each network is in a folder of its own. A second call skips networks
that have lines.
"""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from experiments.shared.profiles import calibrated, tuning_settings
from experiments.shared.published import PUBLISHED
from experiments.shared.records import Record, fill, model_label, model_names, read_rows, write_rows
from hetsim.analysis.plots.bars import Bar, Group, draw_bars
from hetsim.core.platform import DEFAULT_PLATFORM, Platform
from hetsim.io.platform_file import load_platform
from hetsim.models.model import Model
from hetsim.models.zoo import zoo_names
from hetsim.runtime.measure.profiler import Effort
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.options import Options, Pace
from hetsim.tuner.pipeline import tune
from hetsim.tuner.progress import OnScreen, Silent, Stages
from hetsim.tuner.report.outcome import Outcome
from hetsim.tuner.steps.scheduler_plans import BASELINES

COMMAND = "python -m experiments.speedup"
OURS, WHOLE, REFERENCE, SINGLE = "ours", "ours_without_splits", "reference:", "single:"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedupLine:
    """A line of speedup.csv: how long one contender takes.

    Attributes:
        model: The network.
        platform: The devices.
        contender: ``single:DEVICE``, a baseline's name, ``ours_without_splits``, ``ours``, or
            ``reference:ENGINE_N_threads``.
        measured_s: Median latency of its executions.
        measured_iqr_s: Interquartile range of these latencies.
        measured_low_s: Lower end of the 95 % confidence interval of the median.
        measured_high_s: Upper end of that interval.
        num_segments: Compiled units of its plan; 1 for a reference.
        num_devices: Devices that the plan uses.
        devices: Labels of the platform's devices, which mark stand-ins and hypothetical devices.
    """

    model: str
    platform: str
    contender: str
    measured_s: float
    measured_iqr_s: float
    measured_low_s: float
    measured_high_s: float
    num_segments: int
    num_devices: int
    devices: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GainLine:
    """A line of gains.csv, from the medians of one network. A gain is the other latency divided by ours, less 1.

    Attributes:
        model: The network.
        platform: The devices.
        ours_s: Latency of ours.
        over_best_single_percent: Gain of ours over the best single device, or None if none runs the whole network.
        over_partition_tuner_percent: Gain of ours over PartitionTuner's plan.
        over_best_reference_percent: Gain of ours over the best engine alone on all cores, or None.
        splits_percent: Gain of ours over ours without splits.
        ideal_s: Latency of ideal sharing: 1 / (sum over devices of 1 / latency alone), or None.
        efficiency_percent: Co-execution efficiency: ``ideal_s`` divided by ``ours_s``, or None.
        partition_tuner_over_type_based_percent: Gain of PartitionTuner's plan over the type-based one.
        partition_tuner_over_individual_percent: Gain of PartitionTuner's plan over the one from individual profiles.
        published_over_type_based_percent: The first of these gains as the authors report it for their board, or None.
        published_over_individual_percent: The second, or None.
    """

    model: str
    platform: str
    ours_s: float
    over_best_single_percent: float | None
    over_partition_tuner_percent: float
    over_best_reference_percent: float | None
    splits_percent: float
    ideal_s: float | None
    efficiency_percent: float | None
    partition_tuner_over_type_based_percent: float
    partition_tuner_over_individual_percent: float
    published_over_type_based_percent: float | None
    published_over_individual_percent: float | None


@app.command()
def speedup(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; results in it are continued.")],
    models: Annotated[str, typer.Option("--models", metavar="M,...", help="Names of the zoo, or .onnx files.")] = "",
    platform: Annotated[str, typer.Option(metavar="NAME|FILE", help="The devices.")] = DEFAULT_PLATFORM,
    seed: Annotated[int, typer.Option(help="Everything random comes from it.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the search; its plans are measured after each.")] = 3,
    max_evaluations: Annotated[int, typer.Option(min=0, help="Candidates that each search simulates.")] = 3000,
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment.")] = 6,
    runs: Annotated[int, typer.Option(min=3, help="Counted executions of each plan.")] = 60,
) -> None:
    """Tune each network, or the whole zoo, and compare with single devices, baselines and engines alone."""
    options = Options(
        seed=seed,
        rounds=rounds,
        max_evaluations=max_evaluations,
        effort=Effort(repeats=repeats),
        pace=Pace(num_runs=runs),
        command=(*shlex.split(COMMAND), *sys.argv[1:]),
    )
    console = Console()
    names = model_names(models or ",".join(zoo_names()))
    lines = measure(names, load_platform(platform), out, options=options, stages=OnScreen(console))
    for text in format_gains(gains(lines)):
        console.print(text, markup=False, highlight=False)


def measure(
    models: Sequence[str],
    platform: Platform,
    out: Path,
    *,
    options: Options | None = None,
    stages: Stages | None = None,
) -> list[SpeedupLine]:
    """All lines of ``out/speedup.csv``, after adding models that it lacks and updating the other files.

    Raises:
        HetsimError: If a model or the platform does not fit, a device failed, or the folder holds results under other
            settings.
        OSError: If the folder cannot be written.
    """
    options, stages = options or Options(), stages or Silent()
    path = out / "speedup.csv"
    record = Record(path, SpeedupLine, settings=tuning_settings(platform, options), command=shlex.join(options.command))
    if any(not record.has(model_label(name)) for name in models):
        platform = calibrated(platform, out, stages=stages)

    def rows_of(model: Model) -> list[SpeedupLine]:
        stages.say(f"{model.name} on {platform.name}")
        outcome = tune(model, platform, out / model.name, options=options, stages=stages)
        if not outcome.outputs_match:
            stages.say(f"{model.name}: outputs are off by {outcome.largest_error:.2g}, more than rounding explains")
        return lines_of(model.name, outcome, platform)

    for name in models:
        fill(record, [name], rows_of, seed=options.seed)
        conclude(path, out)
    return record.rows


def lines_of(model: str, outcome: Outcome, platform: Platform) -> list[SpeedupLine]:
    """A line for each contender of a tune run."""
    plans = {plan.name: plan for plan in outcome.plans if plan.name.startswith(SINGLE) or plan.name in BASELINES}
    devices = ", ".join(device.label for device in platform.devices)
    whole = [plan for plan in outcome.plans if not plan.num_splits]
    plans |= {
        WHOLE: min(whole, key=lambda plan: plan.measured_s) if outcome.best.num_splits else outcome.best,
        OURS: outcome.best,
    }
    lines = [
        SpeedupLine(
            model=model,
            platform=outcome.platform,
            contender=name,
            measured_s=plan.measured_s,
            measured_iqr_s=plan.measured_iqr_s,
            measured_low_s=plan.measured_low_s,
            measured_high_s=plan.measured_high_s,
            num_segments=plan.num_segments,
            num_devices=plan.num_devices,
            devices=devices,
        )
        for name, plan in plans.items()
    ]
    backends = [device.backend for device in platform.devices]
    for device in platform.devices:
        latency = outcome.reference_latencies.get(device.label)
        if latency is not None:
            engine = device.backend if backends.count(device.backend) == 1 else f"{device.backend}_{device.name}"
            lines.append(
                SpeedupLine(
                    model=model,
                    platform=outcome.platform,
                    contender=f"{REFERENCE}{engine}_{outcome.reference_threads}_threads",
                    measured_s=latency.median_s,
                    measured_iqr_s=latency.iqr_s,
                    measured_low_s=latency.low_s,
                    measured_high_s=latency.high_s,
                    num_segments=1,
                    num_devices=1,
                    devices=devices,
                )
            )
    return lines


def conclude(csv_path: Path, out: Path) -> None:
    """Write ``out/gains.csv`` and ``out/speedup.png`` from a speedup.csv alone.

    Raises:
        HetsimError: If the CSV is malformed.
        OSError: If a file cannot be read or written.
    """
    lines = read_rows(csv_path, SpeedupLine)
    write_rows(out / "gains.csv", GainLine, gains(lines))
    draw(lines, out / "speedup.png")


def gains(lines: Sequence[SpeedupLine]) -> list[GainLine]:
    """A line for each network, in the order of first appearance."""
    found = []
    for model, platform in dict.fromkeys((line.model, line.platform) for line in lines):
        took_s = {line.contender: line.measured_s for line in lines if (line.model, line.platform) == (model, platform)}
        ours_s, theirs_s = took_s[OURS], took_s["partition_tuner"]
        singles_s = [seconds for name, seconds in took_s.items() if name.startswith(SINGLE)]
        references_s = [seconds for name, seconds in took_s.items() if name.startswith(REFERENCE)]
        ideal_s = 1 / sum(1 / seconds for seconds in singles_s) if singles_s else None
        found.append(
            GainLine(
                model=model,
                platform=platform,
                ours_s=ours_s,
                over_best_single_percent=_gain(min(singles_s), ours_s) if singles_s else None,
                over_partition_tuner_percent=_gain(theirs_s, ours_s),
                over_best_reference_percent=_gain(min(references_s), ours_s) if references_s else None,
                splits_percent=_gain(took_s[WHOLE], ours_s),
                ideal_s=ideal_s,
                efficiency_percent=None if ideal_s is None else 100 * ideal_s / ours_s,
                partition_tuner_over_type_based_percent=_gain(took_s["type_based"], theirs_s),
                partition_tuner_over_individual_percent=_gain(took_s["individual"], theirs_s),
                published_over_type_based_percent=_published_percent(model, "type_based"),
                published_over_individual_percent=_published_percent(model, "individual"),
            )
        )
    return found


def _published_percent(model: str, baseline: str) -> float | None:
    published = PUBLISHED.get((model, baseline))
    return None if published is None else round(100 * published, 2)


def format_gains(lines: Sequence[GainLine]) -> list[str]:
    """The gains as text: a line for each network, then the geometric means of the ratios."""
    texts = [
        f"{line.model}: ours {line.ours_s * 1e3:.2f} ms; {_signed(line.over_best_single_percent)} over the best single "
        f"device, {_signed(line.over_partition_tuner_percent)} over PartitionTuner's plan, "
        f"{_signed(line.over_best_reference_percent)} over the best engine alone on all cores; co-execution efficiency "
        f"{_signed(line.efficiency_percent).lstrip('+')}"
        for line in lines
    ]
    for what, percents in (
        ("the best single device", [line.over_best_single_percent for line in lines]),
        ("PartitionTuner's plan", [line.over_partition_tuner_percent for line in lines]),
        ("the best engine alone on all cores", [line.over_best_reference_percent for line in lines]),
    ):
        known = [math.log1p(percent / 100) for percent in percents if percent is not None]
        if known:
            mean = math.exp(sum(known) / len(known))
            texts.append(f"over {what}: {mean:.3f} times as fast, geometric mean of {len(known)}")
    return texts


def draw(lines: Sequence[SpeedupLine], picture: Path) -> None:
    """Draw the latency of each contender, relative to the network's best single device, with 95 % confidence intervals.

    If no single device runs a network, latencies are relative to ours.

    Raises:
        OSError: If the file cannot be written.
    """
    groups = []
    for model in dict.fromkeys(line.model for line in lines):
        own = [line for line in lines if line.model == model]
        singles_s = [line.measured_s for line in own if line.contender.startswith(SINGLE)]
        unit_s = min(singles_s) if singles_s else next(line.measured_s for line in own if line.contender == OURS)
        groups.append(
            Group(
                label=f"{model}\n{unit_s * 1e3:.2f} ms",
                bars=tuple(
                    Bar(
                        label=line.contender,
                        value=line.measured_s / unit_s,
                        low=line.measured_low_s / unit_s,
                        high=line.measured_high_s / unit_s,
                    )
                    for line in own
                ),
            )
        )
    devices = "; ".join(dict.fromkeys(line.devices for line in lines))
    platforms = ", ".join(dict.fromkeys(line.platform for line in lines))
    draw_bars(
        groups,
        picture,
        title=f"Latency on {platforms}",
        axis="measured latency / latency of the best single device (below its name)",
        subtitle=f"Devices: {devices}. Medians with 95 % confidence intervals; less is better",
        named=True,
    )


def _gain(theirs_s: float, ours_s: float) -> float:
    return 100 * (theirs_s / ours_s - 1)


def _signed(percent: float | None) -> str:
    return "nothing to compare" if percent is None else f"{percent:+.1f} %"


def main() -> None:
    """Run the experiment; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)


if __name__ == "__main__":
    main()
