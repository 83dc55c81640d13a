"""Arm Vela, the compiler for Ethos-U: estimated cycles per layer (``*_per-layer.csv``, by ``--verbose-performance``).

::

    TFLite_operator,NNG Operator,SRAM Usage,Peak%,Op Cycles,Network%,NPU,...,MAC Count,Network%,Util%,Name
    CONV_2D,Conv2DBias,11936,54.65,7312.0,17.6,7312.0,...,73008,8.6,3.9,conv1/Relu;conv1/Conv2D

Later versions call the first column ``Original Operator`` and may have a ``Target``; layers with the target ``CPU`` are
not the NPU's. ``Op Cycles`` are estimates, so the clock must be stated. A layer is called after the tensors
that it makes; several are joined by semicolons.
"""

from __future__ import annotations

from hetsim.io.vendor_profiles.records import Call, OpTime, VendorProfile
from hetsim.io.vendor_profiles.text import Cells, check_width, columns, number, table, wrong

_COLUMNS = (("TFLite_operator", "Original Operator"), ("Op Cycles",), ("Name",))


def looks_like(text: str) -> bool:
    """Whether a text begins as files of this format do."""
    return text.lstrip().startswith(("TFLite_operator", "Original Operator"))


def parse(text: str, source: str) -> VendorProfile:
    """The profile in a text; its times are cycles, for the reader to divide by the clock.

    Raises:
        ProfileError: With the line, if it is of another version or cut short.
    """
    header: Cells | None = None
    ops: list[OpTime] = []
    line = 1
    for line, cells in table(text, source):
        if header is None or cells[0] == header[0]:  # one header for each network
            header, places = cells, columns(cells, _COLUMNS, source, line)
            continue
        check_width(cells, header, source, line)
        kind, cycles_text, name = (cells[place] for place in places)
        cycles = number(cycles_text, "Op Cycles", source, line)
        if "Target" in header and cells[header.index("Target")] == "CPU":
            continue
        candidates = tuple(dict.fromkeys((name, *filter(None, map(str.strip, name.split(";"))))))
        ops.append(OpTime(name=name, candidates=candidates, kind=kind, seconds=cycles))
    if not ops:
        raise wrong(source, line, "expected at least one layer of the NPU after the header, found none")
    return VendorProfile(
        format="vela", engine="Arm Vela's estimates", files=(source,), calls=(Call(ops=tuple(ops)),), is_average=True
    )
