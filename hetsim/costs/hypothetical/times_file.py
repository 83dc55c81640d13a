"""Costs on a device that is defined by a file of times, such as a vendor's profiler writes, in CSV or JSON.

A CSV has one row for each operator or group; JSON is a list of objects with the same keys::

    op,device,ms                      [{"ops": ["conv1", "relu1"], "device": "npu", "ms": 0.41},
    conv1;relu1,npu,0.41               {"op": "pool1", "us": 80}]
    pool1,npu,0.08

``op`` or ``ops`` names operators of the model, several joined by semicolons. A row without ``device`` holds for any
device. The name of the column of times, or its ending, gives the unit: ``seconds``, ``ms``, ``latency_us``. Other
columns are ignored.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hetsim.core.errors import ProblemError, ProfileError
from hetsim.core.graph import Graph
from hetsim.core.platform import Device
from hetsim.core.problem import Latency
from hetsim.core.sources import Times
from hetsim.costs.hypothetical.shares import ShareCosts
from hetsim.costs.hypothetical.sheet import num_bytes_in
from hetsim.costs.touched import touched_bytes
from hetsim.io.json_file import decode_json, read_json
from hetsim.models.model import Model

UNITS: Mapping[str, float] = {"seconds": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
"""By the name of a column, or its ending after an underscore, the seconds of one unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One time in a file.

    Attributes:
        where: The row or entry, for messages.
        ops: Operators in the order of the file.
        device: The device; empty where the row names none.
        seconds: Their time as one segment; finite and non-negative.
        traffic_bytes: What they move to and from the memory; None where the row does not say.
    """

    where: str
    ops: tuple[str, ...]
    device: str
    seconds: float
    traffic_bytes: int | None = None


class FileCosts:
    """Times of segments on a device with a file of times.

    A segment of the file takes its time there. Any other segment is composed of disjoint segments of the file, those
    with the most operators first, ties by place in the graph; it takes the sum of their times less the launches saved.

    Args:
        device: The device.
        times: The file.
        graph: The model's graph.

    Raises:
        ProfileError: If the file cannot be read or a row is wrong: an operator that the model does not have, an invalid
            time, the same operators twice.
    """

    def __init__(self, device: Device, times: Times, graph: Graph) -> None:
        self._graph = graph
        self._device = device
        self._launch_s = device.launch_s
        self._seconds: dict[tuple[str, ...], float] = {}
        self._traffic: dict[tuple[str, ...], int] = {}
        seen: dict[tuple[str, ...], str] = {}
        wanted = times.device or device.name
        for row in read_times(Path(times.file)):
            if row.device not in ("", wanted):
                continue
            unknown = [op for op in row.ops if op not in graph.by_name]
            if unknown:
                raise ProfileError(
                    f"{times.file}, {row.where} names operator {unknown[0]!r}, which {graph.name!r} does not have; "
                    f"it has {_some(graph)}"
                )
            ops = graph.ordered(row.ops)
            if ops in seen:
                raise ProfileError(
                    f"{times.file}, {row.where} has the operators of {seen[ops]} again, for the same device; remove one"
                )
            seen[ops] = row.where
            self._seconds[ops] = row.seconds
            if row.traffic_bytes is not None:
                self._traffic[ops] = row.traffic_bytes
        if not seen:
            raise ProfileError(f"{times.file} has no time for device {wanted!r}; add its rows")
        by_size = sorted(self._seconds, key=lambda ops: (-len(ops), graph.position[ops[0]]))
        self._pieces = [(graph.mask(ops), ops) for ops in by_size]

    def latency(self, ops: tuple[str, ...]) -> Latency | None:
        """The latency of the operators as one segment; None where the file has no time for one of them."""
        if ops in self._seconds:
            return Latency(self._seconds[ops], stated=True)
        pieces = self._divided(ops)
        if pieces is None:
            return None
        total_s = sum(self._seconds[piece] for piece in pieces)
        return Latency(max(0.0, total_s - self._launch_s * (len(pieces) - 1)))

    def traffic_bytes(self, ops: tuple[str, ...]) -> int:
        """Bytes that the operators move as one segment: by the file, or else those that they touch.

        Those are counted in the device's precision, as if the model's numbers were 32-bit ones.
        """
        pieces = self._divided(ops) if self._traffic else None
        if not pieces or not all(piece in self._traffic for piece in pieces):
            return num_bytes_in(self._device, touched_bytes(self._graph, ops), "float32")
        return sum(self._traffic[piece] for piece in pieces)

    def _divided(self, ops: tuple[str, ...]) -> list[tuple[str, ...]] | None:
        """Disjoint rows of the file that the operators consist of; None if an operator remains."""
        left = self._graph.mask(ops)
        found = []
        for mask, piece in self._pieces:
            if mask & ~left == 0:
                left &= ~mask
                found.append(piece)
            if not left:
                break
        return None if left else found

    def of_parts(self, model: Model) -> ShareCosts:
        """The costs of a model that was rewritten from this one, by the share of the file's times."""
        return ShareCosts(self._device, self, model)


