"""What operators demand of integers that they read: an index is below the size that it indexes, a divisor is not 0.

The reference engine answers other values with an error, or not at all, so that they cannot occur.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hetsim.models.ranges.facts import Facts
from hetsim.models.ranges.interval import Interval, is_integer, type_interval

PASSING = frozenset({"Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Tile", "Concat"})
"""Operators that hand on every element of what they read, so that what is demanded of the result is demanded of it."""

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
        case "Div" | "Mod" if is_integer(facts.dtype(1)):
            return _division(facts)
        case "BitShift":
            return _shift(facts)
    return {}


def _below(position: int, size: int | None, *, negative: bool = True) -> Mapping[int, Demand]:
    if not size:
        return {}
    bound = Interval(-size if negative else 0, size - 1)
    return {position: Demand(interval=bound, useful=bound)}


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
    if whole is None or depth is None or not int(depth.ravel()[0]):
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
