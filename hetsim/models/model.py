"""A network ready to be cut, compiled and executed, and inputs for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx

from hetsim.core.graph import Graph
from hetsim.core.plan import Split
from hetsim.models.nodes import is_random, names_read
from hetsim.models.reference import evaluate
from hetsim.models.source import Source
from hetsim.models.values.draw import draw_inputs
from hetsim.models.values.samples import compared_values, sample_value
from hetsim.models.values.trust import TRUSTING, Trust
from hetsim.models.weights import WeightSlice


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A network ready to be cut, compiled and executed.

    Attributes:
        graph: The network as a graph.
        proto: The network in ONNX: constants folded, at least IR version 8, weights inline and never inputs, every
            output made by an operator, nodes in the order of ``graph.ops``, no node without effect. Do not change it.
        hash: SHA-256 in hex of structure and weights; it does not depend on names of files and tools.
        base: The model that this one was rewritten from; None if it was imported. A rewritten model computes the same
            outputs and has the same hash. Its ``proto`` has no weights; they stay with its base.
        weight_slices: By name, weights of a rewritten model that are parts of its base's weights.
        origins: By operator of a rewritten model that computes a part of an operator of the base, that operator and
            the share of it, from 0 to 1.
        splits: The splits that the base was rewritten with.
        regions: By operator that stands for several nodes, which must stay together, the names of these nodes.
        source: The user's own model, with which this one was compared; None for models made from another one.
        rewrites: Cache of models that were rewritten from this one, by their splits.
        split_rules: Cache of how operators divide.
        part_works: Cache of what the parts of splits compute.
    """

    graph: Graph
    proto: onnx.ModelProto
    hash: str
    base: Model | None = None
    weight_slices: Mapping[str, WeightSlice] = field(default_factory=dict)
    origins: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    splits: tuple[Split, ...] = ()
    regions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: Source | None = field(default=None, repr=False)
    rewrites: dict[object, object] = field(default_factory=dict, repr=False)
    split_rules: dict[object, object] = field(default_factory=dict, repr=False)
    part_works: dict[object, object] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"<Model {self.name!r}: {len(self.graph.ops)} operators>"

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.graph.name

    @cached_property
    def nodes(self) -> Mapping[str, onnx.NodeProto]:
        """The ONNX nodes by name; a node has the name of its operator, unless the operator is a region."""
        return MappingProxyType({node.name: node for node in self.proto.graph.node})

    def nodes_of(self, op: str) -> tuple[onnx.NodeProto, ...]:
        """The ONNX nodes of an operator, in topological order: one, or all of a region."""
        return tuple(self.nodes[name] for name in self.regions.get(op, (op,)))

    @cached_property
    def original_op(self) -> Mapping[str, str]:
        """By operator, the operator of the base that it is or computes a part of, without operators that move data."""
        return MappingProxyType(
            {
                op.name: self.origins[op.name][0] if op.name in self.origins else op.name
                for op in self.graph.ops
                if not op.moves_data
            }
        )

    @cached_property
    def declared(self) -> Mapping[str, onnx.ValueInfoProto]:
        """By input and output, its type as the ONNX model declares it."""
        return MappingProxyType({value.name: value for value in (*self.proto.graph.input, *self.proto.graph.output)})

    @cached_property
    def opset(self) -> int:
        """The version of the standard operators that it uses."""
        return max((entry.version for entry in self.proto.opset_import if not entry.domain), default=1)

    @property
    def custom_ops(self) -> tuple[str, ...]:
        """Libraries of its custom operators."""
        owner = self.base or self
        return owner.source.custom_ops if owner.source is not None else ()

    @cached_property
    def comparable_outputs(self) -> tuple[str, ...]:
        """The outputs that random numbers do not go into."""
        tainted: set[str] = set()
        for node in self.proto.graph.node:
            if is_random(node) or not tainted.isdisjoint(names_read(node)):
                tainted.update(node.output)
        return tuple(name for name in self.graph.outputs if name not in tainted)

    def reference_outputs(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """By output, what the user's own model makes of inputs on the reference engine.

        Raises:
            ModelError: If the reference engine cannot run it.
        """
        if self.base is not None:
            return self.base.reference_outputs(inputs)
        if self.source is None or self.source.load is None:
            return evaluate(self.proto, inputs, custom_ops=self.custom_ops)
        return self.source.outputs(inputs, list(self.graph.outputs))

    @cached_property
    def weights(self) -> Mapping[str, onnx.TensorProto]:
        """By name, its weights and those of its base, without parts of weights."""
        own = {tensor.name: tensor for tensor in self.proto.graph.initializer}
        return MappingProxyType(own if self.base is None else {**self.base.weights, **own})

    def standalone_proto(self) -> onnx.ModelProto:
        """The complete model in ONNX. For a rewritten model this is a copy with weights."""
        if self.base is None:
            return self.proto
        proto = onnx.ModelProto()
        proto.CopyFrom(self.proto)
        here = {tensor.name for tensor in proto.graph.initializer}
        read = dict.fromkeys(name for node in proto.graph.node for name in node.input if name not in here)
        for name in read:
            if name in self.weight_slices:
                part = self.weight_slices[name]
                proto.graph.initializer.append(part.tensor(name, self.weights[part.source]))
            elif name in self.weights:
                proto.graph.initializer.append(self.weights[name])
        return proto


def random_inputs(model: Model, *, seed: int = 0, trust: Trust = TRUSTING) -> dict[str, Any]:
    """A random value for each input of the model; the same seed gives the same values.

    Floats are drawn from the standard normal distribution, booleans are either. Integers have all values that the model
    can use: as indices they are within bounds, as divisors not 0, as masks 0 or 1; integers that the model compares
    with constants are some of these.

    Args:
        model: The model.
        seed: Seed of the values.
        trust: What is assumed of the inputs, such as declared ranges.
    """
    meant = {name: partial(_one_of, values) for name, values in compared_values(model.proto).items()}
    meant = {name: draw for name, draw in meant.items() if name not in trust.ranges}
    types = {value.name: value.type for value in model.proto.graph.input}
    opaque = [name for name in model.graph.inputs if model.graph.tensors[name].is_opaque]
    return draw_inputs(
        model, seed=seed, trust=trust, meant=meant, opaque={name: partial(sample_value, types[name]) for name in opaque}
    )


def _one_of(values: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return np.asarray(rng.choice(values, shape))
