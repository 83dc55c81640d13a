"""Problems without ONNX as JSON files: a task graph, the costs of its operators, and links.

The format, by example; docs/formats.md has every key::

    {"devices": ["cpu", "npu"],
     "ops": {"a": {"cpu": 1.0, "npu": 0.5}, "b": {"cpu": 2.0}},
     "edges": [["a", "b", 4096]],
     "links": {"npu->cpu": {"setup_s": 1e-6, "bandwidth_bytes_per_s": 1e9}}}

Units are seconds and bytes. Each edge is a tensor, handed over once to each device that needs it. Edges of one producer
that end with the same name are one tensor with several readers. The cost of a segment of several operators is its entry
in ``groups``, otherwise the sum of its operators' costs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import networkx as nx

from hetsim.core.errors import HetsimError, ProblemError
from hetsim.core.graph import Graph, Op, Tensor
from hetsim.core.platform import Device, Host, Kind, Link, Memory, Platform
from hetsim.core.problem import Latency, Problem
from hetsim.core.sharing import SharingCosts
from hetsim.io.files import write_atomically
from hetsim.io.json_file import convert, decode_json, read_json

OP_KIND = "Task"
"""The kind of every operator of a problem file."""

MAX_TENSOR_BYTES = 1 << 53
"""Size of the largest tensor: floats represent every integer up to here."""


class EdgeEntry(msgspec.Struct, array_like=True, forbid_unknown_fields=True, omit_defaults=True):
    """``["producer", "reader", bytes]``, optionally followed by the name of the tensor."""

    producer: str
    reader: str
    num_bytes: int | float
    tensor: str = ""


class LinkEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A one-way path between devices; see :class:`~hetsim.core.platform.Link`."""

    setup_s: float = 0.0
    bandwidth_bytes_per_s: float = math.inf
    mode: Literal["zero-copy", "copy"] = "zero-copy"


class GroupEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Costs of several operators as one segment; a device with null cannot run them as one."""

    ops: tuple[str, ...]
    cost_s: dict[str, float | None]


class MemoryEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Bandwidth of the memory that all devices share."""

    shared_bytes_per_s: float = math.inf


class HostEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What submitting and collecting a request costs the host."""

    submit_setup_s: float = 0.0
    collect_setup_s: float = 0.0


class ProblemFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The structure of the file; docs/formats.md has every key."""

    name: str = ""
    devices: tuple[str, ...]
    ops: dict[str, Any]  # by operator a table by device; converted one by one, so that errors can name the operator
    edges: tuple[EdgeEntry, ...] = ()
    links: dict[str, Any] = {}
    groups: tuple[GroupEntry, ...] = ()
    traffic_bytes: dict[str, Any] = {}
    sharing_s: dict[str, Any] = {}
    memory: MemoryEntry | None = None
    host: HostEntry | None = None


def load_problem(path: Path | str) -> Problem:
    """The problem in a JSON file.

    Raises:
        ProblemError: If the file cannot be read or has a mistake; the message names the item.
    """
    return parse_problem(read_json(Path(path), what="problem"), source=str(path))


def parse_problem(content: bytes, *, source: str) -> Problem:
    """The problem in a JSON text; errors name ``source``.

    Raises:
        ProblemError: As :func:`load_problem` does.
    """
    try:
        return make_table_problem(decode_json(content, ProblemFile), name=Path(source).stem)
    except HetsimError as error:
        raise ProblemError(f"problem {source}: {error}") from None


