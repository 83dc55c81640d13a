"""Rule 3 on arrays: :class:`hetsim.sim.fluid.FluidMemory` with one lane for each device and for the channel."""

from __future__ import annotations

import numpy as np
from numba import njit

from hetsim.sim.kernel.arrays import DEMAND, LEFT, NEW_LEFT, NEW_NEXT, NEXT, RATE, SINCE, SORTED, Floats


@njit(cache=True, error_model="numpy")
def begin(lanes: Floats, lane: int, now_s: float, seconds: float, num_bytes: float, demand: float) -> bool:
    """Start work on a lane that takes ``seconds`` alone; returns whether bandwidth must be shared again."""
    lanes[NEXT, lane] = now_s + seconds
    lanes[DEMAND, lane] = lanes[RATE, lane] = demand
    lanes[LEFT, lane] = num_bytes
    lanes[SINCE, lane] = now_s
    return demand > 0


@njit(cache=True, error_model="numpy")
def share_out(capacity_bytes_per_s: float, now_s: float, lanes: Floats) -> None:
    """Rule 3: set the rate of every lane to its share. A lane whose rate does not change keeps its end."""
    if lanes.shape[1] == 2:  # the result of fair_level for two lanes
        least, most = min(lanes[DEMAND, 0], lanes[DEMAND, 1]), max(lanes[DEMAND, 0], lanes[DEMAND, 1])
        level = capacity_bytes_per_s * 0.5 if least > capacity_bytes_per_s * 0.5 else capacity_bytes_per_s - least
        level = level if most > level else np.inf
    else:
        level = fair_level(capacity_bytes_per_s, lanes)
    # New values are computed for all lanes and then selected, since a branch could not be predicted.
    for lane in range(lanes.shape[1]):
        new_left = max(0.0, lanes[LEFT, lane] - (now_s - lanes[SINCE, lane]) * lanes[RATE, lane])
        lanes[NEW_LEFT, lane] = new_left
        lanes[NEW_NEXT, lane] = now_s + new_left / min(level, lanes[DEMAND, lane])
    for lane in range(lanes.shape[1]):
        new_rate = min(level, lanes[DEMAND, lane])
        changes = new_rate != lanes[RATE, lane]
        lanes[LEFT, lane] = lanes[NEW_LEFT, lane] if changes else lanes[LEFT, lane]
        lanes[SINCE, lane] = now_s if changes else lanes[SINCE, lane]
        lanes[NEXT, lane] = lanes[NEW_NEXT, lane] if changes else lanes[NEXT, lane]
        lanes[RATE, lane] = new_rate


@njit(cache=True, error_model="numpy")
def fair_level(capacity_bytes_per_s: float, lanes: Floats) -> float:
    """The share of the lanes that demand more than an equal share of the rest; infinite if no lane does."""
    count = 0
    for lane in range(lanes.shape[1]):
        demand = lanes[DEMAND, lane]
        if demand > 0:
            i = count
            while i > 0 and lanes[SORTED, i - 1] > demand:
                lanes[SORTED, i] = lanes[SORTED, i - 1]
                i -= 1
            lanes[SORTED, i] = demand
            count += 1
    left = capacity_bytes_per_s
    for served in range(count):
        level = left / (count - served)
        if lanes[SORTED, served] > level:
            return level
        left -= lanes[SORTED, served]
    return np.inf
