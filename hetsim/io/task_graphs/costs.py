"""What readers of task graphs share: tasks and edges with the lines that they are on, and the problem they make.

The cost of an edge is the time that handing its data over takes, in the file's unit, unless the caller gives a
bandwidth: then it is a number of bytes. A problem has bytes and a bandwidth, so times become bytes that take as long:
one byte for the smallest decimal place that any edge of the file has.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import msgspec
import networkx as nx

from hetsim.core.errors import ProblemError
from hetsim.core.platform import Link
from hetsim.core.problem import Problem
from hetsim.io.problem_file import EdgeEntry, LinkEntry, ProblemFile, make_table_problem

_MAX_DECIMALS = 12
_MAX_DIGITS = 16
_MAX_BYTES = 1 << 53
_NUMBER = re.compile(r"(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """How the figures of a file are meant.

    Attributes:
        speeds: By device, the factor by which it runs tasks faster than the file says.
        unit_s: Seconds of one unit of time.
        link: The link between any two devices; if it has no finite bandwidth, costs of edges are times.
        task_cost, edge_cost: Names of attributes that hold costs; None: the usual ones.
    """

    speeds: Mapping[str, float]
    unit_s: float = 1.0
    link: Link | None = None
    task_cost: str | None = None
    edge_cost: str | None = None

    def __post_init__(self) -> None:
        for device, speed in self.speeds.items():
            if not 0 < speed < math.inf:
                raise ProblemError(f"device {device!r} has speed {speed}; speeds are finite and more than 0")
        if not 0 < self.unit_s < math.inf:
            raise ProblemError(f"a unit of {self.unit_s} s was asked for; it is finite and more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task: its time in the file's unit, by device or, under the key "", on any."""

    times: Mapping[str, float]
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A dependency between two tasks."""

    source: str
    target: str
    cost: Decimal
    line: int


def read_number(text: str, line: int, what: str) -> Decimal:
    """A number that is finite and not negative.

    Raises:
        ProblemError: If the text is anything else.
    """
    if not _NUMBER.fullmatch(text) or not float(text) < math.inf:
        raise ProblemError(f"line {line}: {what} is {text[:40]!r}; expected a finite number, 0 or more")
    return Decimal(text)


def make_task_problem(name: str, tasks: Mapping[str, Task], edges: Sequence[Edge], costs: Costs) -> Problem:
    """The problem of running the tasks on the devices of ``costs``.

    Raises:
        ProblemError: If edges lead in a circle, costs of edges cannot be bytes, or nothing is to be run.
    """
    _check_edges(edges)
    link = costs.link or Link()
    timed = link.bandwidth_bytes_per_s == math.inf
    places = max((_decimals(edge) for edge in edges), default=0) if timed else 0
    entries = [EdgeEntry(edge.source, edge.target, _num_bytes(edge, places)) for edge in edges]
    if timed and any(entry.num_bytes for entry in entries):
        link = Link(setup_s=link.setup_s, bandwidth_bytes_per_s=10.0**places / costs.unit_s, mode=link.mode)
    seconds = {
        task: {
            device: entry.times.get(device, entry.times.get("", 0.0)) * costs.unit_s / speed
            for device, speed in costs.speeds.items()
            if device in entry.times or "" in entry.times
        }
        for task, entry in tasks.items()
    }
    return make_table_problem(as_file(seconds, entries, link, devices=tuple(costs.speeds)), name=name)


def as_file(
    seconds: Mapping[str, Mapping[str, float]], edges: Sequence[EdgeEntry], link: Link, *, devices: tuple[str, ...]
) -> ProblemFile:
    """The content of a problem file: seconds by task and device, and one link between any two devices."""
    between = LinkEntry(**{field: getattr(link, field) for field in LinkEntry.__struct_fields__})
    return ProblemFile(
        devices=devices,
        ops=dict(seconds),
        edges=tuple(edges),
        links={f"{a}->{b}": msgspec.to_builtins(between) for a in devices for b in devices if a != b},
    )


def _check_edges(edges: Sequence[Edge]) -> None:
    """Refuse edges that are there twice or lead in a circle, with a line of theirs."""
    lines: dict[tuple[str, str], int] = {}
    for edge in edges:
        pair = edge.source, edge.target
        where = f"line {edge.line}: edge {edge.source!r} -> {edge.target!r}"
        if edge.source == edge.target:
            raise ProblemError(f"{where} leads back to its task; expected an edge between two tasks")
        if pair in lines:
            raise ProblemError(f"{where} is on line {lines[pair]} already; expected one edge between two tasks")
        lines[pair] = edge.line
    graph: nx.DiGraph[str] = nx.DiGraph(list(lines))
    if not nx.is_directed_acyclic_graph(graph):
        circle = nx.find_cycle(graph)
        names = " -> ".join(repr(task) for task, _ in (*circle, circle[0]))
        raise ProblemError(f"line {lines[circle[0]]}: the edges lead in a circle, {names}; expected none")


def _decimals(edge: Edge) -> int:
    """How many decimal places the cost of an edge has."""
    if not edge.cost:
        return 0
    places = max(0, -int(edge.cost.normalize().as_tuple().exponent))
    if places > _MAX_DECIMALS:
        raise ProblemError(f"line {edge.line}: cost {edge.cost} has more than {_MAX_DECIMALS} decimal places")
    return places


def _num_bytes(edge: Edge, places: int) -> int:
    """The bytes of an edge, one for each unit of the last of so many decimal places."""
    if edge.cost.adjusted() + places > _MAX_DIGITS or (scaled := edge.cost.scaleb(places)) > _MAX_BYTES:
        raise ProblemError(
            f"line {edge.line}: cost {edge.cost} is more than 2**53 units of the file's last decimal place"
            if places
            else f"line {edge.line}: cost {edge.cost} is more than 2**53"
        )
    if scaled != int(scaled):
        raise ProblemError(f"line {edge.line}: cost {edge.cost} is a number of bytes; expected a whole one")
    return int(scaled)
