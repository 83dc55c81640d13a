"""Static shapes for every tensor of an ONNX model: given by the user, or inferred."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx
from onnx import helper, shape_inference

from hetsim.core.errors import ModelError
from hetsim.models.reference import one_line

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


def fix_input_shapes(graph: onnx.GraphProto, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, onnx.TypeProto]:
    """Give every dimension of every input its size, and remove the stated types of other tensors.

    Returns:
        By tensor, the removed types that are static; empty if a size of an input was open, since stated types may then
        belong to another size.
    """
    inputs = {value.name: value for value in graph.input}
    stated = {
        value.name: onnx.TypeProto.FromString(value.type.SerializeToString())
        for value in (*graph.value_info, *graph.output)
        if is_static(value.type)
    }
    were = [value.type.SerializeToString() for value in graph.input]
    sizes: dict[str, tuple[int, str]] = {}  # by symbolic dimension, its size and the input that gives it
    for name, shape in shapes.items():
        if name not in inputs:
            raise ModelError(f"--shape names input {name!r}, but the inputs are {', '.join(inputs)}")
        _fix_shape(inputs[name], shape, sizes)
    for name, value in inputs.items():
        if not value.type.HasField("tensor_type"):
            raise ModelError(f"input {name!r} is a {value.type.WhichOneof('value')}; hetsim supports only tensors")
        shown = [_shown(dim) for dim in value.type.tensor_type.shape.dim]
        if not value.type.tensor_type.HasField("shape"):
            raise ModelError(f"input {name!r} has no shape; give it one, such as --shape {name}=1,3,224,224")
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param][0]
            if dim.dim_value <= 0 and name not in shapes:  # old exporters write 0 where a size is open
                example = ",".join(size if size.isdigit() else "1" for size in shown)
                raise ModelError(
                    f"input {name!r} of shape ({', '.join(shown)}) leaves dimension {i} ({shown[i]}) open; "
                    f"give its sizes, such as --shape {name}={example}"
                )
    for value in graph.output:
        if value.type.WhichOneof("value") not in (None, "tensor_type"):
            raise ModelError(
                f"output {value.name!r} is a {value.type.WhichOneof('value')}; hetsim supports only tensors"
            )
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    return stated if were == [value.type.SerializeToString() for value in graph.input] else {}


def is_static(kind: onnx.TypeProto) -> bool:
    """Whether a type has a shape without open sizes."""
    return kind.tensor_type.HasField("shape") and all(
        dim.HasField("dim_value") and dim.dim_value >= 0 for dim in kind.tensor_type.shape.dim
    )


def _fix_shape(value: onnx.ValueInfoProto, shape: tuple[int, ...], sizes: dict[str, tuple[int, str]]) -> None:
    """Give an input the shape that the user asks for, unless it contradicts the model."""
    asked = f"--shape {value.name}={','.join(map(str, shape))}"
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        tensor.shape.dim.extend(onnx.TensorShapeProto.Dimension() for _ in shape)
    dims = tensor.shape.dim
    stated = f"({', '.join(_shown(dim) for dim in dims)})"
    if len(dims) != len(shape):
        raise ModelError(f"{asked} has {len(shape)} dimensions, but the input is {stated}; give {len(dims)}")
    for i, (dim, size) in enumerate(zip(dims, shape, strict=True)):
        if size < 0:
            raise ModelError(f"{asked} makes dimension {i} {size}; sizes must not be negative")
        if dim.dim_value > 0 and dim.dim_value != size:
            raise ModelError(f"{asked} makes dimension {i} {size}, but the model fixes the input at {stated}")
        if dim.dim_param:
            known, source = sizes.setdefault(dim.dim_param, (size, value.name))
            if known != size:
                raise ModelError(f"{asked} makes {dim.dim_param!r} {size}, but for input {source!r} it is {known}")
        dim.dim_value = size


def _shown(dim: onnx.TensorShapeProto.Dimension) -> str:
    return str(dim.dim_value) if dim.dim_value > 0 else dim.dim_param or "?"


def infer_shapes(proto: onnx.ModelProto, stated: Mapping[str, onnx.TypeProto]) -> None:
    """Infer the shape of every tensor. A shape that depends on data is taken from ``stated``.

    Engines check their outputs, so a wrong stated shape is an error when the model runs.
    """
    light = without_weights(proto)
    inferred = _inferred(light)
    types = {value.name: value.type for value in (*inferred.graph.value_info, *inferred.graph.output)}
    outputs = {value.name: value for value in light.graph.output}
    added = 0
    for node in reversed(light.graph.node):
        for tensor in node.output:
            if tensor in stated and tensor in types and not is_static(types[tensor]):
                types[tensor].tensor_type.shape.CopyFrom(stated[tensor].tensor_type.shape)
                if tensor in outputs:
                    outputs[tensor].type.CopyFrom(types[tensor])
                else:
                    light.graph.value_info.append(onnx.ValueInfoProto(name=tensor, type=types[tensor]))
                added += 1
        if node.op_type in _KEEPS_SHAPE and node.output[0] in types and is_static(types[node.output[0]]):
            stated = {**stated, node.input[0]: types[node.output[0]]}
    if added:
        inferred = _inferred(light)
    del proto.graph.output[:]
    proto.graph.output.extend(inferred.graph.output)
    proto.graph.value_info.extend(inferred.graph.value_info)


def _inferred(light: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return shape_inference.infer_shapes(light, check_type=True, strict_mode=True, data_prop=True)
    except (shape_inference.InferenceError, ValueError) as error:
        raise ModelError(f"shapes do not fit: {one_line(error)}") from None
