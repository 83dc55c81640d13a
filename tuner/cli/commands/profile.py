"""``hetsim profile``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hetsim.core.platform import DEFAULT_PLATFORM
from hetsim.tuner.cli.arguments import (
    AcceptOption,
    AssumeOption,
    CustomOpsOption,
    ExplorationsOption,
    FixOption,
    ModelArgument,
    PlatformOption,
    RangeOption,
    ShapeOption,
)
from hetsim.tuner.cli.screen import say, screen


def profile(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", help="The profile; an existing one is resumed.")],
    platform: PlatformOption = DEFAULT_PLATFORM,
    shape: ShapeOption = [],  # noqa: B006
    fix: FixOption = [],  # noqa: B006
    custom_ops: CustomOpsOption = [],  # noqa: B006
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment.")] = 6,
    explorations: ExplorationsOption = 6,
    assume: AssumeOption = "finite",
    accept: AcceptOption = [],  # noqa: B006
    ranges: RangeOption = [],  # noqa: B006
) -> None:
    """Measure operators and groups of operators on every device that is here."""
    from hetsim.io.platform_file import load_platform
    from hetsim.models.values.trust import parse_trust
    from hetsim.runtime.measure.profiler import Effort
    from hetsim.tuner.api.profile import profile as profile_model
    from hetsim.tuner.cli.sources import Bindings, read_model
    from hetsim.tuner.cli.tables import print_slowest_segments, say_prediction_errors
    from hetsim.tuner.progress import OnScreen

    found, devices = read_model(model, Bindings(shape, fix, custom_ops)), load_platform(platform)
    measured = profile_model(
        found,
        platform=devices,
        out=out,
        effort=Effort(repeats=repeats, explorations=explorations),
        trust=parse_trust(assume, accept, ranges),
        stages=OnScreen(screen()),
    )
    print_slowest_segments(measured)
    say(
        f"{measured.num_segments} segments, {measured.num_samples} samples in {out}; above, the slowest of each device."
    )
    say_prediction_errors(measured, found, devices.measured_part())
