"""``hetsim explain``."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hetsim.core.errors import ProblemError
from hetsim.tuner.cli.arguments import (
    CustomOpsOption,
    FixOption,
    ForceOption,
    MaybeModel,
    MaybePlatform,
    MaybeProfile,
    PlanningLimitOption,
    PlanOption,
    ProblemOption,
    SeedOption,
    SetOption,
    ShapeOption,
)
from hetsim.tuner.cli.screen import screen, warn


def explain(
    plan: PlanOption,
    model: MaybeModel = None,
    problem: ProblemOption = None,
    profile: MaybeProfile = None,
    platform: MaybePlatform = None,
    shape: ShapeOption = [],  # noqa: B006
    fix: FixOption = [],  # noqa: B006
    custom_ops: CustomOpsOption = [],  # noqa: B006
    faster: Annotated[float, typer.Option("--faster", metavar="PERCENT", help="How much faster each thing is.")] = 10,
    replan: Annotated[
        int, typer.Option("--replan", min=0, metavar="N", help="Plan anew for the N changes that save most.")
    ] = 3,
    scheduler: Annotated[str, typer.Option("--scheduler", help="The scheduler that plans anew.")] = "search",
    seed: SeedOption = 0,
    max_evaluations: PlanningLimitOption = None,
    force: ForceOption = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw the timeline with the critical path on it.")
    ] = None,
    chart: Annotated[Path | None, typer.Option("--chart", help="Draw what each change saves, as bars.")] = None,
    scenario: SetOption = [],  # noqa: B006
) -> None:
    """Say which operator, link or device, made a little faster, shortens a plan's latency most."""
    from hetsim.analysis.scenario import parse_scenario
    from hetsim.io.plan_file import load_plan
    from hetsim.tuner.api.explain import explain as explain_plan
    from hetsim.tuner.cli.explain import draw_sensitivity, explanation_json, print_explanation
    from hetsim.tuner.cli.sources import Bindings, draw_simulation, read_source
    from hetsim.tuner.progress import OnScreen, Silent

    if not 0 < faster < math.inf:
        raise ProblemError(f"--faster {faster:g} makes nothing faster; give a percentage above 0")
    loaded, bindings = load_plan(plan), Bindings(shape, fix, custom_ops)
    sourced = partial(
        read_source, model, problem, profile, platform, bindings, force=force, scenario=parse_scenario(scenario)
    )
    source = sourced(plan=loaded)
    anew = sourced() if replan and model is not None else source  # another plan does not have this one's replays
    explained = explain_plan(
        source.problem,
        loaded,
        factor=1 + faster / 100,
        replan=replan,
        scheduler=scheduler,
        seed=seed,
        max_evaluations=max_evaluations,
        planning_problem=anew.problem,
        stages=Silent() if json else OnScreen(screen()),
    )
    if picture is not None:
        draw_simulation(explained.timeline, picture, source, critical=explained.path.spans)
    if chart is not None:
        draw_sensitivity(explained, chart, graph_name=source.problem.graph.name, subtitle="; ".join(source.warnings))
    if json:
        typer.echo(explanation_json(explained, source.warnings))
    else:
        warn(source.warnings)
        print_explanation(explained, screen())
