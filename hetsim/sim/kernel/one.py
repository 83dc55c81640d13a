"""One plan by all rules of :mod:`hetsim.sim.processes`."""

from __future__ import annotations

import numpy as np
from numba import njit

from hetsim.sim.kernel.access import charge_access
from hetsim.sim.kernel.arrays import (
    ARRIVED,
    ASKED,
    COLLECTED,
    COPIED,
    DEMAND,
    DUE,
    END,
    ENDED,
    FINISHED,
    LOOKING,
    NEVER,
    NEXT,
    PHASE,
    PLACE,
    RATE,
    READ,
    READY,
    REQUEST,
    RUNNING,
    START,
    SUBMITTED,
    WAITING,
    Ints,
    Requests,
    Space,
    Tables,
)
from hetsim.sim.kernel.channel import find_copies, pop, push
from hetsim.sim.kernel.sharing import begin, share_out


@njit(cache=True, error_model="numpy")
def run(tables: Tables, queue_start: Ints, queue: Ints, requests: Requests, space: Space) -> tuple[float, int]:
    """When the last segment ends, in seconds, and how many segments wait for each other for ever.

    The times of segments, copies and requests stay in ``space``.

    Args:
        tables: The problem.
        queue_start: By device, where its part of ``queue`` begins; one more entry gives the end.
        queue: The units, device by device in the order of their queues; at least one.
        requests: The requests.
        space: Work space for the plan and the requests.
    """
    # Fields are read once: numba counts references to arrays, which costs more than the arithmetic.
    reads_start, reads, makes_start, makes = tables.reads_start, tables.reads, tables.makes_start, tables.makes
    transfer_s, copies, any_copies = tables.transfer_s, tables.copies, tables.any_copies
    num_devices, num_tensors, num_ops = len(queue_start) - 1, len(tables.tensor_bytes), tables.num_ops
    num_requests, hosted = requests.num_requests, requests.hosted
    own_durations = requests.seconds.size > 0
    seconds_of, demand_of = (requests.seconds, requests.demand) if own_durations else (tables.seconds, tables.demand)
    if tables.any_access and not own_durations:
        charge_access(tables, queue_start, queue, space)
        seconds_of, demand_of = space.own_s, space.own_demand
    home, made_s, needed, by_copy, heap = space.home, space.made_s, space.needed, space.by_copy, space.heap
    by_place, by_request, busy, lanes, places = space.by_place, space.by_request, space.busy, space.lanes, space.places
    num_lanes, channel, num_places = lanes.shape[1], num_devices, np.int64(queue_start[num_devices])

    home[:] = num_devices
    made_s[:num_requests] = 0.0
    num_active = 0
    for device in range(num_devices):
        lanes[NEXT, device] = 0.0
        lanes[DEMAND, device] = lanes[RATE, device] = 0.0
        lanes[READY, device] = 0.0
        places[REQUEST, device] = 0
        places[PLACE, device] = queue_start[device]
        places[PHASE, device] = LOOKING
        if queue_start[device] < queue_start[device + 1]:
            num_active += 1
            places[READ, device] = reads_start[queue[queue_start[device]]]
        else:
            places[PHASE, device] = FINISHED
            lanes[NEXT, device] = NEVER
        for place in range(queue_start[device], queue_start[device + 1]):
            for i in range(makes_start[queue[place]], makes_start[queue[place] + 1]):
                home[makes[i]] = device
                for request in range(num_requests):
                    made_s[request, makes[i]] = -1.0
    if any_copies:
        find_copies(queue_start, queue, reads_start, reads, home, copies, needed)
        by_copy[ARRIVED, : num_requests * len(needed)] = -1.0
    busy[:num_requests] = num_active
    by_request[SUBMITTED, :num_requests] = -1.0 if hosted else 0.0
    by_request[DUE, :num_requests] = 0.0
    for lane in range(channel, num_lanes):
        lanes[NEXT, lane] = NEVER
        lanes[DEMAND, lane] = lanes[RATE, lane] = 0.0

    copying = -1  # the copy that the channel is doing
    num_waiting = 0  # copies that wait for the channel
    num_asked = 0  # requests that asked to be submitted
    num_submitted = num_ended = num_collected = 0
    host_s = ask_s = NEVER  # when the host's job ends; when the next request asks
    submitting = False
    share = False  # whether bandwidth must be shared again
    num_left = num_requests * num_places
    now_s = last_s = 0.0
    while True:
        lane, until_s = np.uint32(0), lanes[NEXT, 0]
        for other in range(1, num_lanes):
            lane = np.uint32(lane + (lanes[NEXT, other] < until_s) * (other - lane))
            until_s = min(until_s, lanes[NEXT, other])
        if hosted:
            ask_s = NEVER
            if num_asked < num_requests and num_asked - requests.num_slots < num_collected:
                ask_s = num_asked * requests.every_s
                if num_asked >= requests.num_slots:
                    ask_s = max(ask_s, by_request[COLLECTED, num_asked - requests.num_slots])
            until_s = min(until_s, host_s, ask_s)

        if until_s > now_s:  # all other events of this time have happened
            if hosted and host_s == NEVER and (num_submitted < num_asked or num_collected < num_ended):
                submitting = num_collected == num_ended or (
                    num_submitted < num_asked and by_request[ASKED, num_submitted] < by_request[ENDED, num_collected]
                )
                host_s = now_s + (requests.submit_s if submitting else requests.collect_s)
                continue
            if num_waiting > 0 and copying < 0:
                copying = pop(by_copy, heap, num_waiting)
                num_waiting -= 1
                by_copy[COPIED, copying] = now_s
                tensor = copying // num_devices % num_tensors
                seconds = transfer_s[tensor, home[tensor], copying % num_devices]
                num_bytes = tables.tensor_bytes[tensor]
                moves = seconds > 0 and num_bytes > 0 and tables.capacity_bytes_per_s < NEVER
                share = begin(lanes, channel, now_s, seconds, num_bytes, num_bytes / seconds if moves else 0.0) or share
                continue
            if share:
                share = False
                share_out(tables.capacity_bytes_per_s, now_s, lanes)
                continue
            if until_s == NEVER:
                break
            now_s = until_s

        if hosted and host_s == now_s:
            host_s = NEVER
            if submitting:
                by_request[SUBMITTED, num_submitted] = now_s
                num_submitted += 1
            else:
                by_request[COLLECTED, num_collected] = now_s
                num_collected += 1
        elif hosted and ask_s == now_s:
            by_request[ASKED, num_asked] = now_s
            by_request[DUE, num_asked] = num_asked * requests.every_s if requests.every_s > 0 else now_s
            num_asked += 1
        elif lane == channel:
            lanes[NEXT, channel] = NEVER
            share = share or lanes[DEMAND, channel] > 0
            lanes[DEMAND, channel] = lanes[RATE, channel] = 0.0
            by_copy[ARRIVED, copying] = now_s
            copying = -1
        elif places[PHASE, lane] == RUNNING:
            request, place = places[REQUEST, lane], places[PLACE, lane]
            unit = queue[place]
            share = share or lanes[DEMAND, lane] > 0
            lanes[DEMAND, lane] = lanes[RATE, lane] = 0.0
            by_place[END, request, place] = now_s
            last_s = now_s
            num_left -= 1
            for i in range(makes_start[unit], makes_start[np.uint32(unit + 1)]):
                made_s[request, makes[i]] = now_s
                if any_copies:
                    order = (request * num_ops + tables.position[unit]) * num_tensors + np.int64(i - makes_start[unit])
                    tensor = request * num_tensors + makes[i]
                    for target in range(num_devices):
                        if needed[makes[i] * num_devices + target]:
                            rank, copy = order * num_devices + target, tensor * num_devices + target
                            push(by_copy, heap, num_waiting, now_s, rank, copy)
                            num_waiting += 1
            place = np.uint32(place + 1)
            places[PHASE, lane] = LOOKING
            lanes[READY, lane] = now_s
            lanes[NEXT, lane] = NEVER
            if place == queue_start[np.uint32(lane + 1)]:
                place = queue_start[lane]
                busy[request] -= 1
                if busy[request] == 0:
                    by_request[ENDED, num_ended] = now_s
                    num_ended += 1
                places[REQUEST, lane] = request + 1
                if request + 1 == num_requests:
                    places[PHASE, lane] = FINISHED
            places[PLACE, lane] = place
            places[READ, lane] = reads_start[queue[place]]

        for step in range(num_devices):  # the device of the event first, then those that may have waited for it
            device = np.uint32(lane + step)
            device = np.uint32(device - num_devices) if device >= num_devices else device
            if places[PHASE, device] == LOOKING:
                request, place = places[REQUEST, device], places[PLACE, device]
                submitted_s = by_request[SUBMITTED, request]
                ready_s = max(lanes[READY, device], submitted_s)
                read, last = places[READ, device], reads_start[np.uint32(queue[place] + 1)]
                found = submitted_s >= 0
                while found and read < last:
                    tensor = reads[read]
                    source, there_s = home[tensor], made_s[request, tensor]
                    if any_copies and copies[source, device]:
                        there_s = by_copy[ARRIVED, (request * num_tensors + tensor) * num_devices + device]
                        found = there_s >= 0
                    else:
                        found = there_s >= 0
                        there_s += transfer_s[tensor, source, device]
                    if found:
                        ready_s = max(ready_s, there_s)
                        read = np.uint32(read + 1)
                places[READ, device] = read
                lanes[READY, device] = ready_s
                lanes[NEXT, device] = NEVER
                if found:
                    places[PHASE, device] = WAITING
                    lanes[NEXT, device] = max(ready_s, now_s)
            if places[PHASE, device] == WAITING and lanes[NEXT, device] == now_s:
                request, place = places[REQUEST, device], places[PLACE, device]
                by_place[START, request, place] = now_s
                row, column = (request, place) if own_durations else (queue[place], device)
                places[PHASE, device] = RUNNING
                seconds, num_bytes = seconds_of[row, column], tables.num_bytes[queue[place], device]
                share = begin(lanes, device, now_s, seconds, num_bytes, demand_of[row, column]) or share
    return last_s, num_left
