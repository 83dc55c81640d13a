"""Reading vendors' profiles of any format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hetsim.core.errors import ProfileError
from hetsim.io.vendor_profiles import executorch, litert, onnxruntime, openvino, qnn_optrace, qnn_qhas, vela
from hetsim.io.vendor_profiles.records import Call, VendorProfile
from hetsim.io.vendor_profiles.text import read_text, wrong


@dataclass(frozen=True, slots=True)
class Format:
    """A format.

    Attributes:
        looks_like: Whether a text begins as its files do.
        parse: The profile in a text; the second argument names the file for errors.
        begins: How its files begin, for people.
        in_cycles: Whether its times are cycles of a clock that the file does not state.
    """

    looks_like: Callable[[str], bool]
    parse: Callable[[str, str], VendorProfile]
    begins: str
    in_cycles: bool = False


FORMATS: Mapping[str, Format] = {
    "qnn-optrace": Format(qnn_optrace.looks_like, qnn_optrace.parse, "Msg Timestamp,Message,..."),
    "qnn-qhas": Format(qnn_qhas.looks_like, qnn_qhas.parse, 'JSON with "artifact_type": "QHAS"'),
    "onnxruntime": Format(onnxruntime.looks_like, onnxruntime.parse, 'a JSON list of events with "cat"'),
    "openvino": Format(openvino.looks_like, openvino.parse, 'layerName;execStatus;... or a JSON list with "node_name"'),
    "vela": Format(vela.looks_like, vela.parse, "TFLite_operator,... or Original Operator,...", in_cycles=True),
    "litert": Format(litert.looks_like, litert.parse, "Profiling Info for ..."),
    "executorch": Format(executorch.looks_like, executorch.parse, "event_block_name, tab-separated"),
}
"""By name; the order in which formats are guessed."""


def read_vendor_profile(
    files: Sequence[str | Path], *, format: str | None = None, clock_hz: float | None = None
) -> VendorProfile:
    """The profile in one file, or in several that describe the same network on the same device.

    The first file gives the times, and with it all others of its format; those of another format give memory traffic.

    Args:
        files: The files.
        format: One of :data:`FORMATS` for all of them; None: guessed from the content of each.
        clock_hz: The clock of the device, for a format whose times are cycles.

    Raises:
        ProfileError: If a file cannot be read, is of another format or version, cut short, or does not fit the others;
            the message names the line and what was expected.
    """
    if not files:
        raise ProfileError("name at least one file of a profile")
    if format is not None and format not in FORMATS:
        raise ProfileError(f"there is no format {format!r} of profiles; there are {', '.join(FORMATS)}")
    if clock_hz is not None and not 0 < clock_hz < 1e15:
        raise ProfileError(f"the clock must be above 0 Hz, got {clock_hz}")
    found = [_read(Path(file), format, clock_hz) for file in files]
    return _combined(found)


def _read(path: Path, format: str | None, clock_hz: float | None) -> VendorProfile:
    text = read_text(path)
    name = format or next((name for name, known in FORMATS.items() if known.looks_like(text)), None)
    if name is None:
        first = text.split("\n", 1)[0][:60]
        begins = "; ".join(f"{name}: {known.begins}" for name, known in FORMATS.items())
        raise wrong(str(path), 1, f"expected the beginning of a known format ({begins}), found {first!r}; say --format")
    profile = FORMATS[name].parse(text, str(path))
    if not FORMATS[name].in_cycles:
        if clock_hz is not None:
            raise ProfileError(f"{path} states times, so it takes no clock; leave it out")
        return profile
    if clock_hz is None:
        raise ProfileError(f"{path} states cycles and no clock; give the device's clock with --clock-hz, such as 5e8")
    return replace(profile, calls=tuple(_timed(call, clock_hz) for call in profile.calls))


def _timed(call: Call, clock_hz: float) -> Call:
    return replace(call, ops=tuple(replace(op, seconds=op.seconds / clock_hz) for op in call.ops))


def _combined(profiles: Sequence[VendorProfile]) -> VendorProfile:
    first = profiles[0]
    calls, traffic = list(first.calls), dict(first.traffic_bytes)
    for other in profiles[1:]:
        if other.format == first.format:
            calls += other.calls
        elif not other.traffic_bytes:
            raise ProfileError(
                f"{other.files[0]} ({other.format}) neither has the format of {first.files[0]} ({first.format}) nor "
                "says what memory traffic operators have; give files of one format, and a QHAS file beside them"
            )
        traffic |= other.traffic_bytes
    files = tuple(file for profile in profiles for file in profile.files)
    return replace(first, files=files, calls=tuple(calls), traffic_bytes=traffic)
