"""``hetsim compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hetsim.core.platform import DEFAULT_PLATFORM
from hetsim.tuner.cli.arguments import (
    ForceOption,
    ModelArgument,
    PlanOption,
    PlatformOption,
    ProfileOption,
    SetOption,
    ShapeOption,
)
from hetsim.tuner.cli.screen import hypothesis, screen, warn


def compare(
    model: ModelArgument,
    plan: PlanOption,
    profile: ProfileOption,
    platform: PlatformOption = DEFAULT_PLATFORM,
    shape: ShapeOption = [],  # noqa: B006
    requests: Annotated[int, typer.Option(min=1, help="Inferences to run; the typical one is compared.")] = 20,
    force: ForceOption = False,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw where the difference comes from.")] = None,
    scenario: SetOption = [],  # noqa: B006
) -> None:
    """Simulate a plan, execute it, and say where the difference comes from; changed devices are emulated."""
    from hetsim.analysis.comparison import compare as compare_timelines
    from hetsim.analysis.plots.comparison import draw_comparison
    from hetsim.analysis.scenario import parse_scenario
    from hetsim.io.platform_file import load_platform
    from hetsim.models.model import random_inputs
    from hetsim.runtime import Runtime
    from hetsim.runtime.measure.profiler import warm_up
    from hetsim.sim.simulate import simulate as simulate_plan
    from hetsim.tuner.cli.sources import read_model, read_plan
    from hetsim.tuner.cli.tables import print_comparison
    from hetsim.tuner.progress import OnScreen
    from hetsim.tuner.steps.final_measurement import find_median_run
    from hetsim.tuner.steps.readiness import check_machine, profile_for
    from hetsim.tuner.target import make_target

    where = load_platform(platform)
    found, read = read_plan(read_model(model, shape), plan)
    measured, warnings = profile_for(found, where, profile, force=force)
    given, changes = random_inputs(found), parse_scenario(scenario)
    target = make_target(found, where, changes, profile=measured, inputs=given)
    simulated = simulate_plan(target.plan_problem(measured, read), read)
    warnings, where = (*warnings, *hypothesis(changes)), target.platform
    check_machine(where, OnScreen(screen()))
    with Runtime(where) as runtime, runtime.load(found, read, emulation=target.emulation) as session:
        warm_up(session, given)
        median_run = find_median_run([session.run(given) for _ in range(requests)])
    comparison = compare_timelines(found.graph, read, simulated, median_run.timeline, where)
    if picture is not None:
        title = f"{found.graph.name}: simulated against measured"
        draw_comparison(comparison, picture, platform=where, title="\n".join((title, *warnings)))
    warn(warnings)
    print_comparison(comparison, where)
