"""Bytes that a segment touches, of which caches keep an unknown part."""

from __future__ import annotations

from hetsim.core.graph import Graph


def touched_bytes(graph: Graph, ops: tuple[str, ...]) -> int:
    """Bytes of the operators' weights and of the tensors that they read and write as one segment."""
    tensors = dict.fromkeys((*graph.inputs_of(ops), *graph.outputs_of(ops)))
    weights = sum(graph.by_name[op].weight_bytes for op in ops)
    return weights + sum(graph.tensors[tensor].num_bytes for tensor in tensors)
