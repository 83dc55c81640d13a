"""From a tidied ONNX graph to a :class:`~hetsim.core.graph.Graph` with sizes and operation counts."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx
from onnx import TensorProto, helper

from hetsim.core.errors import ModelError
from hetsim.core.graph import Graph, Op, Tensor

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


def graph_of(graph: onnx.GraphProto, name: str) -> Graph:
    """The graph of a tidied model.

    Raises:
        ModelError: If there is no operator, or a tensor is of a type or shape that hetsim does not support.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    types = {value.name: value.type for value in (*graph.input, *graph.value_info, *graph.output)}
    tensors = {value.name: _tensor(value.name, value.type, "the model takes") for value in graph.input}
    ops: list[Op] = []
    for node in graph.node:
        for made in filter(None, node.output):
            tensors[made] = _tensor(made, types.get(made), f"operator {label(node)} makes")
        read = tuple(dict.fromkeys(filter(None, node.input)))
        shapes = {t: tuple(weights[t].dims) if t in weights else tensors[t].shape for t in read}
        ops.append(
            Op(
                name=node.name,
                kind=node.op_type,
                inputs=tuple(t for t in read if t not in weights),
                outputs=tuple(filter(None, node.output)),
                weight_bytes=sum(math.prod(shapes[t]) * item_bytes(weights[t].data_type) for t in read if t in weights),
                num_macs=_num_macs(node, shapes, tensors),
            )
        )
    if not ops:
        raise ModelError("no operator is left once its constants are folded; there is nothing to run")
    return Graph(
        name=name,
        ops=tuple(ops),
        tensors=tensors,
        inputs=tuple(value.name for value in graph.input),
        outputs=tuple(dict.fromkeys(value.name for value in graph.output)),
    )


def _tensor(name: str, kind: onnx.TypeProto | None, source: str) -> Tensor:
    """The tensor that a type describes.

    Raises:
        ModelError: If it is not a tensor, or its element type or shape is not supported.
    """
    if kind is not None and kind.WhichOneof("value") not in (None, "tensor_type"):
        raise ModelError(f"{source} {name!r}, a {kind.WhichOneof('value')}; hetsim supports only tensors")
    if kind is None or not kind.tensor_type.HasField("shape"):
        raise ModelError(f"{source} {name!r}, whose shape depends on the data; hetsim supports only static shapes")
    if kind.tensor_type.elem_type not in DTYPES:
        dtype = TensorProto.DataType.Name(kind.tensor_type.elem_type)
        raise ModelError(f"{source} {name!r} of element type {dtype}; supported are {', '.join(DTYPES.values())}")
    if any(not dim.HasField("dim_value") for dim in kind.tensor_type.shape.dim):
        raise ModelError(f"{source} {name!r}, whose shape depends on the data; hetsim supports only static shapes")
    shape = tuple(int(dim.dim_value) for dim in kind.tensor_type.shape.dim)
    return Tensor(name, shape, DTYPES[kind.tensor_type.elem_type])


def _num_macs(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor]) -> int:
    """Multiply-accumulate operations of convolutions and matrix products; 0 for all else."""
    match node.op_type:
        case "Conv":  # per output element, one filter
            return math.prod(tensors[node.output[0]].shape) * math.prod(shapes[node.input[1]][1:])
        case "ConvTranspose":  # per input element, one filter
            return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])
        case "Gemm":
            transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
            inner = shapes[node.input[0]][0 if transposed else 1]
            return math.prod(tensors[node.output[0]].shape) * inner
        case "MatMul":
            return math.prod(tensors[node.output[0]].shape) * shapes[node.input[0]][-1]
    return 0


def item_bytes(data_type: int) -> int:
    """Size of one element of an ONNX element type in bytes; 1 where it is smaller or unknown."""
    known = data_type in helper.get_all_tensor_dtypes()
    return int(helper.tensor_dtype_to_np_dtype(data_type).itemsize) if known else 1


def label(node: onnx.NodeProto) -> str:
    """The name of a node in messages."""
    return f"{node.name!r} ({node.op_type})"
