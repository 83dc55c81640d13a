"""Profiles as JSON-lines files.

Every record is one line that is appended whole, so a file survives a crash at any point: reading drops a last line that
was cut short.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from hetsim.core.errors import ProfileError
from hetsim.costs.profile import FORMAT, Header, Measured, Profile, Record
from hetsim.io.files import read_bounded
from hetsim.io.json_lines import LinesFile, LinesFileOwner

_MAX_BYTES = 1 << 30


class ProfileFile(LinesFileOwner):
    """A profile together with the file that it grows in; a context manager that holds the file's lock.

    Every :meth:`add` is on disk, whole, when it returns. Opening an existing file resumes it.

    Args:
        path: The file; it is created with its folder if it is not there.
        header: What is measured. The header of an existing file must agree with it.

    Raises:
        ProfileError: If the file cannot be opened, is malformed, has another header, or is in use by another process.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._file = LinesFile(path, what=f"profile {path}", error=ProfileError)
        try:
            if self._file.whole:
                self.profile = parse_profile(self._file.whole, source=str(path))
                check_header(self.profile.header, header, source=str(path))
            self._file.drop_rest()
            if not self._file.whole:
                self.profile = Profile(header=header)
                self._append(header)
        except BaseException:
            self._file.close()
            raise

    def add(self, record: Measured) -> None:
        """Append one record to the file, then to the profile."""
        self._append(record)
        self.profile.add(record)

    def _append(self, record: Record) -> None:
        self._file.append(msgspec.json.encode(record) + b"\n")


def parse_profile(content: bytes, *, source: str) -> Profile:
    """The profile in a JSON-lines text; ``source`` is named in errors. A last line without its end is dropped.

    Raises:
        ProfileError: If the header is missing, or a whole line is malformed.
    """
    decoder = msgspec.json.Decoder(Record)
    profile: Profile | None = None
    lines = content.split(b"\n")[:-1]
    for number, line in enumerate(lines, 1):
        try:
            record = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProfileError(
                f"profile {source}, line {number} is malformed: {error}; measure anew, or remove the line"
            ) from None
        if isinstance(record, Header):
            if profile is not None:
                raise ProfileError(f"profile {source} has a second header in line {number}; split the file there")
            if record.format != FORMAT:
                raise ProfileError(_other_format(source, record.format))
            profile = Profile(header=record)
        elif profile is None:
            raise ProfileError(
                f"profile {source} does not begin with a header; measure anew with: hetsim profile MODEL"
            )
        else:
            profile.add(record)
    if profile is None:
        raise ProfileError(f"profile {source} is empty; measure anew with: hetsim profile MODEL")
    return profile


def _other_format(source: str, found: int) -> str:
    return (
        f"profile {source} has format {found}, this version reads format {FORMAT}; "
        "measure anew into another file with: hetsim profile MODEL --out FILE"
    )


def load_profile(path: Path | str) -> Profile:
    """Read a profile.

    Raises:
        ProfileError: If the file is missing or malformed.
    """
    try:
        content = read_bounded(Path(path), max_bytes=_MAX_BYTES)
    except OSError as error:
        raise ProfileError(
            f"cannot read profile {path}: {error.strerror}; make one with: hetsim profile MODEL --out {path}"
        ) from None
    return parse_profile(content, source=str(path))


def check_header(found: Header, wanted: Header, *, source: str) -> None:
    """Refuse a profile of another model, machine or engine.

    Raises:
        ProfileError: With both sides of the first difference; dates and names do not count.
    """
    differences = origin_differences(found, machine=wanted.machine, engines=wanted.engines)
    if found.model_hash != wanted.model_hash:
        differences = (("model hash", found.model_hash, wanted.model_hash), *differences)
    if differences:
        what, have, need = differences[0]
        raise ProfileError(
            f"profile {source} was taken with another {what}: it has {have!r}, this run needs {need!r}; "
            "measure anew into another file"
        )


def origin_differences(found: Header, *, machine: str, engines: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    """The differences between where a profile was measured and here: what differs, its value there, its value here.

    Args:
        found: The profile's header.
        machine: The fingerprint of this machine.
        engines: By device, the engine here, its version and its settings; the profile's other devices do not count.
    """
    pairs = [
        ("machine", found.machine, machine),
        *((f"engine of {name}", found.engines.get(name, "none"), engine) for name, engine in engines.items()),
    ]
    return tuple(pair for pair in pairs if pair[1] != pair[2])
