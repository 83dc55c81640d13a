"""What is asked of a split: which operators, along which axis, and where one part ends and the next begins."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from hetsim.core.errors import PlanError

Axis = Literal["rows", "channels"]
"""Along what outputs are divided: the axis before the last, or the axis of channels (of features, in a product)."""

AXES: tuple[str, ...] = get_args(Axis)


@dataclass(frozen=True, slots=True)
class Split:
    """A run of operators computed in parts.

    Every operator of the run is computed once for each part, as much of it as the part needs. Rows that two parts
    need inside a run are computed by both; what the run hands on is computed once.

    Attributes:
        ops: Names of the operators of the original model, in topological order.
        axis: Along what.
        at: Where parts end, in rows or channels of what the run hands on; ascending, at least one. ``(28,)`` makes
            two parts, the first of them 28 rows.

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
        """The split as messages name it."""
        return f"the split of {self.ops[0]!r}" + (f" +{len(self.ops) - 1}" if len(self.ops) > 1 else "")

    @property
    def num_parts(self) -> int:
        """How many parts it makes."""
        return len(self.at) + 1
