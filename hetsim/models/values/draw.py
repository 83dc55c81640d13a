"""Random inputs that fit what a model does with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from hetsim.models.ranges.interval import Interval, is_float, is_integer
from hetsim.models.ranges.propagation import Network, ValueRanges
from hetsim.models.ranges.sizes import deciding
from hetsim.models.values.trust import TRUSTING, Trust

_EDGE_SHARE = 0.1
"""So many of the integers of an input are the ends of its range, 0 and its neighbours."""


def draw_inputs(
    network: Network,
    *,
    seed: int,
    trust: Trust = TRUSTING,
    meant: Mapping[str, Callable[[tuple[int, ...], np.random.Generator], np.ndarray]] = MappingProxyType({}),
    opaque: Mapping[str, Callable[[np.random.Generator], Any]] = MappingProxyType({}),
) -> dict[str, Any]:
    """A random value for each input of a model; the same seed gives the same values.

    Floats are drawn from the standard normal distribution, but sizes and shares among them from those that do
    something; booleans are either. Integers are drawn from the whole range that the model can use: as indices they are
    within bounds, as divisors not 0, as sizes small. Integers that serve as truth values, since a cast makes booleans
    of them or the input is called a mask, are 0 or 1; those that decide sizes are 1.

    Args:
        network: The model.
        seed: Seed of the values.
        trust: What is assumed of the inputs.
        meant: By input, how it is drawn of the values that the model is meant for, if these are known.
        opaque: By input that is no array of numbers of known size, how it is drawn.
    """
    rng = np.random.default_rng(seed)
    graph = network.graph
    drawn = [name for name in graph.inputs if name not in meant and name not in opaque]
    numbers = [name for name in drawn if is_integer(graph.tensors[name].dtype) or is_float(graph.tensors[name].dtype)]
    ranges = ValueRanges(network, trust) if numbers else None
    sizes = _sizes(network) if ranges is not None else frozenset()
    values: dict[str, Any] = {}
    for name in graph.inputs:
        tensor = graph.tensors[name]
        if name in opaque:
            values[name] = opaque[name](rng)
        elif name in meant:
            values[name] = meant[name](tensor.shape, rng).astype(np.dtype(tensor.dtype))
        elif ranges is not None and is_integer(tensor.dtype):
            held = ranges.useful[name]
            if name not in trust.ranges and held.low <= 0 <= held.high - 1:
                if name in sizes:
                    held = Interval(1, 1)
                elif _is_mask(network, name):
                    held = Interval(0, 1)
            values[name] = draw_integers(rng, held, tensor.shape, tensor.dtype, nonzero=name in ranges.nonzero)
        elif ranges is not None and is_float(tensor.dtype) and math.isfinite(ranges.useful[name].max_abs):
            held = ranges.useful[name]
            values[name] = np.asarray(rng.uniform(held.low, held.high, tensor.shape)).astype(np.dtype(tensor.dtype))
        elif is_float(tensor.dtype):
            values[name] = np.asarray(rng.standard_normal(tensor.shape)).astype(np.dtype(tensor.dtype))
        else:
            values[name] = np.asarray(rng.integers(0, 2, tensor.shape)).astype(np.dtype(tensor.dtype))
    return values


def draw_integers(
    rng: np.random.Generator, held: Interval, shape: tuple[int, ...], dtype: str, *, nonzero: bool = False
) -> np.ndarray:
    """Integers over a whole interval, some of them at its edges; the interval has one that is not 0."""
    low, high = int(held.low), int(held.high)
    values = integers(rng, low, high, shape, dtype)
    edges = [edge for edge in (low, low + 1, -1, 0, 1, high - 1, high) if low <= edge <= high]
    at_edge = rng.random(shape) < _EDGE_SHARE
    values = np.where(at_edge, np.array(edges, dtype)[rng.integers(0, len(edges), shape)], values)
    if nonzero:
        values = np.where(values == 0, np.array(1 if high >= 1 else low, dtype), values)
    return np.asarray(values)


def integers(rng: np.random.Generator, low: int, high: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Integers from ``low`` to ``high`` with equal probability, also where their number exceeds 64 bits."""
    kind = np.uint64 if low >= 0 else np.int64
    return np.asarray(rng.integers(low, high, shape, dtype=kind, endpoint=True)).astype(dtype)


def _sizes(network: Network) -> frozenset[str]:
    """The tensors from which sizes may be computed."""
    tensors, weights = network.graph.tensors, network.weights
    nodes = [node for op in network.graph.ops for node in network.nodes_of(op.name)]
    return deciding(nodes, lambda name: None if name in weights else tensors[name].dtype if name in tensors else "")


def _is_mask(network: Network, name: str) -> bool:
    """Whether an input of integers serves as truth values."""
    if "mask" in name.lower():
        return True
    consumers = network.graph.consumers.get(name, ())
    return bool(consumers) and all(_to_boolean(network, op) for op in consumers)


def _to_boolean(network: Network, op: str) -> bool:
    nodes = network.nodes_of(op)
    return any(
        node.op_type == "Cast" and attribute.name == "to" and attribute.i == 9
        for node in nodes
        for attribute in node.attribute
    )
