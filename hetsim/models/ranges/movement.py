"""Ranges of what operators that move values make, and of indices, sizes and truth values."""

from __future__ import annotations

import math

import onnx
from onnx import numpy_helper

from hetsim.models.ranges.facts import Facts, Rule, kinds
from hetsim.models.ranges.interval import ANY_FINITE, ANYTHING, BOOLEAN, Interval, array_interval

_ZERO = Interval(0, 0)


def _first(facts: Facts) -> Interval:
    return facts.interval(0)


def _first_or_zero(facts: Facts) -> Interval:
    return facts.interval(0).hull(_ZERO)


def _all(facts: Facts) -> Interval:
    return facts.interval(0).hull(*(facts.interval(i) for i in range(1, len(facts.node.input))))


def _pad(facts: Facts) -> Interval:
    if facts.attribute("mode", b"constant") != b"constant":
        return facts.interval(0)
    if facts.given(2):
        return facts.interval(0).hull(facts.interval(2))
    value = facts.attribute("value", 0.0)
    return facts.interval(0).hull(_ZERO, Interval(value, value) if isinstance(value, float) else _ZERO)


def _where(facts: Facts) -> Interval:
    return facts.interval(1).hull(facts.interval(2))


def _scatter(facts: Facts) -> Interval:
    reduction = facts.attribute("reduction", b"none")
    if reduction in (b"add", b"mul"):
        return ANY_FINITE
    return facts.interval(0).hull(facts.interval(2))


def _index_on_axis(facts: Facts) -> Interval:
    size = facts.axis_size()
    return ANY_FINITE if size is None else Interval(0, max(0, size - 1))


def _top_k(facts: Facts) -> tuple[Interval, ...]:
    shape, axis = facts.shape(0), facts.attribute("axis", -1)
    size = shape[axis] if shape and isinstance(axis, int) else None
    return facts.interval(0), ANY_FINITE if size is None else Interval(0, max(0, size - 1))


def _max_pool(facts: Facts) -> tuple[Interval, ...]:
    shape = facts.shape(0)
    return facts.interval(0), ANY_FINITE if shape is None else Interval(-1, max(0, math.prod(shape) - 1))


def _non_zero(facts: Facts) -> Interval:
    shape = facts.shape(0)
    return ANY_FINITE if not shape else Interval(0, max(0, max(shape) - 1))


def _size(facts: Facts) -> Interval:
    shape = facts.shape(0)
    if shape is None:
        return Interval(0, 2**62)
    return Interval(0, math.prod(shape) if facts.node.op_type == "Size" else max(shape, default=0))


def _dropout(facts: Facts) -> tuple[Interval, ...]:
    return facts.interval(0), BOOLEAN


def _one_hot(facts: Facts) -> Interval:
    return facts.interval(2)


def _constant_of_shape(facts: Facts) -> Interval:
    value = facts.attribute("value")
    if not isinstance(value, onnx.TensorProto):
        return _ZERO
    return array_interval(numpy_helper.to_array(value)) or ANY_FINITE


def _extreme(facts: Facts) -> Interval:
    """Of an extreme, which is the end of the type where there are no elements."""
    shape = facts.shape(0)
    return ANYTHING if shape is None or 0 in shape else facts.interval(0)


def _boolean(_: Facts) -> Interval:
    return BOOLEAN


_MOVING = kinds(
    "Identity Reshape Transpose Squeeze Unsqueeze Flatten Expand Tile Slice Gather GatherElements GatherND Split "
    "DepthToSpace SpaceToDepth ReverseSequence Compress GlobalMaxPool Upsample"
)
_TRUTH = kinds(
    "Equal Less LessOrEqual Greater GreaterOrEqual And Or Xor Not IsNaN IsInf StringContains Hardmax EyeLike Bernoulli"
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(_MOVING, _first),
    **dict.fromkeys(("ReduceMax", "ReduceMin"), _extreme),
    **dict.fromkeys(("Trilu", "CenterCropPad", "MaxUnpool"), _first_or_zero),
    **dict.fromkeys(("Concat", "Mean"), _all),
    **dict.fromkeys(("ScatterElements", "ScatterND", "Scatter"), _scatter),
    **dict.fromkeys(("ArgMax", "ArgMin"), _index_on_axis),
    **dict.fromkeys(("Shape", "Size"), _size),
    **dict.fromkeys(_TRUTH, _boolean),
    "Pad": _pad,
    "Where": _where,
    "TopK": _top_k,
    "MaxPool": _max_pool,
    "NonZero": _non_zero,
    "Dropout": _dropout,
    "OneHot": _one_hot,
    "ConstantOfShape": _constant_of_shape,
}
"""By operator kind; what it makes has no other values than these."""
