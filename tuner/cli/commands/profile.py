"""``hetsim profile``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hetsim.core.platform import DEFAULT_PLATFORM
from hetsim.tuner.cli.arguments import ModelArgument, PlatformOption, ShapeOption
from hetsim.tuner.cli.screen import say, screen


def profile(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", help="The profile; an existing one is resumed.")],
    platform: PlatformOption = DEFAULT_PLATFORM,
    shape: ShapeOption = [],  # noqa: B006
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment.")] = 12,
) -> None:
    """Measure operators and groups of operators on every device that is here."""
    from hetsim.costs.profile_file import ProfileFile
    from hetsim.io.platform_file import load_platform
    from hetsim.runtime import Runtime
    from hetsim.runtime.measure.profiler import Effort, make_header, measure_configurations
    from hetsim.tuner.cli.sources import read_model
    from hetsim.tuner.cli.tables import print_slowest_segments, say_prediction_errors
    from hetsim.tuner.progress import OnScreen
    from hetsim.tuner.steps.readiness import check_machine, check_profile

    found, described, stages, effort = (
        read_model(model, shape),
        load_platform(platform).measured_part(),
        OnScreen(screen()),
        Effort(repeats=repeats),
    )
    check_machine(described, stages)
    with Runtime(described) as runtime, ProfileFile(out, make_header(runtime, found)) as file:
        check_profile(runtime, found, file.profile, effort=effort, stages=stages)
        with stages.stage("profile") as report:
            measure_configurations(runtime, found, file, effort=effort, progress=report)
        measured = file.profile
    print_slowest_segments(measured)
    say(
        f"{measured.num_segments} segments, {measured.num_samples} samples in {out}; above, the slowest of each device."
    )
    say_prediction_errors(measured, found.graph, described)
