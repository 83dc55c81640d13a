"""Predicted costs of rewritten models: a part of an operator costs its share of the operator, a copy by the byte."""

from __future__ import annotations

from hetsim.core.problem import Latency, LatencyFunction
from hetsim.models.model import Model

COPY_BYTES_PER_S = 2e10
"""At which parts of tensors are sliced and put together: a guess for whatever is not measured, in the middle of what
engines took here."""


def with_parts(model: Model, latency: LatencyFunction, base_latency: LatencyFunction) -> LatencyFunction:
    """Costs for a rewritten model: what was measured of its segments, and a prediction for those that were not.

    A part of an operator costs its share of what the whole costs in the base model, and a slice or a concatenation
    costs what it writes over :data:`COPY_BYTES_PER_S`. Halos are in the shares already; that a part runs less
    efficiently than the whole is not.

    Args:
        model: A rewritten model.
        latency: Costs for this model by the profile alone; knows little of parts.
        base_latency: Likewise for its base.
    """
    graph = model.graph

    def costs(device: str, ops: tuple[str, ...]) -> Latency | None:
        known = latency(device, ops)
        if known is not None and (known.measured or len(ops) == 1):
            return known
        total_s = 0.0
        originals: list[str] = []
        for op in ops:
            if op in model.origins:
                whole, share = model.origins[op]
                found = base_latency(device, (whole,))
                if found is None:
                    return None
                total_s += share * found.seconds
            elif not graph.by_name[op].moves_data:
                originals.append(op)
            else:
                made_bytes = sum(graph.tensors[tensor].num_bytes for tensor in graph.by_name[op].outputs)
                total_s += made_bytes / COPY_BYTES_PER_S
        if originals:
            found = base_latency(device, tuple(originals))
            if found is None:
                return None
            total_s += found.seconds
        return Latency(total_s)

    return costs
