"""What OpenVINO's CPU plugin takes and then computes otherwise than the ONNX standard says.

Found by running ONNX's conformance suite on it (OpenVINO 2026.4). A wrong answer is worse than none, so segments with
these operators are refused, and go to another device. Where only the last digits differ, which no network minds, they
are refused if the device is asked to be strict. Integers of 64 bits, which the plugin computes in 32, are let through:
indices and shapes are of that type, and they are small.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import NodeProto, TensorProto

_SIGNED = (TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64)
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


def deviation(model: onnx.ModelProto, *, strict: bool) -> str | None:
    """Why OpenVINO would compute a segment wrongly, in words; None if nothing is known against it.

    Args:
        model: The segment.
        strict: Whether results that are merely less precise than float32 allows count too.
    """
    graph = model.graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output, *graph.value_info)}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    constants = {tensor.name for tensor in graph.initializer}
    if TensorProto.DOUBLE in types.values():
        return "it has float64 tensors, which OpenVINO computes in float32"
    for node in graph.node:
        description = _wrong(node, types)
        if description is None and strict:
            description = _imprecise(node, constants)
        if description is not None:
            return f"operator {node.name!r} ({node.op_type}): OpenVINO {description}"
    return None


def _wrong(node: NodeProto, types: Mapping[str, int]) -> str | None:
    kind = types.get(node.input[0]) if node.input else None  # None: a tensor inside the segment
    match node.op_type:
        case "BitShift" if kind is None or kind in _SIGNED:
            return "shifts signed integers otherwise"
        case "Cast" if _attribute(node, "to") == TensorProto.DOUBLE:
            return "computes float64 in float32"
        case "LSTM" if len(node.input) > 7 and node.input[7]:
            return "ignores peepholes"
        case "ReduceMax" | "ReduceMin" if kind is None or kind in _FLOATS:
            return "takes infinities for the largest finite number"
        case "SpaceToDepth" if _attribute(node, "mode") == b"CRD":
            return "ignores the mode CRD"
    return None


def _imprecise(node: NodeProto, constants: set[str]) -> str | None:
    match node.op_type:
        case "DynamicQuantizeLinear":
            return "rounds by a reciprocal"
        case "QuantizeLinear" if node.input[1] not in constants:
            return "rounds by a reciprocal where the scale is not constant"
        case "Softplus":
            return "is off by a millionth, however small the result"
    return None


def _attribute(node: NodeProto, name: str) -> object:
    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), None)
