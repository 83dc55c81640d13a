"""The event loop of :mod:`hetsim.compiled`: the rules of :mod:`hetsim.simulate` on arrays, compiled by numba.

Units, tensors and devices are numbers. A *unit* is a set of operators that some device may run as one segment; units
``0`` to ``num_ops - 1`` are the single operators in the graph's order. A plan is a row of units, device by device, and
where each device's part of it begins. *Lanes* are whatever runs one thing at a time and takes part in rule 3: the
devices, and behind them the memory channel.

Every sum, product and quotient is the one that the reference takes, in the same order. LLVM may not reorder or fuse
them, as nothing here is compiled with ``fastmath``. Importing this module imports numba.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LOOKING, _WAITING, _RUNNING, _FINISHED = 0, 1, 2, 3
_NEVER = np.inf


class Tables(NamedTuple):
    """A problem. Arrays may have room for more than is in them.

    Attributes:
        seconds: By unit and device, the time that it takes alone.
        demand: By unit and device, the bytes per second that it moves alone; 0 where rule 3 does not apply.
        position: By unit, its first operator's place in the graph.
        reads_start: By unit, where its part of ``reads`` begins; one entry more than units.
        reads: Tensors that other units make, in the order of the unit's inputs.
        makes_start: The same for ``makes``.
        makes: Tensors that others read, or the caller gets.
        tensor_bytes: By tensor.
        setup_s: By source and target.
        bandwidth_bytes_per_s: By source and target.
        copies: By source and target, whether hand-overs need the memory channel.
        any_copies: Whether any do.
        capacity_bytes_per_s: What the memory sustains.
        num_ops: Operators of the graph.
    """

    seconds: Floats
    demand: Floats
    position: Ints
    reads_start: Ints
    reads: Ints
    makes_start: Ints
    makes: Ints
    tensor_bytes: Floats
    setup_s: Floats
    bandwidth_bytes_per_s: Floats
    copies: NDArray[np.bool_]
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
        home: By tensor, the device that makes it; -1 where none does.
        made_s: By request and tensor, when it was made; negative before.
        needed: By tensor and device, whether it is copied there.
        copied_s: By request, tensor and device, when its copy began.
        arrived_s: The same, when it was there; negative before.
        heap_s: Copies that wait for the channel, as a heap by this and ``heap_rank``: when each was asked for.
        heap_rank: Their order among those that were asked for at the same time.
        heap_copy: Which they are, as an index of ``copied_s``.
        start_s: By request and place in the plan, when the segment started.
        end_s: The same, when it ended.
        arrival_s: By request, when it was due.
        asked_s: By request, when it asked to be submitted.
        submitted_s: By request, when it was; negative before.
        ended_s: By request, when its last segment ended.
        collected_s: By request, when it was collected.
        busy: By request, devices that have not ended it.
        lanes: Numbers that each lane keeps, a row each: see ``_NEXT`` and those after it.
        places: Whole numbers that each device keeps, a row each: see ``_PHASE`` and those after it.
    """

    home: Ints
    made_s: Floats
    needed: NDArray[np.bool_]
    copied_s: Floats
    arrived_s: Floats
    heap_s: Floats
    heap_rank: Ints
    heap_copy: Ints
    start_s: Floats
    end_s: Floats
    arrival_s: Floats
    asked_s: Floats
    submitted_s: Floats
    ended_s: Floats
    collected_s: Floats
    busy: Ints
    lanes: Floats
    places: Ints


_NEXT, _DEMAND, _LEFT, _SINCE, _SPEED, _READY, _SORTED = range(7)
_PHASE, _REQUEST, _PLACE, _READ = range(4)


def new_space(tables: Tables, num_requests: int, num_places: int) -> Space:
    """Room for plans of so many segments and so many requests."""
    num_tensors, num_devices = len(tables.tensor_bytes), len(tables.setup_s)
    num_copies = num_tensors * num_devices if tables.any_copies else 0
    floats: Any = np.empty
    return Space(
        home=np.empty(num_tensors, np.int64),
        made_s=floats(num_requests * num_tensors),
        needed=np.zeros(num_copies, np.bool_),
        copied_s=floats(num_requests * num_copies),
        arrived_s=floats(num_requests * num_copies),
        heap_s=floats(num_requests * num_copies),
        heap_rank=np.empty(num_requests * num_copies, np.int64),
        heap_copy=np.empty(num_requests * num_copies, np.int64),
        start_s=floats(num_requests * num_places),
        end_s=floats(num_requests * num_places),
        arrival_s=floats(num_requests),
        asked_s=floats(num_requests),
        submitted_s=floats(num_requests),
        ended_s=floats(num_requests),
        collected_s=floats(num_requests),
        busy=np.empty(num_requests, np.int64),
        lanes=floats((7, num_devices + 1)),
        places=np.empty((4, num_devices), np.int64),
    )


