"""Calibrated platforms, running devices and profiles for experiments; what a folder holds is not measured again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from experiments.shared.records import Settings
from hetsim.core.errors import PlatformError
from hetsim.core.platform import Memory, Platform
from hetsim.costs.profile import Profile
from hetsim.costs.profile_file import load_profile
from hetsim.io.files import write_atomically
from hetsim.io.platform_file import format_platform, load_platform
from hetsim.models.model import Model
from hetsim.runtime import Runtime
from hetsim.runtime.measure.calibrate import calibrate
from hetsim.runtime.measure.configurations import has_all_configurations
from hetsim.runtime.measure.profiler import Effort
from hetsim.tuner.context import TuningContext, open_context
from hetsim.tuner.options import Options
from hetsim.tuner.progress import Stages
from hetsim.tuner.steps.expected_outputs import find_expected_outputs
from hetsim.tuner.steps.profiling import profile_model
from hetsim.tuner.steps.readiness import check_machine
from hetsim.tuner.target import Target


def calibrated(platform: Platform, out: Path, *, stages: Stages) -> Platform:
    """The platform with its own calibration, with the one in ``out/platform.toml``, or with a new one, written there.

    Of a platform with hypothetical devices the others are calibrated; figures of its links and memory stay where it has
    some.

    Raises:
        PlatformError: If the file was calibrated for another platform, or this machine lacks an engine or a core.
        DeviceError: If a device failed.
    """
    if platform.calibration is not None or all(device.source is not None for device in platform.devices):
        return platform
    if platform.hypothetical_devices:
        return _beside_hypothetical(calibrated(platform.measured_part(), out, stages=stages), platform)
    path = out / "platform.toml"
    if path.exists():
        calibrated_before = load_platform(path)
        if calibrated_before.uncalibrated() != platform.uncalibrated():
            raise PlatformError(
                f"{path} was calibrated for another platform ({calibrated_before.name!r}) than {platform.name!r} as "
                "it is now; choose another folder"
            )
        return calibrated_before
    check_machine(platform, stages)
    with Runtime(platform) as runtime, stages.stage("calibrate") as report:
        found = calibrate(runtime, progress=report)
    write_atomically(path, format_platform(found).encode())
    return found


def _beside_hypothetical(measured: Platform, platform: Platform) -> Platform:
    """A platform whose measured devices are as calibrated."""
    own = platform.with_devices(*measured.devices)
    alone = {**measured.memory.alone_bytes_per_s, **platform.memory.alone_bytes_per_s}
    shared = min(measured.memory.shared_bytes_per_s, platform.memory.shared_bytes_per_s)
    return replace(
        own,
        links={**measured.links, **platform.links},
        memory=Memory(alone_bytes_per_s=alone, shared_bytes_per_s=shared),
        host=measured.host,
        calibration=measured.calibration,
    )


def measured_profile(
    model: Model, platform: Platform, folder: Path, *, effort: Effort, stages: Stages
) -> Profile | None:
    """The profile of the platform's measured devices as :func:`profile_of` gives it; None if it has none.

    Raises:
        HetsimError: As :func:`profile_of` does.
    """
    if all(device.source is not None for device in platform.devices):
        return None
    return profile_of(model, platform.measured_part(), folder, effort=effort, stages=stages)


@contextmanager
def profiled(
    model: Model, platform: Platform, folder: Path, *, options: Options, stages: Stages
) -> Iterator[TuningContext]:
    """A context with the platform's running devices and the model's complete profile in ``folder/profile.jsonl``.

    Raises:
        HetsimError: If the profile belongs to another model, machine or engine, or a device failed.
    """
    check_machine(platform, stages)
    target = Target(model=model, platform=platform)
    expected = find_expected_outputs(model, seed=options.seed)
    path = folder / target.serial_runs_file
    with open_context(target, path, expected=expected, options=options, stages=stages) as context:
        profile_model(context, f"profile {model.name}")
        yield context


def profile_of(model: Model, platform: Platform, folder: Path, *, effort: Effort, stages: Stages) -> Profile:
    """The profile in ``folder/profile.jsonl``; if it is incomplete, the devices are started and it is completed.

    A complete profile may come from another machine; only the model has to be the same.

    Raises:
        HetsimError: If an incomplete profile belongs to another model, machine or engine, or a device failed.
    """
    path = folder / "profile.jsonl"
    if path.exists():
        found = load_profile(path)
        if found.header.model_hash == model.hash and has_all_configurations(found, model.graph, platform.device_names):
            return found
    with profiled(model, platform, folder, options=Options(effort=effort), stages=stages) as context:
        return context.file.profile


def tuning_settings(platform: Platform, options: Options) -> Settings:
    """The settings that results of tuning depend on; results under other settings are refused."""
    return {
        "platform": platform.name,
        "seed": options.seed,
        "rounds": options.rounds,
        "max_evaluations": options.max_evaluations,
        "repeats": options.effort.repeats,
        "runs": options.pace.num_runs,
    }
