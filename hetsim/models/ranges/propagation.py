"""The values that a model's tensors can have, as follows from its inputs, operator by operator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import onnx
from onnx import numpy_helper

from hetsim.core.errors import ModelError
from hetsim.core.graph import Graph, Op
from hetsim.models.ranges import arithmetic, functions, movement
from hetsim.models.ranges.demands import PASSING, Demand, demands
from hetsim.models.ranges.facts import Facts, Rule
from hetsim.models.ranges.interval import (
    ANY_FINITE,
    ANYTHING,
    Interval,
    array_interval,
    dtype_name,
    fitted,
    is_float,
    is_integer,
    type_interval,
)
from hetsim.models.values.trust import Trust

_RULES: Mapping[str, Rule] = {**movement.RULES, **arithmetic.RULES, **functions.RULES}


_LARGE = 65536
"""Weights of more floats are not looked at: they are taken to be finite."""


class Network(Protocol):
    """What ranges need to know of a model."""

    @property
    def graph(self) -> Graph:
        """The operators and tensors."""
        ...

    @property
    def weights(self) -> Mapping[str, onnx.TensorProto]:
        """The constants by name."""
        ...

    def nodes_of(self, op: str) -> tuple[onnx.NodeProto, ...]:
        """The ONNX nodes of an operator."""
        ...


class ValueRanges:
    """The values that tensors and weights of a model can have.

    An interval holds every value that occurs if the inputs are as assumed and no sum or product of floats exceeds its
    type. Integers that can overflow, and what operators without a rule make, have all values of their type.

    Args:
        network: The model.
        trust: What is assumed of its inputs.

    Attributes:
        inputs: By input of numbers, the values that its elements have.
        useful: By input, those of these values that do something, such as indices within bounds.
        nonzero: Inputs of which no element may be 0, as it divides.
    """

    def __init__(self, network: Network, trust: Trust) -> None:
        self._network = network
        self._weights: dict[str, Interval | None] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self._found: dict[str, Interval | None] = {}
        graph = network.graph
        self.nonzero: frozenset[str] = frozenset()
        self.inputs: dict[str, Interval] = {}
        self.useful: dict[str, Interval] = {}
        for name in graph.inputs:
            whole = type_interval(graph.tensors[name].dtype)
            if whole is not None:
                unbounded = is_float(graph.tensors[name].dtype) and not trust.finite
                self.inputs[name] = ANYTHING if unbounded else whole
        self.inputs |= {
            name: given
            for name, given in trust.ranges.items()
            if name in self.inputs and is_integer(graph.tensors[name].dtype)
        }
        self._demand()
        self._forward()

    def __getitem__(self, tensor: str) -> Interval | None:
        """The values of a tensor or weight; None for types without an order, such as text."""
        if tensor in self._found:
            return self._found[tensor]
        if tensor not in self._weights:
            self._weights[tensor] = self._of_weight(tensor)
        return self._weights[tensor]

    def facts(self, node: onnx.NodeProto) -> Facts:
        """What is known of a node's inputs."""
        tensors, weights = self._network.graph.tensors, self._network.weights
        names = tuple(node.input)
        return Facts(
            node=node,
            intervals=tuple(self[name] if name in tensors or name in weights else None for name in names),
            dtypes=tuple(
                tensors[name].dtype
                if name in tensors
                else dtype_name(weights[name].data_type)
                if name in weights
                else ""
                for name in names
            ),
            shapes=tuple(
                tensors[name].shape if name in tensors else tuple(weights[name].dims) if name in weights else None
                for name in names
            ),
            array=lambda i: self._array(names[i]) if i < len(names) and names[i] in weights else None,
        )

    def _of_weight(self, name: str) -> Interval | None:
        tensor = self._network.weights[name]
        if math.prod(tensor.dims) > _LARGE and is_float(dtype_name(tensor.data_type)):
            return ANY_FINITE
        return array_interval(self._array(name))

    def _array(self, weight: str) -> np.ndarray:
        if weight not in self._arrays:
            array = numpy_helper.to_array(self._network.weights[weight])
            if array.size > 1024:
                return array
            self._arrays[weight] = array
        return self._arrays[weight]

    def _forward(self) -> None:
        graph = self._network.graph
        self._found = dict.fromkeys(graph.inputs) | dict(self.inputs)
        for op in graph.ops:
            for name, interval in zip(op.outputs, self._made_by(op), strict=True):
                self._found[name] = fitted(interval, graph.tensors[name].dtype)

    def _made_by(self, op: Op) -> list[Interval]:
        nodes = self._network.nodes_of(op.name)
        rule = _RULES.get(nodes[0].op_type) if len(nodes) == 1 and nodes[0].domain in ("", "ai.onnx") else None
        if rule is None:
            return [ANYTHING] * len(op.outputs)
        made = rule(self.facts(nodes[0]))
        if isinstance(made, Interval):
            return [made] * len(op.outputs)
        of_output = dict(zip(nodes[0].output, made, strict=False))
        return [of_output.get(name, ANYTHING) for name in op.outputs]

    def _demand(self) -> None:
        """Narrow the inputs to what operators demand of what is made of them."""
        graph = self._network.graph
        self._found = {name: type_interval(tensor.dtype) for name, tensor in graph.tensors.items()} | dict(self.inputs)
        asked: dict[str, Demand] = {}
        for op in reversed(graph.ops):
            for node in self._network.nodes_of(op.name):
                for name, demand in self._demands_of(node, asked).items():
                    asked[name] = asked[name].and_also(demand) if name in asked else demand
        for name, held in self.inputs.items():
            self.useful[name] = held
            if name in asked:
                self.inputs[name] = held.common(asked[name].interval)
                self.useful[name] = self.inputs[name].common(asked[name].useful)
        self.nonzero = frozenset(name for name in self.inputs if name in asked and asked[name].nonzero)

    def _demands_of(self, node: onnx.NodeProto, asked: Mapping[str, Demand]) -> dict[str, Demand]:
        """By tensor that a node reads, what it demands of it, or what others demand of what it hands on."""
        tensors = self._network.graph.tensors
        facts = self.facts(node)
        found = {node.input[i]: demand for i, demand in demands(facts).items() if node.input[i] in tensors}
        passes = node.op_type in PASSING or (node.op_type == "Cast" and is_integer(facts.dtype(0)))
        if passes and node.output[0] in asked and is_integer(tensors[node.output[0]].dtype):
            count = len(node.input) if node.op_type == "Concat" else 1
            found |= {name: asked[node.output[0]] for name in node.input[:count] if name in tensors}
        return found


def check_ranges(graph: Graph, trust: Trust) -> None:
    """Check that ranges are declared of inputs that have such values.

    Raises:
        ModelError: If a range is declared of what is no input of integers, or has values that its type lacks.
    """
    integers = [name for name in graph.inputs if is_integer(graph.tensors[name].dtype)]
    for name, given in trust.ranges.items():
        if name not in integers:
            raise ModelError(
                f"a range is declared for {name!r}, but the model's inputs of integers are "
                f"{', '.join(integers) or 'none'}"
            )
        whole = type_interval(graph.tensors[name].dtype)
        if whole is None or not given.within(whole):
            raise ModelError(f"the range {given} of input {name!r} has values that {graph.tensors[name].dtype} lacks")
