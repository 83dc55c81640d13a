"""A sweep's results in a file that grows as they arrive, so that a killed sweep can be resumed.

The file has JSON lines: a header that identifies the sweep, then a line for each point with its result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from hetsim.core.errors import SweepError
from hetsim.io.json_lines import LinesFile, LinesFileOwner

FORMAT = 1
_SYNC_S = 1.0
"""Results of the last second may be lost if power fails; a killed process loses no added result."""

_encoder = msgspec.json.Encoder(order="deterministic")


class Header(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The header of a file of results.

    Attributes:
        sweep: The name of the function that computes the points.
        settings: All that results depend on beside the point.
        format: The format of the file.
    """

    sweep: str
    settings: dict[str, Any]
    format: int = FORMAT


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    point: msgspec.Raw
    result: msgspec.Raw


def key_of(value: object) -> bytes:
    """A point in JSON, as in the file. Two points have the same key if and only if they are equal.

    Raises:
        TypeError: If msgspec cannot encode it.
    """
    return _encoder.encode(value)


class SweepFile(LinesFileOwner):
    """The file of results, open and locked; a context manager that closes it.

    Args:
        path: The file; it is created with its folder if it does not exist, and resumed if it does.
        header: The header that the file has or gets.

    Attributes:
        results: By point, its result, both in JSON as in the file.

    Raises:
        SweepError: If the file cannot be opened, is malformed, holds another sweep, or is in use by another process.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.results: dict[bytes, bytes] = {}
        self._file = LinesFile(path, what=f"results {path}", error=SweepError, sync_s=_SYNC_S)
        try:
            if self._file.whole:
                self._parse(self._file.whole, header, path)
            elif not key_of(header).startswith(self._file.rest):
                raise SweepError(f"{path} does not begin as a sweep's results do; choose another file")
            self._file.drop_rest()
            if not self._file.whole:
                self._file.append(key_of(header) + b"\n")
        except BaseException:
            self._file.close()
            raise

    def add(self, results: Iterable[tuple[bytes, bytes]]) -> None:
        """Append pairs of a point and its result, both in JSON; they are in the file when this returns."""
        pairs = dict(results)
        self._file.append(b"".join(b'{"point":%b,"result":%b}\n' % pair for pair in pairs.items()))
        self.results.update(pairs)

    def _parse(self, content: bytes, header: Header, path: Path) -> None:
        first, *lines = content.split(b"\n")[:-1]
        try:
            found = msgspec.json.decode(first, type=Header)
        except msgspec.DecodeError as error:
            raise SweepError(f"{path} does not begin as a sweep's results do: {error}; choose another file") from None
        _check(found, header, path)
        decoder = msgspec.json.Decoder(_Line)
        for number, line in enumerate(lines, 2):
            try:
                read = decoder.decode(line)
            except msgspec.DecodeError as error:
                raise SweepError(f"{path}, line {number} is malformed: {error}; remove the line") from None
            self.results[bytes(read.point)] = bytes(read.result)


def _check(found: Header, wanted: Header, path: Path) -> None:
    """Refuse results of another sweep, naming the first difference."""
    pairs = [("format", found.format, wanted.format), ("sweep", found.sweep, wanted.sweep)]
    settings: Mapping[str, Any] = msgspec.json.decode(key_of(wanted.settings))  # as the file would give them back
    names = dict.fromkeys((*found.settings, *settings))
    pairs += [(name, found.settings.get(name), settings.get(name)) for name in names]
    for name, has, asked in pairs:
        if has != asked:
            raise SweepError(
                f"{path} holds results for {name} {has!r}, this run asks for {asked!r}; choose another file"
            )
