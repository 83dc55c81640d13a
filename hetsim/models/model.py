"""A network ready to be cut, compiled and executed, and inputs for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np
import onnx

from hetsim.core.graph import Graph
from hetsim.models.values.draw import draw_inputs
from hetsim.models.values.trust import TRUSTING, Trust
from hetsim.models.weights import WeightSlice


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A network ready to be cut, compiled and executed.

    Attributes:
        graph: The network as a graph.
        proto: The network in ONNX: constants folded, at least opset 17 and IR version 8, all shapes static, weights
            inline and never inputs, every output made by an operator, nodes with the order and names of ``graph.ops``,
            no node without effect. Do not change it.
        hash: SHA-256 in hex of structure and weights; it does not depend on names of files and tools.
        base: The model that this one was rewritten from; None if it was imported. A rewritten model computes the same
            outputs and has the same hash. Its ``proto`` has no weights; they stay with its base.
        weight_slices: By name, weights of a rewritten model that are parts of its base's weights.
        origins: By operator of a rewritten model that computes a part of an operator of the base, that operator and
            the share of it, from 0 to 1.
        regions: By operator that stands for several nodes, which must stay together, the names of these nodes.
        rewrites: Cache of the models that were rewritten from this one, by their splits.
    """

    graph: Graph
    proto: onnx.ModelProto
    hash: str
    base: Model | None = None
    weight_slices: Mapping[str, WeightSlice] = field(default_factory=dict)
    origins: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    regions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rewrites: dict[object, object] = field(default_factory=dict, repr=False)

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


def random_inputs(model: Model, *, seed: int = 0, trust: Trust = TRUSTING) -> dict[str, np.ndarray]:
    """A random value for each input of the model; the same seed gives the same values.

    Floats are drawn from the standard normal distribution, booleans are either. Integers have all values that the model
    can use: as indices they are within bounds, as divisors not 0, as masks 0 or 1.

    Args:
        model: The model.
        seed: Seed of the values.
        trust: What is assumed of the inputs, such as declared ranges.
    """
    return draw_inputs(model, seed=seed, trust=trust)
