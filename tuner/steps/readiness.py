"""Checks before measuring: is the machine fit, does an earlier profile still hold, was a profile taken here?"""

from __future__ import annotations

from pathlib import Path

from hetsim.core.errors import HetsimError, ProfileError
from hetsim.core.platform import Platform
from hetsim.costs.profile import Profile
from hetsim.costs.profile_file import load_profile, origin_differences
from hetsim.models.model import Model
from hetsim.runtime import Runtime
from hetsim.runtime.backends import make_backend
from hetsim.runtime.machine.fingerprint import machine_fingerprint
from hetsim.runtime.machine.self_check import self_check
from hetsim.runtime.measure.profiler import Effort, engine_description
from hetsim.runtime.measure.recheck import recheck
from hetsim.tuner.progress import Stages


def check_machine(platform: Platform, stages: Stages) -> tuple[str, ...]:
    """Warnings about what would spoil measurements on this machine now, one line each.

    None of the devices may be in use.
    """
    return _warned(self_check(platform), stages)


def check_profile(
    runtime: Runtime, model: Model, profile: Profile, *, effort: Effort, stages: Stages
) -> tuple[str, ...]:
    """Warnings about devices that contradict their earlier profile, one line each; none if the profile is empty.

    Raises:
        DeviceError: If a device failed.
    """
    if not profile.num_segments:
        return ()
    with stages.stage("compare with the profile") as report:
        found = recheck(runtime, model, profile, effort=effort, progress=report)
    return _warned(tuple(map(str, found)), stages)


def profile_for(model: Model, platform: Platform, path: Path, *, force: bool) -> tuple[Profile, tuple[str, ...]]:
    """The profile in a file, and a warning for each difference between where it was taken and this machine.

    Args:
        model: The model that it must have been taken of.
        platform: Names the engines that it should have been taken with; hypothetical devices have none.
        path: The file.
        force: Whether to accept a profile that was taken elsewhere, with warnings, instead of refusing it.

    Raises:
        ProfileError: If the file is missing or malformed, was taken of another model, or, unless ``force`` is set, was
            taken on another machine or with other engines.
    """
    profile = load_profile(path)
    header = profile.header
    if model.hash != header.model_hash:
        raise ProfileError(
            f"profile {path} was taken of another model (hash {header.model_hash[:12]}); {model.graph.name!r} "
            f"has hash {model.hash[:12]}; measure it with: hetsim profile"
        )
    engines = {}
    for device in (*platform.measured_part().devices, *platform.paced_devices):
        try:
            engines[device.name] = engine_description(make_backend(device).describe(), device)
        except HetsimError as error:
            engines[device.name] = f"none that can be used ({error})"
    found = origin_differences(header, machine=machine_fingerprint(), engines=engines)
    differences = [f"{what} {before!r}, here it is {here!r}" for what, before, here in found]
    if differences and not force:
        raise ProfileError(
            f"profile {path} was taken elsewhere: {'; '.join(differences)}; measure again with: hetsim profile, or "
            "accept it with --force"
        )
    return profile, tuple(f"profile {path} was taken elsewhere: {description}" for description in differences)


def paced_engines(platform: Platform) -> dict[str, str]:
    """By paced device, its engine as profiles name it.

    Raises:
        PlatformError: If an engine is not installed, or lacks what the device asks for.
    """
    return {
        device.name: engine_description(make_backend(device).describe(), device) for device in platform.paced_devices
    }


def say_emulated(platform: Platform, stages: Stages) -> tuple[str, ...]:
    """A warning for each device whose times will be emulated because nothing can be measured on it."""
    found = []
    for device in platform.hypothetical_devices:
        assert device.source is not None
        computing = f"{device.backend} ({device.target})" if device.is_paced else "the reference engine"
        found.append(
            f"{device.name} (emulated): nothing is measured on it; {computing} computes its outputs, at emulated "
            f"{device.source.description}"
        )
    return _warned(tuple(found), stages)


def _warned(warnings: tuple[str, ...], stages: Stages) -> tuple[str, ...]:
    for description in warnings:
        stages.say(f"WARNING: {description}")
    return warnings
