"""LiteRT: the CSV of benchmark_model with ``--enable_op_profiling`` and ``--profiling_output_csv_file``.

Of the part on regular runs the table in run order is read; an empty line ends it::

    Operator-wise Profiling Info for Regular Benchmark Runs:
    ============================== Run Order ==============================
    node type, first, avg_ms, %, cdf%, mem KB, times called, name
    CONV_2D, 3.730, 3.640, 16.5%, 16.9%, 0.000, 1, [conv1/Relu;conv1/Conv2D]:1

Times are averages. How long the whole call took is not in the file.
"""

from __future__ import annotations

import re

from hetsim.io.vendor_profiles.records import Call, OpTime, VendorProfile
from hetsim.io.vendor_profiles.text import Cells, check_width, columns, number, table, wrong

TITLE = "Operator-wise Profiling Info for Regular Benchmark Runs"
_ORDER = "Run Order"
_COLUMNS = (("node type",), ("avg_ms", "avg ms"), ("name", "Name"))
_PLACE = re.compile(r":\d+$")


def looks_like(text: str) -> bool:
    """Whether a text begins as files of this format do."""
    return "Profiling Info for" in text[:200] or "node type" in text[:400]


def parse(text: str, source: str) -> VendorProfile:
    """The profile in a text.

    Raises:
        ProfileError: With the line, if it is of another version or cut short.
    """
    lines = text.splitlines()
    titles = [place for place, line in enumerate(lines) if line.startswith(TITLE)]
    if not titles:
        raise wrong(source, len(lines) or 1, f"expected a line {TITLE!r}, found none; is the file cut short?")
    start = next((place for place in range(titles[0], len(lines)) if _ORDER in lines[place]), None)
    if start is None:
        raise wrong(
            source, len(lines), f"expected a table {_ORDER!r} after line {titles[0] + 1}; is the file cut short?"
        )
    end = next((place for place in range(start, len(lines)) if not lines[place].strip()), None)
    if end is None:
        raise wrong(source, len(lines), "expected an empty line after the table in run order; is the file cut short?")
    header: Cells | None = None
    ops: list[OpTime] = []
    for line, cells in table("\n".join(lines[start + 1 : end]), source, first_line=start + 2):
        if header is None:
            header, places = cells, columns(cells, _COLUMNS, source, line)
            continue
        check_width(cells, header, source, line)
        kind, milliseconds, name = (cells[place] for place in places)
        ops.append(_op(name, kind, number(milliseconds, "avg_ms", source, line) * 1e-3))
    if not ops:
        raise wrong(source, end + 1, "expected at least one operator in the table in run order, found none")
    return VendorProfile(
        format="litert",
        engine="LiteRT benchmark_model",
        files=(source,),
        calls=(Call(ops=tuple(ops)),),
        is_average=True,
    )


def _op(name: str, kind: str, seconds: float) -> OpTime:
    tensors = _PLACE.sub("", name).removeprefix("[").removesuffix("]")
    candidates = tuple(dict.fromkeys((name, tensors, *filter(None, map(str.strip, tensors.split(";"))))))
    return OpTime(name=name, candidates=candidates, kind=kind, seconds=seconds)
