"""The first two steps: calibrate the platform, and profile the model on its devices."""

from __future__ import annotations

from pathlib import Path

from hetsim.core.platform import Platform
from hetsim.io.files import write_atomically
from hetsim.io.platform_file import format_platform
from hetsim.runtime import Runtime
from hetsim.runtime.measure.calibrate import calibrate
from hetsim.runtime.measure.profiler import measure_configurations
from hetsim.tuner.context import TuningContext
from hetsim.tuner.progress import Stages
from hetsim.tuner.steps.exploring import explore
from hetsim.tuner.steps.readiness import check_profile


def calibrate_platform(runtime: Runtime, platform: Platform, path: Path, stages: Stages) -> Platform:
    """The platform with calibrated values, its own or newly measured ones; the file in ``path`` gets it.

    Raises:
        DeviceError: If a device failed.
        OSError: If the file cannot be written.
    """
    if platform.calibration is None:
        with stages.stage("calibrate") as report:
            platform = calibrate(runtime, progress=report)
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
