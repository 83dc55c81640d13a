"""``hetsim.import_profile``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from hetsim.core.errors import ProfileError
from hetsim.core.platform import Kind
from hetsim.core.sources import Precision
from hetsim.tuner.api.sources import to_model, to_platform

if TYPE_CHECKING:
    from hetsim.costs.hypothetical.imports.imported import ImportedProfile
    from hetsim.tuner.api.sources import ModelLike, PlatformLike


def import_profile(
    files: str | Path | Sequence[str | Path],
    model: ModelLike,
    out: str | Path,
    *,
    format: str | None = None,
    device: str = "npu",
    platform: PlatformLike | None = None,
    call: str = "warm",
    match: str = "names",
    kind: str = "npu",
    precision: str = "f32",
    clock_hz: float | None = None,
    launch_s: float | None = None,
) -> ImportedProfile:
    """Make a hypothetical device of a profile that a vendor's tool wrote, and return what was imported.

    A platform file and a file of times are written, both or neither.

    Args:
        files: A file, or several: of one format, or a QHAS file beside another for its memory traffic.
        model: The model that was profiled, the name of one of the zoo, or the path of an .onnx file.
        out: The platform file; the times are written beside it.
        format: A name of :data:`hetsim.io.vendor_profiles.FORMAT_NAMES`; None: guessed from the content.
        device: Name of the device.
        platform: A platform that the device joins, or replaces one of its name in; None for the device alone.
        call: ``"warm"`` for medians of all calls but the first, ``"cold"`` for the first.
        match: ``"names"``; ``"order"`` matches by type and order what no name tells.
        kind: ``"cpu"``, ``"npu"`` or ``"gpu"``.
        precision: ``"f32"``, ``"bf16"``, ``"f16"`` or ``"i8"``, the size of its numbers.
        clock_hz: The device's clock, for files that state cycles.
        launch_s: A launch cost instead of the profile's.

    Raises:
        HetsimError: If anything about the arguments or files is wrong; the message names the line.
    """
    from hetsim.costs.hypothetical.imports import device_file, imported
    from hetsim.costs.hypothetical.imports.matching import By
    from hetsim.io.vendor_profiles.reading import read_vendor_profile

    which = _one_of(call, imported.Which, "call")
    by = _one_of(match, By, "match")
    unit, arithmetic = _one_of(kind, Kind, "kind"), _one_of(precision, Precision, "precision")
    found = read_vendor_profile([files] if isinstance(files, str | Path) else files, format=format, clock_hz=clock_hz)
    made = imported.import_profile(found, to_model(model).graph, which=which, by=by, launch_s=launch_s)
    described = device_file.imported_platform(
        made,
        Path(out),
        name=device,
        kind=unit,
        precision=arithmetic,
        beside=None if platform is None else to_platform(platform),
    )
    device_file.save_device(made, described, Path(out), device=device)
    return made


def _one_of(value: str, allowed: Any, what: str) -> Any:
    """The value, if it is one of a literal type."""
    if value not in get_args(allowed):
        raise ProfileError(f"{what} is one of {', '.join(get_args(allowed))}, not {value!r}")
    return value
