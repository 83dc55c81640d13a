"""The event loop of :mod:`hetsim.compiled`: the rules of :mod:`hetsim.simulate` on arrays, compiled by numba.

Units, tensors and devices are numbers. A *unit* is a set of operators that some device may run as one segment; units
``0`` to ``num_ops - 1`` are the single operators in the graph's order. A plan is a row of units, device by device, and
where each device's part of it begins. *Lanes* are whatever runs one thing at a time and takes part in rule 3: the
devices and, where there are copies, behind them the memory channel.

Every sum, product and quotient is the one that the reference takes, in the same order. LLVM may not reorder or fuse
them, as nothing here is compiled with ``fastmath``. Importing this module imports numba.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.uint32]
"""Numbers of things. Unsigned, as numba must otherwise ask of each index whether it counts from the end."""
Flags = NDArray[np.bool_]

_LOOKING, _WAITING, _RUNNING, _FINISHED = 0, 1, 2, 3
_NEVER = np.inf


class Tables(NamedTuple):
    """A problem. Arrays may have room for more than is in them.

    Attributes:
        seconds: By unit and device, the time that it takes alone.
        num_bytes: By unit and device, what it moves to and from the memory.
        demand: By unit and device, the bytes per second that it moves alone; 0 where rule 3 does not apply.
        position: By unit, its first operator's place in the graph.
        reads_start: By unit, where its part of ``reads`` begins; one entry more than units.
        reads: Tensors that other units make, in the order of the unit's inputs.
        makes_start: The same for ``makes``.
        makes: Tensors that others read, or the caller gets.
        tensor_bytes: By tensor.
        transfer_s: By tensor, source and target, how long it takes once under way; 0 within a device. The source behind
            the devices stands for what is there from the start.
        copies: By source and target, whether hand-overs need the memory channel; never within a device.
        any_copies: Whether any do.
        capacity_bytes_per_s: What the memory sustains.
        num_ops: Operators of the graph.
    """

    seconds: Floats
    num_bytes: Floats
    demand: Floats
    position: Ints
    reads_start: Ints
    reads: Ints
    makes_start: Ints
    makes: Ints
    tensor_bytes: Floats
    transfer_s: Floats
    copies: Flags
    any_copies: bool
    capacity_bytes_per_s: float
    num_ops: int


class Requests(NamedTuple):
    """Rule 4, and durations that are not the problem's.

    Attributes:
        count: How many requests.
        hosted: Whether a host submits and collects them; if not, all are with the devices at time 0.
        every_s: As in :class:`hetsim.load.Load`.
        num_slots: As there.
        submit_s: What submitting one costs the host.
        collect_s: What collecting one costs it.
        seconds: By request and place in the plan, what segments take instead of what the tables say; or empty.
        demand: The same for the bytes per second.
    """

    count: int
    hosted: bool
    every_s: float
    num_slots: int
    submit_s: float
    collect_s: float
    seconds: Floats
    demand: Floats


class Space(NamedTuple):
    """Where the loop works, and what it found: so that nothing is allocated for a plan.

    Attributes:
        home: By tensor, the device that makes it; one more than there are where none does.
        made_s: By request and tensor, when it was made; negative before.
        needed: By tensor and device, whether it is copied there.
        by_copy: By request, tensor and device, a row each: when its copy began, when it was there (negative before).
            And a heap of copies that wait for the channel, by when they were asked for.
        heap: Two more rows for it: their order among those that were asked for at the same time, and which they are.
        by_place: By request and place in the plan, a row each: when the segment started, and when it ended.
        by_request: By request, a row each: when it was due, asked to be submitted, was submitted (negative before),
            ended, and was collected.
        busy: By request, devices that have not ended it.
        lanes: By lane, a row each: when it has done what it is at; the bytes per second that it demands, 0 where it
            moves nothing; the bytes that were left when its rate last changed, when that was, and that rate; when the
            inputs seen so far are there; and room for working out shares.
        places: By device, a row each: its phase, and the request, the place in the plan, the unit there and the read
            that it has got to.
    """

    home: Ints
    made_s: Floats
    needed: Flags
    by_copy: Floats
    heap: NDArray[np.int64]
    by_place: Floats
    by_request: Floats
    busy: Ints
    lanes: Floats
    places: Ints


_COPIED, _ARRIVED, _HEAP = 0, 1, 2
_RANK, _COPY = 0, 1
_START, _END = 0, 1
_DUE, _ASKED, _SUBMITTED, _ENDED, _COLLECTED = 0, 1, 2, 3, 4
_NEXT, _DEMAND, _LEFT, _SINCE, _RATE, _READY, _SORTED, _NEW_LEFT, _NEW_NEXT = 0, 1, 2, 3, 4, 5, 6, 7, 8
_PHASE, _REQUEST, _PLACE, _UNIT, _READ = 0, 1, 2, 3, 4


def new_space(tables: Tables, num_requests: int, num_places: int) -> Space:
    """Room for plans of so many segments and so many requests."""
    num_tensors, num_devices = len(tables.tensor_bytes), tables.transfer_s.shape[2]
    num_copies = num_tensors * num_devices if tables.any_copies else 0
    return Space(
        home=np.empty(num_tensors, np.uint32),
        made_s=np.empty((num_requests, num_tensors)),
        needed=np.empty(num_copies, np.bool_),
        by_copy=np.empty((3, num_requests * num_copies)),
        heap=np.empty((2, num_requests * num_copies), np.int64),
        by_place=np.empty((2, num_requests, num_places)),
        by_request=np.empty((5, num_requests)),
        busy=np.empty(num_requests, np.uint32),
        lanes=np.zeros((9, num_devices + tables.any_copies)),
        places=np.zeros((5, num_devices), np.uint32),
    )


@njit(cache=True, error_model="numpy")  # type: ignore[misc]
def evaluate(tables: Tables, queue_start: Ints, queue: Ints, space: Space, out_s: Floats) -> None:
    """Put the makespan of one inference by each plan into ``out_s``; infinite where devices wait for ever.

    Args:
        tables: The problem.
        queue_start: By plan and device, where the device's part of its row of ``queue`` begins, and one entry more.
        queue: By plan, the units in the order of devices, and of each device's queue.
        space: Room for one plan of that many units and one request.
        out_s: By plan.
    """
    if not tables.any_copies:
        _evaluate_zero_copy(tables, queue_start, queue, space, out_s)
        return
    none = np.empty((0, 0))
    alone = Requests(1, False, 0.0, 1, 0.0, 0.0, none, none)
    for plan in range(len(out_s)):
        last_s, num_left = run(tables, queue_start[plan], queue[plan], alone, space)
        out_s[plan] = np.inf if num_left else last_s


@njit(cache=True, error_model="numpy")  # type: ignore[misc]
def _evaluate_zero_copy(tables: Tables, queue_start: Ints, queue: Ints, space: Space, out_s: Floats) -> None:
    """What :func:`evaluate` does where nothing is copied: :func:`run` without what one request has no use for.

    Searches spend their time here; it takes half as long.
    """
    reads_start, reads, makes_start, makes = tables.reads_start, tables.reads, tables.makes_start, tables.makes
    seconds_of, bytes_of, demand_of, transfer_s = tables.seconds, tables.num_bytes, tables.demand, tables.transfer_s
    capacity = tables.capacity_bytes_per_s
    home, made_s, lanes = space.home, space.made_s[0], space.lanes
    next_s, demand, left, since_s, rate = lanes[_NEXT], lanes[_DEMAND], lanes[_LEFT], lanes[_SINCE], lanes[_RATE]
    ready_s, new_left, new_next_s = lanes[_READY], lanes[_NEW_LEFT], lanes[_NEW_NEXT]
    phase, place_of, unit_of, read_of = (
        space.places[_PHASE],
        space.places[_PLACE],
        space.places[_UNIT],
        space.places[_READ],
    )
    num_devices = transfer_s.shape[2]
    for plan in range(len(out_s)):
        home[:] = num_devices
        made_s[:] = 0.0
        for device in range(num_devices):
            first, end = queue_start[plan, device], queue_start[plan, device + 1]
            next_s[device] = 0.0 if first < end else _NEVER
            phase[device] = _LOOKING if first < end else _FINISHED
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
                        equal_share = half if least > half else rest
                        equal_share = equal_share if most > equal_share else np.inf
                    else:
                        equal_share = _equal_share(capacity, lanes)
                    for device in range(num_devices):
                        new_left[device] = max(0.0, left[device] - (now_s - since_s[device]) * rate[device])
                        new_next_s[device] = now_s + new_left[device] / min(equal_share, demand[device])
                    for device in range(num_devices):
                        new_rate = min(equal_share, demand[device])
                        changes = new_rate != rate[device]
                        left[device] = new_left[device] if changes else left[device]
                        since_s[device] = now_s if changes else since_s[device]
                        next_s[device] = new_next_s[device] if changes else next_s[device]
                        rate[device] = new_rate
                    continue
                if until_s == _NEVER:
                    break
                now_s = until_s
            if phase[lane] == _RUNNING:
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
                next_s[lane] = _NEVER
                phase[lane] = _FINISHED
                if place < queue_start[plan, np.uint32(lane + 1)]:
                    phase[lane] = _LOOKING
                    unit_of[lane] = queue[plan, place]
                    read_of[lane] = reads_start[unit_of[lane]]
            for step in range(num_devices):
                device = np.uint32(lane + step)
                device = np.uint32(device - num_devices) if device >= num_devices else device
                unit = unit_of[device]
                if phase[device] == _LOOKING:
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
                    next_s[device] = _NEVER
                    if found:
                        phase[device] = _WAITING
                        next_s[device] = max(ready, now_s)
                if phase[device] == _WAITING and next_s[device] == now_s:
                    phase[device] = _RUNNING
                    seconds = seconds_of[unit, device]
                    next_s[device] = now_s + seconds
                    demand[device] = rate[device] = demand_of[unit, device]
                    left[device] = bytes_of[unit, device]
                    since_s[device] = now_s
                    share = share or demand[device] > 0
        out_s[plan] = np.inf if num_left else last_s


@njit(cache=True, error_model="numpy")  # type: ignore[misc]
def run(tables: Tables, queue_start: Ints, queue: Ints, requests: Requests, space: Space) -> tuple[float, int]:
    """When the last segment ends, in seconds, and how many have not: those that wait for each other for ever.

    What happened stays in ``space``.

    Args:
        tables: The problem.
        queue_start: By device, where its part of ``queue`` begins, and one entry more.
        queue: The units in the order of devices, and of each device's queue; at least one.
        requests: What is asked.
        space: Room for that.
    """
    # Fields are fetched once: numba counts references to arrays, which costs more than the arithmetic.
    reads_start, reads, makes_start, makes = tables.reads_start, tables.reads, tables.makes_start, tables.makes
    transfer_s, copies, any_copies = tables.transfer_s, tables.copies, tables.any_copies
    num_devices, num_tensors, num_ops = len(queue_start) - 1, len(tables.tensor_bytes), tables.num_ops
    num_requests, hosted = requests.count, requests.hosted
    own_durations = requests.seconds.size > 0
    seconds_of, demand_of = (requests.seconds, requests.demand) if own_durations else (tables.seconds, tables.demand)
    home, made_s, needed, by_copy, heap = space.home, space.made_s, space.needed, space.by_copy, space.heap
    by_place, by_request, busy, lanes, places = space.by_place, space.by_request, space.busy, space.lanes, space.places
    num_lanes, channel, num_places = lanes.shape[1], num_devices, np.int64(queue_start[num_devices])

    home[:] = num_devices
    made_s[:num_requests] = 0.0
    num_active = 0
    for device in range(num_devices):
        lanes[_NEXT, device] = 0.0
        lanes[_DEMAND, device] = lanes[_RATE, device] = 0.0
        lanes[_READY, device] = 0.0
        places[_REQUEST, device] = 0
        places[_PLACE, device] = queue_start[device]
        places[_PHASE, device] = _LOOKING
        if queue_start[device] < queue_start[device + 1]:
            num_active += 1
            places[_READ, device] = reads_start[queue[queue_start[device]]]
        else:
            places[_PHASE, device] = _FINISHED
            lanes[_NEXT, device] = _NEVER
        for place in range(queue_start[device], queue_start[device + 1]):
            for i in range(makes_start[queue[place]], makes_start[queue[place] + 1]):
                home[makes[i]] = device
                for request in range(num_requests):
                    made_s[request, makes[i]] = -1.0
    if any_copies:
        _find_copies(queue_start, queue, reads_start, reads, home, copies, needed)
        by_copy[_ARRIVED, : num_requests * len(needed)] = -1.0
    busy[:num_requests] = num_active
    by_request[_SUBMITTED, :num_requests] = -1.0 if hosted else 0.0
    by_request[_DUE, :num_requests] = 0.0
    for lane in range(channel, num_lanes):
        lanes[_NEXT, lane] = _NEVER
        lanes[_DEMAND, lane] = lanes[_RATE, lane] = 0.0

    copying = -1  # what the channel is at
    num_waiting = 0  # copies that wait for it
    num_asked = 0  # requests that asked to be submitted
    num_submitted = num_ended = num_collected = 0
    host_s = ask_s = _NEVER  # when the host has done what it is at; when the next request asks
    submitting = False
    share = False  # whether bandwidth is to be shared out anew
    num_left = num_requests * num_places
    now_s = last_s = 0.0
    while True:
        lane, until_s = np.uint32(0), lanes[_NEXT, 0]
        for other in range(1, num_lanes):
            lane = np.uint32(lane + (lanes[_NEXT, other] < until_s) * (other - lane))
            until_s = min(until_s, lanes[_NEXT, other])
        if hosted:
            ask_s = _NEVER
            if num_asked < num_requests and num_asked - requests.num_slots < num_collected:
                ask_s = num_asked * requests.every_s
                if num_asked >= requests.num_slots:
                    ask_s = max(ask_s, by_request[_COLLECTED, num_asked - requests.num_slots])
            until_s = min(until_s, host_s, ask_s)

        if until_s > now_s:  # all that could happen at this time has, save what is decided last
            if hosted and host_s == _NEVER and (num_submitted < num_asked or num_collected < num_ended):
                submitting = num_collected == num_ended or (
                    num_submitted < num_asked and by_request[_ASKED, num_submitted] < by_request[_ENDED, num_collected]
                )
                host_s = now_s + (requests.submit_s if submitting else requests.collect_s)
                continue
            if num_waiting > 0 and copying < 0:
                copying = _pop(by_copy, heap, num_waiting)
                num_waiting -= 1
                by_copy[_COPIED, copying] = now_s
                tensor = copying // num_devices % num_tensors
                seconds = transfer_s[tensor, home[tensor], copying % num_devices]
                num_bytes = tables.tensor_bytes[tensor]
                moves = seconds > 0 and num_bytes > 0 and tables.capacity_bytes_per_s < _NEVER
                share = (
                    _start(lanes, channel, now_s, seconds, num_bytes, num_bytes / seconds if moves else 0.0) or share
                )
                continue
            if share:
                share = False
                _share(tables.capacity_bytes_per_s, now_s, lanes)
                continue
            if until_s == _NEVER:
                break
            now_s = until_s

        if hosted and host_s == now_s:
            host_s = _NEVER
            if submitting:
                by_request[_SUBMITTED, num_submitted] = now_s
                num_submitted += 1
            else:
                by_request[_COLLECTED, num_collected] = now_s
                num_collected += 1
        elif hosted and ask_s == now_s:
            by_request[_ASKED, num_asked] = now_s
            by_request[_DUE, num_asked] = num_asked * requests.every_s if requests.every_s > 0 else now_s
            num_asked += 1
        elif lane == channel:
            lanes[_NEXT, channel] = _NEVER
            share = share or lanes[_DEMAND, channel] > 0
            lanes[_DEMAND, channel] = lanes[_RATE, channel] = 0.0
            by_copy[_ARRIVED, copying] = now_s
            copying = -1
        elif places[_PHASE, lane] == _RUNNING:
            request, place = places[_REQUEST, lane], places[_PLACE, lane]
            unit = queue[place]
            share = share or lanes[_DEMAND, lane] > 0
            lanes[_DEMAND, lane] = lanes[_RATE, lane] = 0.0
            by_place[_END, request, place] = now_s
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
                            _push(by_copy, heap, num_waiting, now_s, rank, copy)
                            num_waiting += 1
            place = np.uint32(place + 1)
            places[_PHASE, lane] = _LOOKING
            lanes[_READY, lane] = now_s
            lanes[_NEXT, lane] = _NEVER
            if place == queue_start[np.uint32(lane + 1)]:
                place = queue_start[lane]
                busy[request] -= 1
                if busy[request] == 0:
                    by_request[_ENDED, num_ended] = now_s
                    num_ended += 1
                places[_REQUEST, lane] = request + 1
                if request + 1 == num_requests:
                    places[_PHASE, lane] = _FINISHED
            places[_PLACE, lane] = place
            places[_READ, lane] = reads_start[queue[place]]

        for step in range(num_devices):  # whoever has just become free first, then those that may have waited for it
            device = np.uint32(lane + step)
            device = np.uint32(device - num_devices) if device >= num_devices else device
            if places[_PHASE, device] == _LOOKING:
                request, place = places[_REQUEST, device], places[_PLACE, device]
                submitted_s = by_request[_SUBMITTED, request]
                ready_s = max(lanes[_READY, device], submitted_s)
                read, last = places[_READ, device], reads_start[np.uint32(queue[place] + 1)]
                found = submitted_s >= 0
                while found and read < last:
                    tensor = reads[read]
                    source, there_s = home[tensor], made_s[request, tensor]
                    if any_copies and copies[source, device]:
                        there_s = by_copy[_ARRIVED, (request * num_tensors + tensor) * num_devices + device]
                        found = there_s >= 0
                    else:
                        found = there_s >= 0
                        there_s += transfer_s[tensor, source, device]
                    if found:
                        ready_s = max(ready_s, there_s)
                        read = np.uint32(read + 1)
                places[_READ, device] = read
                lanes[_READY, device] = ready_s
                lanes[_NEXT, device] = _NEVER
                if found:
                    places[_PHASE, device] = _WAITING
                    lanes[_NEXT, device] = max(ready_s, now_s)
            if places[_PHASE, device] == _WAITING and lanes[_NEXT, device] == now_s:
                request, place = places[_REQUEST, device], places[_PLACE, device]
                by_place[_START, request, place] = now_s
                row, column = (request, place) if own_durations else (queue[place], device)
                places[_PHASE, device] = _RUNNING
                seconds, num_bytes = seconds_of[row, column], tables.num_bytes[queue[place], device]
                share = _start(lanes, device, now_s, seconds, num_bytes, demand_of[row, column]) or share
    return last_s, num_left


@njit(cache=True, error_model="numpy")  # type: ignore[misc]
def _start(lanes: Floats, lane: int, now_s: float, seconds: float, num_bytes: float, demand: float) -> bool:
    """Have a lane begin what takes it so long alone; returns whether bandwidth must be shared out anew."""
    lanes[_NEXT, lane] = now_s + seconds
    lanes[_DEMAND, lane] = lanes[_RATE, lane] = demand
    lanes[_LEFT, lane] = num_bytes
    lanes[_SINCE, lane] = now_s
    return demand > 0


@njit(cache=True, error_model="numpy")  # type: ignore[misc]
def _share(capacity_bytes_per_s: float, now_s: float, lanes: Floats) -> None:
    """Rule 3: give every lane the rate that is its share; whoever keeps its rate keeps its end."""
    if lanes.shape[1] == 2:  # what the loops in _equal_share come to
        least, most = min(lanes[_DEMAND, 0], lanes[_DEMAND, 1]), max(lanes[_DEMAND, 0], lanes[_DEMAND, 1])
        equal_share = capacity_bytes_per_s * 0.5 if least > capacity_bytes_per_s * 0.5 else capacity_bytes_per_s - least
        equal_share = equal_share if most > equal_share else np.inf
    else:
        equal_share = _equal_share(capacity_bytes_per_s, lanes)
    # What changes is worked out for all lanes and then picked, as nobody could predict branches here.
    for lane in range(lanes.shape[1]):
        new_left = max(0.0, lanes[_LEFT, lane] - (now_s - lanes[_SINCE, lane]) * lanes[_RATE, lane])
        lanes[_NEW_LEFT, lane] = new_left
        lanes[_NEW_NEXT, lane] = now_s + new_left / min(equal_share, lanes[_DEMAND, lane])
    for lane in range(lanes.shape[1]):
        new_rate = min(equal_share, lanes[_DEMAND, lane])
        changes = new_rate != lanes[_RATE, lane]
        lanes[_LEFT, lane] = lanes[_NEW_LEFT, lane] if changes else lanes[_LEFT, lane]
        lanes[_SINCE, lane] = now_s if changes else lanes[_SINCE, lane]
        lanes[_NEXT, lane] = lanes[_NEW_NEXT, lane] if changes else lanes[_NEXT, lane]
        lanes[_RATE, lane] = new_rate


@njit(cache=True, error_model="numpy")  # type: ignore[misc]
def _equal_share(capacity_bytes_per_s: float, lanes: Floats) -> float:
    """What those lanes get that demand more than an equal share of what the others leave; infinite if nobody does."""
    count = 0
    for lane in range(lanes.shape[1]):
        demand = lanes[_DEMAND, lane]
        if demand > 0:
            i = count
            while i > 0 and lanes[_SORTED, i - 1] > demand:
                lanes[_SORTED, i] = lanes[_SORTED, i - 1]
                i -= 1
            lanes[_SORTED, i] = demand
            count += 1
    left = capacity_bytes_per_s
    for served in range(count):
        equal_share = left / (count - served)
        if lanes[_SORTED, served] > equal_share:
            return equal_share
        left -= lanes[_SORTED, served]
    return np.inf


@njit(cache=True, error_model="numpy")  # type: ignore[misc]
def _find_copies(
    queue_start: Ints, queue: Ints, reads_start: Ints, reads: Ints, home: Ints, copies: Flags, needed: Flags
) -> None:
    """Mark what is copied where: a tensor once for each device that reads it, over links that copy."""
    num_devices = len(queue_start) - 1
    needed[:] = False
    for device in range(num_devices):
        for place in range(queue_start[device], queue_start[device + 1]):
            for i in range(reads_start[queue[place]], reads_start[queue[place] + 1]):
                source = home[reads[i]]
                if copies[source, device]:
                    needed[reads[i] * num_devices + device] = True


@njit(cache=True, error_model="numpy")  # type: ignore[misc]
def _push(by_copy: Floats, heap: NDArray[np.int64], count: int, asked_s: float, rank: int, copy: int) -> None:
    """Have a copy wait for the channel behind ``count`` others."""
    i = count
    while i > 0:
        above = (i - 1) // 2
        if by_copy[_HEAP, above] < asked_s or (by_copy[_HEAP, above] == asked_s and heap[_RANK, above] < rank):
            break
        _move(by_copy, heap, above, i)
        i = above
    by_copy[_HEAP, i], heap[_RANK, i], heap[_COPY, i] = asked_s, rank, copy


@njit(cache=True, error_model="numpy")  # type: ignore[misc]
def _pop(by_copy: Floats, heap: NDArray[np.int64], count: int) -> int:
    """Take the first of ``count`` copies that wait for the channel."""
    first: int = heap[_COPY, 0]
    end = count - 1
    asked_s, rank, copy = by_copy[_HEAP, end], heap[_RANK, end], heap[_COPY, end]
    i = 0
    while 2 * i + 1 < end:
        k = 2 * i + 1
        if k + 1 < end and (
            by_copy[_HEAP, k + 1] < by_copy[_HEAP, k]
            or (by_copy[_HEAP, k + 1] == by_copy[_HEAP, k] and heap[_RANK, k + 1] < heap[_RANK, k])
        ):
            k += 1
        if asked_s < by_copy[_HEAP, k] or (asked_s == by_copy[_HEAP, k] and rank < heap[_RANK, k]):
            break
        _move(by_copy, heap, k, i)
        i = k
    by_copy[_HEAP, i], heap[_RANK, i], heap[_COPY, i] = asked_s, rank, copy
    return first


@njit(cache=True, error_model="numpy")  # type: ignore[misc]
def _move(by_copy: Floats, heap: NDArray[np.int64], source: int, target: int) -> None:
    by_copy[_HEAP, target] = by_copy[_HEAP, source]
    heap[_RANK, target], heap[_COPY, target] = heap[_RANK, source], heap[_COPY, source]
