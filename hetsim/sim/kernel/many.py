"""The makespans of many plans of one inference each, in one call."""

from __future__ import annotations

import numpy as np
from numba import njit

from hetsim.sim.kernel.access import charge_access
from hetsim.sim.kernel.arrays import NEVER, Floats, Ints, Requests, Space, Tables
from hetsim.sim.kernel.one import run


@njit(cache=True, error_model="numpy")
def evaluate(tables: Tables, queue_start: Ints, queue: Ints, space: Space, out_s: Floats) -> None:
    """Write the makespan of one inference by each plan to ``out_s``; it is infinite if devices wait for ever.

    Args:
        tables: The problem.
        queue_start: By plan and device, where the device's part of its row of ``queue`` begins, and one entry more.
        queue: By plan, the units, device by device in the order of their queues.
        space: Work space for one plan of that many units and one request.
        out_s: By plan, the makespan.
    """
    if queue_start.shape[1] == 3 and not tables.any_copies:
        if not tables.any_access:
            _evaluate_on_two(tables, tables.seconds, tables.demand, queue_start, queue, space.there_s, out_s)
            return
        for plan in range(len(out_s)):
            start, row = queue_start[plan : plan + 1], queue[plan : plan + 1]
            charge_access(tables, start[0], row[0], space)
            _evaluate_on_two(tables, space.own_s, space.own_demand, start, row, space.there_s, out_s[plan : plan + 1])
        return
    none = np.empty((0, 0))
    alone = Requests(1, False, 0.0, 1, 0.0, 0.0, none, none)
    for plan in range(len(out_s)):
        last_s, num_left = run(tables, queue_start[plan], queue[plan], alone, space)
        out_s[plan] = NEVER if num_left else last_s


@njit(cache=True, error_model="numpy")
def _evaluate_on_two(
    tables: Tables,
    seconds_of: Floats,
    demand_of: Floats,
    queue_start: Ints,
    queue: Ints,
    there_s: Floats,
    out_s: Floats,
) -> None:
    """:func:`evaluate` for two devices without copies: a specialised :func:`run` that takes a third of the time.

    ``a`` is the device of the next event, ``b`` the other one. The state of each is in local variables, which stay in
    registers and are swapped without a branch, since a branch could not be predicted. For the same reason, rates and
    ends are computed before it is known whether they change. Times and demands are by unit and device.
    """
    reads_start, reads, makes_start, makes = tables.reads_start, tables.reads, tables.makes_start, tables.makes
    bytes_of, transfer_s, capacity = tables.num_bytes, tables.transfer_s, tables.capacity_bytes_per_s
    for plan in range(len(out_s)):
        row = queue[plan]
        there_s[:] = 0.0
        for place in range(queue_start[plan, 0], queue_start[plan, 2]):
            for i in range(makes_start[row[place]], makes_start[np.uint32(row[place] + 1)]):
                there_s[makes[i]] = NEVER
        a, place_a, end_a = np.uint32(0), queue_start[plan, 0], queue_start[plan, 1]
        b, place_b, end_b = np.uint32(1), queue_start[plan, 1], queue_start[plan, 2]
        next_a_s = _ready_s(row[place_a], a, 0.0, reads_start, reads, there_s) if place_a < end_a else NEVER
        next_b_s = _ready_s(row[place_b], b, 0.0, reads_start, reads, there_s) if place_b < end_b else NEVER
        runs_a = runs_b = False
        demand_a = demand_b = rate_a = rate_b = left_a = left_b = since_a_s = since_b_s = 0.0
        last_s = 0.0
        while True:
            swap = next_b_s < next_a_s
            a, b = (b if swap else a), (a if swap else b)
            place_a, place_b = (place_b if swap else place_a), (place_a if swap else place_b)
            end_a, end_b = (end_b if swap else end_a), (end_a if swap else end_b)
            next_a_s, next_b_s = (next_b_s if swap else next_a_s), (next_a_s if swap else next_b_s)
            runs_a, runs_b = (runs_b if swap else runs_a), (runs_a if swap else runs_b)
            demand_a, demand_b = (demand_b if swap else demand_a), (demand_a if swap else demand_b)
            rate_a, rate_b = (rate_b if swap else rate_a), (rate_a if swap else rate_b)
            left_a, left_b = (left_b if swap else left_a), (left_a if swap else left_b)
            since_a_s, since_b_s = (since_b_s if swap else since_a_s), (since_a_s if swap else since_b_s)
            now_s = next_a_s
            if now_s == NEVER:
                break
            if runs_a:
                unit = row[place_a]
                for i in range(makes_start[unit], makes_start[np.uint32(unit + 1)]):
                    for device in range(2):
                        there_s[makes[i], device] = now_s + transfer_s[makes[i], a, device]
                last_s = now_s
                place_a = np.uint32(place_a + 1)
                runs_a = False
                demand_a = rate_a = 0.0
                next_a_s = _ready_s(row[place_a], a, now_s, reads_start, reads, there_s) if place_a < end_a else NEVER
                if next_b_s == NEVER and place_b < end_b and not runs_b:
                    next_b_s = _ready_s(row[place_b], b, now_s, reads_start, reads, there_s)
            if next_a_s == now_s:
                unit = row[place_a]
                runs_a = True
                next_a_s = now_s + seconds_of[unit, a]
                demand_a = rate_a = demand_of[unit, a]
                left_a = bytes_of[unit, a]
                since_a_s = now_s
            if next_a_s > now_s and next_b_s > now_s:  # nothing else happens at this time: share the bandwidth
                least, most = min(demand_a, demand_b), max(demand_a, demand_b)
                level = capacity * 0.5 if least > capacity * 0.5 else capacity - least
                level = level if most > level else NEVER
                new_rate_a, new_rate_b = min(level, demand_a), min(level, demand_b)
                new_left_a = max(0.0, left_a - (now_s - since_a_s) * rate_a)
                new_left_b = max(0.0, left_b - (now_s - since_b_s) * rate_b)
                end_a_s, end_b_s = now_s + new_left_a / new_rate_a, now_s + new_left_b / new_rate_b
                changes_a, changes_b = new_rate_a != rate_a, new_rate_b != rate_b
                next_a_s, next_b_s = (end_a_s if changes_a else next_a_s), (end_b_s if changes_b else next_b_s)
                left_a, left_b = (new_left_a if changes_a else left_a), (new_left_b if changes_b else left_b)
                since_a_s, since_b_s = (now_s if changes_a else since_a_s), (now_s if changes_b else since_b_s)
                rate_a, rate_b = new_rate_a, new_rate_b
        out_s[plan] = last_s if place_a == end_a and place_b == end_b else NEVER


@njit(cache=True, error_model="numpy")
def _ready_s(unit: int, device: int, now_s: float, reads_start: Ints, reads: Ints, there_s: Floats) -> float:
    """When a unit can start if its device is free; infinite while an input has not been made."""
    ready_s = now_s
    for i in range(reads_start[unit], reads_start[np.uint32(unit + 1)]):
        ready_s = max(ready_s, there_s[reads[i], device])
    return ready_s