def make_table_problem(file: ProblemFile, *, name: str) -> Problem:
    """The problem of a file's content, called ``name`` unless the file gives a name.

    Operators are in the file's order as far as edges allow.

    Raises:
        HetsimError: If the content has a mistake.
    """
    platform = _platform(file)
    graph = _graph(file, file.name or name)
    costs_s: dict[str, dict[str, float]] = {}
    for op, entry in file.ops.items():
        costs_s[op] = convert(entry, dict[str, float], f"costs of operator {op!r}")
        _check_costs(f"operator {op!r}", costs_s[op], file)
    groups_s: dict[tuple[str, tuple[str, ...]], float | None] = {}
    for group in file.groups:
        where = f"group {', '.join(group.ops)}"
        _check_ops(where, group.ops, file)
        _check_costs(where, group.cost_s, file)
        for device, seconds in group.cost_s.items():
            key = (device, graph.ordered(group.ops))
            if key in groups_s:
                raise ProblemError(f"{where} is there twice for {device!r}; remove one")
            groups_s[key] = seconds
    moved: dict[str, dict[str, int]] = {}
    for op, entry in file.traffic_bytes.items():
        _check_ops("traffic_bytes", (op,), file)
        moved[op] = convert(entry, dict[str, int], f"traffic_bytes of {op!r}")
        for device, num_bytes in moved[op].items():
            _check_device(f"traffic_bytes of {op!r}", device, file)
            _check_bytes(f"traffic_bytes of {op!r} on {device!r}", num_bytes)
    shared_s: dict[str, dict[str, tuple[float, float]]] = {}
    for op, entry in file.sharing_s.items():
        _check_ops("sharing_s", (op,), file)
        shared_s[op] = convert(entry, dict[str, tuple[float, float]], f"sharing_s of {op!r}")
        for device, both in shared_s[op].items():
            _check_device(f"sharing_s of {op!r}", device, file)
            if not all(0 <= seconds < math.inf for seconds in both):
                raise ProblemError(f"sharing_s of {op!r} on {device!r} must be two finite numbers, 0 or more")
    _check_sum(graph, costs_s, shared_s)

    largest_bytes = max((tensor.num_bytes for tensor in graph.tensors.values()), default=0)
    for (source, target), link in platform.links.items():
        if not link.transfer_s(largest_bytes) < math.inf:
            raise ProblemError(
                f"link '{source}->{target}' takes {link.transfer_s(largest_bytes)} s for {largest_bytes} bytes; "
                "give it more bandwidth"
            )

    def latency(device: str, ops: tuple[str, ...]) -> Latency | None:
        if (device, ops) in groups_s:
            seconds = groups_s[device, ops]
            return None if seconds is None else Latency(seconds, measured=True)
        if any(device not in costs_s[op] for op in ops):
            return None
        return Latency(sum(costs_s[op][device] for op in ops), measured=len(ops) == 1)

    def traffic(device: str, ops: tuple[str, ...]) -> int:
        return sum(moved.get(op, {}).get(device, 0) for op in ops)

    def sharing(side: int) -> Callable[[str, str], float]:
        return lambda device, tensor: shared_s.get(graph.producer[tensor], {}).get(device, (0.0, 0.0))[side]

    return Problem(
        graph=graph,
        platform=platform,
        latency_function=latency,
        traffic_function=traffic if moved else None,
        sharing=SharingCosts(sharing(0), sharing(1)) if shared_s else None,
        additive=not groups_s,
    )


def save_problem(problem: Problem, path: Path, *, groups: Iterable[tuple[str, tuple[str, ...]]] = ()) -> None:
    """Write a problem as JSON; the file is written completely or not at all.

    It holds the costs of single operators, and those of other segments only if asked for. Inputs from the caller, kinds
    and weights of operators, engines and launch costs are not part of a problem file.

    Args:
        problem: The problem.
        path: The file.
        groups: Devices and operators, in topological order, of segments whose costs are written as well.

    Raises:
        OSError: If the folder cannot be written.
    """
    content = msgspec.json.encode(_as_file(problem, groups))
    write_atomically(path, msgspec.json.format(content, indent=1) + b"\n")


