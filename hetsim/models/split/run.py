"""A split resolved against its model: what each part needs of each tensor."""

from __future__ import annotations

from hetsim.core.errors import PlanError
from hetsim.core.graph import Tensor
from hetsim.core.plan import Split
from hetsim.models.model import Model
from hetsim.models.split.rules import Rule, rule_for, split_axis

Range = tuple[int, int]
"""From the first row or channel to before the last number."""


def check_split(model: Model, split: Split) -> None:
    """Refuse a split that a model cannot be rewritten with, without rewriting it.

    Raises:
        PlanError: As :func:`~hetsim.models.split.rewrite.rewrite`, of this split alone.
    """
    Run(model, split)


class Run:
    """A split resolved against its model.

    Args:
        model: The model that is rewritten.
        split: The split.

    Attributes:
        split: The split.
        ops: Its operators, in topological order.
        rules: By operator, how it divides along the split's axis.
        axes: By tensor that an operator of the run makes, the axis along which it is divided, from 0.
        own: By part, the range of the run's output that the part makes.
        needs: By part and tensor, made inside the run or outside, the range that the part needs.

    Raises:
        PlanError: If the split is impossible.
    """

    def __init__(self, model: Model, split: Split) -> None:
        graph = model.graph
        self.split = split
        for op in split.ops:
            if op not in graph.by_name:
                raise PlanError(f"{split.label} names {op!r}, which model {graph.name!r} does not have")
        self.ops = graph.ordered(split.ops)
        self.rules: dict[str, Rule] = {op: rule_for(model, op, split.axis) for op in self.ops}
        self.axes = {graph.by_name[op].outputs[0]: rule.axis for op, rule in self.rules.items()}
        size = self.rules[self.ops[-1]].size
        if split.at[-1] >= size:
            raise PlanError(
                f"{split.label} ends a part at {split.at[-1]}, but it makes {size} {split.axis}; "
                f"give numbers below {size}"
            )
        self.own = tuple(zip((0, *split.at), (*split.at, size), strict=True))
        self.needs = tuple(self._needs(model, part) for part in range(split.num_parts))

    def _needs(self, model: Model, part: int) -> dict[str, Range]:
        """By tensor, made inside the run or outside, the range along the split's axis that a part needs."""
        graph, inside = model.graph, set(self.ops)
        needs: dict[str, Range] = {}
        for name in reversed(self.ops):
            (made,) = graph.by_name[name].outputs
            rule = self.rules[name]
            if made in graph.outputs or not inside.issuperset(graph.consumers[made]):
                if rule.size != self.own[-1][1]:
                    raise PlanError(
                        f"{self.split.label} has output {made!r} with {rule.size} {self.split.axis} and others with "
                        f"{self.own[-1][1]}; split it where these change"
                    )
                _widen(needs, made, self.own[part])
            low, high = needs[made]
            for tensor, reading in zip(model.nodes[name].input, rule.readings, strict=True):
                if tensor in graph.tensors:
                    needed = self._range(graph.tensors[tensor], reading.axis, reading.range(low, high))
                    if needed[0] >= needed[1]:
                        raise PlanError(f"part {part} of {self.split.label} reads only padding at {name!r}; move it")
                    _widen(needs, tensor, needed)
        return needs

    def _range(self, tensor: Tensor, axis: int | None, needed: Range) -> Range:
        place = split_axis(tensor.shape, self.split.axis)
        return needed if axis == place and axis is not None else (0, 1 if place is None else tensor.shape[place])


def _widen(needs: dict[str, Range], tensor: str, needed: Range) -> None:
    low, high = needs.get(tensor, needed)
    needs[tensor] = min(low, needed[0]), max(high, needed[1])
