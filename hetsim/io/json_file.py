"""Strict reading of JSON that people and other programs wrote; errors say where the mistake is.

Python's own parser is used, since it reports repeated keys. It accepts numbers that no float can hold, so that callers
can name the field in their errors.
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
        what: What the file should be, for errors.

    Raises:
        ProblemError: If the file cannot be read, or is too large.
    """
    try:
        return read_bounded(path)
    except OSError as error:
        raise ProblemError(f"cannot read {what} {path}: {error.strerror}") from None


def decode_json(content: bytes, shape: type[_Shape]) -> _Shape:
    """The value in a JSON text, converted to ``shape``. ``NaN``, ``Infinity`` and ``1e999`` become floats.

    Raises:
        ProblemError: If the text is not JSON, a key is repeated, or a field is missing, unknown or of the wrong type.
    """
    try:
        value = json.loads(content, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise ProblemError("malformed: nested too deeply") from None
    except ValueError as error:  # not JSON, not UTF-8, or an integer of thousands of digits
        raise ProblemError(f"malformed: {error}") from None
    if b"\\ud" in content.lower():  # an escaped surrogate, which is valid only in a pair
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise ProblemError("malformed: a text in it is not Unicode, it has half of a surrogate pair") from None
    return convert(value, shape)


def convert(value: object, shape: type[_Shape], where: str = "") -> _Shape:
    """A decoded value, converted to ``shape``; errors begin with ``where`` and the field's path below it.

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