def read_times(path: Path) -> list[Row]:
    """The rows of a file of times.

    Raises:
        ProfileError: If it cannot be read, or a row is malformed; the message names the row.
    """
    try:
        content = read_json(path, what="times")
        rows = _json_rows(content) if path.suffix.lower() == ".json" else _csv_rows(content)
        return [_row(where, values) for where, values in rows]
    except ProblemError as error:
        says = str(error)
        raise ProfileError(says if str(path) in says else f"{path}, {says}") from None


def _json_rows(content: bytes) -> Iterator[tuple[str, dict[str, object]]]:
    entries = decode_json(content, list[dict[str, object]])
    return ((f"entry {number}", entry) for number, entry in enumerate(entries, 1))


def _csv_rows(content: bytes) -> Iterator[tuple[str, dict[str, object]]]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        for name in reader.fieldnames or ():
            if list(reader.fieldnames or ()).count(name) > 1:
                raise ProblemError(f"row 1 has column {name!r} twice; remove one")
        for values in reader:
            if None in values or None in values.values():
                raise ProblemError(f"row {reader.line_num} has a different number of cells than the header")
            yield f"row {reader.line_num}", dict(values)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProblemError(f"malformed: {error}") from None


def _row(where: str, values: Mapping[str, object]) -> Row:
    return Row(
        where=where,
        ops=_ops(where, values),
        device=_device(where, values),
        seconds=_seconds(where, values),
        traffic_bytes=_traffic_bytes(where, values),
    )


def _ops(where: str, values: Mapping[str, object]) -> tuple[str, ...]:
    named = [key for key in ("op", "ops") if key in values]
    if len(named) != 1:
        raise ProblemError(f"{where} must have either 'op' or 'ops'; it has {', '.join(values)}")
    given = values[named[0]]
    names = given.split(";") if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ProblemError(f"{where}: {named[0]} must be names of operators, got {given!r}")
    ops = tuple(name.strip() for name in names)
    if not all(ops) or not ops:
        raise ProblemError(f"{where} names no operator")
    if len(set(ops)) < len(ops):
        raise ProblemError(f"{where} names an operator twice: {', '.join(ops)}")
    return ops


def _device(where: str, values: Mapping[str, object]) -> str:
    given = values.get("device") or ""
    if not isinstance(given, str):
        raise ProblemError(f"{where}: device must be a name, got {given!r}")
    return given.strip()


def _seconds(where: str, values: Mapping[str, object]) -> float:
    columns = {key: UNITS[key.rpartition("_")[2]] for key in values if key.rpartition("_")[2] in UNITS}
    if len(columns) != 1:
        raise ProblemError(
            f"{where} must have one column of times, whose name gives the unit ({', '.join(UNITS)}, or latency_ms and "
            f"the like); it has {', '.join(columns) or 'none'}"
        )
    ((column, unit_s),) = columns.items()
    given = values[column]
    try:
        if isinstance(given, bool) or not isinstance(given, str | int | float):
            raise ValueError
        number = float(given)
    except (ValueError, OverflowError):
        raise ProblemError(f"{where}: {column} must be a number, got {given!r}") from None
    if not 0 <= number < math.inf:  # NaN fails too
        raise ProblemError(f"{where}: {column} must be 0 or more, got {given}")
    return number * unit_s


def _traffic_bytes(where: str, values: Mapping[str, object]) -> int | None:
    given = values.get("traffic_bytes")
    if given is None or given == "":
        return None
    try:
        if isinstance(given, bool) or not isinstance(given, str | int):
            raise ValueError
        number = int(given)
    except ValueError:
        raise ProblemError(f"{where}: traffic_bytes must be a whole number, got {given!r}") from None
    if not 0 <= number < 2**63:
        raise ProblemError(f"{where}: traffic_bytes must be 0 or more, got {given}")
    return number


def _some(graph: Graph) -> str:
    names = [op.name for op in graph.ops]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
