"""What operators demand of integers that they read: an index is below the size that it indexes, a divisor is not 0.

The reference engine answers other values with an error, or not at all, so that they cannot occur. Integers that say how
large something becomes, how often something is done or along which axis have useful values besides: small ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hetsim.models.ranges.facts import Facts
from hetsim.models.ranges.interval import ANY_FINITE, Interval, Number, is_integer, type_interval

PASSING = frozenset({"Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Tile", "Concat"})
"""Operators that hand on every element of what they read, so that what is demanded of the result is demanded of it."""

_AXES = {
    **dict.fromkeys(("CumSum", "CumProd", "Squeeze"), 1),
    **{f"Reduce{kind}": 1 for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum")},
    "ReduceSumSquare": 1,
}
"""By kind, the position of the axes that an operator is given."""

_MOST = 8
_SIZE = (1, _MOST)
_SMALL: dict[str, dict[int, tuple[Number, Number]]] = {
    **{kind: {0: _SIZE} for kind in ("BlackmanWindow", "HannWindow", "HammingWindow", "ConstantOfShape", "Loop")},
    **{kind: {1: _SIZE} for kind in ("CenterCropPad", "AffineGrid")},
    "Range": {0: (0, 3), 1: (4, _MOST), 2: (1, 2)},
    "Expand": {1: (1, 1)},
    "Tile": {1: (1, 3)},
    "Pad": {1: (0, 2)},
    "Resize": {2: (1, 1), 3: _SIZE},
    "Upsample": {1: (1, 1)},
    "Dropout": {1: (0, 0.5)},
    "Col2Im": {1: _SIZE, 2: _SIZE},
    "STFT": {1: _SIZE, 3: _SIZE},
    "MelWeightMatrix": {0: _SIZE, 1: (16, 32), 2: (8000, 16000)},
    "NonMaxSuppression": {2: _SIZE},
}
"""By kind and position, useful values of numbers that say how much there is of something."""

_TRAPPING = ("int32", "int64")
"""Types of which the least value divided by -1 ends the process, as the processor's division does not return."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What an operator demands of an input.

    Attributes:
        interval: All elements are in it.
        useful: Elements in it do something; it is part of ``interval``.
        nonzero: Whether no element may be 0.
    """

    interval: Interval
    useful: Interval
    nonzero: bool = False

    def and_also(self, other: Demand) -> Demand:
        """Both demands."""
        return Demand(
            interval=self.interval.common(other.interval),
            useful=self.useful.common(other.useful),
            nonzero=self.nonzero or other.nonzero,
        )


def demands(facts: Facts) -> Mapping[int, Demand]:
    """By position, what a node demands of its integer inputs."""
    kind = facts.node.op_type
    if kind in _AXES:
        return _axes(facts, _AXES[kind])
    if kind in _SMALL:
        return {i: _useful(facts, i, least, most) for i, (least, most) in _SMALL[kind].items() if facts.given(i)}
    match kind:
        case "Gather" | "GatherElements" | "ScatterElements" | "Scatter":
            return _below(1, facts.axis_size())
        case "GatherND" | "ScatterND":
            return _components(facts)
        case "OneHot":
            return _one_hot(facts)
        case "ReverseSequence":
            return _lengths(facts, 1, int(facts.attribute("time_axis", 0)))  # type: ignore[call-overload]
        case "RNN" | "GRU" | "LSTM":
            return _lengths(facts, 4, 1 if facts.attribute("layout", 0) else 0)
        case "RoiAlign":
            return _below(2, (facts.shape(0) or (1,))[0], negative=False)
        case "MaxUnpool":
            return _below(1, _unpooled_size(facts), negative=False)
        case "Div" | "Mod" if is_integer(facts.dtype(1)):
            return _division(facts)
        case "BitShift":
            return _shift(facts)
        case "Unsqueeze":
            return {1: _useful(facts, 1, 0, len(facts.shape(0) or ()))} if facts.given(1) else {}
        case "TopK":
            return {1: _useful(facts, 1, 1, facts.axis_size(-1) or 1)}
        case "Reshape":
            shape = facts.shape(1)
            return {1: _useful(facts, 1, -1, -1) if shape == (1,) else _useful(facts, 1, 0, 0)}
        case "DFT":
            return {1: _useful(facts, 1, 1, _MOST), **_axes(facts, 2)}
        case "Slice":
            return {**_axes(facts, 3), **({4: _useful(facts, 4, 1, 2)} if facts.given(4) else {})}
        case "NegativeLogLikelihoodLoss" | "SoftmaxCrossEntropyLoss":
            shape = facts.shape(0)
            return {1: _useful(facts, 1, 0, shape[1] - 1)} if shape and len(shape) > 1 and shape[1] else {}
        case "Attention":
            return _key_lengths(facts)
        case "TensorScatter":
            size = facts.axis_size(-2)
            return {2: _useful(facts, 2, 0, 0)} if facts.given(2) and size else {}
    return {}


def _useful(facts: Facts, position: int, low: Number, high: Number) -> Demand:
    """That an input may have all values, but that these are the ones to try."""
    whole = type_interval(facts.dtype(position)) or ANY_FINITE
    return Demand(interval=whole, useful=whole.common(Interval(low, high)))


def _axes(facts: Facts, position: int) -> Mapping[int, Demand]:
    shape = facts.shape(0)
    return _below(position, len(shape)) if shape and facts.given(position) else {}


def _key_lengths(facts: Facts) -> Mapping[int, Demand]:
    keys = facts.shape(1)
    return {6: _useful(facts, 6, 1, keys[-2])} if facts.given(6) and keys and len(keys) > 1 else {}


def _below(position: int, size: int | None, *, negative: bool = True) -> Mapping[int, Demand]:
    if not size:
        return {}
    bound = Interval(-size if negative else 0, size - 1)
    return {position: Demand(interval=bound, useful=bound)}


def _unpooled_size(facts: Facts) -> int | None:
    """How many elements a MaxUnpool makes; None if its output's shape is given when it runs."""
    if facts.given(2):
        given = facts.array(2)
        return None if given is None else int(given.prod())
    shape, window = facts.shape(0), facts.attribute("kernel_shape")
    if shape is None or not isinstance(window, list):
        return None
    rank = len(window)
    strides = facts.attribute("strides") or [1] * rank
    pads = facts.attribute("pads") or [0] * (2 * rank)
    sizes = [
        (shape[i + 2] - 1) * strides[i] + window[i] - pads[i] - pads[i + rank]  # type: ignore[index]
        for i in range(rank)
    ]
    return math.prod((*shape[:2], *map(int, sizes)))