@njit(cache=True)  # type: ignore[misc]
def evaluate(tables: Tables, queue_start: Ints, queue: Ints, space: Space, out_s: Floats) -> None:
    """Put the makespan of one inference by each plan into ``out_s``; infinite where devices wait for ever.

    Args:
        tables: The problem.
        queue_start: By plan and device, where the device's part of its row of ``queue`` begins, and one entry more.
        queue: By plan, the units in the order of devices, and of each device's queue.
        space: Room for one plan of that many units and one request.
        out_s: By plan.
    """
    none = np.empty((0, 0))
    alone = Requests(1, False, 0.0, 1, 0.0, 0.0, none, none)
    for plan in range(len(out_s)):
        last_s, num_left = run(tables, queue_start[plan], queue[plan], alone, space)
        out_s[plan] = np.inf if num_left else last_s


@njit(cache=True)  # type: ignore[misc]
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
    num_devices, num_tensors, num_requests = len(tables.setup_s), len(tables.tensor_bytes), requests.count
    num_places, channel = queue_start[num_devices], len(tables.setup_s)
    home, made_s, lanes, places = space.home, space.made_s, space.lanes, space.places
    next_s, demand, left_s, since_s, speed = lanes[_NEXT], lanes[_DEMAND], lanes[_LEFT], lanes[_SINCE], lanes[_SPEED]
    ready_s, by_demand = lanes[_READY], lanes[_SORTED]
    phase, request_of, place_of, read_of = places[_PHASE], places[_REQUEST], places[_PLACE], places[_READ]
    own_seconds = requests.seconds.size > 0

    for tensor in range(num_tensors):
        home[tensor] = -1
    for i in range(num_requests * num_tensors):
        made_s[i] = -1.0
    num_active = 0
    for device in range(num_devices):
        next_s[device] = _NEVER
        demand[device] = 0.0
        ready_s[device] = 0.0
        request_of[device] = 0
        place_of[device] = queue_start[device]
        phase[device] = _FINISHED
        if queue_start[device] < queue_start[device + 1]:
            num_active += 1
            phase[device] = _LOOKING
            read_of[device] = tables.reads_start[queue[queue_start[device]]]
        for place in range(queue_start[device], queue_start[device + 1]):
            unit = queue[place]
            for i in range(tables.makes_start[unit], tables.makes_start[unit + 1]):
                home[tables.makes[i]] = device
    if tables.any_copies:
        _find_copies(tables, queue_start, queue, requests, space)
    for request in range(num_requests):
        space.busy[request] = num_active
        space.submitted_s[request] = -1.0 if requests.hosted else 0.0
        space.arrival_s[request] = 0.0

    next_s[channel] = _NEVER
    demand[channel] = 0.0
    copying = -1  # what the channel is at
    num_waiting = 0  # copies that wait for it
    num_asked = 0  # requests that asked to be submitted
    num_submitted = 0
    num_ended = 0
    num_collected = 0
    host_s = _NEVER  # when the host has done what it is at
    submitting = False
    share = False  # whether bandwidth is to be shared out anew
    num_left = num_requests * num_places
    now_s = last_s = 0.0
    first = True
    while True:
        until_s = next_s[0]
        for lane in range(1, num_devices + 1):
            if next_s[lane] < until_s:
                until_s = next_s[lane]
        ask_s = _NEVER
        if requests.hosted:
            if num_asked < num_requests and num_asked - requests.num_slots < num_collected:
                ask_s = num_asked * requests.every_s
                if num_asked >= requests.num_slots:
                    ask_s = max(ask_s, space.collected_s[num_asked - requests.num_slots])
            until_s = min(until_s, host_s, ask_s)
        if until_s > now_s and not first:  # all that could happen at this time has, save what is decided last
            if requests.hosted and host_s == _NEVER and (num_submitted < num_asked or num_collected < num_ended):
                submitting = num_collected == num_ended or (
                    num_submitted < num_asked and space.asked_s[num_submitted] < space.ended_s[num_collected]
                )
                host_s = now_s + (requests.submit_s if submitting else requests.collect_s)
                continue
            if num_waiting and copying < 0:
                copying = _pop(space, num_waiting)
                num_waiting -= 1
                space.copied_s[copying] = now_s
                target = copying % num_devices
                tensor = copying // num_devices % num_tensors
                num_bytes = tables.tensor_bytes[tensor]
                source = home[tensor]
                seconds = tables.setup_s[source, target] + num_bytes / tables.bandwidth_bytes_per_s[source, target]
                next_s[channel] = now_s + seconds
                if seconds > 0 and num_bytes > 0 and tables.capacity_bytes_per_s < _NEVER:
                    demand[channel] = num_bytes / seconds
                    left_s[channel] = seconds
                    since_s[channel] = now_s
                    speed[channel] = 1.0
                    share = True
                continue
            if share:
                share = False
                _share(tables.capacity_bytes_per_s, now_s, next_s, demand, left_s, since_s, speed, by_demand)
                continue
            if until_s == _NEVER:
                break
            now_s = until_s
        first = False

        if host_s == now_s:
            host_s = _NEVER
            if submitting:
                space.submitted_s[num_submitted] = now_s
                num_submitted += 1
            else:
                space.collected_s[num_collected] = now_s
                num_collected += 1
        if ask_s == now_s:
            space.asked_s[num_asked] = now_s
            space.arrival_s[num_asked] = num_asked * requests.every_s if requests.every_s > 0 else now_s
            num_asked += 1
        if next_s[channel] == now_s:
            next_s[channel] = _NEVER
            share = share or demand[channel] > 0
            demand[channel] = 0.0
            space.arrived_s[copying] = now_s
            copying = -1
        for device in range(num_devices):
            if next_s[device] != now_s or phase[device] != _RUNNING:
                continue
            request, place = request_of[device], place_of[device]
            unit = queue[place]
            share = share or demand[device] > 0
            demand[device] = 0.0
            space.end_s[request * num_places + place] = now_s
            last_s = now_s
            num_left -= 1
            first_make = tables.makes_start[unit]
            for i in range(first_make, tables.makes_start[unit + 1]):
                tensor = tables.makes[i]
                made_s[request * num_tensors + tensor] = now_s
                if tables.any_copies:
                    for target in range(num_devices):
                        if space.needed[tensor * num_devices + target]:
                            rank = (request * tables.num_ops + tables.position[unit]) * num_tensors
                            rank = (rank + i - first_make) * num_devices + target
                            copy = (request * num_tensors + tensor) * num_devices + target
                            _push(space, num_waiting, now_s, rank, copy)
                            num_waiting += 1
            place += 1
            if place == queue_start[device + 1]:
                place = queue_start[device]
                space.busy[request] -= 1
                if space.busy[request] == 0:
                    space.ended_s[num_ended] = now_s
                    num_ended += 1
                request_of[device] += 1
            place_of[device] = place
            read_of[device] = tables.reads_start[queue[place]]
            ready_s[device] = now_s
            next_s[device] = _NEVER
            phase[device] = _LOOKING if request_of[device] < num_requests else _FINISHED
        for device in range(num_devices):
            if phase[device] == _LOOKING:
                _look(tables, queue[place_of[device]], device, now_s, space)
            if phase[device] == _WAITING and next_s[device] == now_s:
                request, place = request_of[device], place_of[device]
                space.start_s[request * num_places + place] = now_s
                if own_seconds:
                    seconds, demanded = requests.seconds[request, place], requests.demand[request, place]
                else:
                    seconds, demanded = tables.seconds[queue[place], device], tables.demand[queue[place], device]
                next_s[device] = now_s + seconds
                phase[device] = _RUNNING
                if demanded > 0:
                    demand[device] = demanded
                    left_s[device] = seconds
                    since_s[device] = now_s
                    speed[device] = 1.0
                    share = True
    return last_s, num_left


