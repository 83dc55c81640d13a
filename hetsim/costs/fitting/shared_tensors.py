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
        name: The tensor of the base that it is or holds a part of; of a tensor that data are moved into, its own name.
    """

    is_made: bool
    num_bytes: int
    name: str


def shared_tensor(model: Model, tensor: str, *, is_made: bool) -> SharedTensor:
    """A tensor of a model as features describe it."""
    graph = model.graph
    producer, name = graph.producer[tensor], tensor
    if producer in model.origins and model.base is not None:
        name = model.base.graph.by_name[model.origins[producer][0]].outputs[0]
    return SharedTensor(is_made, graph.tensors[tensor].num_bytes, name)
