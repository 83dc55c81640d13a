"""The graph rewrite: runs of operators computed in parts, as ordinary operators in an ordinary graph.

Each operator of a run becomes one operator for each part, as large as what the part needs of it. A part slices what
it reads of a whole tensor. Of what a neighbouring run makes in parts it reads those parts, its own predecessor's and a
few rows of the others', and puts them together; the tensor is put together as a whole only where someone outside any
run reads it whole. That is the spatial partitioning with exchange of halos of Dryden et al. (IPDPS 2019, doi
10.1109/IPDPS.2019.00031), with as many layers fused between two exchanges as one likes, as in MoDNN (Mao et al., DATE
2017, doi 10.23919/DATE.2017.7927211).

Every operator is named after what it computes, such as ``conv1[rows 0:28]``, ``slice pool1[rows 27:29 of 0:28]`` or
``concat pool1[rows 0:28 + 28:56]``. So the same name means the same work in every rewrite of a model, and what was
measured of a segment in one holds in all. Work that a graph has twice gets an apostrophe the second time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hetsim.core.errors import PlanError
from hetsim.core.graph import Graph, Op, Tensor
from hetsim.core.split import Split
from hetsim.models.onnx_graph import item_bytes
from hetsim.models.onnx_import import Model
from hetsim.models.split.rules import Rule, part_node, rule_for, split_axis
from hetsim.models.weights import WeightSlice

Range = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """A model rewritten with splits.

    Attributes:
        model: The rewritten model.
        parts: For each split, for each of its parts, the operators that compute it, in topological order: with those
            that slice and put together what the part reads.
        joins: By tensor that runs make in parts and others read whole, the operator that puts it together.
    """

    model: Model
    parts: tuple[tuple[tuple[str, ...], ...], ...]
    joins: Mapping[str, str]


def rewrite(model: Model, splits: Sequence[Split]) -> Rewrite:
    """The model with runs of its operators computed in parts. Every output element is computed as before.

    The same splits give the same object again, as long as the model lives.

    Args:
        model: An imported model, or one rewritten from it, whatever its splits were.
        splits: No operator is in two of them. None at all gives the imported model.

    Raises:
        PlanError: If an operator is unknown, in two splits, or cannot be split; if there are fewer rows or channels
            than boundaries ask for; or if a part reads nothing but padding.
    """
    base, key = model.base or model, tuple(splits)
    if not key:
        return Rewrite(model=base, parts=(), joins={})
    if key not in base.rewrites:
        base.rewrites[key] = _Rewriter(base, key).result()
    found = base.rewrites[key]
    assert isinstance(found, Rewrite)
    return found


def check_split(model: Model, split: Split) -> None:
    """Refuse a split that a model cannot be rewritten with, without rewriting it.

    Raises:
        PlanError: As :func:`rewrite`, of this split alone.
    """
    _Run(model, split)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A tensor that holds a range of another along an axis."""

    tensor: str
    low: int
    high: int


