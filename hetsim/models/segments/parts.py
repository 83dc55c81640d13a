"""Parts of a model side by side, each with its own inputs: a model without connections between its parts.

It serves wherever segments or operators are run by themselves: to measure two at once, to probe what a device makes of
an operator, to find the operator at which a device begins to deviate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx

from hetsim.core.graph import Graph
from hetsim.models.model import Model
from hetsim.models.nodes import names_read, rename_tensors
from hetsim.models.reference import serialized
from hetsim.models.source import Source


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Parts of a model as a model of their own.

    Attributes:
        model: The parts side by side. Part number ``i`` calls tensor ``x`` of the whole model ``i/x``.
        ops: By part, the names of its operators in :attr:`model`.
        inputs: By part, the tensors of the whole model that it reads.
        outputs: By part, the tensors of the whole model that it hands out.
    """

    model: Model
    ops: tuple[tuple[str, ...], ...]
    inputs: tuple[tuple[str, ...], ...]
    outputs: tuple[tuple[str, ...], ...]

    def feed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Inputs for :attr:`model` from values of the whole model's tensors."""
        return {own_name(i, tensor): values[tensor] for i, tensors in enumerate(self.inputs) for tensor in tensors}


def own_name(part: int, name: str) -> str:
    """The name that a part, given by its number, has for a tensor or operator of the whole model."""
    return f"{part}/{name}"


def side_by_side(model: Model, parts: Sequence[tuple[str, ...]]) -> Parts:
    """Parts of a model as a model of their own, weights copied.

    Args:
        model: The whole model, not a rewritten one.
        parts: By part, a convex set of its operators in topological order; a part may occur several times.

    Raises:
        ModelError: If the parts' weights exceed what a protobuf message can hold.
    """
    graph, source = model.graph, model.proto
    proto = onnx.ModelProto(ir_version=source.ir_version, opset_import=source.opset_import)
    proto.graph.name = "graph"
    values = {value.name: value for value in (*source.graph.input, *source.graph.value_info, *source.graph.output)}
    ops, tensors = [], {}
    inputs = tuple(graph.inputs_of(part) for part in parts)
    outputs = tuple(graph.outputs_of(part) for part in parts)
    for i, part in enumerate(parts):
        nodes = [node for op in part for node in model.nodes_of(op)]
        read = dict.fromkeys(name for node in nodes for name in names_read(node))
        for name in read:
            if name in model.weights:
                weight = proto.graph.initializer.add()
                weight.CopyFrom(model.weights[name])
                weight.name = own_name(i, name)
        rename = _renamer(i, nodes, (*read, *inputs[i]))
        for node in nodes:
            copy = proto.graph.node.add()
            copy.CopyFrom(node)
            copy.name = own_name(i, node.name)
            rename_tensors(copy, rename)
        for names, declared in ((inputs[i], proto.graph.input), (outputs[i], proto.graph.output)):
            for name in names:
                value = declared.add()
                value.CopyFrom(values[name])
                value.name = own_name(i, name)
        for name in (*inputs[i], *(tensor for op in part for tensor in graph.by_name[op].outputs)):
            tensors[own_name(i, name)] = replace(graph.tensors[name], name=own_name(i, name))
        ops += [
            replace(
                graph.by_name[op],
                name=own_name(i, op),
                inputs=tuple(own_name(i, tensor) for tensor in graph.by_name[op].inputs),
                outputs=tuple(own_name(i, tensor) for tensor in graph.by_name[op].outputs),
            )
            for op in part
        ]
    return Parts(
        model=Model(
            graph=Graph(
                name=f"parts of {model.name}",
                ops=tuple(ops),
                tensors=tensors,
                inputs=tuple(own_name(i, name) for i, names in enumerate(inputs) for name in names),
                outputs=tuple(own_name(i, name) for i, names in enumerate(outputs) for name in names),
            ),
            proto=proto,
            hash=hashlib.sha256(serialized(proto)).hexdigest(),
            regions=_regions(model, parts),
            source=Source(load=None, custom_ops=model.custom_ops),
        ),
        ops=tuple(tuple(own_name(i, op) for op in part) for i, part in enumerate(parts)),
        inputs=inputs,
        outputs=outputs,
    )


def _regions(model: Model, parts: Sequence[tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The nodes of the parts' operators that are regions, by the parts' own names."""
    return {
        own_name(i, op): tuple(own_name(i, node) for node in model.regions[op])
        for i, part in enumerate(parts)
        for op in part
        if op in model.regions
    }


def _renamer(part: int, nodes: Sequence[onnx.NodeProto], read: Iterable[str]) -> Callable[[str], str]:
    outer = {*read, *(name for node in nodes for name in node.output)}
    return lambda name: own_name(part, name) if name in outer else name
