"""What rounding may do to the outputs of a model: Monte Carlo arithmetic on the reference engine.

After every operator, and on every input, floats are multiplied by a random factor within the rounding error of a
precision; what the outputs make of that over several draws is what rounding explains. The spread tells an operator that
amplifies rounding, such as a difference of two almost equal numbers, from one that is wrong (D. S. Parker, "Monte Carlo
arithmetic", UCLA CSD-970002, 1997).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

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
        expected: The outputs without noise.
        low: The least value of each element, in float64 or the type of the output.
        high: The largest.
    """

    expected: Mapping[str, np.ndarray]
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
            right = expected.astype(np.float64)
            with np.errstate(invalid="ignore"):
                slack = _MARGIN * np.maximum(high - right, right - low) + tolerance * _scale(right)
                low, high = right - slack, right + slack
                within = (low <= found) & (found <= high)
            return bool((within | _same(found.astype(np.float64), right)).all())
        return bool(((low <= found) & (found <= high)).all())


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
    types = _float_types(proto)
    low = {name: _comparable(array) for name, array in expected.items()}
    high = dict(low)
    for draw in _draws(proto, types, precision, seed):
        try:
            found = evaluate(draw, inputs, custom_ops=custom_ops)
        except ModelError:  # an operator that is too new for the model's opset, or a noisy index out of bounds
            continue
        for name, right in expected.items():
            if found[name].shape == right.shape:
                low[name] = np.fmin(low[name], _comparable(found[name]))
                high[name] = np.fmax(high[name], _comparable(found[name]))
    return Spread(expected=expected, low=low, high=high)


def _draws(
    proto: onnx.ModelProto, types: Mapping[str, int], precision: Precision, seed: int
) -> Iterator[onnx.ModelProto]:
    """Models with noise; of less precise arithmetic than float32, first the one that rounds to nearest."""
    if precision in _ROUNDED:
        yield _altered(proto, types, precision, None)
    for draw in range(_NUM_DRAWS):
        yield _altered(proto, types, precision, seed + draw)


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
