"""What the arguments of commands stand for: models, plans, and the problems that are planned or simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hetsim.core.errors import ModelError, ProblemError
from hetsim.core.platform import DEFAULT_PLATFORM
from hetsim.tuner.cli.screen import hypothesis

if TYPE_CHECKING:
    import numpy as np

    from hetsim.analysis.scenario import Scenario
    from hetsim.core.plan import Plan
    from hetsim.core.problem import Problem
    from hetsim.core.timeline import Span, Timeline
    from hetsim.costs.profile import Profile
    from hetsim.models.model import Model


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a command plans or simulates from.

    Attributes:
        problem: The problem.
        profile: What it was made from; None for a problem file.
        warnings: What is not as it should be about that.
    """

    problem: Problem
    profile: Profile | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bindings:
    """What options of the command line say of a model.

    Attributes:
        shapes: Texts such as ``x=1,3,224,224``.
        fixed: Texts such as ``sr=16000``.
        custom_ops: Libraries of operators.
    """

    shapes: list[str]
    fixed: list[str]
    custom_ops: list[Path]


def read_source(
    model: str | None,
    problem: Path | None,
    profile: Path | None,
    platform: str | None,
    bindings: Bindings,
    *,
    plan: Plan | None = None,
    force: bool,
    scenario: Scenario,
) -> Source:
    """What MODEL and its options, or the problem file, stand for, changed; costs as ``plan`` meets them, if given.

    Raises:
        HetsimError: If both are given, or neither, or anything about them is wrong.
    """
    if (model is None) == (problem is None):
        raise ProblemError("give either a MODEL with its --profile, or --problem FILE")
    if problem is not None:
        from hetsim.io.problem_file import load_problem

        of_model = {"--shape": bindings.shapes, "--fix": bindings.fixed, "--custom-ops": bindings.custom_ops}
        for name, value in {"--profile": profile, "--platform": platform, **of_model}.items():
            if value:
                raise ProblemError(f"{name} belongs to a MODEL; a problem file says itself what it costs and where")
        return Source(problem=scenario.problem(load_problem(problem)), warnings=hypothesis(scenario))
    assert model is not None
    return _model_source(model, profile, platform, bindings, plan=plan, force=force, scenario=scenario)


def draw_simulation(timeline: Timeline, picture: Path, source: Source, *, critical: Sequence[Span] = ()) -> None:
    """Draw a simulated timeline; matplotlib is imported here.

    Args:
        timeline: The timeline.
        picture: The PNG file.
        source: What was simulated.
        critical: Spans that are framed.
    """
    from hetsim.analysis.plots.timelines import draw_timelines

    graph, platform = source.problem.graph, source.problem.platform
    title = "\n".join((f"{graph.name} on {platform.name}", *source.warnings))
    draw_timelines(timeline, None, picture, platform=platform, graph=graph, title=title, critical=critical)


def _model_source(
    model: str,
    profile: Path | None,
    platform: str | None,
    bindings: Bindings,
    *,
    plan: Plan | None,
    force: bool,
    scenario: Scenario,
) -> Source:
    """What MODEL and its options stand for."""
    from hetsim.costs.problems import make_problem, plan_problem
    from hetsim.io.platform_file import load_platform
    from hetsim.models.split.planned import planned_model
    from hetsim.tuner.steps.readiness import profile_for

    described = load_platform(platform or DEFAULT_PLATFORM)
    if profile is None and any(device.source is None for device in described.devices):
        description = "" if platform is None else f" --platform {platform}"
        raise ProblemError(
            f"{model} needs --profile FILE; measure it with: hetsim profile {model}{description} --out FILE"
        )
    if any(device.architecture is not None for device in described.devices):
        typer.echo("asking ZigZag, which takes seconds for each shape of operator that is new to it", err=True)
    found = read_model(model, bindings)
    measured, warnings = (None, ()) if profile is None else profile_for(found, described, profile, force=force)
    if plan is None:
        made = make_problem(found, described, measured)
    else:
        found = planned_model(found, plan)
        made = plan_problem(found, described, measured, plan.in_order(found.graph))
    return Source(
        problem=scenario.problem(made),
        profile=measured,
        warnings=(*warnings, *hypothesis(scenario)),
    )


def read_model(name: str, bindings: Bindings) -> Model:
    """The model that MODEL and its options stand for.

    Raises:
        ModelError: If there is no such model, or an option is malformed.
    """
    from hetsim.models.importer import load_model

    return load_model(
        name,
        shapes=dict(map(_shape, bindings.shapes)),
        fixed=dict(map(_value, bindings.fixed)),
        custom_ops=bindings.custom_ops,
    )


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, equals, sizes = text.rpartition("=")
    try:
        if not equals:
            raise ValueError
        return name, tuple(int(size) for size in sizes.split(","))
    except ValueError:
        raise ModelError(f"--shape {text!r} must look like NAME=1,3,224,224") from None


def _value(text: str) -> tuple[str, np.ndarray]:
    """A name and a number, a truth value, or several separated by commas."""
    import numpy as np

    name, equals, numbers = text.rpartition("=")
    try:
        if not equals:
            raise ValueError
        values = [_number(number.strip().lower()) for number in numbers.split(",")]
    except ValueError:
        raise ModelError(f"--fix {text!r} must look like NAME=16000, NAME=true or NAME=0.5,0.5") from None
    return name, np.array(values[0] if len(values) == 1 else values)


def _number(text: str) -> float | bool:
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        return float(text)
