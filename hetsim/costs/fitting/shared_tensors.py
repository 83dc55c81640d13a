"""Shared tensors as the features describe them."""

from __future__ import annotations

from dataclasses import dataclass

from hetsim.models.model import Model


@dataclass(frozen=True, slots=True)
class SharedTensor:
    """A tensor that a segment accesses and that segments of other devices access, too.

    Attributes:
        is_made: Whether the segment makes it; otherwise it reads it.
        num_bytes: Its size.
        kind: The kind of the operator that makes it, or of the first one that reads it.
        name: The tensor of the base that it is or holds a part of; of a tensor that data are moved into, its own name.
    """

    is_made: bool
    num_bytes: int
    kind: str
    name: str


def shared_tensor(model: Model, tensor: str, *, is_made: bool) -> SharedTensor:
    """A tensor of a model as features describe it."""
    graph = model.graph
    producer = graph.producer[tensor]
    readers = graph.consumers[tensor]
    kind = graph.by_name[producer if is_made or not readers else readers[0]].kind
    name = tensor
    if producer in model.origins and model.base is not None:
        name = model.base.graph.by_name[model.origins[producer][0]].outputs[0]
    return SharedTensor(is_made, graph.tensors[tensor].num_bytes, kind, name)
