"""A model in chunks of bounded memory, and the reference's values for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hetsim.core.graph import Graph
from hetsim.models.model import Model
from hetsim.models.reference import evaluate
from hetsim.runtime.verifying.devices import Values

CHUNK_BYTES = 128 * 2**20
"""Tensors and weights of a chunk's operators; a chunk of one operator may exceed it."""
CHUNK_OPS = 64
_RESIDENT_BYTES = 512 * 2**20


def chunks(graph: Graph, *, max_bytes: int = CHUNK_BYTES, max_ops: int = CHUNK_OPS) -> Iterator[tuple[str, ...]]:
    """The graph's operators in topological order, divided into chunks."""
    for batch in batches(graph, [(op.name,) for op in graph.ops], max_bytes=max_bytes, max_parts=max_ops):
        yield tuple(op for part in batch for op in part)


def batches(
    graph: Graph, parts: Sequence[tuple[str, ...]], *, max_bytes: int = CHUNK_BYTES, max_parts: int = CHUNK_OPS
) -> Iterator[list[tuple[str, ...]]]:
    """Parts of the graph in batches, in their order."""
    batch: list[tuple[str, ...]] = []
    num_bytes = 0
    for part in parts:
        size = sum(graph.by_name[op].weight_bytes for op in part) + sum(
            graph.tensors[name].num_bytes for name in (*graph.inputs_of(part), *graph.outputs_of(part))
        )
        if batch and (num_bytes + size > max_bytes or len(batch) == max_parts):
            yield batch
            batch, num_bytes = [], 0
        batch.append(part)
        num_bytes += size
    if batch:
        yield batch


class Reference:
    """The reference engine's values for any tensors of a model.

    If all tensors together are small, they are computed once. Otherwise the model is run again for each question, as
    far as the tensors in question need.

    Args:
        model: The model, not a rewritten one.
        inputs: Values of its inputs, one or several times.
    """

    def __init__(self, model: Model, inputs: Sequence[Values]) -> None:
        self._model = model
        self.inputs = inputs
        graph = model.graph
        made = [name for name in graph.tensors if name in graph.producer]
        num_bytes = len(inputs) * sum(graph.tensors[name].num_bytes for name in made)
        self._resident: list[dict[str, Any]] | None = None
        if num_bytes <= _RESIDENT_BYTES:
            used = [name for name in made if graph.consumers[name] or name in graph.outputs]
            self._resident = self._evaluate(used)

    def borders(self, parts: Sequence[tuple[str, ...]]) -> list[Values]:
        """By input, the values of all tensors that each part reads or hands out.

        Raises:
            ModelError: If the reference engine cannot run the model.
        """
        graph = self._model.graph
        names = dict.fromkeys(name for ops in parts for name in (*graph.inputs_of(ops), *graph.outputs_of(ops)))
        return self.tensors(tuple(names))

    def tensors(self, names: Sequence[str]) -> list[Values]:
        """By input, the values of these tensors and of the model's inputs.

        Raises:
            ModelError: If the reference engine cannot run the model.
        """
        made = [name for name in names if name in self._model.graph.producer]
        if self._resident is None:
            found = self._evaluate(made)
        else:
            found = [{name: one[name] for name in made} for one in self._resident]
        return [{**given, **one} for given, one in zip(self.inputs, found, strict=True)]

    def _evaluate(self, names: Sequence[str]) -> list[dict[str, Any]]:
        if not names:
            return [{} for _ in self.inputs]
        model = self._model
        return [evaluate(model.proto, one, list(names), custom_ops=model.custom_ops) for one in self.inputs]
