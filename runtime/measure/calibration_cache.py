"""The last calibration of each platform, in the user's cache folder.

A calibration belongs to a machine, to its engines with their versions and settings, and to a platform as it is stated
without measured numbers. Whether it still holds is measured (:func:`~hetsim.runtime.measure.calibrate.contradiction`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from hetsim.core.errors import PlatformError
from hetsim.core.platform import Platform
from hetsim.io.cache import cache_folder
from hetsim.io.files import read_bounded, write_atomically
from hetsim.io.platform_file import format_platform, parse_platform
from hetsim.runtime.machine.fingerprint import machine_fingerprint
from hetsim.runtime.measure.calibrate import calibrate, contradiction
from hetsim.runtime.measure.profiler import Progress, engine_description
from hetsim.runtime.runtime import Runtime


class _Origin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a calibration belongs to."""

    machine: str
    engines: dict[str, str]
    stated: str


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A calibrated platform, as TOML, and what it belongs to."""

    origin: _Origin
    calibrated: str


def calibrated(
    runtime: Runtime,
    *,
    recalibrate: bool = False,
    folder: Path | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Platform:
    """The runtime's platform with its numbers: as they are cached, if they hold, else measured, and cached; blocks.

    Args:
        runtime: The devices.
        recalibrate: Whether to measure although a calibration is cached.
        folder: The folder of calibrations; None stands for the one in the user's cache. If it cannot be written,
            nothing is cached.
        progress: Told how much of the work is done, and what comes next.
        say: Told in one line whether a cached calibration is used, and if not, why.

    Raises:
        DeviceError: If a device failed.
    """
    platform, origin = runtime.platform, _origin(runtime)
    folder = cache_folder() / "calibrations" if folder is None else folder
    path = folder / f"{hashlib.sha256(platform.name.encode()).hexdigest()[:24]}.json"
    read = None if recalibrate else _read(path)
    if read is not None:
        before, known = read
        date = known.calibration.date if known.calibration else "an unknown date"
        why_not = _difference(before, origin) or contradiction(runtime, known)
        if not why_not:
            say(f"the calibration of {date} still holds (--recalibrate measures anew)")
            return known
        say(f"the calibration of {date} is not used: {why_not}")
    found = calibrate(runtime, progress=progress)
    with suppress(OSError):
        write_atomically(path, msgspec.json.encode(_Entry(origin=origin, calibrated=format_platform(found))))
    return found


def _origin(runtime: Runtime) -> _Origin:
    return _Origin(
        machine=machine_fingerprint(),
        engines={
            device.name: engine_description(runtime.engines[device.name], device) for device in runtime.platform.devices
        },
        stated=format_platform(runtime.platform.uncalibrated()),
    )


def _read(path: Path) -> tuple[_Origin, Platform] | None:
    """The calibrated platform in a file and what it belongs to; None if there is none that can be read."""
    with suppress(OSError, msgspec.MsgspecError, PlatformError):
        entry = msgspec.json.decode(read_bounded(path), type=_Entry)
        return entry.origin, parse_platform(entry.calibrated, source=str(path))
    return None


def _difference(before: _Origin, now: _Origin) -> str:
    """Why a calibration does not belong to what is here; empty if it does."""
    if before.machine != now.machine:
        return f"it was taken on another machine, {before.machine!r}; this is {now.machine!r}"
    for device in (*before.engines, *now.engines):
        if before.engines.get(device) != now.engines.get(device):
            was, here = before.engines.get(device, "no such device"), now.engines.get(device, "no such device")
            return f"it was taken with {device} as {was!r}; here it is {here!r}"
    return "" if before.stated == now.stated else "the platform of that name is described otherwise now"
