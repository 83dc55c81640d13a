"""``hetsim verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hetsim.core.platform import DEFAULT_PLATFORM
from hetsim.tuner.cli.arguments import (
    CustomOpsOption,
    FixOption,
    ModelArgument,
    PlatformOption,
    RangeOption,
    SeedOption,
    ShapeOption,
)


def verify(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", help="The folder for verify.json and verify.png.")],
    platform: PlatformOption = DEFAULT_PLATFORM,
    plan: Annotated[Path | None, typer.Option("--plan", help="A plan file, whose segments are verified too.")] = None,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="Verify this device's operators only.")] = "",
    inputs: Annotated[
        list[Path], typer.Option("--inputs", metavar="FILE", help="An .npz file with inputs; may be given again.")
    ] = [],  # noqa: B006
    samples: Annotated[int, typer.Option("--samples", min=1, metavar="N", help="Random inputs, without --inputs.")] = 2,
    seed: SeedOption = 0,
    shape: ShapeOption = [],  # noqa: B006
    fix: FixOption = [],  # noqa: B006
    custom_ops: CustomOpsOption = [],  # noqa: B006
    ranges: RangeOption = [],  # noqa: B006
) -> None:
    """Find the operator at which a device begins to deviate; exit code 1 if one diverges beyond rounding."""
    from hetsim.io.platform_file import load_platform
    from hetsim.models.values.trust import parse_trust
    from hetsim.tuner.api.verify import verify as verify_model
    from hetsim.tuner.cli.executing import read_inputs
    from hetsim.tuner.cli.screen import say, screen
    from hetsim.tuner.cli.sources import Bindings, read_model
    from hetsim.tuner.cli.verify import print_verification
    from hetsim.tuner.progress import OnScreen

    found = verify_model(
        read_model(model, Bindings(shape, fix, custom_ops)),
        plan,
        platform=load_platform(platform),
        device=device,
        inputs=[read_inputs(path) for path in inputs] or None,
        trust=parse_trust("finite", [], ranges),
        num_samples=samples,
        seed=seed,
        out=out,
        stages=OnScreen(screen()),
    )
    print_verification(found)
    say(f"everything in {out / 'verify.json'}, drawn in {out / 'verify.png'}")
    if found.diverges:
        raise typer.Exit(1)
