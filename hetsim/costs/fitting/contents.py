"""What a segment of a model computes, in terms of the operators of the model's base: the input of the features."""

from __future__ import annotations

from collections.abc import Iterable
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


@dataclass(frozen=True, slots=True)
class Contents:
    """What a segment computes.

    Attributes:
        shares: By operator of the base, in topological order, which share of it the segment computes; 1 if all of it.
        num_copies: The number of operators that only move data.
        copied_bytes: Bytes that these write.
    """

    shares: dict[str, float]
    num_copies: int
    copied_bytes: int


def contents(model: Model, ops: Iterable[str]) -> Contents:
    """What operators of a model, imported or rewritten, compute."""
    graph = model.graph
    shares: dict[str, float] = {}
    num_copies = copied_bytes = 0
    for op in ops:
        if op in model.origins:
            original, share = model.origins[op]
            shares[original] = shares.get(original, 0.0) + share
        elif model.base is not None and graph.by_name[op].moves_data:
            num_copies += 1
            copied_bytes += sum(graph.tensors[tensor].num_bytes for tensor in graph.by_name[op].outputs)
        else:
            shares[op] = 1.0
    return Contents(shares, num_copies, copied_bytes)


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
