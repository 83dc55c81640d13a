"""Whether a profile was taken here: on this machine, with these engines."""

from __future__ import annotations

from pathlib import Path

from hetsim.core.errors import HetsimError, ProfileError
from hetsim.core.platform import Platform
from hetsim.costs.profile import Profile
from hetsim.costs.profile_file import load_profile, origin_differences
from hetsim.models.model import Model
from hetsim.runtime.backends import make_backend
from hetsim.runtime.machine.fingerprint import machine_fingerprint
from hetsim.runtime.measure.profiler import engine_description


def profile_for(model: Model, platform: Platform, path: Path, *, force: bool) -> tuple[Profile, tuple[str, ...]]:
    """The profile in a file, and a warning for each thing about it that is not as it is here.

    Args:
        model: The model that it must have been taken of.
        platform: Names the engines that it should have been taken with; hypothetical devices have none.
        path: The file.
        force: Whether to use a profile that was taken elsewhere, with warnings, instead of refusing it.

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
    for device in platform.measured_part().devices:
        try:
            engines[device.name] = engine_description(make_backend(device).describe(), device)
        except HetsimError as error:
            engines[device.name] = f"none that can be used ({error})"
    found = origin_differences(header, machine=machine_fingerprint(), engines=engines)
    differences = [f"{what} {before!r}, here it is {here!r}" for what, before, here in found]
    if differences and not force:
        raise ProfileError(
            f"profile {path} was taken elsewhere: {'; '.join(differences)}; measure anew with: hetsim profile, or use "
            "it all the same with --force"
        )
    return profile, tuple(f"profile {path} was taken elsewhere: {description}" for description in differences)
