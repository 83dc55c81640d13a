"""Splits: operators that are computed in parts, along which axis, and where the parts end."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from hetsim.core.errors import PlanError

Axis = Literal["rows", "channels"]
"""How outputs are divided: ``"rows"`` is the axis before the last, ``"channels"`` the axis of channels or, in a matrix
product, of features."""

AXES: tuple[str, ...] = get_args(Axis)


@dataclass(frozen=True, slots=True)
class Split:
    """A run of operators computed in parts.

    Each part computes as much of every operator as it needs. Both parts compute the inner rows that both need; each
    row of the run's output is computed once.

    Attributes:
        ops: Names of the operators of the original model, in topological order.
        axis: The axis along which the outputs are divided.
        at: Where parts end, in rows or channels of the run's output; ascending, at least one. ``(28,)`` makes two
            parts, the first of 28 rows.

    Raises:
        PlanError: If there is no operator, no boundary, or boundaries do not ascend from above 0.
    """

    ops: tuple[str, ...]
    axis: Axis
    at: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.ops:
            raise PlanError("a split without operators; name some, or remove it")
        if self.axis not in AXES:
            raise PlanError(f"{self.label} is along {self.axis!r}; choose from {', '.join(AXES)}")
        if not self.at or any(low >= high for low, high in pairwise((0, *self.at))):
            raise PlanError(f"{self.label} ends its parts at {list(self.at)}; give numbers that ascend from above 0")

    @property
    def label(self) -> str:
        """The name of the split in messages."""
        return f"the split of {self.ops[0]!r}" + (f" +{len(self.ops) - 1}" if len(self.ops) > 1 else "")

    @property
    def num_parts(self) -> int:
        """Number of parts."""
        return len(self.at) + 1
