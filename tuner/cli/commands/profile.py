"""``hetsim profile`` and ``hetsim import-profile``: where times come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hetsim.core.platform import DEFAULT_PLATFORM
from hetsim.io.vendor_profiles import FORMAT_NAMES as FORMATS
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
    explorations: ExplorationsOption = 4,
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


def import_profile(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Files that a vendor's profiler or an engine wrote.")
    ],
    model: Annotated[str, typer.Option("--model", metavar="MODEL", help="The network that was profiled.")],
    out: Annotated[Path, typer.Option("--out", help="The platform file; a file of times is written beside it.")],
    format: Annotated[
        str | None,
        typer.Option("--format", help=f"{', '.join(FORMATS)}; absent: guessed from the content."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="What the device is called.")] = "npu",
    platform: Annotated[
        str | None, typer.Option("--platform", help="A platform that the device joins, or replaces one of its name in.")
    ] = None,
    call: Annotated[str, typer.Option("--call", help="warm: medians of all calls but the first; cold: the first.")] = (
        "warm"
    ),
    match: Annotated[
        str, typer.Option("--match", help="names; order: what no name tells by type and order as well.")
    ] = "names",
    kind: Annotated[str, typer.Option("--kind", help="cpu, npu or gpu.")] = "npu",
    precision: Annotated[
        str, typer.Option("--precision", help="f32, bf16, f16 or i8; the size of its numbers.")
    ] = "f32",
    clock: Annotated[
        float | None, typer.Option("--clock-hz", help="The device's clock, for files that state cycles.")
    ] = None,
    launch: Annotated[
        float | None, typer.Option("--launch-s", help="A launch cost in seconds instead of the profile's.")
    ] = None,
    shape: ShapeOption = [],  # noqa: B006
    fix: FixOption = [],  # noqa: B006
    custom_ops: CustomOpsOption = [],  # noqa: B006
) -> None:
    """Make a hypothetical device of a profile that a vendor's tool or an engine wrote elsewhere."""
    from hetsim.costs.hypothetical.imports.description import describe
    from hetsim.tuner.api.import_profile import import_profile as import_files
    from hetsim.tuner.cli.sources import Bindings, read_model

    imported = import_files(
        files,
        read_model(model, Bindings(shape, fix, custom_ops)),
        out,
        format=format,
        device=device,
        platform=platform,
        call=call,
        match=match,
        kind=kind,
        precision=precision,
        clock_hz=clock,
        launch_s=launch,
    )
    for line in describe(imported, device):
        say(line)
    say(f"Written {out} and the times beside it; plan with: hetsim plan {model} --platform {out} --out FILE")
