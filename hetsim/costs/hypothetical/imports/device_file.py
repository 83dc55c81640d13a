"""An imported profile as a hypothetical device: a platform file, and a file of times beside it."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

from hetsim.core.errors import PlatformError, ProfileError
from hetsim.core.platform import Device, Kind, Platform
from hetsim.core.sources import Precision, Times
from hetsim.costs.hypothetical.imports.imported import ImportedProfile
from hetsim.io.files import write_atomically
from hetsim.io.platform_file import format_platform


def times_path(out: Path) -> Path:
    """The file of times beside a platform file."""
    return out.with_name(f"{out.stem}.times.csv")


def imported_platform(
    imported: ImportedProfile,
    out: Path,
    *,
    name: str,
    kind: Kind,
    precision: Precision,
    beside: Platform | None,
) -> Platform:
    """A platform with the imported device, alone or beside the devices of another platform.

    Args:
        imported: The profile.
        out: The platform file that will hold it, whose name becomes the platform's.
        name: Name of the device; a device of that name is replaced, and its links stay.
        kind: Kind of the device.
        precision: Its arithmetic.
        beside: A platform whose other devices stay; None for none.
    """
    device = Device(
        name=name,
        kind=kind,
        backend="none",
        nature="hypothetical",
        precision=precision,
        launch_s=imported.launch_s,
        times=Times(file=times_path(out).name, device=name, origin=imported.origin),
    )
    description = f"Hypothetical: {name} by an imported profile of {imported.model}"
    if beside is None:
        return Platform(name=out.stem, devices=(device,), description=description)
    if name in beside.device_names:
        made = beside.with_devices(device)
    else:
        made = replace(beside, devices=(*beside.devices, device))
    return replace(made, name=out.stem, description=f"{description}, beside {beside.name}")


def times_csv(imported: ImportedProfile, device: str) -> str:
    """The file of times: a row for each operator as a segment of its own, which a launch is part of.

    A fused operator costs and moves nothing beside the one that it is fused into. Alone it costs a launch, which is a
    lower bound.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("op", "device", "seconds", "traffic_bytes", "fused_into"))
    for op, seconds in imported.seconds.items():
        rows.writerow((op, device, repr(imported.launch_s + seconds), imported.traffic_bytes.get(op, ""), ""))
    for op, host in imported.matching.fused.items():
        traffic = 0 if host in imported.traffic_bytes else ""
        rows.writerow((op, device, repr(imported.launch_s), traffic, host))
    return text.getvalue()


def save_device(imported: ImportedProfile, platform: Platform, out: Path, *, device: str) -> None:
    """Write the platform file and the file of times beside it, both or neither.

    Raises:
        PlatformError: If the folder cannot be written.
        ProfileError: If an operator's name has a semicolon, which separates names in files of times.
    """
    odd = [op for op in (*imported.seconds, *imported.matching.fused) if ";" in op or op != op.strip()]
    if odd:
        raise ProfileError(f"operator {odd[0]!r} has a semicolon or a blank at an end, so no file of times can name it")
    comment = f"# Written by hetsim import-profile. {device} is hypothetical: {imported.origin}.\n"
    times = times_path(out)
    try:
        write_atomically(times, times_csv(imported, device).encode())
        try:
            write_atomically(out, ("".join(_printable(comment)) + "\n" + format_platform(platform)).encode())
        except OSError:
            times.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise PlatformError(f"cannot write {out}: {error.strerror}") from None


def _printable(text: str) -> list[str]:
    return [c if c.isprintable() or c == "\n" else "?" for c in text]
