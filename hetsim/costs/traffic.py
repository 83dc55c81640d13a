"""How many bytes a segment moves to and from the memory.

It touches its weights, what it reads and what it writes, but how much of that caches keep nobody can tell from outside.
So an operator that may be bound by the memory runs beside itself, on every device at once. With ``n`` devices that all
want more than their share ``B / n`` of the bandwidth that the memory sustains, each proceeds at

    speed = (B / n) / (moved / d)            so   moved = (B / n) * d / speed

What was never seen to be slowed down moves what it touches, but no more than the share, at which nobody is slowed.
"""

from __future__ import annotations

import math
from statistics import median

from hetsim.core.graph import Graph
from hetsim.core.platform import Platform
from hetsim.core.problem import LatencyFunction, TrafficFunction
from hetsim.costs.profile import Profile

_BUSY = 0.8
"""An operator may be bound by the memory if it touches more than this part of its share while it runs."""
_WORTH = 0.01
"""An operator that takes less than this part of its device's time is not worth running beside itself."""
_SLOWED = 0.95
"""Speeds above this count as full speed: on a noisy machine, so fast go also pairs that want little of the memory."""


def touched_bytes(graph: Graph, ops: tuple[str, ...]) -> int:
    """Weights of the operators, and the tensors that they read and write as one segment."""
    tensors = dict.fromkeys((*graph.inputs_of(ops), *graph.outputs_of(ops)))
    weights = sum(graph.by_name[op].weight_bytes for op in ops)
    return weights + sum(graph.tensors[tensor].num_bytes for tensor in tensors)


def share_bytes_per_s(platform: Platform) -> float:
    """What each device gets of the memory while all want more; infinite where the platform does not know."""
    return platform.memory.shared_bytes_per_s / len(platform.devices)


def memory_bound_ops(profile: Profile, graph: Graph, platform: Platform) -> tuple[str, ...]:
    """Operators that may be bound by the memory on some device and take some of its time; in the graph's order."""
    share = share_bytes_per_s(platform)
    found: set[str] = set()
    for device in platform.device_names:
        medians = {op.name: profile.summary(device, (op.name,)) for op in graph.ops}
        seconds = {op: one.median_s for op, one in medians.items() if one is not None}
        worth_s = _WORTH * sum(seconds.values())
        found |= {
            op
            for op, alone_s in seconds.items()
            if alone_s >= worth_s and touched_bytes(graph, (op,)) > _BUSY * share * alone_s
        }
    return graph.ordered(found)


def traffic_function(
    profile: Profile, graph: Graph, platform: Platform, latency: LatencyFunction
) -> TrafficFunction | None:
    """What segments move, as the profile stands now; None where the platform does not know what its memory sustains.

    Args:
        profile: Gives the co-runs.
        graph: The model's graph.
        platform: Gives the memory's bandwidth.
        latency: What segments take.
    """
    share = share_bytes_per_s(platform)
    if math.isinf(share):
        return None
    moved: dict[tuple[str, str], float] = {}
    for device in platform.device_names:
        for op in graph.ops:
            co_run, alone = profile.co_run(device, (op.name,)), latency(device, (op.name,))
            if co_run is not None and alone is not None and median(co_run.speeds) < _SLOWED:
                moved[device, op.name] = (
                    platform.memory.shared_bytes_per_s / co_run.num_devices * alone.seconds / median(co_run.speeds)
                )

    def traffic(device: str, ops: tuple[str, ...]) -> int:
        found = latency(device, ops)
        least = sum(moved.get((device, op), 0.0) for op in ops)
        return int(max(least, min(touched_bytes(graph, ops), share * found.seconds))) if found else 0

    return traffic
