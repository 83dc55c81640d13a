"""The makespans of many plans of one inference each, in one call."""

from __future__ import annotations

import numpy as np
from numba import njit

from hetsim.kernel.arrays import (
    DEMAND,
    FINISHED,
    LEFT,
    LOOKING,
    NEVER,
    NEW_LEFT,
    NEW_NEXT,
    NEXT,
    PHASE,
    PLACE,
    RATE,
    READ,
    READY,
    RUNNING,
    SINCE,
    UNIT,
    WAITING,
    Floats,
    Ints,
    Requests,
    Space,
    Tables,
)
from hetsim.kernel.one import run
from hetsim.kernel.sharing import fair_level


@njit(cache=True, error_model="numpy")
def evaluate(
    tables: Tables, queue_start: Ints, queue: Ints, devices: tuple[int, ...], space: Space, out_s: Floats
) -> None:
    """Put the makespan of one inference by each plan into ``out_s``; infinite where devices wait for ever.

    Args:
        tables: The problem.
        queue_start: By plan and device, where the device's part of its row of ``queue`` begins, and one entry more.
        queue: By plan, the units in the order of devices, and of each device's queue.
        devices: Anything, as many as there are devices. That is part of a tuple's type, so numba compiles this for each
            number of them, and loops over two cost nothing.
        space: Room for one plan of that many units and one request.
        out_s: By plan.
    """
    if not tables.any_copies:
        _evaluate_zero_copy(tables, queue_start, queue, devices, space, out_s)
        return
    none = np.empty((0, 0))
    alone = Requests(1, False, 0.0, 1, 0.0, 0.0, none, none)
    for plan in range(len(out_s)):
        last_s, num_left = run(tables, queue_start[plan], queue[plan], alone, space)
        out_s[plan] = np.inf if num_left else last_s


@njit(cache=True, error_model="numpy")
def _evaluate_zero_copy(
    tables: Tables, queue_start: Ints, queue: Ints, devices: tuple[int, ...], space: Space, out_s: Floats
) -> None:
    """What :func:`evaluate` does where nothing is copied: :func:`run` without what one request has no use for.

    Searches spend their time here; it takes half as long.
    """
    reads_start, reads, makes_start, makes = tables.reads_start, tables.reads, tables.makes_start, tables.makes
    seconds_of, bytes_of, demand_of, transfer_s = tables.seconds, tables.num_bytes, tables.demand, tables.transfer_s
    capacity = tables.capacity_bytes_per_s
    home, made_s, lanes = space.home, space.made_s[0], space.lanes
    next_s, demand, left, since_s, rate = lanes[NEXT], lanes[DEMAND], lanes[LEFT], lanes[SINCE], lanes[RATE]
    ready_s, new_left, new_next_s = lanes[READY], lanes[NEW_LEFT], lanes[NEW_NEXT]
    phase, place_of, unit_of, read_of = (
        space.places[PHASE],
        space.places[PLACE],
        space.places[UNIT],
        space.places[READ],
    )
    num_devices = len(devices)
    for plan in range(len(out_s)):
        home[:] = num_devices
        made_s[:] = 0.0
        for device in range(num_devices):
            first, end = queue_start[plan, device], queue_start[plan, device + 1]
            next_s[device] = 0.0 if first < end else NEVER
            phase[device] = LOOKING if first < end else FINISHED
            demand[device] = rate[device] = 0.0
            ready_s[device] = 0.0
            place_of[device] = first
            if first < end:
                unit_of[device] = queue[plan, first]
                read_of[device] = reads_start[unit_of[device]]
            for place in range(first, end):
                unit = queue[plan, place]
                for i in range(makes_start[unit], makes_start[np.uint32(unit + 1)]):
                    home[makes[i]] = device
                    made_s[makes[i]] = -1.0
        num_left = queue_start[plan, num_devices]
        share = False
        now_s = last_s = 0.0
        while True:
            lane, until_s = np.uint32(0), next_s[0]
            for other in range(1, num_devices):
                lane = np.uint32(lane + (next_s[other] < until_s) * (other - lane))
                until_s = min(until_s, next_s[other])
            if until_s > now_s:
                if share:
                    share = False
                    if num_devices == 2:
                        least, most = min(demand[0], demand[1]), max(demand[0], demand[1])
                        half, rest = capacity * 0.5, capacity - least
                        level = half if least > half else rest
                        level = level if most > level else np.inf
                    else:
                        level = fair_level(capacity, lanes)
                    for device in range(num_devices):
                        new_left[device] = max(0.0, left[device] - (now_s - since_s[device]) * rate[device])
                        new_next_s[device] = now_s + new_left[device] / min(level, demand[device])
                    for device in range(num_devices):
                        new_rate = min(level, demand[device])
                        changes = new_rate != rate[device]
                        left[device] = new_left[device] if changes else left[device]
                        since_s[device] = now_s if changes else since_s[device]
                        next_s[device] = new_next_s[device] if changes else next_s[device]
                        rate[device] = new_rate
                    continue
                if until_s == NEVER:
                    break
                now_s = until_s
            if phase[lane] == RUNNING:
                unit = unit_of[lane]
                share = share or demand[lane] > 0
                demand[lane] = rate[lane] = 0.0
                last_s = now_s
                num_left -= 1
                for i in range(makes_start[unit], makes_start[np.uint32(unit + 1)]):
                    made_s[makes[i]] = now_s
                place = np.uint32(place_of[lane] + 1)
                place_of[lane] = place
                ready_s[lane] = now_s
                next_s[lane] = NEVER
                phase[lane] = FINISHED
                if place < queue_start[plan, np.uint32(lane + 1)]:
                    phase[lane] = LOOKING
                    unit_of[lane] = queue[plan, place]
                    read_of[lane] = reads_start[unit_of[lane]]
            for step in range(num_devices):
                device = np.uint32(lane + step)
                device = np.uint32(device - num_devices) if device >= num_devices else device
                unit = unit_of[device]
                if phase[device] == LOOKING:
                    ready = ready_s[device]
                    read, last = read_of[device], reads_start[np.uint32(unit + 1)]
                    found = True
                    while read < last:
                        tensor = reads[read]
                        there_s = made_s[tensor]
                        if there_s < 0:
                            found = False
                            break
                        ready = max(ready, there_s + transfer_s[tensor, home[tensor], device])
                        read = np.uint32(read + 1)
                    read_of[device] = read
                    ready_s[device] = ready
                    next_s[device] = NEVER
                    if found:
                        phase[device] = WAITING
                        next_s[device] = max(ready, now_s)
                if phase[device] == WAITING and next_s[device] == now_s:
                    phase[device] = RUNNING
                    seconds = seconds_of[unit, device]
                    next_s[device] = now_s + seconds
                    demand[device] = rate[device] = demand_of[unit, device]
                    left[device] = bytes_of[unit, device]
                    since_s[device] = now_s
                    share = share or demand[device] > 0
        out_s[plan] = np.inf if num_left else last_s
