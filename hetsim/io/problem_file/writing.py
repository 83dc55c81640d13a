"""Problems to their files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from hetsim.core.dataflow import SharingCosts
from hetsim.core.graph import Graph
from hetsim.core.problem import Problem
from hetsim.io.files import write_atomically
from hetsim.io.problem_file.entries import EdgeEntry, GroupEntry, HostEntry, LinkEntry, MemoryEntry, ProblemFile


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