def _as_file(problem: Problem, groups: Iterable[tuple[str, tuple[str, ...]]]) -> ProblemFile:
    graph, platform = problem.graph, problem.platform
    names = platform.device_names
    edges: list[EdgeEntry] = []
    for op in graph.ops:
        times = Counter(reader for tensor in op.outputs for reader in graph.consumers[tensor])
        for tensor in op.outputs:
            readers = graph.consumers[tensor]
            named = len(readers) > 1 or any(times[reader] > 1 for reader in readers)
            num_bytes = graph.tensors[tensor].num_bytes
            edges += [EdgeEntry(op.name, reader, num_bytes, tensor if named else "") for reader in readers]
    tables: dict[tuple[str, ...], dict[str, float | None]] = {}
    for device, ops in groups:
        found = problem.latency(device, ops)
        tables.setdefault(ops, {})[device] = None if found is None else found.seconds
    moved = {op.name: {name: problem.traffic_bytes(name, (op.name,)) for name in names} for op in graph.ops}
    shared = platform.memory.shared_bytes_per_s
    sharing_s = {} if problem.sharing is None else _sharing_s(problem.sharing, graph, names)
    host = HostEntry(submit_setup_s=platform.host.submit_setup_s, collect_setup_s=platform.host.collect_setup_s)
    return ProblemFile(
        name=graph.name,
        devices=names,
        ops={
            op.name: {name: problem.cost_s(name, (op.name,)) for name in problem.devices_for((op.name,))}
            for op in graph.ops
        },
        edges=tuple(edges),
        links={
            f"{a}->{b}": LinkEntry(
                setup_s=link.setup_s, bandwidth_bytes_per_s=link.bandwidth_bytes_per_s, mode=link.mode
            )
            for (a, b), link in platform.links.items()
        },
        groups=tuple(GroupEntry(ops=ops, cost_s=table) for ops, table in tables.items()),
        traffic_bytes={op: table for op, table in moved.items() if any(table.values())},
        sharing_s=sharing_s,
        memory=None if shared == math.inf else MemoryEntry(shared_bytes_per_s=shared),
        host=None if host == HostEntry() else host,
    )


def _sharing_s(sharing: SharingCosts, graph: Graph, names: Sequence[str]) -> dict[str, dict[str, tuple[float, float]]]:
    """By operator and device, the most that reading and making one of its outputs costs if it is shared; not zeros."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for op in graph.ops:
        read = [tensor for tensor in op.outputs if graph.consumers[tensor]]
        table = {
            name: (
                max((sharing.read_s(name, tensor) for tensor in read), default=0.0),
                max((sharing.written_s(name, tensor) for tensor in read), default=0.0),
            )
            for name in names
        }
        if any(map(any, table.values())):
            found[op.name] = table
    return found


def _platform(file: ProblemFile) -> Platform:
    if not file.devices:
        raise ProblemError("devices is empty; name at least one")
    for name in file.devices:
        if not name or "->" in name:
            raise ProblemError(f"device {name!r} must have a name, without '->' in it")
    links: dict[tuple[str, str], Link] = {}
    for key, value in file.links.items():
        entry = convert(value, LinkEntry, f"link {key!r}")
        source, arrow, target = key.partition("->")
        if not arrow:
            raise ProblemError(f"link {key!r} must be named FROM->TO, such as 'cpu->npu'")
        for end in (source, target):
            _check_device(f"link {key!r}", end, file)
        links[source, target] = Link(
            setup_s=entry.setup_s, bandwidth_bytes_per_s=entry.bandwidth_bytes_per_s, mode=entry.mode
        )
    return Platform(
        name="problem file",
        devices=tuple(
            Device(name=name, kind=_kind(name), backend="none", nature="hypothetical") for name in file.devices
        ),
        links=links,
        memory=Memory() if file.memory is None else Memory(shared_bytes_per_s=file.memory.shared_bytes_per_s),
        host=Host()
        if file.host is None
        else Host(submit_setup_s=file.host.submit_setup_s, collect_setup_s=file.host.collect_setup_s),
    )


def _kind(device: str) -> Kind:
    """The kind of a device by its name, for ``type_based``: ``cpu...``, ``gpu...``, and anything else an NPU."""
    return "cpu" if device.lower().startswith("cpu") else "gpu" if device.lower().startswith("gpu") else "npu"


def _graph(file: ProblemFile, name: str) -> Graph:
    """The graph, with one tensor for each edge or for all edges of a producer with the same name."""
    if not file.ops:
        raise ProblemError("ops is empty; there is nothing to plan")
    tensors: dict[str, Tensor] = {}
    reads: dict[str, dict[str, None]] = {op: {} for op in file.ops}
    makes: dict[str, dict[str, None]] = {op: {} for op in file.ops}
    taken = {edge.tensor for edge in file.edges}  # names of tensors
    unnamed: dict[tuple[str, str], str] = {}
    for edge in file.edges:
        source, target, num_bytes = edge.producer, edge.reader, edge.num_bytes
        where = f"edge {source!r} -> {target!r}"
        _check_ops(where, (source, target), file)
        if source == target:
            raise ProblemError(f"{where} leads back to the same operator; remove it")
        _check_bytes(where, num_bytes)
        tensor = edge.tensor or unnamed.get((source, target), "")
        if not tensor:
            tensor = unnamed[source, target] = _free_name(f"{source}->{target}", taken)
        if tensor in reads[target]:
            raise ProblemError(f"{where} is there twice; keep one, or end each with a tensor's name of its own")
        if tensor not in tensors:
            tensors[tensor] = Tensor(tensor, (int(num_bytes),), "uint8")
            makes[source][tensor] = None
        elif tensor not in makes[source]:
            raise ProblemError(f"{where} is tensor {tensor!r}, which another operator makes; rename one of them")
        elif tensors[tensor].num_bytes != num_bytes:
            raise ProblemError(
                f"{where} gives tensor {tensor!r} {num_bytes} bytes, another edge {tensors[tensor].num_bytes}; "
                "a tensor has one size"
            )
        reads[target][tensor] = None
    ops = tuple(
        Op(name=op, kind=OP_KIND, inputs=tuple(reads[op]), outputs=tuple(makes[op]))
        for op in _in_order(file, makes, reads)
    )
    return Graph(name=name, ops=ops, tensors=tensors, inputs=(), outputs=())


def _free_name(wanted: str, taken: set[str]) -> str:
    """The name, or the first that is free with underscores behind it; it is then taken."""
    while wanted in taken:
        wanted += "_"
    taken.add(wanted)
    return wanted


def _in_order(file: ProblemFile, makes: Mapping[str, Iterable[str]], reads: Mapping[str, Iterable[str]]) -> list[str]:
    """The operators in topological order; ties are in the file's order."""
    maker = {tensor: op for op, made in makes.items() for tensor in made}
    follows: nx.DiGraph[str] = nx.DiGraph()
    follows.add_nodes_from(file.ops)
    follows.add_edges_from((maker[tensor], op) for op, read in reads.items() for tensor in read)
    place = {op: i for i, op in enumerate(file.ops)}
    try:
        return list(nx.lexicographical_topological_sort(follows, key=place.__getitem__))
    except nx.NetworkXUnfeasible:
        circle = [op for op, _ in nx.find_cycle(follows)]
        description = " -> ".join(repr(op) for op in (*circle, circle[0]))
        raise ProblemError(f"the edges lead in a circle: {description}; remove one of them") from None


