"""What commands have in common: options by the same names, what they stand for, and how words get on the screen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hetsim.errors import ModelError, PlanError
from hetsim.model import Model, load_model
from hetsim.profile import Profile, load_profile

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

screen = Console(soft_wrap=False)


def say(words: str) -> None:
    """Print words as they are."""
    screen.print(words, markup=False, highlight=False, soft_wrap=True)


def read_model(name: str, shapes: list[str]) -> Model:
    """The model that MODEL and ``--shape`` stand for.

    Raises:
        ModelError: If there is no such model, or a shape is none.
    """
    return load_model(name, shapes=dict(map(_shape, shapes)))


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, equals, sizes = text.rpartition("=")
    try:
        if not equals:
            raise ValueError
        return name, tuple(int(size) for size in sizes.split(","))
    except ValueError:
        raise ModelError(f"--shape {text!r} must look like NAME=1,3,224,224") from None


def read_profile(model: Model, path: Path) -> Profile:
    """The profile in a file, which must have been taken of this model.

    Raises:
        ProfileError: If the file is missing or malformed.
        PlanError: If it was taken of another model.
    """
    measured = load_profile(path)
    if model.hash != measured.header.model_hash:
        raise PlanError(
            f"profile {path} was taken of another model (hash {measured.header.model_hash[:12]}); {model.graph.name!r} "
            f"has hash {model.hash[:12]}; measure it with: hetsim profile"
        )
    return measured
