"""Question: how does the best latency change with the speed of an NPU that nobody has yet?

At each speed the model is planned anew, since the best plan changes with the hardware. Beside it stand the plan that is
best at speed 1, kept as it is, and the best single device at that speed. Nothing but a profile is needed; it is
measured first where the folder has none.

``npu_speed.csv`` has the numbers, ``npu_speed.json`` says where they come from, and ``npu_speed.png`` is drawn from
the CSV alone, with a picture for each model in its folder where there are several.
"""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from experiments.profiles import calibrated, profile_of
from experiments.records import Record, Settings, model_label, model_names, read_rows
from hetsim.costs import make_problem
from hetsim.errors import PlatformError
from hetsim.machine.platform import DEFAULT_PLATFORM, Platform, load_platform
from hetsim.model import Model, load_model
from hetsim.pictures import Curve, draw_curves
from hetsim.plan import Plan
from hetsim.problem import Latency, Problem
from hetsim.simulate import makespan_s
from runtime.profiler import Effort
from scheduler.registry import make_plan
from tuner.exits import run_to_exit
from tuner.progress import OnScreen, Silent, Stages
from tuner.tune import Options, executed_names

COMMAND = "python -m experiments.npu_speed"
BEST, FIXED, SINGLE = "planned anew", "best at 1x, kept", "best single device"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedLine:
    """A line of npu_speed.csv: a plan at one speed of the device.

    Attributes:
        model: The network.
        platform: The devices.
        speed: How many times faster than as measured the device is taken to be.
        scheduler: Who made the plan.
        simulated_s: Simulated latency.
        num_segments: Compiled units.
        measured_s: Latency of an execution at that speed, or None.
        curve: What the plan stands for: ``planned anew``, ``best at 1x, kept`` or ``best single device``.
        device: The device whose speed is varied, as people should see it.
        plan_id: The plan's digest: where it changes from one speed to the next, so does the plan.
    """

    model: str
    platform: str
    speed: float
    scheduler: str
    simulated_s: float
    num_segments: int
    measured_s: float | None
    curve: str
    device: str
    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Which device is varied, and how.

    Attributes:
        device: Its name on the platform.
        speeds: Relative to the device as measured; positive, ascending.
    """

    device: str
    speeds: tuple[float, ...]


@app.command()
def npu_speed(
    models: Annotated[str, typer.Option("--models", metavar="M,...", help="Names of the zoo, or .onnx files.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; one that is there is gone on with.")],
    platform: Annotated[str, typer.Option(metavar="NAME|FILE", help="The devices.")] = DEFAULT_PLATFORM,
    device: Annotated[str, typer.Option(help="The device whose speed is varied.")] = "npu",
    slowest: Annotated[float, typer.Option(help="Lowest speed, relative to the device as measured.")] = 0.25,
    fastest: Annotated[float, typer.Option(help="Highest speed.")] = 8.0,
    points: Annotated[int, typer.Option(min=2, help="Speeds in all, equal ratios apart.")] = 11,
    seed: Annotated[int, typer.Option(help="Everything random comes from it.")] = 0,
    max_evaluations: Annotated[int, typer.Option(min=0, help="Candidates that each search simulates.")] = 3000,
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment, where they are measured.")] = 12,
) -> None:
    """Plan each model anew for a hypothetical NPU of every speed."""
    options = Options(
        seed=seed,
        max_evaluations=max_evaluations,
        effort=Effort(repeats=repeats),
        command=(*shlex.split(COMMAND), *sys.argv[1:]),
    )
    names, sweep = model_names(models), Sweep(device=device, speeds=log_speeds(slowest, fastest, points))
    vary(names, load_platform(platform), out, sweep, options=options, stages=OnScreen(Console()))


def log_speeds(slowest: float, fastest: float, count: int) -> tuple[float, ...]:
    """``count`` speeds from ``slowest`` to ``fastest``, equal ratios apart, rounded to four digits.

    >>> log_speeds(0.25, 8, 6)
    (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)

    Raises:
        PlatformError: If they are not positive and ascending.
    """
    if not 0 < slowest < fastest < math.inf:
        raise PlatformError(
            f"speeds from {slowest} to {fastest} make no sweep; they must be more than 0, and --slowest below --fastest"
        )
    ratio = math.log2(fastest / slowest) / (count - 1)
    return tuple(sorted({float(f"{slowest * 2 ** (ratio * i):.4g}") for i in range(count)}))


def vary(
    models: Sequence[str],
    platform: Platform,
    out: Path,
    sweep: Sweep,
    *,
    options: Options | None = None,
    stages: Stages | None = None,
) -> list[SpeedLine]:
    """All lines of ``out/npu_speed.csv`` once every model has some; the pictures are brought up to date as well.

    Of the options, ``rounds`` and ``pace`` are without effect: nothing is executed.

    Raises:
        HetsimError: If a model, the platform or a device cannot do what is asked, or the folder holds results under
            other settings.
        OSError: If the folder cannot be written.
    """
    options, stages = options or Options(), stages or Silent()
    platform.device(sweep.device)  # before any time is spent
    settings: Settings = {
        "platform": platform.name,
        "device": sweep.device,
        "speeds": list(sweep.speeds),
        "seed": options.seed,
        "max_evaluations": options.max_evaluations,
    }
    path = out / "npu_speed.csv"
    record = Record(path, SpeedLine, settings=settings, command=shlex.join(options.command))
    missing = [name for name in models if not record.has(model_label(name))]
    if missing:
        platform = calibrated(platform, out, stages=stages)
    for name in missing:
        model = load_model(name, seed=options.seed)
        profile = profile_of(model, platform, out / model.name, effort=options.effort, stages=stages)
        record.add(model, _vary(make_problem(model, platform, profile), model, sweep, options, stages))
        del model  # before the next one comes
        draw(path, out)
    if not missing:  # an earlier run may have been killed before it drew
        draw(path, out)
    return record.rows


def _vary(problem: Problem, model: Model, sweep: Sweep, options: Options, stages: Stages) -> list[SpeedLine]:
    """One model's lines.

    What is best at a speed is chosen among all plans made for any speed, so a faster device never loses to a slower
    one because a search was unlucky.
    """
    what_if = {speed: at_speed(problem, sweep.device, speed) for speed in sorted({*sweep.speeds, 1.0})}
    candidates: dict[str, Plan] = {}
    with stages.stage(f"plan {model.name}") as report:
        for number, (speed, own) in enumerate(what_if.items()):
            report(number / len(what_if), f"speed {speed:g}")
            for name in executed_names(own):
                plan = make_plan(name, own, seed=options.seed, max_evaluations=options.max_evaluations)
                candidates.setdefault(plan.digest, plan)
    kept = _fastest(what_if[1.0], candidates.values())
    singles = [plan for plan in candidates.values() if len(plan.queues) == 1]
    lines = []
    for speed in sweep.speeds:
        own = what_if[speed]
        chosen = {BEST: _fastest(own, candidates.values()), FIXED: kept}
        if singles:
            chosen[SINGLE] = _fastest(own, singles)
        lines += [
            SpeedLine(
                model=model.name,
                platform=problem.platform.name,
                speed=speed,
                scheduler=plan.scheduler,
                simulated_s=makespan_s(own, plan),
                num_segments=plan.num_segments,
                measured_s=None,
                curve=curve,
                device=problem.platform.device(sweep.device).label,
                plan_id=plan.digest,
            )
            for curve, plan in chosen.items()
        ]
    return lines


def _fastest(problem: Problem, plans: Collection[Plan]) -> Plan:
    """The plan that is simulated fastest; of equal ones the simplest, then the one made first."""
    return min(plans, key=lambda plan: (makespan_s(problem, plan), len(plan.queues), plan.num_segments))


def at_speed(problem: Problem, device: str, speed: float) -> Problem:
    """The problem with one device that many times faster than it was measured.

    Every segment's time on it is divided by ``speed``; all else is kept: the other devices, hand-overs, what each
    device refuses. In reality the cost of a launch, which is part of each segment's time, and the memory do not get
    faster with the arithmetic, so this is the limit of a device whose overheads shrink with it.
    """
    if speed == 1.0:
        return problem
    own = replace(problem.platform.device(device), nature="hypothetical")

    def latency(name: str, ops: tuple[str, ...]) -> Latency | None:
        found = problem.latency(name, ops)
        return found if found is None or name != device else replace(found, seconds=found.seconds / speed)

    return replace(problem, platform=problem.platform.with_devices(own), latency_function=latency, _known={})


def draw(csv_path: Path, out: Path) -> None:
    """Draw what an npu_speed.csv holds into ``out``: one model's three curves, or the best of each of several models.

    Where there are several, each one's three curves are in ``out/MODEL/npu_speed.png``.

    Raises:
        HetsimError: If the CSV is malformed.
        OSError: If a file cannot be read or written.
    """
    lines = read_rows(csv_path, SpeedLine)
    models = list(dict.fromkeys(line.model for line in lines))
    if len(models) > 1:
        best = [
            _curve([line for line in lines if (line.model, line.curve) == (model, BEST)], model) for model in models
        ]
        _draw(best, lines, out / "npu_speed.png", "Latency of the best plan")
    for model in models:
        own = [line for line in lines if line.model == model]
        curves = [
            _curve([line for line in own if line.curve == name], name) for name in dict.fromkeys(x.curve for x in own)
        ]
        _draw(curves, lines, (out if len(models) == 1 else out / model) / "npu_speed.png", model)


def _curve(lines: Sequence[SpeedLine], label: str) -> Curve:
    return Curve(
        label=label,
        speeds=tuple(line.speed for line in lines),
        latencies_s=tuple(line.simulated_s for line in lines),
    )


def _draw(curves: Sequence[Curve], lines: Sequence[SpeedLine], picture: Path, what: str) -> None:
    device = lines[0].device
    draw_curves(
        curves,
        picture,
        title=f"{what} on {lines[0].platform} with a hypothetical {device.split()[0]}",
        relative_to=f"{device} as measured",
        device=device.split()[0],
    )


def main() -> None:
    """Run the experiment; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)


if __name__ == "__main__":
    main()
