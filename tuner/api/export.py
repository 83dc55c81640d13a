"""``hetsim.export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from hetsim.core.errors import PlanError
from hetsim.tuner.api.sources import to_model, to_plan, to_platform, to_profile
from hetsim.tuner.progress import Silent, Stages

if TYPE_CHECKING:
    from hetsim.core.plan import Plan
    from hetsim.core.platform import Platform
    from hetsim.costs.profile import Profile
    from hetsim.models.model import Model
    from hetsim.runtime.bundle.manifest import Manifest
    from hetsim.runtime.bundle.write import Example, ExpectedTimes
    from hetsim.runtime.placement.files import Report
    from hetsim.tuner.api.sources import ModelLike, PlanLike, PlatformLike, ProfileLike

TARGETS = ("bundle", "onnxruntime", "openvino")
"""What a plan can be exported to."""


@overload
def export(
    model: ModelLike,
    plan: PlanLike,
    out: str | Path,
    *,
    to: Literal["bundle"] = "bundle",
    platform: PlatformLike | None = None,
    profile: ProfileLike | None = None,
    seed: int = 0,
    stages: Stages | None = None,
) -> Manifest: ...


@overload
def export(
    model: ModelLike,
    plan: PlanLike,
    out: str | Path,
    *,
    to: Literal["onnxruntime", "openvino"],
    platform: PlatformLike | None = None,
    profile: ProfileLike | None = None,
    seed: int = 0,
    stages: Stages | None = None,
) -> Report: ...


@overload
def export(
    model: ModelLike,
    plan: PlanLike,
    out: str | Path,
    *,
    to: str,
    platform: PlatformLike | None = None,
    profile: ProfileLike | None = None,
    seed: int = 0,
    stages: Stages | None = None,
) -> Manifest | Report: ...


def export(
    model: ModelLike,
    plan: PlanLike,
    out: str | Path,
    *,
    to: str = "bundle",
    platform: PlatformLike | None = None,
    profile: ProfileLike | None = None,
    seed: int = 0,
    stages: Stages | None = None,
) -> Manifest | Report:
    """Write a plan as files that run without hetsim, completely or not at all.

    Args:
        model: The model, the name of one of the zoo, or the path of an .onnx file.
        plan: The plan, or its file.
        out: The folder; it must not exist, or be empty.
        to: One of :data:`TARGETS`: a bundle with a runner of its own, or a placement for an engine that divides the
            model among its devices by itself.
        platform: The devices, a built-in platform's name or a TOML file; None stands for the default.
        profile: Measurements, or their file, which give the expected times; None stands for none.
        seed: Seed of the inputs of the example.
        stages: Where progress is shown; None shows nothing.

    Returns:
        The manifest of the bundle, or what the engine made of the placement.

    Raises:
        HetsimError: If anything about the arguments is wrong, or nothing drives a device of the plan.
    """
    from hetsim.runtime.bundle.write import write_bundle
    from hetsim.runtime.placement.export import write_placement

    if to not in TARGETS:
        raise PlanError(f"plans are exported to {', '.join(TARGETS)}, not to {to!r}")
    base, found, devices = to_model(model), to_plan(plan), to_platform(platform)
    measured = to_profile(profile, base, devices)
    shown = stages or Silent()
    with shown.stage("compute the example"):  # how far rounding leads takes ten inferences
        example = _example(base, devices, seed)
    if to != "bundle":
        with shown.stage(f"hand the plan to {to}"):
            return write_placement(base, found, devices, Path(out), engine=to, example=example, profile=measured)
    with shown.stage("write the bundle"):
        expected = _expected_times(base, devices, found, measured)
        return write_bundle(base, found, devices, Path(out), example=example, expected=expected)


def _example(model: Model, platform: Platform, seed: int) -> Example:
    """Random inputs, what the reference engine makes of them, and how far from that rounding may lead."""
    from hetsim.runtime.bundle.write import Example
    from hetsim.tuner.steps.expected_outputs import find_expected_outputs, tolerance

    expected = find_expected_outputs(model, seed=seed, twice=False)
    return Example(
        inputs=expected.inputs,
        outputs=expected.outputs,
        tolerance=tolerance(platform, sensitivity=expected.sensitivity),
    )


def _expected_times(model: Model, platform: Platform, plan: Plan, profile: Profile | None) -> ExpectedTimes:
    """The plan as simulated, and its segments as measured: with intervals where the plan has serial runs of its own."""
    from hetsim.core.statistics import summarize
    from hetsim.costs.cost_model import plan_context
    from hetsim.costs.problems import plan_problem
    from hetsim.runtime.bundle.manifest import Seconds
    from hetsim.runtime.bundle.write import ExpectedTimes
    from hetsim.sim.simulate import makespan_s

    if profile is None:
        return ExpectedTimes()
    problem = plan_problem(model, platform, profile, plan)
    times_s = problem.segment_times_s(plan.segments)
    context = plan_context(profile, plan)
    segments = {segment: Seconds(seconds=times_s[segment]) for segment in plan.segments}
    for segment in plan.segments if context is not None else ():
        one = summarize(profile.samples_s(segment.device, segment.ops, context))
        segments[segment] = Seconds(seconds=times_s[segment], low_s=one.low_s, high_s=one.high_s)
    return ExpectedTimes(latency=Seconds(seconds=makespan_s(problem, plan)), segments=segments)
