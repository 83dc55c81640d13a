"""Rule 4 of services on arrays: :class:`hetsim.core.serving.dispatch.Dispatcher`."""

from __future__ import annotations

from numba import njit

from hetsim.sim.kernel.service_arrays import EARLIEST_FINISH, ROUND_ROBIN, Service, Space


@njit(cache=True, error_model="numpy")
def queue_job(space: Space, kind: int, now_s: float, request: int) -> None:
    """Queue a request for the host: kind 0 to collect it, kind 1 to submit it."""
    host, host_s, at = space.host, space.host_s, space.host_at[kind, 1]
    space.host_at[kind, 1] += 1
    while at > space.host_at[kind, 0] and host_s[kind, at - 1] == now_s and host[kind, at - 1] > request:
        host[kind, at] = host[kind, at - 1]
        host_s[kind, at] = now_s
        at -= 1
    host[kind, at] = request
    host_s[kind, at] = now_s


@njit(cache=True, error_model="numpy")
def earliest(service: Service, space: Space, workload: int, now_s: float, only_free: bool) -> int:
    """The stream that would end one more request first, with the request noted; -1 if none has a free slot."""
    best, best_s = -1, 0.0
    for stream in range(service.first_stream[workload], service.first_stream[workload + 1]):
        if only_free and space.in_flight[stream] >= service.num_slots[stream]:
            continue
        end_s = max(now_s, space.free_s[stream]) + service.latency_s[stream]
        if best < 0 or end_s < best_s:
            best, best_s = stream, end_s
    if best >= 0:
        space.free_s[best] = max(now_s, space.free_s[best]) + service.busiest_s[best]
    return best


@njit(cache=True, error_model="numpy")
def choose(service: Service, space: Space, workload: int, now_s: float) -> int:
    """The stream for the workload's next request; -1 if that has no free slot."""
    if service.dispatch[workload] == EARLIEST_FINISH:
        return earliest(service, space, workload, now_s, True)
    if service.dispatch[workload] == ROUND_ROBIN:
        begin, end = service.cycle_start[workload], service.cycle_start[workload + 1]
        stream = int(service.cycle[begin + space.taken[workload, 1] % (end - begin)])
        if space.in_flight[stream] >= service.num_slots[stream]:
            return -1
        space.taken[workload, 1] += 1
        return stream
    for stream in range(service.first_stream[workload], service.first_stream[workload + 1]):
        if space.in_flight[stream] < service.num_slots[stream]:
            return stream
    return -1


@njit(cache=True, error_model="numpy")
def give(service: Service, space: Space, request: int, stream: int, now_s: float) -> None:
    """A request occupies a slot of a stream and asks the host to be submitted."""
    number, num_slots = space.num_given[stream], service.num_slots[stream]
    slot = number % num_slots
    space.in_flight[stream] += 1
    space.stream[request] = stream
    space.requests[stream, number] = request
    space.num_given[stream] = number + 1
    space.num_left[stream, slot] = service.step_start[stream + 1] - service.step_start[stream]
    width = service.hand_over_start[stream + 1] - service.hand_over_start[stream]
    begin = space.arrival_start[stream] + slot * width
    for i in range(begin, begin + width):
        space.arrival_s[i] = -1.0
    queue_job(space, 1, now_s, request)


@njit(cache=True, error_model="numpy")
def start_waiting(service: Service, space: Space, workload: int, queue: int, now_s: float) -> None:
    """Give waiting requests of one queue to streams, as far as slots are free."""
    num_streams, at = len(service.num_slots), space.waiting_at[queue]
    while at[0] < at[1]:
        if queue >= num_streams:
            stream = choose(service, space, workload, now_s)
        else:
            stream = queue if space.in_flight[queue] < service.num_slots[queue] else -1
        if stream < 0:
            return
        give(service, space, space.waiting[queue, at[0]], stream, now_s)
        at[0] += 1


@njit(cache=True, error_model="numpy")
def drop_newest(service: Service, space: Space, workload: int, first: int, last: int) -> None:
    """Drop the newest of a workload's waiting requests while more wait than may."""
    while True:
        total, newest, newest_queue = 0, -1, -1
        for queue in range(first, last):
            begin, end = space.waiting_at[queue]
            total += end - begin
            if end > begin and space.waiting[queue, end - 1] > newest:
                newest, newest_queue = space.waiting[queue, end - 1], queue
        if total <= service.max_waiting[workload]:
            return
        space.waiting_at[newest_queue, 1] -= 1


@njit(cache=True, error_model="numpy")
def assign(service: Service, space: Space, workload: int, now_s: float) -> None:
    """Dispatch a workload's requests that are due, and drop what may not wait."""
    num_streams, end = len(service.num_slots), service.first[workload + 1]
    if service.saturated[workload]:
        while space.taken[workload, 0] < end:
            stream = choose(service, space, workload, now_s)
            if stream < 0:
                return
            request = space.taken[workload, 0]
            space.due_s[request] = now_s
            give(service, space, request, stream, now_s)
            space.taken[workload, 0] += 1
        return
    apart = service.dispatch[workload] == EARLIEST_FINISH
    first, last = num_streams + workload, num_streams + workload + 1
    if apart:
        first, last = service.first_stream[workload], service.first_stream[workload + 1]
    while space.taken[workload, 0] < end and space.due_s[space.taken[workload, 0]] <= now_s:
        queue = earliest(service, space, workload, now_s, False) if apart else first
        space.waiting[queue, space.waiting_at[queue, 1]] = space.taken[workload, 0]
        space.waiting_at[queue, 1] += 1
        space.taken[workload, 0] += 1
    for queue in range(first, last):
        at = space.waiting_at[queue]
        while service.drop_late[workload] and at[0] < at[1]:
            if space.due_s[space.waiting[queue, at[0]]] + service.deadline_s[workload] > now_s:
                break
            at[0] += 1
    for queue in range(first, last):
        start_waiting(service, space, workload, queue, now_s)
    drop_newest(service, space, workload, first, last)
