"""Models changed so that rounding shows: in float64, rounded to a precision, or with noise on every float."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hetsim.core.sources import Precision
from hetsim.models.nodes import rename_tensors

NOISE: Mapping[Precision, float] = {"f32": 2.0**-22, "f16": 2.0**-11, "bf16": 2.0**-8, "i8": 2.0**-7}
"""By precision, the largest relative error of a float that is stored in it; for i8, relative to the whole tensor. That
of f32 is four units, the least for which the random generator draws more than two different factors near 1."""
ROUNDED: Mapping[Precision, int] = {"f16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
"""By precision, the type that floats are rounded to."""
_ITEM_BYTES: Mapping[int, int] = {TensorProto.FLOAT: 4, TensorProto.DOUBLE: 8}
_LARGE = 1024  # elements; a weight of more is left out where only the structure of a model counts


@dataclass(frozen=True, slots=True)
class FloatTensor:
    """The element type of a tensor of float32 or float64, and its shape; None if not known, or without elements."""

    kind: int
    shape: tuple[int, ...] | None

    @property
    def num_bytes(self) -> float:
        """Its size in bytes; infinite if it is not known."""
        return math.inf if self.shape is None else math.prod(self.shape) * _ITEM_BYTES[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A random tensor of a noisy model: the node that would draw it, its type, and the place that seeds it."""

    node: onnx.NodeProto
    tensor: FloatTensor
    place: int


def in_double(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with float64 in the place of float32, between inputs and outputs of the same types as before."""
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    graph = result.graph
    del graph.node[:], graph.value_info[:]
    wide = {value.name for value in graph.input if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    narrow = {value.name for value in graph.output if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    graph.node.extend(
        helper.make_node("Cast", [name], [f"{name}/wide"], to=TensorProto.DOUBLE) for name in sorted(wide)
    )
    for node in proto.graph.node:
        copy = graph.node.add()
        copy.CopyFrom(node)
        made = {name for name in node.output if name in narrow}
        rename_tensors(copy, lambda name: f"{name}/wide" if name in wide or name in narrow else name)
        for attribute in copy.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE
        graph.node.extend(
            helper.make_node("Cast", [f"{name}/wide"], [name], to=TensorProto.FLOAT) for name in sorted(made)
        )
    return result


def altered(
    proto: onnx.ModelProto, types: Mapping[str, FloatTensor], precision: Precision, seed: int | None
) -> onnx.ModelProto:
    """The model with every float that it is given or makes rounded, or made noisy if there is a seed."""
    return _altered(proto, types, precision, seed, None)


def altered_by_factors(
    proto: onnx.ModelProto, types: Mapping[str, FloatTensor], precision: Precision
) -> tuple[onnx.ModelProto, list[Factor]]:
    """The noisy model with its random factors as further inputs, and the factors; the types have shapes."""
    factors: list[Factor] = []
    return _altered(proto, types, precision, 0, factors), factors


def factor_model(factors: Sequence[Factor], seed: int) -> onnx.ModelProto:
    """A model without inputs that draws the factors as the noisy model of that seed would."""
    nodes, outputs = [], []
    for factor in factors:
        (name,), tensor = factor.node.output, factor.tensor
        limits = {item.name: item.f for item in factor.node.attribute if item.name in ("low", "high")}
        drawn = name if tensor.shape else f"{name}/drawn"
        attributes = {"dtype": tensor.kind, "shape": tensor.shape or (1,), "seed": _seed(seed, factor.place), **limits}
        nodes.append(helper.make_node("RandomUniform", [], [drawn], **attributes))
        if not tensor.shape:
            nodes.append(helper.make_node("Squeeze", [drawn], [name]))
        outputs.append(helper.make_tensor_value_info(name, tensor.kind, tensor.shape))
    graph = helper.make_graph(nodes, "factors", [], outputs)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])


def _altered(
    proto: onnx.ModelProto,
    types: Mapping[str, FloatTensor],
    precision: Precision,
    seed: int | None,
    factors: list[Factor] | None,
) -> onnx.ModelProto:
    """The altered model; its random factors are collected and become inputs if there is a list for them."""
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    graph = result.graph
    del graph.node[:]

    def alter(name: str, noisy: str, tensor: FloatTensor) -> None:
        place = len(graph.node) + len(factors or ())
        nodes = _noise(name, noisy, tensor.kind, precision, _seed(seed, place))
        if factors is not None:
            random = nodes.pop(0)
            factors.append(Factor(node=random, tensor=tensor, place=place))
            graph.input.append(helper.make_tensor_value_info(random.output[0], tensor.kind, tensor.shape))
        graph.node.extend(nodes)

    renamed = {value.name: f"{value.name}/noisy" for value in graph.input if value.name in types}
    outputs = {value.name for value in graph.output}
    for name, noisy in renamed.items():
        alter(name, noisy, types[name])
    for node in proto.graph.node:
        copy = graph.node.add()
        copy.CopyFrom(node)
        rename_tensors(copy, lambda name: renamed.get(name, name))
        for place, name in enumerate(node.output):
            if name in types:
                noisy = name if name in outputs else f"{name}/noisy"
                copy.output[place] = f"{name}/clean"
                alter(f"{name}/clean", noisy, types[name])
                renamed[name] = noisy
    del graph.value_info[:]
    return result


def float_types(proto: onnx.ModelProto) -> dict[str, FloatTensor]:
    """By name, each tensor of float32 or float64 that is not a weight."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    given = {value.name for value in proto.graph.input}
    graph = onnx.shape_inference.infer_shapes(without_weights(proto)).graph
    types = {value.name: value.type.tensor_type for value in (*graph.input, *graph.value_info, *graph.output)}
    return {
        name: FloatTensor(kind=kind.elem_type, shape=_shape(kind))
        for name, kind in types.items()
        if kind.elem_type in _ITEM_BYTES and (name in given or name not in weights)
    }


def _shape(kind: onnx.TypeProto.Tensor) -> tuple[int, ...] | None:
    dims = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in kind.shape.dim]
    return tuple(dims) if kind.HasField("shape") and all(dim > 0 for dim in dims) else None


