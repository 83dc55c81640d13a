"""``hetsim export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hetsim.core.platform import DEFAULT_PLATFORM
from hetsim.tuner.cli.arguments import (
    CustomOpsOption,
    FixOption,
    ModelArgument,
    PlanOption,
    PlatformOption,
    SeedOption,
    ShapeOption,
)


def export(
    model: ModelArgument,
    plan: PlanOption,
    out: Annotated[Path, typer.Option("--out", help="The folder, new or empty.")],
    to: Annotated[
        str, typer.Option("--to", metavar="TARGET", help="What to write: bundle, onnxruntime or openvino.")
    ] = "bundle",
    platform: PlatformOption = DEFAULT_PLATFORM,
    profile: Annotated[
        Path | None, typer.Option("--profile", help="Measurements, which give the expected times.")
    ] = None,
    shape: ShapeOption = [],  # noqa: B006
    fix: FixOption = [],  # noqa: B006
    custom_ops: CustomOpsOption = [],  # noqa: B006
    seed: SeedOption = 0,
) -> None:
    """Write a plan as files that run without hetsim: a bundle with a runner, or a model for an engine to divide."""
    from hetsim.io.platform_file import load_platform
    from hetsim.runtime.placement.files import Report
    from hetsim.tuner.api.export import export as export_plan
    from hetsim.tuner.cli.placements import say_placement
    from hetsim.tuner.cli.screen import say, screen
    from hetsim.tuner.cli.sources import Bindings, read_model
    from hetsim.tuner.progress import OnScreen

    found = export_plan(
        read_model(model, Bindings(shape, fix, custom_ops)),
        plan,
        out,
        to=to,
        platform=load_platform(platform),
        profile=profile,
        seed=seed,
        stages=OnScreen(screen()),
    )
    if isinstance(found, Report):
        say_placement(found)
    else:
        devices = ", ".join(f"{device.name} ({device.engine} {device.engine_version})" for device in found.devices)
        say(f"{len(found.steps)} segments of {found.model} for {devices} in {out}")
    say(f"Run {'it' if isinstance(found, Report) else 'them'} without hetsim: python {out / 'run.py'}")
