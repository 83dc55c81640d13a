"""Predicted costs of rewritten models: a part of an operator costs its share of the operator, a copy by the byte."""

from __future__ import annotations

from hetsim.core.problem import Latency, LatencyFunction
from hetsim.models.model import Model

COPY_BYTES_PER_S = 2e10
"""Assumed rate of slices and concatenations without measurements, in the middle of what engines reached."""


def with_parts(model: Model, latency: LatencyFunction, base_latency: LatencyFunction) -> LatencyFunction:
    """Costs for a rewritten model: measured where there are measurements, predicted elsewhere.

    A part of an operator costs its share of the operator's cost in the base model, a slice or a concatenation the bytes
    that it writes over :data:`COPY_BYTES_PER_S`. The shares include halos. That a part runs less efficiently than the
    whole operator is left out.

    Args:
        model: A rewritten model.
        latency: Costs for this model from the profile alone.
        base_latency: The same for its base model.
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
                original, share = model.origins[op]
                found = base_latency(device, (original,))
                if found is None:
                    return None
                total_s += share * found.seconds
            elif not graph.by_name[op].moves_data:
                originals.append(op)
            else:
                written_bytes = sum(graph.tensors[tensor].num_bytes for tensor in graph.by_name[op].outputs)
                total_s += written_bytes / COPY_BYTES_PER_S
        if originals:
            found = base_latency(device, tuple(originals))
            if found is None:
                return None
            total_s += found.seconds
        return Latency(total_s)

    return costs
