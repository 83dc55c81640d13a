"""What the arguments of the interface's functions stand for; whatever a task graph does not need is imported late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hetsim.core.errors import ProblemError
from hetsim.core.plan import Plan
from hetsim.core.platform import DEFAULT_PLATFORM, Platform
from hetsim.core.problem import Problem

if TYPE_CHECKING:
    from hetsim.analysis.scenario import Scenario
    from hetsim.costs.profile import Profile
    from hetsim.models.model import Model
    from hetsim.models.values.trust import Trust

    ModelLike = Model | str | Path
    """A model, the name of one of the zoo, or the path of an .onnx file."""
    PlatformLike = Platform | str | Path
    """A platform, the name of a built-in one, or the path of a TOML file."""
    ProfileLike = Profile | str | Path
    """A profile, or the path of one, which must have been taken on this machine with the platform's engines."""
    PlanLike = Plan | str | Path
    """A plan, or the path of a plan file."""
    ScenarioLike = Scenario | str | Iterable[str]
    """A scenario, or changes as ``--set`` takes them, such as ``"npu.speed=4"``."""


def to_model(model: ModelLike) -> Model:
    """The model.

    Raises:
        ModelError: If there is none of that name, or it cannot be imported.
    """
    from hetsim.models.importer import load_model
    from hetsim.models.model import Model

    return model if isinstance(model, Model) else load_model(str(model))


def to_platform(platform: PlatformLike | None) -> Platform:
    """The platform; None stands for the default one.

    Raises:
        PlatformError: If there is none of that name, or its file is malformed.
    """
    if isinstance(platform, Platform):
        return platform
    from hetsim.io.platform_file import load_platform

    return load_platform(DEFAULT_PLATFORM if platform is None else platform)


def to_plan(plan: PlanLike) -> Plan:
    """The plan.

    Raises:
        PlanError: If its file is missing or malformed.
    """
    if isinstance(plan, Plan):
        return plan
    from hetsim.io.plan_file import load_plan

    return load_plan(Path(plan))


def to_profile(profile: ProfileLike | None, model: Model, platform: Platform) -> Profile | None:
    """The profile; one in a file must have been taken of this model on this machine.

    Raises:
        ProfileError: If the file is missing or malformed, or was taken of something else or elsewhere.
    """
    if not isinstance(profile, str | Path):
        return profile
    from hetsim.tuner.steps.readiness import profile_for

    found, _ = profile_for(model, platform, Path(profile), force=False)
    return found


def to_scenario(scenario: ScenarioLike) -> Scenario:
    """The scenario.

    Raises:
        PlatformError: If a change is malformed, or two changes set the same.
    """
    from hetsim.analysis.scenario import Scenario, parse_scenario

    if isinstance(scenario, Scenario):
        return scenario
    return parse_scenario([scenario] if isinstance(scenario, str) else scenario)


def to_trust(model: Model, trust: Trust | None, inputs: Mapping[str, Any] | None = None) -> Trust:
    """What is assumed of a model's inputs and accepted of devices; what inputs show is assumed besides.

    Raises:
        ModelError: If a range is declared of what is no input of integers.
    """
    from hetsim.models.ranges.propagation import check_ranges
    from hetsim.models.values.trust import TRUSTING

    found = TRUSTING if trust is None else trust
    check_ranges(model.graph, found)
    if inputs is None:
        return found
    return found.observing({name: array for name, array in inputs.items() if name in model.graph.inputs})


def to_problem(
    source: Problem | ModelLike,
    *,
    platform: PlatformLike | None,
    profile: ProfileLike | None,
    scenario: ScenarioLike,
    plan: Plan | None = None,
) -> Problem:
    """The problem that a task graph or a model stands for, after the changes of the scenario.

    Args:
        source: A problem, or a model; the other arguments but ``scenario`` belong to a model.
        platform: The devices.
        profile: Their measurements.
        scenario: Changes.
        plan: For costs as this plan meets them; None stands for costs as any plan may meet them.

    Raises:
        HetsimError: If a problem comes with a platform or profile, a profile is missing, or anything is malformed.
    """
    if isinstance(source, Problem):
        for name, value in (("platform", platform), ("profile", profile)):
            if value is not None:
                raise ProblemError(f"{name} belongs to a model; a problem already has its devices and costs")
        return to_scenario(scenario).problem(source) if scenario else source
    from hetsim.costs.problems import make_problem, plan_problem
    from hetsim.models.split.planned import planned_model

    model, devices = to_model(source), to_platform(platform)
    measured = to_profile(profile, model, devices)
    if measured is None and any(device.source is None for device in devices.devices):
        raise ProblemError(
            f"{model.name} needs profile=..., since the devices of platform {devices.name!r} are measured; take one "
            f"with hetsim.profile({model.name!r}, platform={devices.name!r})"
        )
    if plan is None:
        problem = make_problem(model, devices, measured)
    else:
        model = planned_model(model, plan)
        problem = plan_problem(model, devices, measured, plan.in_order(model.graph))
    return to_scenario(scenario).problem(problem)
