"""What commands have in common: options by the same names, what they stand for, and how words get on the screen."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from hetsim.analysis.scenario import Scenario
from hetsim.core.errors import ModelError
from hetsim.core.load import Load
from hetsim.core.plan import Plan
from hetsim.core.timeline import Timeline
from hetsim.io.plan_file import load_plan
from hetsim.models.importer import load_model
from hetsim.models.model import Model
from hetsim.models.split.planned import planned_model

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="An .onnx file, or a name from `hetsim zoo`.")]
PlatformOption = Annotated[
    str, typer.Option("--platform", metavar="NAME|FILE", help="A built-in platform or a TOML file.")
]
ShapeOption = Annotated[
    list[str], typer.Option("--shape", metavar="NAME=1,3,224,224", help="Shape of an input whose dimensions are open.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Everything random comes from it.")]
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

screen = Console(soft_wrap=False)


def say(description: str) -> None:
    """Print words as they are."""
    screen.print(description, markup=False, highlight=False, soft_wrap=True)


def hypothesis(scenario: Scenario) -> tuple[str, ...]:
    """What there is to say about changes, if there are any: that nothing that follows was measured."""
    return (f"hypothetical, what follows from: {scenario.description}",) if scenario else ()


def warn(warnings: Iterable[str]) -> None:
    """Print warnings, one a line."""
    for description in warnings:
        say(f"WARNING: {description}")


def say_load(timeline: Timeline, load: Load) -> None:
    """Print how requests fared; latencies run from when one was due to the end of its last segment."""
    median_s, late_s = np.percentile(timeline.latencies_s, [50, 99])
    due = f"one every {load.every_s * 1e3:g} ms" if load.every_s else "one whenever there is room"
    say(
        f"{load.num_requests} requests, {due}, at most {load.num_slots} in flight: "
        f"{timeline.throughput_per_s:.2f} a second, p50 {median_s * 1e3:.2f} ms, p99 {late_s * 1e3:.2f} ms"
    )


def read_model(name: str, shapes: list[str]) -> Model:
    """The model that MODEL and ``--shape`` stand for.

    Raises:
        ModelError: If there is no such model, or a shape is none.
    """
    return load_model(name, shapes=dict(map(_shape, shapes)))


def read_plan(model: Model, path: Path) -> tuple[Model, Plan]:
    """The plan in a file, and the model as it is rewritten for it.

    Raises:
        PlanError: If the file is missing or malformed, or its rewrites are impossible.
    """
    plan = load_plan(path)
    planned = planned_model(model, plan)
    return planned, plan.in_order(planned.graph)


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, equals, sizes = text.rpartition("=")
    try:
        if not equals:
            raise ValueError
        return name, tuple(int(size) for size in sizes.split(","))
    except ValueError:
        raise ModelError(f"--shape {text!r} must look like NAME=1,3,224,224") from None
