"""What rounding may do to the outputs of a model: Monte Carlo arithmetic on the reference engine.

After every operator, and on every input, floats are multiplied by a random factor within the rounding error of a
precision; what the outputs make of that over several draws is what rounding explains. The spread tells an operator that
amplifies rounding, such as a difference of two almost equal numbers, from one that is wrong (D. S. Parker, "Monte Carlo
arithmetic", UCLA CSD-970002, 1997). All draws are in float64 where the reference engine has that: in float32 it is not
exact either, such as its sigmoid of large negative numbers, and a device may be more so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hetsim.core.errors import ModelError
from hetsim.core.sources import Precision
from hetsim.models.nodes import rename_tensors
from hetsim.models.reference import evaluate

_NOISE: Mapping[Precision, float] = {"f32": 2.0**-22, "f16": 2.0**-11, "bf16": 2.0**-8, "i8": 2.0**-7}
"""By precision, the largest relative error of a float that is stored in it; for i8, relative to the whole tensor. That
of f32 is four units, the least for which the random generator draws more than two different factors near 1."""
_ROUNDED: Mapping[Precision, int] = {"f16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
_NUM_DRAWS = 8
_MARGIN = 16.0
"""Rounding errors of a sum add up; and of many elements, some are hardly moved by all draws."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """By output, the range of each element over all draws.

    Attributes:
        expected: The reference engine's outputs.
        exact: The same in float64 where possible, rounded to the output's type, without noise.
        low: The least value of each element, in float64 or the type of the output.
        high: The largest.
    """

    expected: Mapping[str, np.ndarray]
    exact: Mapping[str, np.ndarray]
    low: Mapping[str, np.ndarray]
    high: Mapping[str, np.ndarray]

    def explains(self, name: str, found: Any, *, tolerance: float) -> bool:
        """Whether rounding explains every element of an output.

        Args:
            name: The output.
            found: What a device computed.
            tolerance: An error that is allowed in any case, relative to the largest finite magnitude expected; floats.
        """
        expected = self.expected.get(name)
        if expected is None or not _is_numeric(found):
            return False
        if found.shape != expected.shape or found.dtype != expected.dtype:
            return False
        low, high = self.low[name], self.high[name]
        if _is_float(expected):
            right, exact = expected.astype(np.float64), self.exact[name].astype(np.float64)
            with np.errstate(invalid="ignore"):
                slack = _MARGIN * np.maximum(high - exact, exact - low) + tolerance * _scale(right)
                within = (np.fmin(right, exact) - slack <= found) & (found <= np.fmax(right, exact) + slack)
            return bool((within | _same(found.astype(np.float64), right)).all())
        return bool(((low <= found) & (found <= high)).all())

    def relative(self, name: str) -> float:
        """The largest distance of a draw from an output, relative to the largest finite magnitude expected in it."""
        if name not in self.expected:
            return 0.0
        right = self.expected[name].astype(np.float64)
        with np.errstate(invalid="ignore"):
            distance = np.maximum(self.high[name] - right, right - self.low[name])
        return float(np.max(distance, where=np.isfinite(distance), initial=0.0)) / _scale(right)


def rounding_spread(
    proto: onnx.ModelProto,
    inputs: Mapping[str, Any],
    precision: Precision,
    *,
    seed: int = 0,
    custom_ops: Sequence[str] = (),
) -> Spread:
    """The range of each output over draws of rounding errors; outputs that are no arrays of numbers are left out.

    Args:
        proto: The model.
        inputs: A value for each of its inputs.
        precision: The precision that it is computed in.
        seed: Seed of the draws.
        custom_ops: Libraries of its custom operators.

    Raises:
        ModelError: If the reference engine cannot run the model.
    """
    every = evaluate(proto, inputs, custom_ops=custom_ops)
    expected = {name: value for name, value in every.items() if _is_numeric(value)}
    base, exact = _most_exact(proto, inputs, expected, custom_ops)
    low, high = {}, {}  # around the exact value, as the reference's own error is no part of the spread
    for name, array in exact.items():
        low[name] = high[name] = _comparable(array)
        if not _is_float(array):
            low[name], high[name] = np.fmin(array, expected[name]), np.fmax(array, expected[name])
    for draw in _draws(base, precision, seed):
        try:
            found = evaluate(draw, inputs, custom_ops=custom_ops)
        except ModelError:  # an operator that is too new for the model's opset, or a noisy index out of bounds
            continue
        for name, right in expected.items():
            if found[name].shape == right.shape:
                low[name] = np.fmin(low[name], _comparable(found[name]))
                high[name] = np.fmax(high[name], _comparable(found[name]))
    return Spread(expected=expected, exact=exact, low=low, high=high)


def _most_exact(
    proto: onnx.ModelProto,
    inputs: Mapping[str, Any],
    expected: Mapping[str, np.ndarray],
    custom_ops: Sequence[str],
) -> tuple[onnx.ModelProto, Mapping[str, np.ndarray]]:
    """The model in float64 with its outputs, or the model itself if the reference engine does not have that."""
    wide = _in_double(proto)
    try:
        found = evaluate(wide, inputs, custom_ops=custom_ops)
    except ModelError:
        return proto, expected
    if any(found[name].shape != right.shape or found[name].dtype != right.dtype for name, right in expected.items()):
        return proto, expected
    return wide, {name: found[name] for name in expected}


def _draws(proto: onnx.ModelProto, precision: Precision, seed: int) -> Iterator[onnx.ModelProto]:
    """The model that rounds to nearest, if the precision is below float32, and some with noise."""
    types = _float_types(proto)
    if precision in _ROUNDED:
        yield _altered(proto, types, precision, None)
    for draw in range(_NUM_DRAWS):
        yield _altered(proto, types, precision, seed + draw)


def _in_double(proto: onnx.ModelProto) -> onnx.ModelProto:
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


def _altered(
    proto: onnx.ModelProto, types: Mapping[str, int], precision: Precision, seed: int | None
) -> onnx.ModelProto:
    """The model with every float that it is given or makes rounded, or made noisy if there is a seed."""
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    graph = result.graph
    del graph.node[:]
    altered = {value.name: f"{value.name}/noisy" for value in graph.input if value.name in types}
    outputs = {value.name for value in graph.output}
    for name, noisy in altered.items():
        graph.node.extend(_noise(name, noisy, types[name], precision, _seed(seed, len(graph.node))))
    for node in proto.graph.node:
        copy = graph.node.add()
        copy.CopyFrom(node)
        rename_tensors(copy, lambda name: altered.get(name, name))
        for place, name in enumerate(node.output):
            if name in types:
                clean, noisy = f"{name}/clean", name if name in outputs else f"{name}/noisy"
                copy.output[place] = clean
                graph.node.extend(_noise(clean, noisy, types[name], precision, _seed(seed, len(graph.node))))
                altered[name] = noisy
    del graph.value_info[:]
    return result


def _seed(seed: int | None, place: int) -> float | None:
    return None if seed is None else float(1 + seed * 1_000_003 + place)


def _noise(name: str, noisy: str, kind: int, precision: Precision, seed: float | None) -> list[onnx.NodeProto]:
    """Nodes that make ``noisy`` from a float tensor."""
    size = _NOISE[precision]
    random = f"{noisy}/random"
    if seed is None:
        return [
            helper.make_node("Cast", [name], [random], to=_ROUNDED[precision]),
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


def _float_types(proto: onnx.ModelProto) -> dict[str, int]:
    """By name, the type of each tensor of float32 or float64 that is not a weight."""
    graph = onnx.shape_inference.infer_shapes(proto).graph
    types = {value.name: value.type.tensor_type for value in (*graph.input, *graph.value_info, *graph.output)}
    return {
        name: kind.elem_type
        for name, kind in types.items()
        if kind.elem_type in (TensorProto.FLOAT, TensorProto.DOUBLE)
    }


def _is_numeric(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind not in "OUS"


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def _comparable(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if _is_float(array) else array


def _same(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    same: np.ndarray = (found == expected) | (np.isnan(found) & np.isnan(expected))
    return same


def _scale(expected: np.ndarray) -> float:
    finite = np.abs(expected[np.isfinite(expected)])
    return float(finite.max(initial=0.0)) or 1.0