def without_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its large weights as inputs, which takes a moment to copy, load and look at."""
    result = onnx.ModelProto(
        ir_version=proto.ir_version, opset_import=proto.opset_import, functions=proto.functions, domain=proto.domain
    )
    graph, source = result.graph, proto.graph
    graph.name = source.name
    for field in ("node", "input", "output", "value_info", "sparse_initializer"):
        getattr(graph, field).extend(getattr(source, field))
    given = {value.name for value in source.input}
    for tensor in source.initializer:
        if tensor.data_type != TensorProto.FLOAT or math.prod(tensor.dims) <= _LARGE:
            graph.initializer.append(tensor)
        elif tensor.name not in given:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return result


def _seed(seed: int | None, place: int) -> float | None:
    return None if seed is None else float(1 + seed * 1_000_003 + place)


def _noise(name: str, noisy: str, kind: int, precision: Precision, seed: float | None) -> list[onnx.NodeProto]:
    """Nodes that make ``noisy`` from a float tensor."""
    size = NOISE[precision]
    random = f"{noisy}/random"
    if seed is None:
        return [
            helper.make_node("Cast", [name], [random], to=ROUNDED[precision]),
            helper.make_node("Cast", [random], [noisy], to=kind),
        ]
    if precision != "i8":
        return [
            helper.make_node("RandomUniformLike", [name], [random], low=1 - size, high=1 + size, seed=seed),
            helper.make_node("Mul", [name, random], [noisy]),
        ]
    return [
        helper.make_node("RandomUniformLike", [name], [random], low=-size, high=size, seed=seed),
        helper.make_node("Abs", [name], [f"{noisy}/magnitude"]),
        helper.make_node("ReduceMax", [f"{noisy}/magnitude"], [f"{noisy}/largest"], keepdims=0),
        helper.make_node("Mul", [random, f"{noisy}/largest"], [f"{noisy}/error"]),
        helper.make_node("Add", [name, f"{noisy}/error"], [noisy]),
    ]
