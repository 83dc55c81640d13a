"""Reading JSON that people and other programs wrote, strictly: what JSON leaves open is an error that says where.

Python's own parser is used, since it lets repeated keys be noticed, and numbers that no float can hold be named by
whoever knows what they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from hetsim.core.errors import ProblemError
from hetsim.io.files import read_bounded

_Shape = TypeVar("_Shape")


def read_json(path: Path, *, what: str) -> bytes:
    """The content of a file.

    Args:
        path: The file.
        what: What it should be, for errors.

    Raises:
        ProblemError: If it cannot be read, or is too large.
    """
    try:
        return read_bounded(path)
    except OSError as error:
        raise ProblemError(f"cannot read {what} {path}: {error.strerror}") from None


def decode_json(content: bytes, shape: type[_Shape]) -> _Shape:
    """The value in a JSON text, in that shape. ``NaN``, ``Infinity`` and ``1e999`` become floats, to be named later.

    Raises:
        ProblemError: If the text is no JSON, a key is repeated, or a field is missing, unknown or of the wrong type.
    """
    try:
        value = json.loads(content, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise ProblemError("malformed: nested too deeply") from None
    except ValueError as error:  # not JSON, not UTF-8, or an integer of thousands of digits
        raise ProblemError(f"malformed: {error}") from None
    if b"\\ud" in content.lower():  # an escape of half a character, which is fine beside its other half
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise ProblemError("malformed: a text in it is not Unicode, it has half of a character") from None
    return convert(value, shape)


def convert(value: object, shape: type[_Shape], where: str = "") -> _Shape:
    """The decoded value in that shape; errors begin with ``where`` and the field's path below it.

    Raises:
        ProblemError: If a field is missing, unknown or of the wrong type.
    """
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        says, _, path = str(error).partition(" - at `$")
        raise ProblemError(f"{(where + path.rstrip('`')).lstrip('.') or 'the file'}: {says}") from None


def _without_repeats(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ProblemError(f"key {key!r} is there twice in one object; remove one")
        found[key] = value
    return found
