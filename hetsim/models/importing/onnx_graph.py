"""From a tidied ONNX graph to a :class:`~hetsim.core.graph.Graph` with sizes and operation counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from hetsim.core.errors import ModelError
from hetsim.core.graph import Graph, Op, Tensor
from hetsim.models.importing.shapes import is_static
from hetsim.models.nodes import names_read

DTYPES: dict[int, str] = {
    TensorProto.BOOL: "bool",
    TensorProto.FLOAT16: "float16",
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.INT8: "int8",
    TensorProto.INT16: "int16",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.UINT8: "uint8",
    TensorProto.UINT16: "uint16",
    TensorProto.UINT32: "uint32",
    TensorProto.UINT64: "uint64",
}
"""By ONNX element type, NumPy's name of it; other types are not supported."""


def graph_of(
    graph: onnx.GraphProto,
    name: str,
    groups: Sequence[Sequence[onnx.NodeProto]],
    types: Mapping[str, onnx.TypeProto],
    examples: Mapping[str, Any],
) -> Graph:
    """The graph of a tidied model.

    Args:
        graph: The ONNX graph.
        name: Name of the network.
        groups: The nodes of each operator, in topological order; several for a region.
        types: The types of all tensors that flow between groups, to them or out of them.
        examples: By opaque input or output, an example of its value.

    Raises:
        ModelError: If there is no operator.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    inputs = tuple(value.name for value in graph.input)
    outputs = tuple(dict.fromkeys(value.name for value in graph.output))
    tensors = {tensor: _tensor(tensor, types[tensor], examples) for tensor in inputs}
    leaves = _leaving(groups, outputs)
    ops: list[Op] = []
    for nodes in groups:
        made = [tensor for node in nodes for tensor in filter(None, node.output)]
        own = tuple(made) if len(nodes) == 1 else tuple(tensor for tensor in made if tensor in leaves)
        tensors |= {tensor: _tensor(tensor, types[tensor], examples) for tensor in own}
        read = dict.fromkeys(tensor for node in nodes for tensor in names_read(node) if tensor not in made)
        ops.append(
            Op(
                name=region_name([node.name for node in nodes]),
                kind="+".join(dict.fromkeys(node.op_type for node in nodes)),
                inputs=tuple(tensor for tensor in read if tensor not in weights),
                outputs=own,
                weight_bytes=sum(
                    math.prod(weights[t].dims) * item_bytes(weights[t].data_type) for t in read if t in weights
                ),
                num_macs=sum(_num_macs(node, _shapes(node, weights, types)) for node in nodes),
            )
        )
    if not ops:
        raise ModelError("no operator is left once its constants are folded; there is nothing to run")
    return Graph(name=name, ops=tuple(ops), tensors=tensors, inputs=inputs, outputs=outputs)


def crosses(kind: onnx.TypeProto | None) -> bool:
    """Whether shared memory can hold a tensor of a type: its size is known, and its elements are numbers."""
    return kind is not None and is_static(kind) and kind.tensor_type.elem_type in DTYPES


def region_name(nodes: Sequence[str]) -> str:
    """The name of an operator that stands for nodes."""
    return nodes[0] if len(nodes) == 1 else f"{nodes[0]}..{nodes[-1]}"


def _leaving(groups: Sequence[Sequence[onnx.NodeProto]], outputs: Iterable[str]) -> set[str]:
    """The tensors that another group than their maker's reads, or that the caller gets."""
    group_of = {tensor: i for i, nodes in enumerate(groups) for node in nodes for tensor in node.output}
    read = {t for i, nodes in enumerate(groups) for node in nodes for t in names_read(node) if group_of.get(t, i) != i}
    return read | set(outputs)


def _tensor(name: str, kind: onnx.TypeProto, examples: Mapping[str, Any]) -> Tensor:
    """The tensor that a type describes."""
    if crosses(kind):
        shape = tuple(int(dim.dim_value) for dim in kind.tensor_type.shape.dim)
        return Tensor(name, shape, DTYPES[kind.tensor_type.elem_type])
    example = examples.get(name)
    if isinstance(example, np.ndarray) and example.dtype.name in DTYPES.values():
        return Tensor(name, example.shape, example.dtype.name, is_opaque=True)
    shape = example.shape if isinstance(example, np.ndarray) else ()
    return Tensor(name, shape, "object", is_opaque=True)


def _shapes(
    node: onnx.NodeProto, weights: Mapping[str, TensorProto], types: Mapping[str, onnx.TypeProto]
) -> dict[str, tuple[int, ...]]:
    """The shapes of what a node reads and makes, as far as they are known."""
    found = {}
    for name in (*node.input, *node.output):
        if name in weights:
            found[name] = tuple(weights[name].dims)
        elif name in types and is_static(types[name]):
            found[name] = tuple(int(dim.dim_value) for dim in types[name].tensor_type.shape.dim)
    return found


def _num_macs(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Multiply-accumulate operations of convolutions and matrix products; 0 for all else, and where a shape is open."""
    if node.domain or not all(name in shapes for name in (*node.input[:2], node.output[0])):
        return 0
    match node.op_type:
        case "Conv":  # per output element, one filter
            return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
        case "ConvTranspose":  # per input element, one filter
            return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])
        case "Gemm":
            transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
            return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]
        case "MatMul":
            return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return 0


def item_bytes(data_type: int) -> int:
    """Size of one element of an ONNX element type in bytes; 1 where it is smaller or unknown."""
    known = data_type in helper.get_all_tensor_dtypes()
    return int(helper.tensor_dtype_to_np_dtype(data_type).itemsize) if known else 1


def label(node: onnx.NodeProto) -> str:
    """The name of a node in messages."""
    return f"{node.name!r} ({node.op_type})"
