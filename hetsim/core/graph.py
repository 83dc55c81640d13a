"""A network as a graph of operators and tensors. Graphs are immutable and do not depend on ONNX."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import numpy as np

from hetsim.core.errors import ModelError

Role = Literal["compute", "slice", "concat"]
"""What an operator is there for: to compute, or to bring tensors to the parts of split operators."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value that flows between operators. Weights are not tensors; they belong to their operators.

    Attributes:
        name: Unique within the graph.
        shape: Static shape; every dimension is at least 0.
        dtype: NumPy's name of the element type, such as ``"float32"``.
        is_opaque: Whether shared memory cannot hold it: its size depends on data, or it is text, a sequence or an
            optional value. Only the caller hands in such a value or gets one; it never flows between operators. Shape
            and type are then those of an example, ``"object"`` where it is no array of numbers.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    is_opaque: bool = False

    @property
    def num_bytes(self) -> int:
        """Size of the dense tensor in bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One operator of the network.

    Attributes:
        name: Unique within the graph.
        kind: Operator type, such as ``"Conv"``; of a region of several ONNX nodes that must stay together their types,
            joined by ``+``.
        inputs: Names of the tensors that it reads, each once, in the operator's own order, without weights.
        outputs: Names of the tensors that it makes.
        weight_bytes: Size of the constants that it reads, in bytes.
        num_macs: Multiply-accumulate operations; 0 for kinds other than convolutions and matrix products.
        role: ``"compute"`` for every operator of the network itself, whatever its kind. ``"slice"`` and ``"concat"``
            are operators that a split adds: they cut a range out of a tensor, or join ranges to one tensor.
        part_of: In a rewritten graph, the operator of the original one that it computes a part of; else empty.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weight_bytes: int = 0
    num_macs: int = 0
    role: Role = "compute"
    part_of: str = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The operator types in it: one, or several if it is a region."""
        return tuple(self.kind.split("+"))

    @property
    def moves_data(self) -> bool:
        """Whether a split added it only to bring data to where it is needed."""
        return self.role != "compute"


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Operators in topological order and the tensors between them.

    Attributes:
        name: Name of the network.
        ops: Every operator, each after all operators it reads from.
        tensors: Every tensor by name: the graph's inputs and the outputs of all operators.
        inputs: Names of the tensors that the caller provides.
        outputs: Names of the tensors that the caller gets.

    Raises:
        ModelError: If names repeat, a tensor has no source, or ``ops`` is not topologically ordered.
    """

    name: str
    ops: tuple[Op, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        known = set(self.inputs)
        names: set[str] = set()
        for op in self.ops:
            if op.name in names:
                raise ModelError(f"graph {self.name!r} has two operators named {op.name!r}; names must be unique")
            names.add(op.name)
            for tensor in op.inputs:
                if tensor not in known:
                    raise ModelError(f"operator {op.name!r} reads {tensor!r} before any operator makes it")
            for tensor in op.outputs:
                if tensor in known:
                    raise ModelError(f"tensor {tensor!r} is made twice, the second time by {op.name!r}")
                known.add(tensor)
        for tensor in (*known, *self.outputs):
            if tensor not in known or tensor not in self.tensors:
                raise ModelError(
                    f"graph {self.name!r} has no tensor {tensor!r}: no operator makes it, or its shape is missing"
                )

    @cached_property
    def input_bytes(self) -> int:
        """Size of all tensors that the caller provides."""
        return sum(self.tensors[name].num_bytes for name in self.inputs)

    @cached_property
    def output_bytes(self) -> int:
        """Size of all tensors that the caller gets."""
        return sum(self.tensors[name].num_bytes for name in self.outputs)

    @cached_property
    def by_name(self) -> Mapping[str, Op]:
        """Operators by name."""
        return MappingProxyType({op.name: op for op in self.ops})

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Each operator's place in the topological order, from 0."""
        return MappingProxyType({op.name: i for i, op in enumerate(self.ops)})

    @cached_property
    def producer(self) -> Mapping[str, str]:
        """By tensor, the operator that makes it; the graph's inputs are absent."""
        return MappingProxyType({tensor: op.name for op in self.ops for tensor in op.outputs})

    @cached_property
    def consumers(self) -> Mapping[str, tuple[str, ...]]:
        """By tensor, the operators that read it, in topological order."""
        readers: dict[str, list[str]] = {tensor: [] for tensor in self.tensors}
        for op in self.ops:
            for tensor in op.inputs:
                readers[tensor].append(op.name)
        return MappingProxyType({tensor: tuple(ops) for tensor, ops in readers.items()})

    @cached_property
    def predecessors(self) -> Mapping[str, tuple[str, ...]]:
        """By operator, those that make its inputs, each once, in the order of the inputs."""
        return MappingProxyType(
            {
                op.name: tuple(dict.fromkeys(self.producer[t] for t in op.inputs if t in self.producer))
                for op in self.ops
            }
        )

    @cached_property
    def successors(self) -> Mapping[str, tuple[str, ...]]:
        """By operator, those that read its outputs, each once, in topological order."""
        following: dict[str, list[str]] = {op.name: [] for op in self.ops}
        for op in self.ops:
            for before in self.predecessors[op.name]:
                following[before].append(op.name)
        return MappingProxyType({name: tuple(ops) for name, ops in following.items()})

    @cached_property
    def tensors_between(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """By producer and reader, the tensors that pass between the two, in the order of the reader's inputs."""
        found: dict[tuple[str, str], list[str]] = {}
        for op in self.ops:
            for tensor in op.inputs:
                if tensor in self.producer:
                    found.setdefault((self.producer[tensor], op.name), []).append(tensor)
        return MappingProxyType({edge: tuple(tensors) for edge, tensors in found.items()})

    def ordered(self, ops: Iterable[str]) -> tuple[str, ...]:
        """``ops`` in topological order, each once."""
        return tuple(sorted(set(ops), key=self.position.__getitem__))

    def label(self, ops: Sequence[str]) -> str:
        """A short name for a segment of these operators: one of them, and how many others there are.

        It is the first that does not only move data, if there is one, else the first of all.
        """
        shown = next((op for op in ops if op not in self._moves_data), ops[0])
        return shown if len(ops) == 1 else f"{shown} +{len(ops) - 1}"

    def mask(self, ops: Iterable[str]) -> int:
        """The set of operators as a bit mask: bit ``i`` stands for ``self.ops[i]``."""
        result = 0
        for op in ops:
            result |= 1 << self.position[op]
        return result

    def inputs_of(self, ops: Iterable[str]) -> tuple[str, ...]:
        """Tensors that the operators read but do not make, in the order in which they are first read."""
        inside = set(ops)
        return tuple(
            dict.fromkeys(
                t for op in self.ordered(inside) for t in self.by_name[op].inputs if self.producer.get(t) not in inside
            )
        )

    def outputs_of(self, ops: Iterable[str]) -> tuple[str, ...]:
        """Tensors that the operators make and that another operator reads or the caller gets."""
        inside = set(ops)
        return tuple(
            t
            for op in self.ordered(inside)
            for t in self.by_name[op].outputs
            if t in self._output_set or any(reader not in inside for reader in self.consumers[t])
        )

    def is_convex(self, ops: Iterable[str]) -> bool:
        """Whether no path leaves the set of operators and comes back, so that they can run as one unit."""
        inside = set(ops)
        if not inside:
            return True
        last = max(self.position[op] for op in inside)
        left: set[str] = set()  # operators outside the set that depend on one inside it
        for op in self.ops[min(self.position[op] for op in inside) : last + 1]:
            from_left = any(before in left for before in self.predecessors[op.name])
            if op.name in inside:
                if from_left:
                    return False
            elif from_left or any(before in inside for before in self.predecessors[op.name]):
                left.add(op.name)
        return True

    @cached_property
    def _moves_data(self) -> frozenset[str]:
        return frozenset(op.name for op in self.ops if op.moves_data)

    @cached_property
    def _output_set(self) -> frozenset[str]:
        return frozenset(self.outputs)