@njit(cache=True)  # type: ignore[misc]
def _look(tables: Tables, unit: int, device: int, now_s: float, space: Space) -> None:
    """Work out when a device's next segment starts, if all that it waits for has been made and is on its way."""
    ready_s, places = space.lanes[_READY], space.places
    request = places[_REQUEST, device]
    submitted_s = space.submitted_s[request]
    if submitted_s < 0:
        return
    num_tensors, num_devices = len(tables.tensor_bytes), len(tables.setup_s)
    ready = max(ready_s[device], submitted_s)
    read, last = places[_READ, device], tables.reads_start[unit + 1]
    while read < last:
        tensor = tables.reads[read]
        source = space.home[tensor]
        if source >= 0 and source != device:
            if tables.copies[source, device]:
                arrived_s = space.arrived_s[(request * num_tensors + tensor) * num_devices + device]
            else:
                arrived_s = space.made_s[request * num_tensors + tensor]
                if arrived_s >= 0:
                    arrived_s += tables.setup_s[source, device]
            if arrived_s < 0:
                break
            ready = max(ready, arrived_s)
        read += 1
    places[_READ, device] = read
    ready_s[device] = ready
    if read == last:
        places[_PHASE, device] = _WAITING
        space.lanes[_NEXT, device] = max(ready, now_s)


