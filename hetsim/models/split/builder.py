"""A rewritten graph under construction: operators and their ONNX nodes, tensors, constants and parts of weights.

Every operator is named after what it computes, such as ``conv1[rows 0:28]``, ``slice pool1[rows 27:29 of 0:28]`` or
``concat pool1[rows 0:28 + 28:56]``. So the same name means the same work in every rewrite of a model, and what was
measured of a segment in one holds in all. Work that a graph has twice gets an apostrophe the second time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hetsim.core.graph import Graph, Op, Tensor
from hetsim.core.plan import Split
from hetsim.models.importing.onnx_graph import item_bytes
from hetsim.models.model import Model
from hetsim.models.weights import WeightSlice

_SLICE_BY_INPUTS_OPSET = 10  # before, Slice has its bounds as attributes

Owner = tuple[int, int]
"""The number of a split, and of the part of it that an operator belongs to."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A tensor that holds a range of another one along an axis.

    Attributes:
        tensor: Its name.
        low: First row or channel of the other tensor that it holds.
        high: First one after those.
    """

    tensor: str
    low: int
    high: int


class GraphBuilder:
    """Collects the operators of a rewritten model in topological order.

    Args:
        model: The model that is rewritten.

    Attributes:
        tensors: The tensors so far, by name.
        ops_of: By split and part, the operators that belong to it, in the order in which they were added.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._nodes: list[onnx.NodeProto] = []
        self._ops: list[Op] = []
        self._names: set[str] = set()
        self._constants: dict[str, onnx.TensorProto] = {}
        self._weight_slices: dict[str, WeightSlice] = {}
        self.tensors: dict[str, Tensor] = {name: model.graph.tensors[name] for name in model.graph.inputs}
        self.ops_of: dict[Owner, list[str]] = {}

    @property
    def last_op(self) -> str:
        """Name of the operator that was added last."""
        return self._ops[-1].name

    def model(self, splits: tuple[Split, ...], origins: dict[str, tuple[str, float]]) -> Model:
        """The rewritten model.

        Args:
            splits: The splits that it is rewritten with.
            origins: By operator that does a part of what one of the base does, that one and the share of it.
        """
        graph, source = self._model.graph, self._model.proto
        proto = onnx.ModelProto()
        proto.ir_version = source.ir_version
        proto.opset_import.extend(source.opset_import)
        proto.graph.name = source.graph.name
        proto.graph.node.extend(self._nodes)
        proto.graph.input.extend(source.graph.input)
        proto.graph.output.extend(source.graph.output)
        proto.graph.initializer.extend(self._constants.values())
        return Model(
            graph=Graph(
                name=graph.name, ops=tuple(self._ops), tensors=self.tensors, inputs=graph.inputs, outputs=graph.outputs
            ),
            proto=proto,
            hash=self._model.hash,
            base=self._model,
            weight_slices=self._weight_slices,
            origins=origins,
            splits=splits,
        )

    def slice(self, tensor: str, axis: int, low: int, high: int, description: str, owner: Owner) -> str:
        """The name of a tensor that holds a range of another one along an axis."""
        spec = self.tensors[tensor]
        name = self.fresh(f"slice {description}")
        made = self.fresh_tensor(description, resized(spec.shape, axis, high - low), spec.dtype)
        if self._model.opset < _SLICE_BY_INPUTS_OPSET:
            node = helper.make_node("Slice", [tensor], [made], name=name, axes=[axis], ends=[high], starts=[low])
        else:
            bounds = [self.constant((number,)) for number in (low, high, axis)]
            node = helper.make_node("Slice", [tensor, *bounds], [made], name=name)
        self.emit(node, Op(name=name, kind="Slice", inputs=(tensor,), outputs=(made,), role="slice"), owner)
        return made

    def concat(
        self,
        tensor: str,
        pieces: Sequence[Stretch],
        axis: int,
        axis_description: str,
        owner: Owner | None,
        *,
        suffix: str = "",
        into: str | None = None,
    ) -> str:
        """The name of a tensor that holds the pieces one after the other; a single piece is returned as it is.

        Args:
            tensor: The tensor that the pieces are ranges of.
            pieces: The ranges, ascending and without gaps.
            axis: The axis along which they are joined, from 0.
            axis_description: What the operator's name calls it.
            owner: The part of a split that the operator belongs to, if any.
            suffix: Ends the description in the operator's name.
            into: The name of the result; None for a new one.
        """
        if len(pieces) == 1 and into is None:
            return pieces[0].tensor
        description = (
            f"{tensor}[{axis_description} {' + '.join(f'{piece.low}:{piece.high}' for piece in pieces)}{suffix}]"
        )
        spec = self.tensors[pieces[0].tensor]
        shape = resized(spec.shape, axis, pieces[-1].high - pieces[0].low)
        name = self.fresh(f"concat {description}")
        made = into or self.fresh_tensor(description, shape, spec.dtype)
        inputs = tuple(piece.tensor for piece in pieces)
        node = helper.make_node("Concat", inputs, [made], name=name, axis=axis)
        self.emit(node, Op(name=name, kind="Concat", inputs=inputs, outputs=(made,), role="concat"), owner)
        return made

    def emit(self, node: onnx.NodeProto, op: Op, owner: Owner | None) -> None:
        """Add an operator and its node; ``owner`` is the part of a split that it belongs to, if any."""
        self._nodes.append(node)
        self._ops.append(op)
        self._names.add(op.name)
        for tensor in op.outputs:
            if tensor not in self.tensors:
                self.tensors[tensor] = self._model.graph.tensors[tensor]
        if owner is not None:
            self.ops_of.setdefault(owner, []).append(op.name)

    def fresh(self, name: str) -> str:
        """The name, with apostrophes where an operator has it already."""
        while name in self._names or name in self._model.graph.by_name:
            name += "'"
        return name

    def fresh_tensor(self, name: str, shape: tuple[int, ...], dtype: str) -> str:
        """A new tensor of that name, with apostrophes where another tensor or a weight has it already."""
        while name in self.tensors or name in self._model.graph.tensors or name in self._model.weights:
            name += "'"
        self.tensors[name] = Tensor(name, shape, dtype)
        return name

    def constant(self, values: tuple[int, ...]) -> str:
        """The name of a constant of whole numbers; equal constants are one."""
        name = f"int64 {', '.join(map(str, values))}"
        while name in self._model.weights or name in self._model.graph.tensors:
            name += "'"
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.array(values, dtype=np.int64), name)
        return name

    def weight_part(self, weight: str, axis: int, low: int, high: int) -> str:
        """The name of a range of a weight along an axis; the weight's own name if that is all of it."""
        if (low, high) == (0, self._model.weights[weight].dims[axis]):
            return weight
        name = f"{weight}[axis {axis}, {low}:{high}]"
        while name in self._model.weights:
            name += "'"
        self._weight_slices[name] = WeightSlice(weight, axis, low, high)
        return name

    def weight_bytes(self, name: str) -> int:
        """Size of a weight or a part of one in bytes; 0 for what :meth:`constant` made."""
        if name in self._constants:
            return 0
        part = self._weight_slices.get(name)
        weight = self._model.weights[name if part is None else part.source]
        shape = tuple(weight.dims)
        if part is not None:
            shape = resized(shape, part.axis, part.stop - part.start)
        num_items: int = math.prod(shape)
        return num_items * item_bytes(weight.data_type)


def resized(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    """The shape with another size along an axis."""
    return (*shape[:axis], size, *shape[axis + 1 :])