class _Run:
    """A split resolved against its model: what each part needs of each tensor."""

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
        """What the part needs of each tensor, made inside or outside: a range along the split's axis."""
        graph, inside = model.graph, set(self.ops)
        needs: dict[str, Range] = {}
        for name in reversed(self.ops):
            (made,) = graph.by_name[name].outputs
            rule = self.rules[name]
            if made in graph.outputs or not inside.issuperset(graph.consumers[made]):
                if rule.size != self.own[-1][1]:
                    raise PlanError(
                        f"{self.split.label} hands on {made!r} with {rule.size} {self.split.axis} and others with "
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


class _Rewriter:
    """Emits the rewritten graph in the model's topological order."""

    def __init__(self, model: Model, splits: Sequence[Split]) -> None:
        self._model = model
        self._runs = tuple(_Run(model, split) for split in splits)
        self._run_of: dict[str, int] = {}
        for number, run in enumerate(self._runs):
            for op in run.ops:
                if op in self._run_of:
                    raise PlanError(f"two splits name {op!r}; keep it in one of them")
                self._run_of[op] = number
        self._nodes: list[onnx.NodeProto] = []
        self._ops: list[Op] = []
        self._names: set[str] = set()
        self._tensors: dict[str, Tensor] = {name: model.graph.tensors[name] for name in model.graph.inputs}
        self._constants: dict[str, onnx.TensorProto] = {}
        self._weight_slices: dict[str, WeightSlice] = {}
        self._origins: dict[str, tuple[str, float]] = {}
        self._parts: list[list[list[str]]] = [[[] for _ in run.own] for run in self._runs]
        self._joins: dict[str, str] = {}
        self._held: dict[tuple[int, int, str], _Stretch] = {}  # by run, part and tensor, what the part has of it
        self._cut: dict[tuple[int, int, str, int, int, int], str] = {}  # likewise with axis and range, slices of that

    def result(self) -> Rewrite:
        graph = self._model.graph
        for op in graph.ops:
            if op.name in self._run_of:
                run = self._run_of[op.name]
                for part in range(self._runs[run].split.num_parts):
                    self._emit_part(op, run, part)
            else:
                for tensor in op.inputs:
                    self._whole(tensor)
                self._emit(self._model.nodes[op.name], op, None)
        for tensor in graph.outputs:
            self._whole(tensor)
        proto = onnx.ModelProto()
        source = self._model.proto
        proto.ir_version = source.ir_version
        proto.opset_import.extend(source.opset_import)
        proto.graph.name = source.graph.name
        proto.graph.node.extend(self._nodes)
        proto.graph.input.extend(source.graph.input)
        proto.graph.output.extend(source.graph.output)
        proto.graph.initializer.extend(self._constants.values())
        rewritten = Model(
            graph=Graph(
                name=graph.name, ops=tuple(self._ops), tensors=self._tensors, inputs=graph.inputs, outputs=graph.outputs
            ),
            proto=proto,
            hash=self._model.hash,
            base=self._model,
            weight_slices=self._weight_slices,
            origins=self._origins,
        )
        parts = tuple(tuple(tuple(part) for part in parts) for parts in self._parts)
        return Rewrite(model=rewritten, parts=parts, joins=self._joins)

    def _emit_part(self, op: Op, number: int, part: int) -> None:
        """One operator's part: its inputs brought together, its node, what it makes noted."""
        run, rule = self._runs[number], self._runs[number].rules[op.name]
        (made,) = op.outputs
        low, high = run.needs[part][made]
        description = f"[{run.split.axis} {low}:{high}]"
        node = part_node(self._model.nodes[op.name], rule, low, high)
        weight_bytes = 0
        for i, (name, reading) in enumerate(zip(node.input, rule.readings, strict=True)):
            if name in self._model.weights:
                if rule.shape is not None:
                    node.input[i] = self._constant(_resized(rule.shape, rule.axis, high - low))
                elif reading.axis is not None:
                    node.input[i] = self._weight_part(name, reading.axis, *reading.range(low, high))
                weight_bytes += self._weight_bytes(node.input[i])
            elif name:
                node.input[i] = self._read(number, part, name, reading.axis, reading.range(low, high))
        node.name = self._fresh(op.name + description)
        tensor = self._model.graph.tensors[made]
        node.output[0] = self._fresh_tensor(
            made + description, _resized(tensor.shape, rule.axis, high - low), tensor.dtype
        )
        share = (high - low) / rule.size
        self._origins[node.name] = (op.name, share)
        made_op = Op(
            name=node.name,
            kind=op.kind,
            inputs=tuple(dict.fromkeys(t for t in node.input if t in self._tensors)),
            outputs=(node.output[0],),
            weight_bytes=weight_bytes,
            num_macs=round(op.num_macs * share),
        )
        self._emit(node, made_op, (number, part))
        self._held[number, part, made] = _Stretch(node.output[0], low, high)

    def _read(self, number: int, part: int, tensor: str, axis: int | None, needed: Range) -> str:
        """A tensor that holds what a part's operator reads of ``tensor``: all of it, or a range along an axis."""
        run = self._runs[number]
        shape = self._model.graph.tensors[tensor].shape
        place = split_axis(shape, run.split.axis)
        if (number, part, tensor) not in self._held:
            low, high = run.needs[part][tensor]
            name = self._gather(tensor, place, (low, high), (number, part))
            self._held[number, part, tensor] = _Stretch(name, low, high)
        held = self._held[number, part, tensor]
        if axis is None:
            return held.tensor
        low, high = (held.low, held.high) if axis == place else (0, shape[axis])
        if needed == (low, high):
            return held.tensor
        key = (number, part, tensor, axis, *needed)
        if key not in self._cut:
            description = f"{tensor}[{_description(run, axis, place)} {needed[0]}:{needed[1]} of {low}:{high}]"
            self._cut[key] = self._slice(
                held.tensor, axis, needed[0] - low, needed[1] - low, description, (number, part)
            )
        return self._cut[key]

    def _gather(self, tensor: str, axis: int | None, needed: Range, owner: tuple[int, int]) -> str:
        """A tensor that holds a range of one that was made outside the owner's run, whole or in parts."""
        graph = self._model.graph
        shape = graph.tensors[tensor].shape
        producer = graph.producer.get(tensor)
        everything = axis is None or needed == (0, shape[axis])
        axis_description = "" if axis is None else self._runs[owner[0]].split.axis
        if producer not in self._run_of:
            if axis is None or everything:
                return tensor
            return self._slice(tensor, axis, *needed, f"{tensor}[{axis_description} {needed[0]}:{needed[1]}]", owner)
        maker = self._run_of[producer]
        along = self._runs[maker].rules[producer].axis
        description = self._runs[maker].split.axis
        if along != axis:
            if everything:
                return self._concat(tensor, self._pieces(maker, tensor), along, description, owner)
            # A range of each part is less to copy than a range of the whole.
            assert axis is not None
            pieces = [
                _Stretch(
                    self._slice(
                        piece.tensor,
                        axis,
                        *needed,
                        f"{tensor}[{description} {piece.low}:{piece.high}, {axis_description} {needed[0]}:{needed[1]}]",
                        owner,
                    ),
                    piece.low,
                    piece.high,
                )
                for piece in self._pieces(maker, tensor)
            ]
            return self._concat(
                tensor, pieces, along, description, owner, suffix=f", {axis_description} {needed[0]}:{needed[1]}"
            )
        return self._concat(tensor, self._pieces(maker, tensor, needed), along, description, owner)

    def _pieces(self, maker: int, tensor: str, needed: Range | None = None) -> list[_Stretch]:
        """What the parts of a run hand on of a tensor, each what is its own, or as much of it as is ``needed``.

        Each part cuts its own piece out: a reader that had to would want all of it handed over for a few rows.
        """
        run = self._runs[maker]
        pieces: list[_Stretch] = []
        for part, (low, high) in enumerate(run.own):
            if needed is not None:
                low, high = max(low, needed[0]), min(high, needed[1])
            if low < high:
                pieces.append(_Stretch(self._read(maker, part, tensor, run.axes[tensor], (low, high)), low, high))
        return pieces

    def _whole(self, tensor: str) -> None:
        """Put a tensor together that a run made in parts, once, under its own name."""
        producer = self._model.graph.producer.get(tensor)
        if producer not in self._run_of or tensor in self._tensors:
            return
        maker = self._run_of[producer]
        pieces = self._pieces(maker, tensor)
        axis = self._runs[maker].rules[producer].axis
        self._concat(tensor, pieces, axis, self._runs[maker].split.axis, None, into=tensor)
        self._joins[tensor] = self._nodes[-1].name

    def _slice(self, tensor: str, axis: int, low: int, high: int, description: str, owner: tuple[int, int]) -> str:
        spec = self._tensors[tensor]
        name = self._fresh(f"slice {description}")
        made = self._fresh_tensor(description, _resized(spec.shape, axis, high - low), spec.dtype)
        bounds = [self._constant((number,)) for number in (low, high, axis)]
        node = helper.make_node("Slice", [tensor, *bounds], [made], name=name)
        self._emit(node, Op(name=name, kind="Slice", inputs=(tensor,), outputs=(made,), role="slice"), owner)
        return made

    def _concat(
        self,
        tensor: str,
        pieces: Sequence[_Stretch],
        axis: int,
        axis_description: str,
        owner: tuple[int, int] | None,
        *,
        suffix: str = "",
        into: str | None = None,
    ) -> str:
        """A tensor that holds the pieces one after the other; where there is only one, that one."""
        if len(pieces) == 1 and into is None:
            return pieces[0].tensor
        description = (
            f"{tensor}[{axis_description} {' + '.join(f'{piece.low}:{piece.high}' for piece in pieces)}{suffix}]"
        )
        spec = self._tensors[pieces[0].tensor]
        shape = _resized(spec.shape, axis, pieces[-1].high - pieces[0].low)
        name = self._fresh(f"concat {description}")
        made = into or self._fresh_tensor(description, shape, spec.dtype)
        inputs = tuple(piece.tensor for piece in pieces)
        node = helper.make_node("Concat", inputs, [made], name=name, axis=axis)
        self._emit(node, Op(name=name, kind="Concat", inputs=inputs, outputs=(made,), role="concat"), owner)
        return made

    def _emit(self, node: onnx.NodeProto, op: Op, owner: tuple[int, int] | None) -> None:
        self._nodes.append(node)
        self._ops.append(op)
        self._names.add(op.name)
        for tensor in op.outputs:
            if tensor not in self._tensors:
                self._tensors[tensor] = self._model.graph.tensors[tensor]
        if owner is not None:
            self._parts[owner[0]][owner[1]].append(op.name)

    def _fresh(self, name: str) -> str:
        while name in self._names or name in self._model.graph.by_name:
            name += "'"
        return name

    def _fresh_tensor(self, name: str, shape: tuple[int, ...], dtype: str) -> str:
        while name in self._tensors or name in self._model.graph.tensors or name in self._model.weights:
            name += "'"
        self._tensors[name] = Tensor(name, shape, dtype)
        return name

    def _constant(self, values: tuple[int, ...]) -> str:
        """A constant of whole numbers, each once."""
        name = f"int64 {', '.join(map(str, values))}"
        while name in self._model.weights or name in self._model.graph.tensors:
            name += "'"
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.array(values, dtype=np.int64), name)
        return name

    def _weight_part(self, weight: str, axis: int, low: int, high: int) -> str:
        if (low, high) == (0, self._model.weights[weight].dims[axis]):
            return weight
        name = f"{weight}[axis {axis}, {low}:{high}]"
        while name in self._model.weights:
            name += "'"
        self._weight_slices[name] = WeightSlice(weight, axis, low, high)
        return name

    def _weight_bytes(self, name: str) -> int:
        if name in self._constants:
            return 0
        part = self._weight_slices.get(name)
        weight = self._model.weights[name if part is None else part.source]
        shape = tuple(weight.dims)
        if part is not None:
            shape = _resized(shape, part.axis, part.stop - part.start)
        num_items: int = math.prod(shape)
        return num_items * item_bytes(weight.data_type)


def _description(run: _Run, axis: int, place: int | None) -> str:
    return run.split.axis if axis == place else f"axis {axis},"


def _resized(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])
