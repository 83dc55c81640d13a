"""``hetsim compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hetsim.core.platform import DEFAULT_PLATFORM
from hetsim.tuner.cli.arguments import (
    AcceptOption,
    AssumeOption,
    CustomOpsOption,
    FixOption,
    ForceOption,
    InputsOption,
    ModelArgument,
    PlanOption,
    PlatformOption,
    ProfileOption,
    RangeOption,
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
    fix: FixOption = [],  # noqa: B006
    custom_ops: CustomOpsOption = [],  # noqa: B006
    requests: Annotated[int, typer.Option(min=1, help="Inferences to run; the median one is compared.")] = 20,
    force: ForceOption = False,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw where the difference comes from.")] = None,
    scenario: SetOption = [],  # noqa: B006
    inputs: InputsOption = None,
    assume: AssumeOption = "finite",
    accept: AcceptOption = [],  # noqa: B006
    ranges: RangeOption = [],  # noqa: B006
) -> None:
    """Simulate a plan, execute it, and say where the difference comes from; changed devices are emulated."""
    from hetsim.analysis.plots.comparison import draw_comparison
    from hetsim.analysis.scenario import parse_scenario
    from hetsim.io.plan_file import load_plan
    from hetsim.io.platform_file import load_platform
    from hetsim.models.values.trust import parse_trust
    from hetsim.tuner.api.compare import compare as compare_plan
    from hetsim.tuner.cli.executing import read_inputs
    from hetsim.tuner.cli.sources import Bindings, read_model
    from hetsim.tuner.cli.tables import print_comparison
    from hetsim.tuner.progress import OnScreen
    from hetsim.tuner.steps.readiness import profile_for

    base, devices, changes = (
        read_model(model, Bindings(shape, fix, custom_ops)),
        load_platform(platform),
        parse_scenario(scenario),
    )
    measured, warnings = profile_for(base, devices, profile, force=force)
    warnings = (*warnings, *hypothesis(changes))
    comparison = compare_plan(
        base,
        load_plan(plan),
        platform=devices,
        profile=measured,
        scenario=changes,
        inputs=None if inputs is None else read_inputs(inputs),
        trust=parse_trust(assume, accept, ranges),
        num_requests=requests,
        stages=OnScreen(screen()),
    )
    executed_on = comparison.platform or devices
    if picture is not None:
        title = f"{base.name}: simulated against measured"
        draw_comparison(comparison, picture, platform=executed_on, title="\n".join((title, *warnings)))
    warn(warnings)
    print_comparison(comparison, executed_on)
