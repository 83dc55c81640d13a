"""Stretches of a plan planned anew, each as well as can be, compiled by numba; importing this module imports numba.

A window is a stretch of operators that start one after the other. What starts before it stays, so when devices are free
and inputs are there is known (heads); what starts after it keeps its order and devices, so how long is left after each
end is known as well (tails). In between, device and order are found by branch and bound, operators being started in the
order of time. Heads and tails: J. Carlier, "The one-machine sequencing problem", European Journal of Operational
Research 11(1), 1982, doi 10.1016/S0377-2217(82)80007-6. Exact search as a move of local search: P. Shaw, "Using
constraint programming and local search methods to solve vehicle routing problems", CP 1998, doi
10.1007/3-540-49481-2_30.

Candidates are those of :mod:`hetsim.scheduler.search.moves`, where no hand-over is a copy, and nothing slows anything
down or charges it for access.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hetsim.scheduler.bounds import weighted
from hetsim.scheduler.search.moves import Costs
from hetsim.sim.kernel.arrays import Floats, Ints

SIZE = 8
"""Operators in a window."""
STEP = 2
"""Each window begins so many operators after the one before it."""
MAX_NODES = 2000
"""Partial plans looked at in a window before it is left as it is, or as the best found so far."""
_LESS = 1 - 1e-9
"""By so much a window has to gain, as sums are taken in another order than times are."""

Counts = NDArray[np.int64]


class Load(NamedTuple):
    """What bounds the work of devices: see :func:`hetsim.scheduler.bounds.weighted`.

    Attributes:
        weights: Rows of weights of the devices that sum to 1.
        least_s: By row and operator, the least weighted time.
    """

    weights: Floats
    least_s: Floats


def load_of(costs: Costs, weights: Floats) -> Load:
    """By these rows of weights, what bounds the work of a problem's devices."""
    return Load(weights, np.ascontiguousarray(weighted(costs.seconds, weights)))


class _Timing(NamedTuple):
    """When a candidate's operators run.

    Attributes:
        start_s: By operator.
        end_s: The same.
        tail_s: By operator, the time from its start to the end of what has to wait for it.
        free_s: By place and device, when the device has done what comes before that place.
        left_s: By place and device, the largest ``tail_s`` on the device from that place on, which is its first one.
    """

    start_s: Floats
    end_s: Floats
    tail_s: Floats
    free_s: Floats
    left_s: Floats


class _Window(NamedTuple):
    """Operators that are planned anew, numbered by their place in the window.

    Attributes:
        seconds: By operator and device.
        head_s: By operator and device, when what it reads from before the window is there.
        tail_s: By operator and device, what must pass between its end and the last end, for those after the window.
        rest_s: By operator and device, the least from its start to the last end.
        free_s: By device, when the window may begin.
        left_s: By device, what is left on it after the window.
        num_before: By operator, how many operators of the window it reads from.
        before: By operator, those.
        edge: By operator, their places in ``Costs.before``.
        least_s: By row of weights and operator: that of :class:`Load`.
        fixed_s: The length of the longest path past the window.
    """

    seconds: Floats
    head_s: Floats
    tail_s: Floats
    rest_s: Floats
    free_s: Floats
    left_s: Floats
    num_before: Counts
    before: Counts
    edge: Counts
    least_s: Floats
    fixed_s: float


