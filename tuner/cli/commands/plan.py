"""``hetsim plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hetsim.tuner.cli.arguments import (
    CustomOpsOption,
    FixOption,
    ForceOption,
    MaybeModel,
    MaybePlatform,
    MaybeProfile,
    PlanningLimitOption,
    ProblemOption,
    SeedOption,
    SetOption,
    ShapeOption,
)
from hetsim.tuner.cli.screen import say, screen, warn


def plan(
    out: Annotated[Path, typer.Option("--out", help="Where the plan goes.")],
    model: MaybeModel = None,
    problem: ProblemOption = None,
    profile: MaybeProfile = None,
    scheduler: Annotated[
        str, typer.Option("--scheduler", help="The scheduler, by name; splits also divides operators among devices.")
    ] = "search",
    platform: MaybePlatform = None,
    shape: ShapeOption = [],  # noqa: B006  (typer reads it)
    fix: FixOption = [],  # noqa: B006
    custom_ops: CustomOpsOption = [],  # noqa: B006
    seed: SeedOption = 0,
    max_evaluations: PlanningLimitOption = None,
    time_limit: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="When to be content with the best so far, as on Ctrl-C.")
    ] = None,
    force: ForceOption = False,
    scenario: SetOption = [],  # noqa: B006
) -> None:
    """Plan a model from a profile, or a problem file; nothing is measured."""
    from hetsim.analysis.breakdown import device_assignments
    from hetsim.analysis.scenario import parse_scenario
    from hetsim.io.plan_file import save_plan
    from hetsim.tuner.api.plan import plan as plan_problem
    from hetsim.tuner.api.simulate import simulate as simulate_plan
    from hetsim.tuner.cli.sources import Bindings, read_source
    from hetsim.tuner.progress import OnScreen
    from hetsim.tuner.report.shared_runs import planned_shares

    source = read_source(
        model,
        problem,
        profile,
        platform,
        Bindings(shape, fix, custom_ops),
        force=force,
        scenario=parse_scenario(scenario),
    )
    solution = plan_problem(
        source.problem,
        scheduler=scheduler,
        seed=seed,
        max_evaluations=max_evaluations,
        time_limit_s=time_limit,
        stages=OnScreen(screen()),
    )
    made = solution.plan
    save_plan(made, out)
    timeline = simulate_plan(source.problem, made)
    warn(source.warnings)
    say(f"{scheduler}: {timeline.makespan_s * 1e3:.2f} ms simulated, {made.num_segments} segments, in {out}")
    say(f"  bound {solution.bound_s * 1e3:.2f} ms, gap {solution.gap:.2%}: {solution.verdict}")
    say(f"  planned in {solution.planning_s:.2f} s, {solution.num_evaluations} evaluations")
    planned = source.problem.for_plan(made)
    for assignment in device_assignments(planned.graph, made, timeline, planned.platform):
        say(f"  {assignment}")
    for shared in planned_shares(source.problem, made):
        say(f"  in parts: {shared}")
