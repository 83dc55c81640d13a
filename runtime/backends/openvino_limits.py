"""Operators that OpenVINO's CPU plugin accepts and computes differently from the ONNX standard.

They were found by running ONNX's conformance suite (OpenVINO 2026.4). Segments with these operators are refused, so
they run on another device. Operators whose results differ only in the last digits are refused only if the device has
the option ``strict``. 64-bit integers, which the plugin computes in 32 bits, are accepted: they are indices and shapes,
and small.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import NodeProto, TensorProto

_SIGNED = (TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64)
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


def deviation(model: onnx.ModelProto, *, strict: bool) -> str | None:
    """The reason why OpenVINO would compute a segment wrongly; None if none is known.

    Args:
        model: The segment.
        strict: Whether results that are less precise than float32 allows count as wrong, too.
    """
    graph = model.graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output, *graph.value_info)}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    constants = {tensor.name for tensor in graph.initializer}
    if TensorProto.DOUBLE in types.values():
        return "it has float64 tensors, which OpenVINO computes in float32"
    for node in graph.node:
        reason = _wrong(node, types)
        if reason is None and strict:
            reason = _imprecise(node, constants)
        if reason is not None:
            return f"operator {node.name!r} ({node.op_type}): OpenVINO {reason}"
    return None


def _wrong(node: NodeProto, types: Mapping[str, int]) -> str | None:
    kind = types.get(node.input[0]) if node.input else None  # None: a tensor inside the segment
    match node.op_type:
        case "BitShift" if kind is None or kind in _SIGNED:
            return "shifts signed integers differently"
        case "Cast" if _attribute(node, "to") == TensorProto.DOUBLE:
            return "computes float64 in float32"
        case "LSTM" if len(node.input) > 7 and node.input[7]:
            return "ignores peepholes"
        case "ReduceMax" | "ReduceMin" if kind is None or kind in _FLOATS:
            return "treats infinity as the largest finite number"
        case "SpaceToDepth" if _attribute(node, "mode") == b"CRD":
            return "ignores the mode CRD"
    return None


def _imprecise(node: NodeProto, constants: set[str]) -> str | None:
    match node.op_type:
        case "DynamicQuantizeLinear":
            return "rounds after multiplying by a reciprocal"
        case "QuantizeLinear" if node.input[1] not in constants:
            return "rounds after multiplying by a reciprocal if the scale is not constant"
        case "Softplus":
            return "has an absolute error of one millionth, also for small results"
    return None


def _attribute(node: NodeProto, name: str) -> object:
    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), None)