def _check_costs(where: str, table: Mapping[str, float | None], file: ProblemFile) -> None:
    for device, seconds in table.items():
        _check_device(where, device, file)
        if seconds is not None and not 0 <= seconds < math.inf:  # NaN fails too
            raise ProblemError(f"{where} costs {seconds} s on {device!r}; costs are finite and not negative")


def _check_sum(
    graph: Graph,
    costs_s: Mapping[str, Mapping[str, float]],
    shared_s: Mapping[str, Mapping[str, tuple[float, float]]],
) -> None:
    most_s = sum(max(table.values(), default=0.0) for table in costs_s.values())
    for op, table in shared_s.items():
        num_readers = sum(len(graph.consumers[tensor]) for tensor in graph.by_name[op].outputs)
        most_s += sum(num_readers * read_s + written_s for read_s, written_s in table.values())
    if not most_s < math.inf:
        raise ProblemError("the costs of all operators sum to more than a float can hold; give smaller costs")


def _check_bytes(where: str, num_bytes: float) -> None:
    if not 0 <= num_bytes <= MAX_TENSOR_BYTES or num_bytes != int(num_bytes):
        raise ProblemError(f"{where} has {num_bytes} bytes; they are whole, not negative, and at most 2**53")


def _check_device(where: str, device: str, file: ProblemFile) -> None:
    if device not in file.devices:
        raise ProblemError(f"{where} names device {device!r}; devices are {', '.join(file.devices)}")


def _check_ops(where: str, ops: tuple[str, ...], file: ProblemFile) -> None:
    if not ops:
        raise ProblemError(f"{where} has no operators; remove it")
    for op in ops:
        if op not in file.ops:
            raise ProblemError(f"{where} names operator {op!r}, which ops does not have")