@njit(cache=True)  # type: ignore[misc]
def _share(
    capacity: float,
    now_s: float,
    next_s: Floats,
    demand: Floats,
    left_s: Floats,
    since_s: Floats,
    speed: Floats,
    by_demand: Floats,
) -> None:
    """Rule 3: give every lane the speed that its share allows; whoever keeps its speed keeps its end."""
    count = 0
    for lane in range(len(demand)):
        demanded = demand[lane]
        if demanded > 0:
            i = count
            while i > 0 and by_demand[i - 1] > demanded:
                by_demand[i] = by_demand[i - 1]
                i -= 1
            by_demand[i] = demanded
            count += 1
    left = capacity
    equal_share = np.inf
    for served in range(count):
        each = left / (count - served)
        if by_demand[served] > each:
            equal_share = each
            break
        left -= by_demand[served]
    for lane in range(len(demand)):
        demanded = demand[lane]
        if demanded > 0:
            allowed = equal_share / demanded if equal_share < demanded else 1.0
            if allowed != speed[lane]:
                left_s[lane] = max(0.0, left_s[lane] - (now_s - since_s[lane]) * speed[lane])
                since_s[lane] = now_s
                speed[lane] = allowed
                next_s[lane] = now_s + left_s[lane] / allowed


@njit(cache=True)  # type: ignore[misc]
def _find_copies(tables: Tables, queue_start: Ints, queue: Ints, requests: Requests, space: Space) -> None:
    """Mark what is copied where: a tensor once for each device that reads it, over links that copy."""
    num_devices = len(tables.setup_s)
    space.needed[:] = False
    for i in range(requests.count * len(space.needed)):
        space.arrived_s[i] = -1.0
    for device in range(num_devices):
        for place in range(queue_start[device], queue_start[device + 1]):
            unit = queue[place]
            for i in range(tables.reads_start[unit], tables.reads_start[unit + 1]):
                source = space.home[tables.reads[i]]
                if source >= 0 and source != device and tables.copies[source, device]:
                    space.needed[tables.reads[i] * num_devices + device] = True


@njit(cache=True)  # type: ignore[misc]
def _push(space: Space, count: int, asked_s: float, rank: int, copy: int) -> None:
    """Have a copy wait for the channel behind ``count`` others."""
    i = count
    while i > 0:
        above = (i - 1) // 2
        if space.heap_s[above] < asked_s or (space.heap_s[above] == asked_s and space.heap_rank[above] < rank):
            break
        _move(space, above, i)
        i = above
    space.heap_s[i], space.heap_rank[i], space.heap_copy[i] = asked_s, rank, copy


@njit(cache=True)  # type: ignore[misc]
def _pop(space: Space, count: int) -> int:
    """Take the first of ``count`` copies that wait for the channel."""
    first = space.heap_copy[0]
    asked_s, rank, copy = space.heap_s[count - 1], space.heap_rank[count - 1], space.heap_copy[count - 1]
    count -= 1
    i = 0
    while 2 * i + 1 < count:
        below = 2 * i + 1
        if below + 1 < count and _comes_before(space, below + 1, below):
            below += 1
        if asked_s < space.heap_s[below] or (asked_s == space.heap_s[below] and rank < space.heap_rank[below]):
            break
        _move(space, below, i)
        i = below
    space.heap_s[i], space.heap_rank[i], space.heap_copy[i] = asked_s, rank, copy
    return int(first)


@njit(cache=True)  # type: ignore[misc]
def _comes_before(space: Space, i: int, k: int) -> bool:
    return bool(
        space.heap_s[i] < space.heap_s[k]
        or (space.heap_s[i] == space.heap_s[k] and space.heap_rank[i] < space.heap_rank[k])
    )


@njit(cache=True)  # type: ignore[misc]
def _move(space: Space, source: int, target: int) -> None:
    space.heap_s[target] = space.heap_s[source]
    space.heap_rank[target] = space.heap_rank[source]
    space.heap_copy[target] = space.heap_copy[source]
