"""Which operators of a segment are probed together, since an engine may fuse them and compute in another type then."""

from __future__ import annotations

import networkx as nx

from hetsim.models.model import Model
from hetsim.models.ranges.interval import Interval, is_integer, type_interval
from hetsim.models.ranges.propagation import ValueRanges

_HARMLESS = Interval(-(2**24), 2**24)
"""Integers that 32 bits hold, be it as integers or as floats."""


def together(model: Model, ranges: ValueRanges, segment: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Operators of a segment that must be right together: several each, convex, in topological order.

    These are operators that hand integers to each other which float32 or 32 bits do not hold or which wrap around, and
    the whole segment if values that are not finite can occur in it.

    Args:
        model: The model, not a rewritten one.
        ranges: The values of its tensors.
        segment: The segment's operators, in topological order.
    """
    if len(segment) < 2:
        return []
    graph = model.graph
    read = {op: graph.by_name[op].inputs for op in segment}
    if any((held := ranges[name]) is not None and held.special for names in read.values() for name in names):
        return [segment]
    links: nx.Graph[str] = nx.Graph()
    inside = set(segment)
    for op in segment:
        links.add_edges_from(
            (graph.producer[name], op)
            for name in read[op]
            if is_integer(graph.tensors[name].dtype) and graph.producer.get(name) in inside
        )
    found = []
    for linked in nx.connected_components(links):
        ops = tuple(op for op in segment if op in linked)
        touched = {name for op in ops for name in (*graph.by_name[op].inputs, *graph.by_name[op].outputs)}
        if any(_may_suffer(model, ranges, name) for name in touched):
            found.append(ops if graph.is_convex(ops) else segment)
    return sorted(set(found), key=lambda ops: segment.index(ops[0]))


def _may_suffer(model: Model, ranges: ValueRanges, name: str) -> bool:
    """Whether a tensor has integers that another type does not hold."""
    dtype, held = model.graph.tensors[name].dtype, ranges[name]
    if not is_integer(dtype) or held is None:
        return False
    wraps = dtype not in ("int32", "int64") and held == type_interval(dtype)
    return wraps or not held.within(_HARMLESS)
