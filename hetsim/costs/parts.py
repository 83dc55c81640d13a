"""What segments of rewritten models compute, and what a part costs where whole operators alone have known costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hetsim.core.problem import Latency, PartWork

if TYPE_CHECKING:
    from hetsim.models.model import Model  # imports ONNX, which schedulers do without

COPY_BYTES_PER_S = 2e10
"""Assumed rate of slices and concatenations without measurements, in the middle of what engines reached."""


def part_seconds(work: PartWork, latency: Callable[[tuple[str, ...]], Latency | None], launch_s: float) -> float | None:
    """What a device takes for a part of a run as one segment, in seconds; None if it cannot run the run as one.

    With ``T`` the time of the whole operators as one segment, and ``a[i]`` what operator ``i`` takes alone without the
    launch, a part with the shares ``s[i]`` takes

        launch + (T - launch) * sum over i of s[i] a[i] / sum over i of a[i] + copied bytes / COPY_BYTES_PER_S

    Of an operator that the device cannot run alone ``a`` is 0; if all would be 0, they are equal. That a part runs less
    efficiently than the whole, and that a part of rows reads all weights, is left out.

    Args:
        work: What the part computes. A segment that holds several parts of an operator has the sum of their shares.
        latency: The latency on the device of operators of the model before the split as one segment.
        launch_s: The device's launch cost in seconds; no more of it counts than the operators take in all.
    """
    copies_s = work.copied_bytes / COPY_BYTES_PER_S
    ops = tuple(work.shares)
    if not ops:
        return launch_s + copies_s
    whole = latency(ops)
    if whole is None:
        return None
    launch_s = min(launch_s, whole.seconds)
    return launch_s + (whole.seconds - launch_s) * _share(work.shares, latency, launch_s) + copies_s


def _share(shares: Mapping[str, float], latency: Callable[[tuple[str, ...]], Latency | None], launch_s: float) -> float:
    """The share of the arithmetic of all operators that the part computes."""
    first = next(iter(shares.values()))
    if all(share == first for share in shares.values()):
        return first
    alone = {op: latency((op,)) for op in shares}
    alone_s = {op: 0.0 if found is None else max(0.0, found.seconds - launch_s) for op, found in alone.items()}
    total_s = sum(alone_s.values())
    if total_s <= 0:
        return sum(shares.values()) / len(shares)
    return sum(share * alone_s[op] for op, share in shares.items()) / total_s


def work_of(model: Model, ops: tuple[str, ...]) -> PartWork:
    """What a segment of a rewritten model computes, by operators of its base in topological order."""
    base = model.base or model
    shares: dict[str, float] = {}
    copied_bytes = 0
    for op in ops:
        if op in model.origins:
            original, share = model.origins[op]
            shares[original] = shares.get(original, 0.0) + share
        elif model.graph.by_name[op].moves_data:
            copied_bytes += sum(model.graph.tensors[tensor].num_bytes for tensor in model.graph.by_name[op].outputs)
        else:
            shares[op] = 1.0
    ordered = {op: shares[op] for op in base.graph.ordered(shares)}
    return PartWork(shares=ordered, copied_bytes=copied_bytes)


def is_whole(work: PartWork) -> bool:
    """Whether a segment of a rewritten model only computes whole operators."""
    return not work.copied_bytes and not work.has_parts
