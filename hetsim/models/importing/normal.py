"""One way to write what ONNX lets exporters write in several ways, without changing what is computed."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable

import onnx
from onnx import helper

from hetsim.core.errors import ModelError
from hetsim.models.importing.onnx_graph import label
from hetsim.models.nodes import inner_graphs, names_read

_SEPARATE_WEIGHTS_IR_VERSION = 4  # the first in which a weight need not be an input
_RESIZE_REQUIRES_OPSETS = (11, 12)  # in which Resize requires roi and scales, which may be empty tensors


def normalize(proto: onnx.ModelProto) -> None:
    """Name the standard domain "", sort the operators, drop those without effect, name each, and free constants.

    Constants that are inputs with a default value, as all were before IR version 4, become constants.

    Raises:
        ModelError: If operators form a cycle, or an operator reads a tensor that nothing makes.
    """
    graph = proto.graph
    name_nodes(graph)
    _name_domain(proto)
    if opset_of(proto) in _RESIZE_REQUIRES_OPSETS:
        _fill_empty(graph)
    constants = {tensor.name for tensor in (*graph.initializer, *(one.values for one in graph.sparse_initializer))}
    inputs = [value for value in graph.input if value.name not in constants]
    replace(graph.input, inputs)
    replace(graph.node, sorted_nodes(graph, constants | {value.name for value in inputs}))
    proto.ir_version = max(proto.ir_version, _SEPARATE_WEIGHTS_IR_VERSION)
    drop_dead(graph)


def sorted_nodes(graph: onnx.GraphProto, known: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes in topological order; those that are in order already keep it.

    Args:
        graph: The graph.
        known: Its inputs and constants.

    Raises:
        ModelError: If nodes form a cycle, or a node reads a tensor that nothing makes.
    """
    maker = {tensor: i for i, node in enumerate(graph.node) for tensor in filter(None, node.output)}
    available = set(known)
    waits: list[set[int]] = []
    for node in graph.node:
        read = names_read(node)
        for tensor in read:
            if tensor not in maker and tensor not in available:
                raise ModelError(f"operator {label(node)} reads {tensor!r}, which is no input and no operator makes")
        waits.append({maker[tensor] for tensor in read if tensor in maker})
    readers: list[list[int]] = [[] for _ in waits]
    for i, before in enumerate(waits):
        for j in before:
            readers[j].append(i)
    ready = [i for i, before in enumerate(waits) if not before]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        order.append(heapq.heappop(ready))
        for i in readers[order[-1]]:
            waits[i].discard(order[-1])
            if not waits[i]:
                heapq.heappush(ready, i)
    if len(order) < len(waits):
        raise ModelError(f"its operators form a cycle: {_cycle(graph, waits)}")
    return [graph.node[i] for i in order]


def _cycle(graph: onnx.GraphProto, waits: list[set[int]]) -> str:
    """The operators of a cycle, in the order of the data, given by each operator the ones that it still waits for."""
    at = next(i for i, before in enumerate(waits) if before)
    seen: list[int] = []
    while at not in seen:
        seen.append(at)
        at = min(waits[at])
    loop = [*seen[seen.index(at) :], at]
    return " -> ".join(label(graph.node[i]) for i in reversed(loop))


def drop_dead(graph: onnx.GraphProto) -> None:
    """Remove the nodes and constants on which no output depends; the nodes must be sorted."""
    needed = {value.name for value in graph.output}
    nodes: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(names_read(node))
            nodes.append(node)
    replace(graph.node, reversed(nodes))
    for i in reversed(range(len(graph.initializer))):
        if graph.initializer[i].name not in needed:
            del graph.initializer[i]
    for i in reversed(range(len(graph.sparse_initializer))):
        if graph.sparse_initializer[i].values.name not in needed:
            del graph.sparse_initializer[i]


def name_nodes(graph: onnx.GraphProto) -> None:
    """Keep unique names of nodes; name other nodes after their kind and first output."""
    count = Counter(node.name for node in graph.node)
    taken = {name for name in count if count[name] == 1} - {""}
    for node in graph.node:
        if node.name not in taken:
            node.name = f"{node.op_type}_{next(filter(None, node.output), '')}"
            while node.name in taken:
                node.name += "_"
            taken.add(node.name)


def _name_domain(proto: onnx.ModelProto) -> None:
    """Write the standard domain, which has two names, as ""."""
    pending = [proto.graph.node, *(function.node for function in proto.functions)]
    while pending:
        for node in pending.pop():
            if node.domain == "ai.onnx":
                node.domain = ""
            pending += [inner.node for inner in inner_graphs(node)]
    for owner in (proto, *proto.functions):
        versions: dict[str, int] = {}
        for entry in owner.opset_import:
            domain = "" if entry.domain == "ai.onnx" else entry.domain
            versions[domain] = max(versions.get(domain, 0), entry.version)
        replace(owner.opset_import, [helper.make_opsetid(domain, version) for domain, version in versions.items()])


def _fill_empty(graph: onnx.GraphProto) -> None:
    """Give Resize operators an empty tensor for each input named ""."""
    nodes = [node for node in graph.node if node.op_type == "Resize" and "" in node.input]
    if not nodes:
        return
    names = {value.name for value in (*graph.input, *graph.initializer)} | {t for n in graph.node for t in n.output}
    empty = "empty"
    while empty in names:
        empty += "_"
    graph.initializer.append(helper.make_tensor(empty, onnx.TensorProto.FLOAT, [0], []))
    for node in nodes:
        node.input[:] = [name or empty for name in node.input]


def opset_of(proto: onnx.ModelProto) -> int:
    """The version of the standard operators that a model uses."""
    return max((int(entry.version) for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def replace(field: object, items: Iterable[object]) -> None:
    """Give a repeated field of a protobuf message other items."""
    content = list(items)
    del field[:]  # type: ignore[attr-defined]
    field.extend(content)  # type: ignore[attr-defined]
