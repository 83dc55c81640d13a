"""``hetsim run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hetsim.core.platform import DEFAULT_PLATFORM
from hetsim.tuner.cli.arguments import (
    AcceptOption,
    AssumeOption,
    CustomOpsOption,
    EveryOption,
    FixOption,
    ForceOption,
    InFlightOption,
    InputsOption,
    ModelArgument,
    PlanOption,
    PlatformOption,
    RangeOption,
    RequestsOption,
    SeedOption,
    SetOption,
    ShapeOption,
)
from hetsim.tuner.cli.screen import hypothesis, screen, warn


def run(
    model: ModelArgument,
    plan: PlanOption,
    platform: PlatformOption = DEFAULT_PLATFORM,
    shape: ShapeOption = [],  # noqa: B006
    fix: FixOption = [],  # noqa: B006
    custom_ops: CustomOpsOption = [],  # noqa: B006
    seed: SeedOption = 0,
    requests: RequestsOption = 20,
    every: EveryOption = "",
    in_flight: InFlightOption = 1,
    inputs: InputsOption = None,
    outputs: Annotated[Path | None, typer.Option("--outputs", help="Where to put the outputs, as .npz.")] = None,
    trace: Annotated[Path | None, typer.Option("--trace", help="Write a trace that opens in Perfetto.")] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw the median run's timeline.")] = None,
    on_fault: Annotated[str, typer.Option("--on-fault", help="The device that finishes what others fail at.")] = "",
    scenario: SetOption = [],  # noqa: B006
    profile: Annotated[
        Path | None, typer.Option("--profile", help="With --set: what the devices that are changed take as they are.")
    ] = None,
    force: ForceOption = False,
    assume: AssumeOption = "finite",
    accept: AcceptOption = [],  # noqa: B006
    ranges: RangeOption = [],  # noqa: B006
) -> None:
    """Execute a plan on the devices, one inference after the other or under a load; changed devices are emulated."""
    from hetsim.analysis.scenario import parse_scenario
    from hetsim.core.load import parse_load
    from hetsim.io.plan_file import load_plan
    from hetsim.io.platform_file import load_platform
    from hetsim.models.values.trust import parse_trust
    from hetsim.tuner.api.run import run as run_plan
    from hetsim.tuner.cli.executing import print_run, read_inputs, write_run
    from hetsim.tuner.cli.sources import Bindings, read_model
    from hetsim.tuner.progress import OnScreen
    from hetsim.tuner.steps.readiness import profile_for

    load = parse_load(requests, every, in_flight)
    base, devices, changes = (
        read_model(model, Bindings(shape, fix, custom_ops)),
        load_platform(platform),
        parse_scenario(scenario),
    )
    measured, warnings = (None, ()) if profile is None else profile_for(base, devices, profile, force=force)
    warn((*warnings, *hypothesis(changes)))
    result = run_plan(
        base,
        load_plan(plan),
        platform=devices,
        profile=measured,
        scenario=changes,
        inputs=None if inputs is None else read_inputs(inputs),
        trust=parse_trust(assume, accept, ranges),
        seed=seed,
        load=load,
        on_fault=on_fault,
        stages=OnScreen(screen()),
    )
    warn(result.warnings)
    write_run(result, outputs=outputs, trace=trace, picture=picture)
    print_run(result, load)
