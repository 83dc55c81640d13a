"""Who runs what, order aside: the assignments whose busiest device has least to do, compiled by numba; importing this
module imports numba.

No plan is faster than its busiest device is busy. Where operators leave each other room, good plans hardly keep that
device waiting, so the assignments of low load are few and the best plan has one of them. To share operators out among
unrelated machines is R||Cmax; they are enumerated depth first. A weighting of the devices bounds what any completion
takes, as in :mod:`hetsim.scheduler.bounds`, and an operator that adds more to it on some device than is left up to the
best known is never put there: H. Crowder, E. L. Johnson, M. Padberg, "Solving large-scale zero-one linear programming
problems", Operations Research 31(5), 1983, doi 10.1287/opre.31.5.803.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from hetsim.scheduler.bounds import load_weights, weighted
from hetsim.sim.kernel.arrays import Floats, Ints

COUNT = 64
"""The most assignments that are listed."""
MAX_NODES = 1_000_000
"""Partial assignments looked at, some tenths of a second."""
NUM_WEIGHTS = 8
"""Weightings of devices by which loads are bounded."""


class Assignments(NamedTuple):
    """Assignments by load.

    Attributes:
        load_s: What the busiest device of each has to do, ascending.
        device: By assignment and operator.
        others_s: No other assignment has less to do for its busiest device, rounding aside.
        num_nodes: Partial assignments looked at.
    """

    load_s: Floats
    device: Ints
    others_s: float
    num_nodes: int

    @property
    def bound_s(self) -> float:
        """No assignment at all has less to do for its busiest device, rounding aside."""
        return min(float(self.load_s[0]), self.others_s) if len(self.load_s) else self.others_s


def least_loaded(seconds: Floats, below_s: float, count: int = COUNT, max_nodes: int = MAX_NODES) -> Assignments:
    """The assignments of least load below a limit; the first found of those that tie.

    Args:
        seconds: By operator and device; infinite where it cannot run, but not on all devices.
        below_s: What the busiest device may take.
        count: How many assignments at most.
        max_nodes: How many partial ones may be looked at. Beyond, others may be better than those that were found.
    """
    weights = load_weights(seconds, NUM_WEIGHTS)
    least_s = np.ascontiguousarray(weighted(seconds, weights))
    added_s = np.where(np.isfinite(seconds), seconds, 0.0)[None] * weights[:, None, :] - least_s[:, :, None]
    added_s[:, ~np.isfinite(seconds)] = np.inf
    regret_s = np.sort(added_s[0], axis=1)[:, 1] if seconds.shape[1] > 1 else np.zeros(len(seconds))
    order = np.argsort(-regret_s, kind="stable").astype(np.uint32)  # what is soon decided comes first
    root_s = least_s.sum(axis=1)
    load_s, device, others_s, num_nodes = _enumerate(seconds, added_s, root_s, order, below_s, count, max_nodes)
    return Assignments(load_s, device, float(others_s), num_nodes)


@njit(cache=True, error_model="numpy")
def _enumerate(
    seconds: Floats, added_s: Floats, root_s: Floats, order: Ints, below_s: float, count: int, max_nodes: int
) -> tuple[Floats, Ints, float, int]:
    """The fields of :class:`Assignments`.

    Args:
        seconds: By operator and device.
        added_s: By row of weights, operator and device: what an operator there adds to the bound.
        root_s: By row of weights, the bound where nothing is decided.
        order: In which operators are decided.
        below_s: As in :func:`least_loaded`.
        count: The same.
        max_nodes: The same.
    """
    num_ops, num_devices = seconds.shape
    num_rows = len(root_s)
    load_s, device = np.full(count, np.inf), np.zeros((count, num_ops), np.uint32)
    row_of = np.arange(count)  # of device, by place in load_s
    bound_s = np.empty((num_ops + 1, num_rows))
    bound_s[0] = root_s
    busy_s = np.zeros((num_ops + 1, num_devices))
    tried, way = np.zeros(num_ops + 1, np.int64), np.zeros(num_ops, np.uint32)
    by_regret = np.empty((num_ops, num_devices), np.int64)
    for op in range(num_ops):
        by_regret[op] = np.argsort(added_s[0, op], kind="mergesort")
    found = depth = num_nodes = 0
    while depth >= 0 and num_nodes < max_nodes:
        limit_s = min(below_s, load_s[count - 1])
        if depth == num_ops:
            most_s = busy_s[depth].max()
            if most_s < limit_s:
                place = min(found, count - 1)
                worst = row_of[place]
                while place > 0 and load_s[place - 1] > most_s:
                    load_s[place], row_of[place] = load_s[place - 1], row_of[place - 1]
                    place -= 1
                load_s[place], row_of[place] = most_s, worst
                device[worst] = way
                found = min(found + 1, count)
            depth -= 1
            continue
        if tried[depth] == num_devices:
            depth -= 1
            continue
        op = order[depth]
        on = by_regret[op, tried[depth]]
        tried[depth] += 1
        num_nodes += 1
        hopeless = busy_s[depth, on] + seconds[op, on] >= limit_s
        for row in range(num_rows):
            bound_s[depth + 1, row] = bound_s[depth, row] + added_s[row, op, on]
            hopeless = hopeless or bound_s[depth + 1, row] >= limit_s
        if not hopeless:
            busy_s[depth + 1] = busy_s[depth]
            busy_s[depth + 1, on] += seconds[op, on]
            way[op] = on
            depth += 1
            tried[depth] = 0
    others_s = min(below_s, load_s[count - 1]) if depth < 0 else min(below_s, root_s.max())
    return load_s[:found], device[row_of[:found]], others_s, num_nodes
