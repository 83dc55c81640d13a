"""Options and arguments that commands have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hetsim.core.platform import DEFAULT_PLATFORM

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="An .onnx file, or a name from `hetsim zoo`.")]
PlatformOption = Annotated[
    str, typer.Option("--platform", metavar="NAME|FILE", help="A built-in platform or a TOML file.")
]
ShapeOption = Annotated[
    list[str], typer.Option("--shape", metavar="NAME=1,3,224,224", help="Shape of an input whose dimensions are open.")
]
FixOption = Annotated[
    list[str],
    typer.Option("--fix", metavar="NAME=16000", help="A value that an input always has; it is no input any more."),
]
CustomOpsOption = Annotated[
    list[Path], typer.Option("--custom-ops", metavar="LIBRARY", help="A library of custom operators of ONNX Runtime's.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Everything random comes from it.")]
PlanningLimitOption = Annotated[
    int | None,
    typer.Option(
        "--max-evaluations", metavar="N", help="Candidates that each planning may evaluate; absent: its own limit."
    ),
]
PlanOption = Annotated[Path, typer.Option("--plan", help="A plan file.")]
ProfileOption = Annotated[Path, typer.Option("--profile", help="A profile made by `hetsim profile` or `hetsim tune`.")]

ForceOption = Annotated[bool, typer.Option("--force", help="Use a profile from another machine or engine, and say so.")]
RequestsOption = Annotated[int, typer.Option("--requests", min=1, metavar="N", help="Inferences.")]
EveryOption = Annotated[
    str, typer.Option("--every", metavar="33ms", help="How often one is due; by default whenever there is room.")
]
InFlightOption = Annotated[int, typer.Option("--in-flight", min=1, metavar="N", help="Inferences under way at once.")]

WorkersOption = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="Compute points in so many processes; absent: in this one.")
]
DaskOption = Annotated[
    str | None,
    typer.Option("--dask", metavar="ADDRESS", help="Compute points on the Dask cluster of this scheduler."),
]

SetOption = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="What if: npu.speed=4, npu.count=2, handover=2x, memory.bandwidth=2x, ...; may be given again.",
    ),
]

AssumeOption = Annotated[
    str,
    typer.Option(
        "--assume", metavar="finite|nothing", help="What floats among the inputs are: finite, or also NaN and infinite."
    ),
]
AcceptOption = Annotated[
    list[str],
    typer.Option(
        "--accept",
        metavar="DEVICE:KIND",
        help="Let a device run a kind of operator although a probe finds that it computes something else.",
    ),
]
RangeOption = Annotated[
    list[str],
    typer.Option("--range", metavar="NAME=LOW..HIGH", help="The values that an input of integers has."),
]
InputsOption = Annotated[
    Path | None,
    typer.Option("--inputs", help="An .npz file with the model's inputs; integers are assumed to stay in its range."),
]

MaybeModel = Annotated[str | None, typer.Argument(metavar="MODEL", help="An .onnx file, or a name from `hetsim zoo`.")]
ProblemOption = Annotated[
    Path | None, typer.Option("--problem", help="A problem file instead of MODEL, --profile and --platform.")
]
MaybeProfile = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        help="A profile made by `hetsim profile` or `hetsim tune`; hypothetical devices need none.",
    ),
]
MaybePlatform = Annotated[
    str | None,
    typer.Option(
        "--platform",
        metavar="NAME|FILE",
        help="A built-in platform or a TOML file.",
        show_default=DEFAULT_PLATFORM,
    ),
]
ExplorationsOption = Annotated[
    int,
    typer.Option(min=0, metavar="N", help="Plans to measure where the search will go, besides fixed configurations."),
]
