"""Which libraries of custom operators the segments in a folder need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_FILE = "custom_ops.txt"


def write_custom_ops(folder: Path, libraries: Sequence[str]) -> None:
    """Note the libraries that the segments of a folder need.

    Args:
        folder: The folder.
        libraries: Their paths.
    """
    (folder / _FILE).write_text("\n".join(libraries), encoding="utf-8")


def custom_ops_of(segment: Path) -> tuple[str, ...]:
    """The libraries that the segment in a file needs."""
    file = segment.parent / _FILE
    return tuple(file.read_text(encoding="utf-8").splitlines()) if file.exists() else ()
