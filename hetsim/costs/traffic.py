"""Memory traffic of segments: how many bytes a segment moves to and from the memory.

A segment touches its weights, its inputs and its outputs, but caches keep an unknown part of these. So an operator that
may be memory-bound is measured in a co-run: every device runs it at the same time. If ``n`` devices all demand more
than their share ``B / n`` of the bandwidth that the memory sustains, each runs at

    speed = (B / n) / (moved / d)            so   moved = (B / n) * d / speed

with ``d`` the operator's time alone. An operator without a slowdown moves what it touches, but at most its share of the
bandwidth, at which there is no contention.
"""

from __future__ import annotations

import math
from statistics import median

from hetsim.core.graph import Graph
from hetsim.core.platform import Platform
from hetsim.core.problem import LatencyFunction, TrafficFunction
from hetsim.costs.profile import Profile
from hetsim.costs.touched import touched_bytes

_BUSY = 0.8
"""An operator may be memory-bound if it touches more than this fraction of its share of the bandwidth."""
_MIN_TIME_FRACTION = 0.01
"""An operator that takes less than this fraction of its device's time is not co-run."""
_FULL_SPEED = 0.95
"""Speeds above this count as full speed: noise alone slows down a co-run by as much."""


def share_bytes_per_s(platform: Platform) -> float:
    """Each device's share of the memory bandwidth, in bytes per second; infinite where the platform has none."""
    return platform.memory.shared_bytes_per_s / len(platform.devices)


def memory_bound_ops(profile: Profile, graph: Graph, platform: Platform) -> tuple[str, ...]:
    """Operators that may be memory-bound on a device and take a relevant part of its time; in the graph's order."""
    share = share_bytes_per_s(platform)
    found: set[str] = set()
    for device in platform.device_names:
        medians = {op.name: profile.summary(device, (op.name,)) for op in graph.ops}
        seconds = {op: one.median_s for op, one in medians.items() if one is not None}
        least_s = _MIN_TIME_FRACTION * sum(seconds.values())
        found |= {
            op
            for op, alone_s in seconds.items()
            if alone_s >= least_s and touched_bytes(graph, (op,)) > _BUSY * share * alone_s
        }
    return graph.ordered(found)


def traffic_function(
    profile: Profile, graph: Graph, platform: Platform, latency: LatencyFunction
) -> TrafficFunction | None:
    """The memory traffic of segments; None where the platform does not know the bandwidth that its memory sustains.

    Args:
        profile: Gives the co-runs.
        graph: The model's graph.
        platform: Gives the memory's bandwidth.
        latency: Costs of segments.
    """
    share = share_bytes_per_s(platform)
    if math.isinf(share):
        return None
    moved: dict[tuple[str, str], float] = {}
    for device in platform.device_names:
        for op in graph.ops:
            # A part moves its bytes at the rate of the whole operator.
            co_run = profile.co_run(device, (op.part_of or op.name,))
            if co_run is None or median(co_run.speeds) >= _FULL_SPEED:
                continue
            alone = latency(device, (op.name,))
            if alone is not None:
                moved[device, op.name] = (
                    platform.memory.shared_bytes_per_s / co_run.num_devices * alone.seconds / median(co_run.speeds)
                )

    def traffic(device: str, ops: tuple[str, ...]) -> int:
        found = latency(device, ops)
        least = sum(moved.get((device, op), 0.0) for op in ops)
        return int(max(least, min(touched_bytes(graph, ops), share * found.seconds))) if found else 0

    return traffic
