"""Problems from their files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import networkx as nx

from hetsim.core.dataflow import SharingCosts
from hetsim.core.errors import HetsimError, ProblemError
from hetsim.core.graph import Graph, Op, Tensor
from hetsim.core.platform import Device, Host, Kind, Link, Memory, Platform
from hetsim.core.problem import Latency, Problem
from hetsim.io.json_file import convert, decode_json, read_json
from hetsim.io.problem_file.entries import (
    OP_KIND,
    LinkEntry,
    ProblemFile,
    check_bytes,
    check_costs,
    check_device,
    check_ops,
    check_sum,
)


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
        check_costs(f"operator {op!r}", costs_s[op], file)
    groups_s: dict[tuple[str, tuple[str, ...]], float | None] = {}
    for group in file.groups:
        where = f"group {', '.join(group.ops)}"
        check_ops(where, group.ops, file)
        check_costs(where, group.cost_s, file)
        for device, seconds in group.cost_s.items():
            key = (device, graph.ordered(group.ops))
            if key in groups_s:
                raise ProblemError(f"{where} is there twice for {device!r}; remove one")
            groups_s[key] = seconds
    moved, shared_s = _moved(file), _shared_s(file)
    check_sum(graph, costs_s, shared_s)

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


def _moved(file: ProblemFile) -> dict[str, dict[str, int]]:
    """By operator and device, the bytes that the operator moves."""
    moved: dict[str, dict[str, int]] = {}
    for op, entry in file.traffic_bytes.items():
        check_ops("traffic_bytes", (op,), file)
        moved[op] = convert(entry, dict[str, int], f"traffic_bytes of {op!r}")
        for device, num_bytes in moved[op].items():
            check_device(f"traffic_bytes of {op!r}", device, file)
            check_bytes(f"traffic_bytes of {op!r} on {device!r}", num_bytes)
    return moved


def _shared_s(file: ProblemFile) -> dict[str, dict[str, tuple[float, float]]]:
    """By operator and device, what reading and making one of its tensors costs if it is shared."""
    shared_s: dict[str, dict[str, tuple[float, float]]] = {}
    for op, entry in file.sharing_s.items():
        check_ops("sharing_s", (op,), file)
        shared_s[op] = convert(entry, dict[str, tuple[float, float]], f"sharing_s of {op!r}")
        for device, both in shared_s[op].items():
            check_device(f"sharing_s of {op!r}", device, file)
            if not all(0 <= seconds < math.inf for seconds in both):
                raise ProblemError(f"sharing_s of {op!r} on {device!r} must be two finite numbers, 0 or more")
    return shared_s


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
            check_device(f"link {key!r}", end, file)
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
        check_ops(where, (source, target), file)
        if source == target:
            raise ProblemError(f"{where} leads back to the same operator; remove it")
        check_bytes(where, num_bytes)
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
