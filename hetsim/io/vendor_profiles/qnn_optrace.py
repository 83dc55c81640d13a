"""Qualcomm QNN: the CSV of a detailed profile or optrace, with cycles per operator of each execution.

A header line is followed by events. ``FINALIZE`` and the events before the first execution describe the compilation.
Of an execution ``NODE`` rows are operators in cycles, ``BACKEND`` rows describe the whole of it, and ``EXECUTE`` ends
it with the time that the application saw::

    Msg Timestamp,Message,Time,Unit of Measurement,Timing Source,Event Level,Event Identifier
    0,BACKEND,5436,US,BACKEND,ROOT,RPC (execute) time
    0,NODE,657767,CYCLES,BACKEND,SUB-EVENT,/conv1/Conv_token_1_2:OpId_24 (cycles)
    0,EXECUTE,5592,US,BACKEND,ROOT,QNN (execute) time

Cycles are those of all threads together, so they exceed what one clock makes of the accelerator's time. Its time
without waiting is divided among the operators in proportion to their cycles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hetsim.io.vendor_profiles.records import Call, OpTime, VendorProfile
from hetsim.io.vendor_profiles.text import Cells, check_width, number, table, wrong

HEADER = (
    "Msg Timestamp", "Message", "Time", "Unit of Measurement", "Timing Source", "Event Level", "Event Identifier",
)  # fmt: skip
MESSAGES = ("BACKEND", "NODE", "EXECUTE", "FINALIZE", "INIT", "DEINIT", "UNKNOWN")
APPLICATION, RPC, DRIVER, WAITING, BUSY, CYCLES = (
    "QNN (execute) time",
    "RPC (execute) time",
    "QNN accelerator (execute) time",
    "Accelerator (execute) time",
    "Accelerator (execute excluding wait) time",
    "Accelerator (execute) time (cycles)",
)
ALSO = {
    "Time for initial VTCM acquire": "acquiring on-chip memory",
    "Time for HVX + HMX power on and acquire": "powering on",
}
COUNTS = ("Number of HVX threads used", "Num times yield occured", "Num times yield occurred")
_KNOWN = (RPC, DRIVER, WAITING, BUSY, CYCLES, *ALSO)
_OF_PREPARATION = re.compile(r"\((finalize|init|deinit|load binary|create)\) time")
_OP_ID = re.compile(r"[: ]OpId_\d+$")
_SUFFIX = re.compile(r"(_token_\d+)?_\d+$")


def looks_like(text: str) -> bool:
    """Whether a text begins as files of this format do."""
    return text.startswith("Msg Timestamp")


def parse(text: str, source: str) -> VendorProfile:
    """The profile in a text.

    Raises:
        ProfileError: With the line, if it is of another version, cut short or has unknown events.
    """
    calls: list[Call] = []
    ops: list[tuple[str, float]] = []
    times: dict[str, float] = {}
    for line, message, seconds_or_cycles, event in _events(text, source):
        if message == "NODE":
            ops.append((event.removesuffix(" (cycles)"), seconds_or_cycles))
        elif message == "EXECUTE":
            calls.append(_call(ops, {**times, event: seconds_or_cycles}, source, line))
            ops, times = [], {}
        else:
            times[event] = seconds_or_cycles
    last = len(text.splitlines())
    if ops or times:
        raise wrong(source, last, f"expected {APPLICATION!r} of an EXECUTE row at the end of an execution; cut short?")
    if not calls:
        raise wrong(source, last, "expected at least one execution, which an EXECUTE row ends, found none")
    return VendorProfile(format="qnn-optrace", engine="Qualcomm QNN optrace", files=(source,), calls=tuple(calls))


def names_of(name: str) -> tuple[str, ...]:
    """What a node of QNN may be called in the model: without the suffix that the compiler adds, or with it.

    >>> names_of("/conv1/Conv_token_1_2:OpId_24")
    ('/conv1/Conv', '/conv1/Conv_token_1_2')
    >>> names_of("/layer1/Add_3")
    ('/layer1/Add', '/layer1/Add_3')
    """
    plain = _OP_ID.sub("", name)
    return tuple(dict.fromkeys((_SUFFIX.sub("", plain), plain)))


def kind_of(name: str) -> str:
    """The operator type that the end of a node's name tells, or an empty text.

    >>> kind_of("/conv1/Conv_token_1_2:OpId_24"), kind_of("pixel_values_QuantizeLinear_3:OpId_16")
    ('Conv', 'QuantizeLinear')
    """
    found = re.search(r"[A-Za-z][A-Za-z0-9]*$", names_of(name)[0])
    return found.group() if found else ""


def _events(text: str, source: str) -> Iterator[tuple[int, str, float, str]]:
    """Lines of the events of executions, with their message, seconds or cycles, and identifier."""
    header: Cells | None = None
    for line, cells in table(text, source):
        if header is None:
            header = cells
            if tuple(cells) != HEADER:
                raise wrong(source, line, f"expected the columns {', '.join(HEADER)}, found {', '.join(cells)}")
            continue
        check_width(cells, header, source, line)
        _, message, time, unit, _, level, event = cells
        if message not in MESSAGES:
            raise wrong(source, line, f"expected a message of {', '.join(MESSAGES)}, found {message!r}")
        if message in ("FINALIZE", "INIT", "DEINIT", "UNKNOWN") or _OF_PREPARATION.search(event) or event in COUNTS:
            continue
        wanted = "CYCLES" if message == "NODE" or event == CYCLES else "US"
        known = (APPLICATION,) if message == "EXECUTE" else _KNOWN
        if message != "NODE" and event not in known:
            raise wrong(
                source, line, f"unknown event {event!r} of {message} at level {level}; expected {', '.join(known)}"
            )
        if unit != wanted:
            raise wrong(source, line, f"expected the unit {wanted} for {event!r}, found {unit!r}")
        yield line, message, number(time, event, source, line) * (1.0 if wanted == "CYCLES" else 1e-6), event


def _call(ops: list[tuple[str, float]], times: dict[str, float], source: str, line: int) -> Call:
    missing = [name for name in (APPLICATION, RPC, DRIVER, WAITING, BUSY, CYCLES) if name not in times]
    if missing:
        raise wrong(source, line, f"expected {missing[0]!r} in the execution that ends here; it has {', '.join(times)}")
    total = sum(cycles for _, cycles in ops)
    if abs(total - times[CYCLES]) > 0.01 * times[CYCLES] or not total > 0:
        raise wrong(
            source,
            line,
            f"expected NODE rows of {times[CYCLES]:.0f} cycles in the execution that ends here, found {total:.0f}; "
            "rows are missing",
        )
    stages = [times[name] for name in (APPLICATION, RPC, DRIVER, WAITING, BUSY)]
    if sorted(stages, reverse=True) != stages:
        raise wrong(source, line, "expected the application's time >= RPC >= QNN accelerator >= accelerator >= busy")
    labels = ("application to driver", "remote procedure call", "accelerator outside the graph", "waiting")
    return Call(
        ops=tuple(
            OpTime(name=name, candidates=names_of(name), kind=kind_of(name), seconds=cycles / total * times[BUSY])
            for name, cycles in ops
        ),
        total_s=times[APPLICATION],
        launch_parts_s={
            label: outer - inner for label, outer, inner in zip(labels, stages[:-1], stages[1:], strict=True)
        },
        also_s={ALSO[name]: times[name] for name in ALSO if name in times},
    )