@njit(cache=True, error_model="numpy")
def polish(costs: Costs, load: Load, order: Ints, device: Ints, max_nodes: int) -> tuple[float, int]:
    """Plan one window after the other anew until none gains anything; changes ``order`` and ``device``.

    Args:
        costs: The problem.
        load: Of its operators.
        order: The candidate's; afterwards operators stand in the order in which they start.
        device: The same, by operator.
        max_nodes: How many partial plans may be looked at in all.

    Returns:
        The makespan in seconds, equal to that of the model, and how many partial plans were looked at.
    """
    num_ops, num_devices = costs.seconds.shape
    timing = _Timing(
        np.zeros(num_ops),
        np.zeros(num_ops),
        np.zeros(num_ops),
        np.zeros((num_ops + 1, num_devices)),
        np.zeros((num_ops + 1, num_devices)),
    )
    local = np.full(num_ops, -1)
    now_s = _time(costs, order, device, timing)
    num_nodes = first = in_vain = 0
    while True:
        order[:] = order[np.argsort(timing.start_s[order], kind="mergesort")]
        now_s = _time(costs, order, device, timing)
        if in_vain >= num_ops + STEP or num_nodes >= max_nodes:
            return now_s, num_nodes
        last = min(first + SIZE, num_ops)
        window = _window(costs, load, order, device, timing, local, first, last)
        most = min(MAX_NODES, max_nodes - num_nodes)
        gained, steps, made = _best(costs, load, window, now_s * _LESS, most)
        num_nodes += made
        in_vain += STEP
        if gained:
            in_vain = 0
            old = order[first:last].copy()
            for i in range(last - first):
                op = old[steps[i] // num_devices]
                order[first + i] = op
                device[op] = steps[i] % num_devices
            _time(costs, order, device, timing)
        first = 0 if last == num_ops else first + STEP


@njit(cache=True, error_model="numpy")
def _time(costs: Costs, order: Ints, device: Ints, timing: _Timing) -> float:
    """Fill in the timing of a candidate; the makespan."""
    start_s, end_s, tail_s, free_s, left_s = timing
    num_ops, num_devices = costs.seconds.shape
    free_s[0] = 0.0
    for k in range(num_ops):
        op = order[k]
        on = device[op]
        start_s[op] = free_s[k, on]
        for i in range(costs.before_start[op], costs.before_start[np.uint32(op + 1)]):
            other = costs.before[i]
            start_s[op] = max(start_s[op], end_s[other] + costs.delay_s[i, device[other], on])
        end_s[op] = start_s[op] + costs.seconds[op, on]
        for each in range(num_devices):
            free_s[k + 1, each] = free_s[k, each]
        free_s[k + 1, on] = end_s[op]
    left_s[num_ops] = 0.0
    tail_s[:] = 0.0
    for k in range(num_ops - 1, -1, -1):
        op = order[k]
        on = device[op]
        tail_s[op] = max(tail_s[op], left_s[k + 1, on]) + costs.seconds[op, on]
        for i in range(costs.before_start[op], costs.before_start[np.uint32(op + 1)]):
            other = costs.before[i]
            tail_s[other] = max(tail_s[other], costs.delay_s[i, device[other], on] + tail_s[op])
        for each in range(num_devices):
            left_s[k, each] = left_s[k + 1, each]
        left_s[k, on] = tail_s[op]
    return float(free_s[num_ops].max())


@njit(cache=True, error_model="numpy")
def _window(
    costs: Costs, load: Load, order: Ints, device: Ints, timing: _Timing, local: Counts, first: int, last: int
) -> _Window:
    """The window of the places from ``first`` up to ``last``; ``local`` is room, -1 everywhere before and after."""
    num, num_devices = last - first, costs.seconds.shape[1]
    seconds, head_s = np.empty((num, num_devices)), np.zeros((num, num_devices))
    tail_s, rest_s = np.zeros((num, num_devices)), np.empty((num, num_devices))
    free_s, left_s = timing.free_s[first], timing.left_s[last]
    num_before, before, edge = np.zeros(num, np.int64), np.zeros((num, num), np.int64), np.zeros((num, num), np.int64)
    least_s = np.empty((len(load.weights), num))
    fixed_s = (free_s + left_s).max()
    for i in range(num):
        op = order[first + i]
        local[op] = i
        seconds[i] = costs.seconds[op]
        least_s[:, i] = load.least_s[:, op]
        for e in range(costs.before_start[op], costs.before_start[np.uint32(op + 1)]):
            other = costs.before[e]
            if local[other] >= 0:
                before[i, num_before[i]], edge[i, num_before[i]] = local[other], e
                num_before[i] += 1
            else:
                for d in range(num_devices):
                    arrival_s = timing.end_s[other] + costs.delay_s[e, device[other], d]
                    head_s[i, d] = max(head_s[i, d], arrival_s)
    first_s = timing.start_s[order[first]]
    for k in range(last, len(order)):
        op = order[k]
        for e in range(costs.before_start[op], costs.before_start[np.uint32(op + 1)]):
            other = costs.before[e]
            if local[other] >= 0:
                for d in range(num_devices):
                    needed_s = costs.delay_s[e, d, device[op]] + timing.tail_s[op]
                    tail_s[local[other], d] = max(tail_s[local[other], d], needed_s)
            elif timing.start_s[other] <= first_s:  # of the others this says no more than their tails do
                arrival_s = timing.end_s[other] + costs.delay_s[e, device[other], device[op]]
                fixed_s = max(fixed_s, arrival_s + timing.tail_s[op])
    for i in range(num):
        local[order[first + i]] = -1
        for d in range(num_devices):
            rest_s[i, d] = max(tail_s[i, d], left_s[d])  # after its end, for now
    for i in range(num - 1, -1, -1):
        for d in range(num_devices):
            rest_s[i, d] += seconds[i, d]
        for n in range(num_before[i]):
            for d in range(num_devices):
                soonest_s = np.inf
                for to in range(num_devices):
                    soonest_s = min(soonest_s, costs.delay_s[edge[i, n], d, to] + rest_s[i, to])
                rest_s[before[i, n], d] = max(rest_s[before[i, n], d], soonest_s)
    return _Window(seconds, head_s, tail_s, rest_s, free_s, left_s, num_before, before, edge, least_s, fixed_s)


@njit(cache=True, error_model="numpy")
def _best(costs: Costs, load: Load, window: _Window, upper_s: float, max_nodes: int) -> tuple[bool, Counts, int]:
    """Whether there is a way through a window that makes the makespan less than ``upper_s``; the best; nodes looked at.

    A way is a list of ``operator * number of devices + device``, in the order in which they start; ties go by number,
    so that no way is looked at twice. Steps with the least bounds are tried first.
    """
    num, num_devices = window.seconds.shape
    weights, least_s = load.weights, window.least_s
    best, gained = np.zeros(num, np.int64), False
    if window.fixed_s >= upper_s:
        return gained, best, 0
    work_s = np.zeros((num + 1, len(weights)))  # by depth and row of weights: a bound from the load
    for w in range(len(weights)):
        for d in range(num_devices):
            work_s[0, w] += weights[w, d] * (window.free_s[d] + window.left_s[d])
        work_s[0, w] += least_s[w].sum()
    free_s, path_s = np.empty((num + 1, num_devices)), np.full(num + 1, window.fixed_s)
    free_s[0] = window.free_s
    after_s, after = np.zeros(num + 1), np.full(num + 1, -1)  # no operator may start before this one
    done, end_s, on = np.zeros(num, np.bool_), np.zeros(num), np.zeros(num, np.int64)
    step, start_s = np.zeros((num, num * num_devices), np.int64), np.zeros((num, num * num_devices))
    bound_s = np.zeros((num, num * num_devices))
    num_steps, tried, way = np.zeros(num, np.int64), np.zeros(num, np.int64), np.zeros(num, np.int64)
    depth, num_nodes, arrived = 0, 0, True
    while depth >= 0:
        if arrived:
            num_nodes += 1
            if depth == num:
                makespan_s = max(path_s[depth], (free_s[depth] + window.left_s).max())
                if makespan_s < upper_s:
                    upper_s, gained = makespan_s * _LESS, True
                    best[:] = way
            else:
                num_steps[depth] = tried[depth] = 0
                for i in range(num):
                    ready = not done[i]
                    for n in range(window.num_before[i]):
                        ready = ready and done[window.before[i, n]]
                    if not ready:
                        continue
                    soonest_s = np.inf
                    for d in range(num_devices):
                        begin_s = max(free_s[depth, d], window.head_s[i, d])
                        for n in range(window.num_before[i]):
                            other = window.before[i, n]
                            arrival_s = end_s[other] + costs.delay_s[window.edge[i, n], on[other], d]
                            begin_s = max(begin_s, arrival_s)
                        least = max(begin_s, after_s[depth]) + window.rest_s[i, d]
                        soonest_s = min(soonest_s, least)
                        if begin_s < after_s[depth] or (begin_s == after_s[depth] and i < after[depth]):
                            continue
                        idle_s = begin_s - free_s[depth, d]
                        for w in range(len(weights)):
                            if least < upper_s:
                                more_s = weights[w, d] * (idle_s + window.seconds[i, d]) - least_s[w, i]
                                least = max(least, work_s[depth, w] + more_s)
                        if least < upper_s:
                            n = num_steps[depth]
                            while n > 0 and bound_s[depth, n - 1] > least:
                                step[depth, n], start_s[depth, n] = step[depth, n - 1], start_s[depth, n - 1]
                                bound_s[depth, n] = bound_s[depth, n - 1]
                                n -= 1
                            step[depth, n], start_s[depth, n] = i * num_devices + d, begin_s
                            bound_s[depth, n] = least
                            num_steps[depth] += 1
                    if soonest_s >= upper_s:
                        num_steps[depth] = 0
                        break
        n = tried[depth] if depth < num else 0
        arrived = depth < num and n < num_steps[depth] and bound_s[depth, n] < upper_s and num_nodes < max_nodes
        if not arrived:
            depth -= 1
            if depth >= 0:
                done[way[depth] // num_devices] = False
            continue
        tried[depth] += 1
        way[depth] = step[depth, n]
        i, d = way[depth] // num_devices, way[depth] % num_devices
        done[i], on[i] = True, d
        end_s[i] = start_s[depth, n] + window.seconds[i, d]
        after_s[depth + 1], after[depth + 1] = start_s[depth, n], i
        for w in range(len(weights)):
            work_s[depth + 1, w] = work_s[depth, w] + weights[w, d] * (end_s[i] - free_s[depth, d]) - least_s[w, i]
        for each in range(num_devices):
            free_s[depth + 1, each] = free_s[depth, each]
        free_s[depth + 1, d] = end_s[i]
        path_s[depth + 1] = max(path_s[depth], end_s[i] + window.tail_s[i, d])
        depth += 1
    return gained, best, num_nodes
