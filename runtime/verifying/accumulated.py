"""A model on one device, operator by operator, each fed with what the device made of those before it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from hetsim.core.errors import ModelError
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan, Segment
from hetsim.models.model import Model
from hetsim.models.reference import evaluate
from hetsim.models.segments.parts import own_name, side_by_side
from hetsim.runtime.verifying.devices import RestartableDevices, Values

_PART = 0  # the operators of a call are the only part of their model


class Accumulation:
    """The device's own values so far, by input of the model.

    Args:
        devices: The devices.
        device: Name of one of them.
        model: The model, not a rewritten one.
        inputs: Values of the model's inputs, one or several times.
    """

    def __init__(self, devices: RestartableDevices, device: str, model: Model, inputs: Sequence[Values]) -> None:
        self._devices = devices
        self._device = device
        self._model = model
        self.values: list[dict[str, Any]] = [dict(one) for one in inputs]

    def run(self, ops: tuple[str, ...], *, elsewhere: Collection[str], expected: Sequence[Values]) -> None:
        """Compute operators from :attr:`values`, and add what they make.

        Args:
            ops: The operators, in topological order; what they read is computed already or made by them.
            elsewhere: Those that the reference engine computes, because the device does not.
            expected: By input of the model, the reference's values for what the operators make. They stand for values
                that nobody can compute, such as those of an index that is out of bounds.
        """
        others = set(elsewhere)
        left = ops
        while left:
            group, on_device = _next_group(self._model.graph, left, others)
            if not on_device:
                self._by_reference(group, expected)
            elif failed := self._on_device(group):
                others |= failed
                continue
            left = tuple(op for op in left if op not in group)

    def forget(self, names: Collection[str]) -> None:
        """Drop values of tensors that no operator needs any more."""
        for values in self.values:
            for name in names:
                values.pop(name, None)

    def _on_device(self, ops: tuple[str, ...]) -> set[str]:
        """Compute the operators on the device, each as a segment of its own; returns those that it fails at."""
        made = side_by_side(self._model, [ops])
        graph = made.model.graph
        outputs = tuple(name for op in graph.ops for name in op.outputs if self._is_used(name))
        whole = replace(made.model, graph=replace(graph, outputs=outputs))
        queue = tuple(Segment(self._device, (op.name,)) for op in graph.ops)
        plan = Plan(model=whole.name, queues={self._device: queue})
        attempt = self._devices.attempt(whole, plan, [made.feed(values) for values in self.values])
        if not attempt.outputs:
            prefix = own_name(_PART, "")
            return {name.removeprefix(prefix) for name in attempt.blamed} or set(ops)
        for values, found in zip(self.values, attempt.outputs, strict=True):
            values |= {name.removeprefix(own_name(_PART, "")): array for name, array in found.items()}
        return set()

    def _by_reference(self, ops: tuple[str, ...], expected: Sequence[Values]) -> None:
        made = side_by_side(self._model, [ops])
        names = [name for op in ops for name in self._model.graph.outputs_of((op,))]
        for values, right in zip(self.values, expected, strict=True):
            try:
                inner = [own_name(_PART, name) for name in names]
                found = evaluate(made.model.proto, made.feed(values), inner, custom_ops=made.model.custom_ops)
                values |= {name: found[own_name(_PART, name)] for name in names}
            except ModelError:
                values |= {name: right[name] for name in names}

    def _is_used(self, name: str) -> bool:
        graph, original = self._model.graph, name.removeprefix(own_name(_PART, ""))
        return original in graph.outputs or bool(graph.consumers[original])


def _next_group(graph: Graph, ops: tuple[str, ...], others: Collection[str]) -> tuple[tuple[str, ...], bool]:
    """The first operator, all that can be computed with it in the same place, and whether that is the device."""
    on_device = ops[0] not in others
    group, missing = [], set[str]()
    for op in ops:
        inputs, outputs = graph.by_name[op].inputs, graph.by_name[op].outputs
        if (op not in others) == on_device and missing.isdisjoint(inputs):
            group.append(op)
        else:
            missing.update(outputs)
    return tuple(group), on_device
