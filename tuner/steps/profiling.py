"""The first two steps: calibrate the platform, and profile the model on its devices.

A profile in fixed configurations leaves open what the search relies on: cuts at unusual places, branches beside each
other, tensors shared with another device. So plans are measured that are fast by costs drawn from what is known of
them. Where costs are uncertain, some of these plans are better than they should be, and measuring them removes just
that uncertainty (Thompson sampling: O. Chapelle, L. Li, "An empirical evaluation of Thompson sampling", NIPS 2011).
Plans follow that are fast by the costs as they are expected, from which is learned how far these err where a search
picks them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.costs.problems import fitted
from hetsim.costs.profile import Profile
from hetsim.costs.profile_file import ProfileFile
from hetsim.io.files import write_atomically
from hetsim.io.platform_file import format_platform
from hetsim.models.model import Model, random_inputs
from hetsim.runtime import Runtime
from hetsim.runtime.measure.acceptance import ask_engines
from hetsim.runtime.measure.calibration_cache import calibrated
from hetsim.runtime.measure.profiler import Effort, measure_accepted, measure_configurations
from hetsim.scheduler.effort import Effort as SearchEffort
from hetsim.scheduler.registry import solve
from hetsim.tuner.context import TuningContext
from hetsim.tuner.progress import Report, Stages
from hetsim.tuner.steps.readiness import check_profile

_CONTEXT = "explored:"
_NUM_DRAWN = 2
"""The number of explored plans that are fast by drawn costs; the others are by expected ones."""
_MAX_EVALUATIONS = 40
"""Candidates that the search for each may evaluate: what is measured need not be the best plan."""


def calibrate_platform(
    runtime: Runtime, platform: Platform, path: Path, stages: Stages, *, recalibrate: bool
) -> Platform:
    """The platform with calibrated values: its own, cached or newly measured ones; the file in ``path`` gets it.

    Args:
        runtime: The platform's measured devices.
        platform: The platform; what it states of its other devices stays.
        path: The file.
        stages: Where progress is shown.
        recalibrate: Whether to measure although there are values.

    Raises:
        DeviceError: If a device failed.
        OSError: If the file cannot be written.
    """
    if platform.calibration is None or recalibrate:
        with stages.stage("calibrate") as report:
            found = calibrated(runtime, recalibrate=recalibrate, progress=report, say=stages.say)
        platform = platform.with_calibrated(found)
    write_atomically(path, format_platform(platform).encode())
    return platform


def profile_model(context: TuningContext, title: str = "profile") -> tuple[str, ...]:
    """Measure what the profile lacks of its configurations; returns warnings if devices contradict what it holds.

    Raises:
        ProblemError: If an operator runs on no device.
        DeviceError: If a device failed.
    """
    effort, stages, file = context.options.effort, context.stages, context.file
    warnings = check_profile(context.runtime, context.model, file.profile, effort=effort, stages=stages)
    with stages.stage(title) as report:
        measure_configurations(context.runtime, context.model, file, effort=effort, progress=report)
    with stages.stage(f"{title}, where the search goes") as report:
        explore(context.runtime, context.model, context.platform, file, effort=effort, report=report)
    stages.say(f"profiled {file.profile.num_segments} segments, {file.profile.num_samples} samples")
    return warnings


def ask_paced(model: Model, platform: Platform, file: ProfileFile, stages: Stages) -> None:
    """Find out what the engines of paced devices refuse, if there are any, and say how much that is; blocks.

    Raises:
        ProblemError: If an operator runs on no device.
        DeviceError: If an engine does not start.
    """
    if not platform.paced_devices:
        return
    with stages.stage("ask the engines of emulated devices") as report:
        ask_engines(model, platform, file, progress=report)
    for device in platform.paced_devices:
        refused = sum(len(ops) == 1 for ops in file.profile.unsupported(device.name))
        alone = sum(len(ops) == 1 for ops in file.profile.refused_alone(device.name))
        by_themselves = f", and {alone} by themselves alone" if alone else ""
        stages.say(f"{device.label}: its engine refuses {refused} of {len(model.graph.ops)} operators{by_themselves}")


def explore(
    runtime: Runtime, model: Model, platform: Platform, file: ProfileFile, *, effort: Effort, report: Report
) -> None:
    """Measure as many plans where the search will go as the effort says, less those in the file; blocks.

    Args:
        runtime: The devices.
        model: The model.
        platform: The devices with their calibrated values.
        file: Its profile, which has all configurations.
        effort: How often to run each plan.
        report: Told how much of the work is done, and what comes next.

    Raises:
        DeviceError: If a device failed.
    """
    if len(platform.devices) < 2:
        return
    inputs = random_inputs(model, trust=runtime.trust)
    known = len(file.profile.contexts_named(_CONTEXT))
    for number in range(known, effort.explorations):
        report(number / effort.explorations, f"explored plan {number + 1}")
        make = partial(_explored_plan, model, platform, file.profile, number)
        name = partial(_context, number)
        measure_accepted(runtime, model, file, make, name, effort=effort, inputs=inputs)


def _context(number: int, plan: Plan) -> str:
    return f"{_CONTEXT}{number + 1}:{plan.digest}"


def _explored_plan(model: Model, platform: Platform, profile: Profile, number: int) -> Plan:
    """A plan that is fast by costs drawn with this number, or by expected ones; with splits if the number is odd."""
    costs = fitted(model, platform, profile)
    problem = (costs.sampled(number) if number < _NUM_DRAWN else costs).problem()
    return solve("splits" if number % 2 else "search", problem, SearchEffort(max_evaluations=_MAX_EVALUATIONS)).plan