def _components(facts: Facts) -> Mapping[int, Demand]:
    """Of indices with several components, the bounds of the largest axis, and as useful those of the smallest."""
    data, indices, first = facts.shape(0), facts.shape(1), facts.attribute("batch_dims", 0)
    if data is None or not indices or not isinstance(first, int):
        return {}
    sizes = data[first : first + indices[-1]]
    if not sizes or not all(sizes):
        return {}
    return {
        1: Demand(
            interval=Interval(-max(sizes), max(sizes) - 1),
            useful=Interval(-min(sizes), min(sizes) - 1),
        )
    }


def _one_hot(facts: Facts) -> Mapping[int, Demand]:
    whole, depth = type_interval(facts.dtype(0)), facts.array(1)
    if depth is None:
        return {1: _useful(facts, 1, 1, _MOST)}
    if whole is None or not int(depth.ravel()[0]):
        return {}
    size = int(depth.ravel()[0])
    return {0: Demand(interval=whole, useful=whole.common(Interval(-size, size - 1)))}


def _lengths(facts: Facts, position: int, axis: int) -> Mapping[int, Demand]:
    shape = facts.shape(0)
    if not facts.given(position) or shape is None or not shape[axis]:
        return {}
    return {position: Demand(interval=Interval(0, shape[axis]), useful=Interval(1, shape[axis]))}


def _division(facts: Facts) -> Mapping[int, Demand]:
    dividend, divisor = type_interval(facts.dtype(0)), type_interval(facts.dtype(1))
    if dividend is None or divisor is None:
        return {}
    found = {1: Demand(interval=divisor, useful=divisor, nonzero=True)}
    if facts.node.op_type == "Div" and facts.dtype(0) in _TRAPPING and -1 in facts.interval(1):
        held = Interval(dividend.low + 1, dividend.high)
        found[0] = Demand(interval=held, useful=held)
    return found


def _shift(facts: Facts) -> Mapping[int, Demand]:
    whole = type_interval(facts.dtype(1))
    if whole is None:
        return {}
    return {1: Demand(interval=whole, useful=Interval(0, int(whole.high).bit_length() - 1))}
