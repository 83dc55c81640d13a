"""What a rule for ranges may know of a node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from hetsim.models.ranges.interval import ANY_FINITE, Interval, type_interval


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A node with what is known of the tensors that it reads, by position; an absent input is None.

    Attributes:
        node: The node.
        intervals: The values that its inputs can have; None also for types without an order.
        dtypes: NumPy's names of their types; empty where unknown.
        shapes: Their shapes; None where unknown.
        array: The value of an input that is constant; None of others.
    """

    node: onnx.NodeProto
    intervals: tuple[Interval | None, ...]
    dtypes: tuple[str, ...]
    shapes: tuple[tuple[int, ...] | None, ...]
    array: Callable[[int], np.ndarray | None]

    def interval(self, position: int) -> Interval:
        """The values that an input can have; all of its type if it is absent or unknown."""
        found = self.intervals[position] if position < len(self.intervals) else None
        return found or type_interval(self.dtype(position)) or ANY_FINITE

    def given(self, position: int) -> bool:
        """Whether the node has this input."""
        return position < len(self.node.input) and bool(self.node.input[position])

    def dtype(self, position: int) -> str:
        """NumPy's name of an input's type; empty if unknown."""
        return self.dtypes[position] if position < len(self.dtypes) else ""

    def shape(self, position: int) -> tuple[int, ...] | None:
        """An input's shape; None if unknown."""
        return self.shapes[position] if position < len(self.shapes) else None

    def attribute(self, name: str, default: object = None) -> object:
        """An attribute's value."""
        for attribute in self.node.attribute:
            if attribute.name == name:
                return onnx.helper.get_attribute_value(attribute)
        return default

    def axis_size(self, default_axis: int = 0) -> int | None:
        """The size of its first input along the attribute ``axis``; None if unknown."""
        shape, axis = self.shape(0), self.attribute("axis", default_axis)
        if not shape or not isinstance(axis, int) or not -len(shape) <= axis < len(shape):
            return None
        return shape[axis]


Rule = Callable[[Facts], Interval | tuple[Interval, ...]]
"""From a node's facts, the values of its outputs: one interval for all of them, or one for each."""


def kinds(names: str) -> tuple[str, ...]:
    """Kinds of operators from their names with blanks between them."""
    return tuple(names.split())
