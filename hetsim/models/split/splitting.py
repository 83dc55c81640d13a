"""How the operators of a model divide, for schedulers: they see shares and bytes, and no ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from hetsim.core.errors import PlanError
from hetsim.core.plan import Axis, Split
from hetsim.core.problem import PartWork, Problem, Rewritten
from hetsim.models.model import Model
from hetsim.models.split.rewrite import rewrite
from hetsim.models.split.rules import Reading, can_split, rule_for, split_axis
from hetsim.models.split.run import Run


class ModelSplitting:
    """The :class:`~hetsim.core.problem.Splitting` of a model's problem.

    Args:
        model: An imported model, or a model rewritten from it.
        make: From the imported model, or one rewritten from it, to its problem.
    """

    def __init__(self, model: Model, make: Callable[[Model], Problem]) -> None:
        self._model = model.base or model
        self._make = make

    def length(self, op: str, axis: Axis) -> int | None:
        """As :class:`~hetsim.core.problem.Splitting`."""
        return rule_for(self._model, op, axis).size if can_split(self._model, op, axis) else None

    def reads_all(self, op: str, axis: Axis) -> bool:
        """As :class:`~hetsim.core.problem.Splitting`."""
        inputs = zip(self._model.nodes[op].input, rule_for(self._model, op, axis).readings, strict=True)
        return any(reading.axis is None and name in self._model.graph.tensors for name, reading in inputs)

    def parts(self, split: Split) -> tuple[PartWork, ...]:
        """As :class:`~hetsim.core.problem.Splitting`.

        Copied are the ranges that parts slice out of the tensors that they read, and out of those that they hand on
        where they computed more than that. What neighbouring splits exchange depends on both of them and is left out.
        """
        known = self._model.part_works
        if split not in known:
            try:
                run = Run(self._model, split)
                known[split] = tuple(self._part(run, part) for part in range(split.num_parts))
            except PlanError as error:
                known[split] = str(error)
        found = known[split]
        if isinstance(found, str):
            raise PlanError(found)
        assert isinstance(found, tuple)
        return found

    def rewrite(self, splits: tuple[Split, ...]) -> Rewritten:
        """As :class:`~hetsim.core.problem.Splitting`."""
        found = rewrite(self._model, splits)
        make = self._make
        return Rewritten(graph=found.model.graph, parts=found.parts, joins=found.joins, make=lambda: make(found.model))

    def _part(self, run: Run, part: int) -> PartWork:
        graph, needs, inside = self._model.graph, run.needs[part], frozenset(run.ops)
        shares: dict[str, float] = {}
        sliced: dict[tuple[str, int, int, int], None] = {}  # tensor, axis, start and end
        for op in run.ops:
            rule = run.rules[op]
            (made,) = graph.by_name[op].outputs
            low, high = needs[made]
            shares[op] = (high - low) / rule.size
            for tensor, reading in self._read(run, op):
                cut = self._slice(run, part, tensor, reading, reading.range(low, high))
                sliced |= {} if cut is None else {cut: None}
            leaves = made in graph.outputs or not inside.issuperset(graph.consumers[made])
            if leaves and needs[made] != run.own[part]:
                sliced[made, rule.axis, *run.own[part]] = None
        for tensor, needed in needs.items():
            place = split_axis(graph.tensors[tensor].shape, run.split.axis)
            if tensor not in run.axes and place is not None and needed != (0, graph.tensors[tensor].shape[place]):
                sliced[tensor, place, *needed] = None
        return PartWork(shares=shares, copied_bytes=sum(self._range_bytes(*cut) for cut in sliced))

    def _read(self, run: Run, op: str) -> Iterator[tuple[str, Reading]]:
        """The tensors that an operator of a run reads, weights excluded, each with what a part reads of it."""
        for tensor, reading in zip(self._model.nodes[op].input, run.rules[op].readings, strict=True):
            if tensor in self._model.graph.tensors:
                yield tensor, reading

    def _slice(
        self, run: Run, part: int, tensor: str, reading: Reading, needed: tuple[int, int]
    ) -> tuple[str, int, int, int] | None:
        """The range that a part cuts out of what it has of a tensor, as tensor, axis, start and end; None for all."""
        if reading.axis is None:
            return None
        shape = self._model.graph.tensors[tensor].shape
        along = reading.axis == split_axis(shape, run.split.axis)
        held = run.needs[part][tensor] if along else (0, shape[reading.axis])
        return None if needed == held else (tensor, reading.axis, *needed)

    def _range_bytes(self, tensor: str, axis: int, low: int, high: int) -> int:
        spec = self._model.graph.tensors[tensor]
        others = math.prod(size for i, size in enumerate(spec.shape) if i != axis)
        return (high - low) * others * np.dtype(spec.dtype).itemsize
