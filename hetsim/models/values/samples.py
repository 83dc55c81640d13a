"""Sample values for inputs of any ONNX type, and what a model makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hetsim.core.errors import ModelError
from hetsim.models.reference import evaluate

_INTEGERS = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
_OPEN_SIZE = 1  # what an open dimension gets


def sample_value(kind: onnx.TypeProto, rng: np.random.Generator) -> Any:
    """A random value of a type; open dimensions have size 1.

    Floats are drawn from the standard normal distribution; integers and booleans are 0 or 1, which are valid indices
    into any table with two rows; text is short. A sequence has one element, and an optional value is there.
    """
    match kind.WhichOneof("value"):
        case "sequence_type":
            return [sample_value(kind.sequence_type.elem_type, rng)]
        case "optional_type":
            return sample_value(kind.optional_type.elem_type, rng)
    tensor = kind.tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else _OPEN_SIZE for dim in tensor.shape.dim]
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if tensor.elem_type == onnx.TensorProto.STRING:
        return rng.choice(np.array(["a", "b", "text"], dtype=object), shape)
    if dtype.kind in "iub":
        return np.asarray(rng.integers(0, 2, shape)).astype(dtype)
    return np.asarray(rng.standard_normal(shape)).astype(dtype)


def compared_values(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    """By input of integers that is compared with constants, these; others may be values that the model is not for."""
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    inputs = {value.name for value in proto.graph.input}
    found: dict[str, list[np.ndarray]] = {}
    for node in proto.graph.node:
        if node.op_type == "Equal":
            for name, other in (node.input, reversed(node.input)):
                if name in inputs and other in constants and constants[other].data_type in _INTEGERS:
                    found.setdefault(name, []).append(numpy_helper.to_array(constants[other]).ravel())
    return {name: np.concatenate(values) for name, values in found.items() if sum(map(len, values))}


def observed_type(value: Any) -> onnx.TypeProto:
    """The ONNX type of a value that an engine made, with its shape."""
    if isinstance(value, list):
        inner = observed_type(value[0]) if value else helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
        return helper.make_sequence_type_proto(inner)
    if value is None:
        return helper.make_optional_type_proto(helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None))
    array = np.asarray(value)
    is_text = array.dtype.kind in "OUS"
    element = onnx.TensorProto.STRING if is_text else helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_type_proto(element, array.shape)


def common_type(one: onnx.TypeProto, other: onnx.TypeProto) -> onnx.TypeProto:
    """What two observed types of a tensor have in common: sizes that differ are open."""
    if one == other or one.WhichOneof("value") != "tensor_type" or other.WhichOneof("value") != "tensor_type":
        return one
    sizes = [dim.dim_value for dim in one.tensor_type.shape.dim], [dim.dim_value for dim in other.tensor_type.shape.dim]
    same_rank = len(sizes[0]) == len(sizes[1])
    shape = [a if a == b else None for a, b in zip(*sizes, strict=True)] if same_rank else None
    return helper.make_tensor_type_proto(one.tensor_type.elem_type, shape)


def observe(
    proto: onnx.ModelProto, inputs: Mapping[str, onnx.TypeProto], tensors: Sequence[str], custom_ops: Sequence[str] = ()
) -> dict[str, onnx.TypeProto]:
    """By tensor, its type in two runs on sample inputs; a size that differed is open. Empty if the model does not run.

    Args:
        proto: The model.
        inputs: The types of its inputs.
        tensors: The tensors.
        custom_ops: Libraries of its custom operators.
    """
    try:
        runs = [evaluate(proto, _sampled(proto, inputs, seed), tensors, custom_ops=custom_ops) for seed in range(2)]
    except ModelError:
        return {}
    return {name: common_type(*(observed_type(run[name]) for run in runs)) for name in tensors}


def examples_of(
    proto: onnx.ModelProto, inputs: Mapping[str, onnx.TypeProto], tensors: Sequence[str], custom_ops: Sequence[str] = ()
) -> dict[str, Any]:
    """By tensor, an example of its value; arguments as for :func:`observe`. Inputs alone if the model does not run."""
    values = _sampled(proto, inputs, 0)
    made = [name for name in tensors if name not in values]
    if made:
        with suppress(ModelError):
            values |= evaluate(proto, values, made, custom_ops=custom_ops)
    return values


def _sampled(proto: onnx.ModelProto, inputs: Mapping[str, onnx.TypeProto], seed: int) -> dict[str, Any]:
    rng, meant = np.random.default_rng(seed), compared_values(proto)
    values = {name: sample_value(kind, rng) for name, kind in inputs.items()}
    return values | {name: rng.choice(meant[name], np.shape(values[name])) for name in meant}
