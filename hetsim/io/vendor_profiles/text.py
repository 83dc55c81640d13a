"""Texts and tables of vendors' profiles; errors name the file, the line and what was expected."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from hetsim.core.errors import ProfileError
from hetsim.io.files import read_bounded

Cells = list[str]


def read_text(path: Path) -> str:
    """The content of a file.

    Raises:
        ProfileError: If it cannot be read, or is not UTF-8.
    """
    try:
        return read_bounded(path).decode("utf-8-sig")
    except OSError as error:
        raise ProfileError(f"cannot read the profile {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ProfileError(f"{path} is not a text in UTF-8: byte {error.start} cannot be decoded") from None


def wrong(source: str, line: int, says: str) -> ProfileError:
    """The error for a line of a file."""
    return ProfileError(f"{source}, line {line}: {says}")


def table(text: str, source: str, *, delimiter: str = ",", first_line: int = 1) -> Iterator[tuple[int, Cells]]:
    """Line numbers and stripped cells of the lines that are not empty.

    Raises:
        ProfileError: If a line is no CSV.
    """
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise wrong(source, first_line - 1 + reader.line_num, f"malformed: {error}") from None
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield first_line - 1 + reader.line_num, [cell.strip() for cell in cells]


def columns(header: Cells, wanted: Sequence[Sequence[str]], source: str, line: int) -> list[int]:
    """The places of columns in a header; of each the first of its names that the header has.

    Raises:
        ProfileError: If a column is not there.
    """
    found = []
    for names in wanted:
        places = [header.index(name) for name in names if name in header]
        if not places:
            raise wrong(
                source,
                line,
                f"expected a column {' or '.join(map(repr, names))}, found {', '.join(header) or 'nothing'}",
            )
        found.append(places[0])
    return found


def check_width(cells: Cells, header: Cells, source: str, line: int) -> None:
    """Refuse a line that has fewer or more cells than the header.

    Raises:
        ProfileError: If it has.
    """
    if len(cells) != len(header):
        raise wrong(
            source,
            line,
            f"expected {len(header)} cells ({', '.join(header)}), found {len(cells)}; is the file cut short?",
        )


def number(text: str, what: str, source: str, line: int) -> float:
    """A finite number of 0 or more.

    Raises:
        ProfileError: If the text is none.
    """
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise wrong(source, line, f"expected {what} as a number of 0 or more, found {text!r}")
    return found
