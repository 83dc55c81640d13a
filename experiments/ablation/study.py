"""Question: which parts of the cost model earn their place?

Each model is profiled. Random plans, and plans that the schedulers ``search`` and ``splits`` pick from the profile
alone, are then replayed serially. The cost model as it is, and variants of it that each lack one ingredient, predict
the replays from the profile without anything of that plan. ``predictions.csv`` has a line for each plan and variant,
``ablation.csv`` one for each variant and kind of plan, without plans on one device, which profiles contain: the mean
error with a 95 % interval (bootstrap over plans), the worst error, the bias, and how many of the stated 95 % intervals
hold. ``ablation.png`` is drawn from ``ablation.csv`` alone. A second call skips models that have lines.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from experiments.ablation.variants import VARIANTS, ablated
from experiments.shared.profiles import calibrated, profiled
from experiments.shared.records import Record, Settings, fill, model_label, model_names, read_rows, write_rows
from hetsim.analysis.plots.bars import Bar, Group, draw_bars
from hetsim.core.plan import Plan
from hetsim.core.platform import DEFAULT_PLATFORM, Platform
from hetsim.costs.cost_model import CostModel
from hetsim.costs.profile import Profile
from hetsim.costs.profile_file import load_profile
from hetsim.io.plan_file import load_plan, save_plan
from hetsim.io.platform_file import load_platform
from hetsim.models.importer import load_model
from hetsim.models.model import Model
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.random_plans import random_plans
from hetsim.scheduler.registry import solve
from hetsim.sim.simulate import makespan_s
from hetsim.tuner.context import TuningContext
from hetsim.tuner.options import Options
from hetsim.tuner.progress import OnScreen, Silent, Stages
from hetsim.tuner.steps.proposals import accepted_plan

COMMAND = "python -m experiments.ablation"
SEARCHED, RANDOM = ("search", "splits"), "random"
NUM_ERRORS = 1.96
"""Standard errors on either side of a 95 % interval."""
_NUM_RESAMPLES = 2000

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionLine:
    """One plan, as one variant predicts it.

    Attributes:
        model: The network.
        platform: The devices.
        scheduler: ``search``, ``splits`` or ``random``.
        plan_id: Digest of the plan.
        variant: What the cost model lacks.
        num_devices: The number of devices that the plan uses.
        num_segments: The number of its segments.
        predicted_s: Its makespan as predicted.
        error_s: The standard error that the variant states.
        replayed_s: The makespan from the plan's own serial runs.
    """

    model: str
    platform: str
    scheduler: str
    plan_id: str
    variant: str
    num_devices: int
    num_segments: int
    predicted_s: float
    error_s: float
    replayed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationLine:
    """One variant on one kind of plans, over all models; errors are predictions over replays, less 1, in percent.

    Attributes:
        variant: What the cost model lacks.
        plans: ``picked`` by a search, or ``random``.
        num_plans: The number of plans.
        mean_percent: The mean of the errors' sizes.
        low_percent: Lower end of its 95 % interval.
        high_percent: Upper end of it.
        worst_percent: The largest error.
        bias_percent: The mean error.
        inside_percent: How many plans are in the 95 % interval that is stated for them.
    """

    variant: str
    plans: str
    num_plans: int
    mean_percent: float
    low_percent: float
    high_percent: float
    worst_percent: float
    bias_percent: float
    inside_percent: float


@app.command()
def ablation(
    models: Annotated[str, typer.Option("--models", metavar="M,...", help="Names of the zoo, or .onnx files.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; results in it are continued.")],
    platform: Annotated[str, typer.Option(metavar="NAME|FILE", help="The devices.")] = DEFAULT_PLATFORM,
    seed: Annotated[int, typer.Option(help="Everything random comes from it.")] = 0,
    num_random: Annotated[int, typer.Option("--random", min=0, metavar="N", help="Random plans.")] = 6,
    max_evaluations: Annotated[int, typer.Option(min=0, help="Candidates that each search simulates.")] = 3000,
) -> None:
    """Predict plans with and without each ingredient of the cost model, and compare with their replays."""
    options = Options(seed=seed, max_evaluations=max_evaluations, command=(*shlex.split(COMMAND), *sys.argv[1:]))
    console = Console()
    found = compare(
        model_names(models),
        load_platform(platform),
        out,
        options=options,
        num_random=num_random,
        stages=OnScreen(console),
    )
    for line in found:
        console.print(
            f"{line.variant}, {line.num_plans} {line.plans} plans: {line.mean_percent:.1f} % off on average "
            f"({line.low_percent:.1f} to {line.high_percent:.1f}), {line.worst_percent:.1f} % at worst, bias "
            f"{line.bias_percent:+.1f} %; {line.inside_percent:.0f} % inside",
            markup=False,
            highlight=False,
        )


def compare(
    models: Sequence[str],
    platform: Platform,
    out: Path,
    *,
    options: Options,
    num_random: int,
    stages: Stages | None = None,
) -> list[AblationLine]:
    """All lines of ``out/ablation.csv``, after adding models that ``out/predictions.csv`` lacks.

    Raises:
        HetsimError: If a model or the platform does not fit, a device failed, or the folder holds results under other
            settings.
        OSError: If the folder cannot be written.
    """
    stages = stages or Silent()
    settings: Settings = {
        "platform": platform.name,
        "seed": options.seed,
        "random": num_random,
        "max_evaluations": options.max_evaluations,
    }
    record = Record(
        out / "predictions.csv", PredictionLine, settings=settings, command=shlex.join(options.command or (COMMAND,))
    )
    if any(not record.has(model_label(name)) for name in models):
        platform = calibrated(platform, out, stages=stages)

    def rows_of(model: Model) -> list[PredictionLine]:
        plans = measure(model, platform, out, options, num_random, stages)
        return _predictions(model, platform, load_profile(out / model.name / "profile.jsonl"), plans, stages)

    for name in models:  # all measurements first: predictions keep the cores busy
        if not record.has(model_label(name)):
            measure(load_model(name, seed=options.seed), platform, out, options, num_random, stages)
    for name in models:
        fill(record, [name], rows_of, seed=options.seed)
    return conclude(out)


def conclude(out: Path) -> list[AblationLine]:
    """Write ``out/ablation.csv`` and ``out/ablation.png`` from ``out/predictions.csv`` alone."""
    lines = summarize(read_rows(out / "predictions.csv", PredictionLine))
    write_rows(out / "ablation.csv", AblationLine, lines)
    groups = [
        Group(
            label=variant,
            bars=tuple(
                Bar(label=f"{one.plans} plans", value=one.mean_percent, low=one.low_percent, high=one.high_percent)
                for one in lines
                if one.variant == variant
            ),
        )
        for variant in dict.fromkeys(line.variant for line in lines)
    ]
    draw_bars(
        groups,
        out / "ablation.png",
        title="Error of predictions with and without each ingredient of the cost model",
        axis="mean error of predicted against replayed makespans, %",
        subtitle="whiskers: 95 % intervals over plans",
    )
    return lines


def summarize(rows: Sequence[PredictionLine]) -> list[AblationLine]:
    """A line for each variant and kind of plan."""
    found: list[AblationLine] = []
    rows = [row for row in rows if row.num_devices > 1]
    for variant in dict.fromkeys(row.variant for row in rows):
        for plans in ("picked", RANDOM):
            own = [row for row in rows if row.variant == variant and (row.scheduler == RANDOM) == (plans == RANDOM)]
            if own:
                found.append(_summary(variant, plans, own))
    return found


def _summary(variant: str, plans: str, rows: Sequence[PredictionLine]) -> AblationLine:
    errors = np.array([100 * (row.predicted_s / row.replayed_s - 1) for row in rows])
    inside = [abs(row.predicted_s - row.replayed_s) <= NUM_ERRORS * row.error_s for row in rows]
    resampled = np.random.default_rng(0).choice(np.abs(errors), (_NUM_RESAMPLES, len(errors))).mean(axis=1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return AblationLine(
        variant=variant,
        plans=plans,
        num_plans=len(rows),
        mean_percent=float(np.abs(errors).mean()),
        low_percent=float(low),
        high_percent=float(high),
        worst_percent=float(np.abs(errors).max()),
        bias_percent=float(errors.mean()),
        inside_percent=100 * sum(inside) / len(inside),
    )


def measure(
    model: Model, platform: Platform, out: Path, options: Options, num_random: int, stages: Stages
) -> list[tuple[str, Plan]]:
    """Profile a model, plan, and replay the plans; what ``out/MODEL`` holds is not measured again.

    Returns:
        Each plan with the name of its scheduler.

    Raises:
        HetsimError: If the model does not fit the platform, or a device failed.
        OSError: If the folder cannot be written.
    """
    folder = out / model.name
    files = sorted((folder / "plans").glob("*.json"))
    if files:
        return [(plan.scheduler.partition(":")[0], plan) for plan in map(load_plan, files)]
    with profiled(model, platform, folder, options=options, stages=stages) as context:
        with stages.stage(f"plan {model.name}"):
            plans = _plans(context, num_random)
        with stages.stage(f"replay plans of {model.name}") as report:
            for number, (_, plan) in enumerate(plans):
                report(number / len(plans), f"plan {number + 1} of {len(plans)}")
                context.replay(plan)
    (folder / "plans").mkdir(exist_ok=True)
    for number, (_, plan) in enumerate(plans):
        save_plan(plan, folder / "plans" / f"{number + 1}.json")
    return plans


def _predictions(
    model: Model, platform: Platform, profile: Profile, plans: Sequence[tuple[str, Plan]], stages: Stages
) -> list[PredictionLine]:
    """The plans as every variant predicts them without their replays."""
    full = CostModel(model, platform, profile)
    replayed_s = {plan.digest: makespan_s(full.problem_for(plan), plan) for _, plan in plans}
    known = profile.only(lambda context: not context.startswith("replay:"))
    explored = known.contexts_named("explored:")
    found: list[PredictionLine] = []
    with stages.stage(f"predict plans of {model.name}") as report:
        for number, (name, variant) in enumerate(VARIANTS.items()):
            report(number / len(VARIANTS), name)
            with ablated(name):
                shared_costs = CostModel(model, platform, variant.profile(known))
                for scheduler, plan in plans:
                    costs = shared_costs
                    if any(context.endswith(plan.digest) for context in explored):
                        costs = CostModel(model, platform, variant.profile(known.without(plan.digest)))
                    own = costs.unpicked() if scheduler == RANDOM else costs
                    found.append(
                        PredictionLine(
                            model=model.name,
                            platform=platform.name,
                            scheduler=scheduler,
                            plan_id=plan.digest,
                            variant=name,
                            num_devices=len({segment.device for segment in plan.segments}),
                            num_segments=plan.num_segments,
                            predicted_s=makespan_s(own.problem_for(plan), plan),
                            error_s=own.error_s(plan),
                            replayed_s=replayed_s[plan.digest],
                        )
                    )
    return found


def _plans(context: TuningContext, num_random: int) -> list[tuple[str, Plan]]:
    """Distinct plans that engines take, each with the name of its scheduler; picked by the cost model as it is."""
    options = context.options
    effort = Effort(seed=options.seed, max_evaluations=options.max_evaluations)
    found: dict[str, tuple[str, Plan]] = {}
    for name in SEARCHED:
        plan = accepted_plan(context, lambda name=name: solve(name, context.problem(), effort).plan)  # type: ignore[misc]
        if plan is not None:
            found.setdefault(plan.digest, (name, plan))
    for plan in random_plans(context.problem(), num_random, seed=options.seed):
        if context.refusal(plan) is None:
            found.setdefault(plan.digest, (RANDOM, plan))
    return list(found.values())
