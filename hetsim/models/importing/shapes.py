"""Static shapes for every tensor of an ONNX model: given by the user, or inferred."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import onnx
from onnx import helper, shape_inference

from hetsim.core.errors import ModelError
from hetsim.models.reference import one_line

Observed = dict[str, onnx.TypeProto]
"""By tensor, its type as runs of the model showed it."""

_KEEPS_SHAPE = ("Abs", "Cast", "Exp", "Identity", "Log", "Neg", "Relu", "Sigmoid", "Sqrt", "Tanh")
"""Operators whose output has the shape of their input."""

_MAX_LIGHT_ITEMS = 64  # shapes, axes and pads are smaller, and shape inference reads their values


def without_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model with its larger weights as inputs. It suffices for checks and shape inference."""
    graph = onnx.GraphProto(
        name=proto.graph.name,
        node=proto.graph.node,
        input=proto.graph.input,
        output=proto.graph.output,
        sparse_initializer=proto.graph.sparse_initializer,
    )
    inputs = {value.name for value in graph.input}
    for tensor in proto.graph.initializer:
        if math.prod(tensor.dims) <= _MAX_LIGHT_ITEMS:
            graph.initializer.append(tensor)
        elif tensor.name not in inputs:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import, graph=graph)


def is_static(kind: onnx.TypeProto) -> bool:
    """Whether a type has a shape without open sizes."""
    return kind.tensor_type.HasField("shape") and all(
        dim.HasField("dim_value") and dim.dim_value >= 0 for dim in kind.tensor_type.shape.dim
    )


def infer_shapes(
    proto: onnx.ModelProto, stated: Mapping[str, onnx.TypeProto], observe: Callable[[Sequence[str]], Observed]
) -> None:
    """Infer type and shape of every tensor as far as they do not depend on data.

    A shape that depends on data is taken from ``stated``. Of operators for which ONNX has no rule, such as those of
    other domains, types and shapes are observed; a shape counts if it was the same in each run. Engines check their
    outputs, so a wrong stated or observed shape is an error when the model runs.

    Args:
        proto: The model, whose stated types are replaced.
        stated: By tensor, a static type.
        observe: Runs the model, and gives the types of tensors.

    Raises:
        ModelError: If shapes do not fit.
    """
    light = without_weights(proto)
    inferred = _inferred(light)
    types = _types(inferred)
    stated = dict(stated)
    for node in reversed(light.graph.node):
        if node.op_type in _KEEPS_SHAPE and not node.domain and node.output[0] in stated:
            stated.setdefault(node.input[0], stated[node.output[0]])
        elif node.op_type in _KEEPS_SHAPE and is_static(types.get(node.output[0], onnx.TypeProto())):
            stated[node.input[0]] = types[node.output[0]]
    known = {
        tensor: onnx.TypeProto.FromString(types[tensor].SerializeToString())
        for node in light.graph.node
        for tensor in node.output
        if tensor in stated and tensor in types and not is_static(types[tensor])
    }
    for tensor, kind in known.items():
        kind.tensor_type.shape.CopyFrom(stated[tensor].tensor_type.shape)
    without_rule = [
        tensor
        for node in light.graph.node
        if not _has_rule(node)
        for tensor in filter(None, node.output)
        if not is_static(types.get(tensor, onnx.TypeProto())) and tensor not in known
    ]
    if without_rule:
        known |= observe(without_rule)
    if known:
        inferred = _inferred(_with_types(light, known))
    del proto.graph.output[:], proto.graph.value_info[:]
    proto.graph.output.extend(inferred.graph.output)
    proto.graph.value_info.extend(inferred.graph.value_info)


def _types(proto: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    return {value.name: value.type for value in (*proto.graph.value_info, *proto.graph.output)}


def _with_types(light: onnx.ModelProto, known: Mapping[str, onnx.TypeProto]) -> onnx.ModelProto:
    """The model with stated types of some tensors."""
    outputs = {value.name: value for value in light.graph.output}
    for tensor, kind in known.items():
        if tensor in outputs:
            outputs[tensor].type.CopyFrom(kind)
        else:
            light.graph.value_info.append(onnx.ValueInfoProto(name=tensor, type=kind))
    return light


def _has_rule(node: onnx.NodeProto) -> bool:
    """Whether ONNX knows how an operator's output shapes follow from its inputs, or that they depend on data."""
    domain = node.domain.removesuffix("ai.onnx")
    return bool(onnx.defs.has(node.op_type, domain)) and bool(
        onnx.defs.get_schema(node.op_type, domain).has_type_and_shape_inference_function
    )


def _inferred(light: onnx.ModelProto) -> onnx.ModelProto:
    """The model with inferred types; strictly where ONNX's rules accept what the engine has accepted."""
    try:
        return shape_inference.infer_shapes(light, check_type=True, strict_mode=True, data_prop=True)
    except (shape_inference.InferenceError, ValueError, RuntimeError):
        pass
    try:
        return shape_inference.infer_shapes(light, data_prop=True)
    except (shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise ModelError(f"shapes do not fit: {one_line(error)}") from None
