"""The graph rewrite: runs of operators computed in parts, as ordinary operators in an ordinary graph.

Each operator of a run becomes one operator for each part, which computes as much as the part needs. A part slices the
range that it reads out of a whole tensor. If a neighbouring run makes the tensor in parts, the part joins the ranges
that it needs: most of one part, and a few rows of others. A tensor is joined as a whole only if an operator outside any
run, or the caller, reads it. This is the spatial partitioning with exchange of halos of Dryden et al. (IPDPS 2019, doi
10.1109/IPDPS.2019.00031), with any number of layers fused between two exchanges, as in MoDNN (Mao et al., DATE 2017,
doi 10.23919/DATE.2017.7927211).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hetsim.core.errors import PlanError
from hetsim.core.graph import Op
from hetsim.core.plan import Split
from hetsim.models.model import Model
from hetsim.models.split.builder import GraphBuilder, Owner, Stretch, resized
from hetsim.models.split.rules import part_node, split_axis
from hetsim.models.split.run import Range, Run

MAX_CACHED = 64
"""How many rewritten models a model remembers."""


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """A model rewritten with splits.

    Attributes:
        model: The rewritten model.
        parts: By split and part, the operators of the part in topological order, including those that slice and join
            what it reads.
        joins: By tensor that a run makes in parts and that is joined as a whole, the operator that joins it.
    """

    model: Model
    parts: tuple[tuple[tuple[str, ...], ...], ...]
    joins: Mapping[str, str]


def rewrite(model: Model, splits: Sequence[Split]) -> Rewrite:
    """The model with runs of operators computed in parts. Every output element is computed as before.

    The last results are cached in the model: the same splits give the same object.

    Args:
        model: An imported model, or a model rewritten from it.
        splits: The splits; no operator may be in two of them. Without splits, the result is the imported model.

    Raises:
        PlanError: If an operator is unknown, in two splits, or cannot be split; if a boundary is beyond the last row or
            channel; or if a part reads only padding.
    """
    base, key = model.base or model, tuple(splits)
    if not key:
        return Rewrite(model=base, parts=(), joins={})
    found = base.rewrites.pop(key, None) or _Rewriter(base, key).result()
    assert isinstance(found, Rewrite)
    base.rewrites[key] = found  # the last one used is the last one forgotten
    while len(base.rewrites) > MAX_CACHED:
        del base.rewrites[next(iter(base.rewrites))]
    return found


class _Rewriter:
    """Builds the rewritten graph in the model's topological order."""

    def __init__(self, model: Model, splits: Sequence[Split]) -> None:
        self._model = model
        self._runs = tuple(Run(model, split) for split in splits)
        self._run_of: dict[str, int] = {}
        for number, run in enumerate(self._runs):
            for op in run.ops:
                if op in self._run_of:
                    raise PlanError(f"two splits name {op!r}; keep it in one of them")
                self._run_of[op] = number
        self._graph = GraphBuilder(model)
        self._origins: dict[str, tuple[str, float]] = {}
        self._joins: dict[str, str] = {}
        self._held: dict[tuple[int, int, str], Stretch] = {}  # by run, part and tensor, the range that the part has
        self._joined: dict[str, list[Stretch]] = {}  # by tensor that a part joins, the pieces that other parts made
        self._cut: dict[
            tuple[int, int, str, int, int, int], str
        ] = {}  # by run, part, tensor, axis and range, slices of that

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
                self._graph.emit(self._model.nodes[op.name], op, None)
        for tensor in graph.outputs:
            self._whole(tensor)
        parts = tuple(
            tuple(tuple(self._graph.ops_of.get((number, part), ())) for part in range(run.split.num_parts))
            for number, run in enumerate(self._runs)
        )
        splits = tuple(run.split for run in self._runs)
        return Rewrite(model=self._graph.model(splits, self._origins), parts=parts, joins=self._joins)

    def _emit_part(self, op: Op, number: int, part: int) -> None:
        """Add one part of an operator: operators that bring its inputs, and its node."""
        run, rule = self._runs[number], self._runs[number].rules[op.name]
        (made,) = op.outputs
        low, high = run.needs[part][made]
        description = f"[{run.split.axis} {low}:{high}]"
        node = part_node(self._model.nodes[op.name], rule, low, high)
        weight_bytes = 0
        for i, (name, reading) in enumerate(zip(node.input, rule.readings, strict=True)):
            if name in self._model.weights:
                if rule.shape is not None:
                    node.input[i] = self._graph.constant(resized(rule.shape, rule.axis, high - low))
                elif reading.axis is not None:
                    node.input[i] = self._graph.weight_part(name, reading.axis, *reading.range(low, high))
                weight_bytes += self._graph.weight_bytes(node.input[i])
            elif name:
                node.input[i] = self._read(number, part, name, reading.axis, reading.range(low, high))
        node.name = self._graph.fresh(op.name + description)
        tensor = self._model.graph.tensors[made]
        node.output[0] = self._graph.fresh_tensor(
            made + description, resized(tensor.shape, rule.axis, high - low), tensor.dtype
        )
        share = (high - low) / rule.size
        self._origins[node.name] = (op.name, share)
        made_op = Op(
            name=node.name,
            kind=op.kind,
            inputs=tuple(dict.fromkeys(t for t in node.input if t in self._graph.tensors)),
            outputs=(node.output[0],),
            weight_bytes=weight_bytes,
            num_macs=round(op.num_macs * share),
            part_of=op.name,
        )
        self._graph.emit(node, made_op, (number, part))
        self._held[number, part, made] = Stretch(node.output[0], low, high)

    def _read(self, number: int, part: int, tensor: str, axis: int | None, needed: Range) -> str:
        """The tensor that a part's operator reads for ``tensor``: all that the part has, or a range along an axis."""
        run = self._runs[number]
        shape = self._model.graph.tensors[tensor].shape
        place = split_axis(shape, run.split.axis)
        if (number, part, tensor) not in self._held:
            low, high = run.needs[part][tensor]
            name = self._gather(tensor, place, (low, high), (number, part))
            self._held[number, part, tensor] = Stretch(name, low, high)
        held = self._held[number, part, tensor]
        if axis is None:
            return held.tensor
        low, high = (held.low, held.high) if axis == place else (0, shape[axis])
        if needed == (low, high):
            return held.tensor
        for piece in self._joined.get(held.tensor, ()):  # such as the part's own rows beside those of a neighbour
            if axis == place and needed == (piece.low, piece.high):
                return piece.tensor
        key = (number, part, tensor, axis, *needed)
        if key not in self._cut:
            description = f"{tensor}[{_description(run, axis, place)} {needed[0]}:{needed[1]} of {low}:{high}]"
            self._cut[key] = self._graph.slice(
                held.tensor, axis, needed[0] - low, needed[1] - low, description, (number, part)
            )
        return self._cut[key]

    def _gather(self, tensor: str, axis: int | None, needed: Range, owner: Owner) -> str:
        """The tensor that holds a range of a tensor from outside the owner's run, which made it whole or in parts."""
        graph = self._model.graph
        shape = graph.tensors[tensor].shape
        producer = graph.producer.get(tensor)
        everything = axis is None or needed == (0, shape[axis])
        axis_description = "" if axis is None else self._runs[owner[0]].split.axis
        if producer not in self._run_of:
            if axis is None or everything:
                return tensor
            return self._graph.slice(
                tensor, axis, *needed, f"{tensor}[{axis_description} {needed[0]}:{needed[1]}]", owner
            )
        maker = self._run_of[producer]
        along = self._runs[maker].rules[producer].axis
        description = self._runs[maker].split.axis
        if along != axis:
            if everything:
                return self._graph.concat(tensor, self._pieces(maker, tensor), along, description, owner)
            # Slicing each part copies less than slicing the whole.
            assert axis is not None
            pieces = [
                Stretch(
                    self._graph.slice(
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
            return self._graph.concat(
                tensor, pieces, along, description, owner, suffix=f", {axis_description} {needed[0]}:{needed[1]}"
            )
        pieces = self._pieces(maker, tensor, needed)
        joined = self._graph.concat(tensor, pieces, along, description, owner)
        self._joined[joined] = pieces
        return joined

    def _pieces(self, maker: int, tensor: str, needed: Range | None = None) -> list[Stretch]:
        """The pieces of a tensor that the parts of a run compute, or as much of each as is ``needed``.

        Each part slices its own piece, so that only that piece is handed over to a reader on another device.
        """
        run = self._runs[maker]
        pieces: list[Stretch] = []
        for part, (low, high) in enumerate(run.own):
            if needed is not None:
                low, high = max(low, needed[0]), min(high, needed[1])
            if low < high:
                pieces.append(Stretch(self._read(maker, part, tensor, run.axes[tensor], (low, high)), low, high))
        return pieces

    def _whole(self, tensor: str) -> None:
        """Join a tensor that a run makes in parts, under its own name, unless it is joined already."""
        producer = self._model.graph.producer.get(tensor)
        if producer not in self._run_of or tensor in self._graph.tensors:
            return
        maker = self._run_of[producer]
        pieces = self._pieces(maker, tensor)
        axis = self._runs[maker].rules[producer].axis
        self._graph.concat(tensor, pieces, axis, self._runs[maker].split.axis, None, into=tensor)
        self._joins[tensor] = self._graph.last_op


def _description(run: Run, axis: int, place: int | None) -> str:
    return run.split.axis if axis == place else f"axis {axis},"
