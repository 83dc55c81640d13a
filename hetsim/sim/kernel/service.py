"""A service by all rules of :mod:`hetsim.sim.service.reference`."""

from __future__ import annotations

from numba import njit

from hetsim.sim.kernel.arrays import DEMAND, NEVER, NEXT, RATE
from hetsim.sim.kernel.service_arrays import Floats, Service, Space
from hetsim.sim.kernel.service_dispatch import assign, queue_job
from hetsim.sim.kernel.sharing import begin, share_out


@njit(cache=True, error_model="numpy")
def ready_s(service: Service, space: Space, stream: int, device: int) -> float:
    """When a stream's next step on a device can start; infinite while that is not known."""
    start, end = service.queue_start[stream, device], service.queue_start[stream, device + 1]
    request = space.next_request[stream, device]
    if start == end or request >= space.num_submitted[stream]:
        return NEVER
    step = service.queue[start + space.next_place[stream, device]]
    base, width = service.hand_over_start[stream], service.hand_over_start[stream + 1] - service.hand_over_start[stream]
    at = space.arrival_start[stream] + request % service.num_slots[stream] * width - base
    last_s = 0.0
    for i in range(service.in_start[step], service.in_start[step + 1]):
        there_s = space.arrival_s[at + service.ins[i]]
        if there_s < 0:
            return NEVER
        last_s = max(last_s, there_s)
    return last_s


@njit(cache=True, error_model="numpy")
def pick_step(service: Service, space: Space, device: int, now_s: float) -> int:
    """The stream whose step an idle device runs now; -1 if none is ready, and the device looks again later."""
    best, later_s = -1, NEVER
    best_rank = best_key = best_due = 0.0
    workload = 0
    for stream in range(len(service.num_slots)):
        if stream == service.first_stream[workload + 1]:
            workload += 1
        at_s = ready_s(service, space, stream, device)
        if at_s > now_s:
            later_s = min(later_s, at_s)
            continue
        due_s = space.due_s[space.requests[stream, space.next_request[stream, device]]]
        rank, key = service.rank[workload], due_s + service.offset_s[workload]
        if (
            best < 0
            or rank < best_rank
            or (rank == best_rank and (key < best_key or (key == best_key and due_s < best_due)))
        ):
            best, best_rank, best_key, best_due = stream, rank, key, due_s
    space.lanes[NEXT, device] = later_s
    return best


@njit(cache=True, error_model="numpy")
def start_step(service: Service, space: Space, stream: int, device: int, now_s: float) -> bool:
    """Run a stream's next step on a device; returns whether bandwidth must be shared again."""
    request = space.next_request[stream, device]
    step = service.queue[service.queue_start[stream, device] + space.next_place[stream, device]]
    first, num_rows = service.step_start[stream], service.num_rows[stream]
    seconds, num_bytes = service.seconds[step], service.num_bytes[step]
    if num_rows:
        width = service.step_start[stream + 1] - first
        seconds = service.rows[service.row_start[stream] + request % num_rows * width + step - first]
    moves = seconds > 0 and num_bytes > 0 and service.capacity_bytes_per_s < NEVER
    space.running[device, 0], space.running[device, 1], space.running[device, 2] = stream, request, step
    space.starts_s[device] = now_s
    return begin(space.lanes, device, now_s, seconds, num_bytes, num_bytes / seconds if moves else 0.0)


@njit(cache=True, error_model="numpy")
def end_step(service: Service, space: Space, device: int, now_s: float, num_runs: int, num_waiting: int) -> int:
    """A device has ended its step: its tensors leave, and the request may end; returns how many copies wait."""
    stream, request, step = space.running[device, 0], space.running[device, 1], space.running[device, 2]
    space.running[device, 0] = -1
    space.busy_s[device] += now_s - space.starts_s[device]
    if num_runs < len(space.run_numbers):
        space.run_numbers[num_runs, 0] = stream
        space.run_numbers[num_runs, 1] = request
        space.run_numbers[num_runs, 2] = step - service.step_start[stream]
        space.run_times_s[num_runs, 0], space.run_times_s[num_runs, 1] = space.starts_s[device], now_s
    space.next_place[stream, device] += 1
    if (
        space.next_place[stream, device]
        == service.queue_start[stream, device + 1] - service.queue_start[stream, device]
    ):
        space.next_place[stream, device] = 0
        space.next_request[stream, device] += 1
    slot, known = request % service.num_slots[stream], space.requests[stream, request]
    base, width = service.hand_over_start[stream], service.hand_over_start[stream + 1] - service.hand_over_start[stream]
    for i in range(service.out_start[step], service.out_start[step + 1]):
        one = service.outs[i]
        at = space.arrival_start[stream] + slot * width + one - base
        if service.copies[one]:
            space.copies[num_waiting, 0], space.copies[num_waiting, 1] = at, one
            space.copies[num_waiting, 2] = known
            space.copies_s[num_waiting] = now_s
            num_waiting += 1
        else:
            space.arrival_s[at] = now_s + service.transfer_s[one]
    space.num_left[stream, slot] -= 1
    if space.num_left[stream, slot] == 0:
        space.ends_s[known] = now_s
        queue_job(space, 0, now_s, known)
    return num_waiting


@njit(cache=True, error_model="numpy")
def next_copy(space: Space, num_waiting: int) -> int:
    """The place of the copy that the channel does next: of the first asked for, that of the first request."""
    best = 0
    for i in range(1, num_waiting):
        if space.copies_s[i] < space.copies_s[best] or (
            space.copies_s[i] == space.copies_s[best]
            and (
                space.copies[i, 2] < space.copies[best, 2]
                or (space.copies[i, 2] == space.copies[best, 2] and space.copies[i, 1] < space.copies[best, 1])
            )
        ):
            best = i
    return best


@njit(cache=True, error_model="numpy")
def take_job(service: Service, space: Space, now_s: float) -> tuple[int, int, float]:
    """The host's next job, its request and when it ends; kind -1 if there is none."""
    collecting = space.host_at[0, 0] < space.host_at[0, 1]
    submitting = space.host_at[1, 0] < space.host_at[1, 1]
    if not collecting and not submitting:
        return -1, -1, NEVER
    kind = 0 if collecting else 1
    if collecting and submitting and space.host_s[1, space.host_at[1, 0]] < space.host_s[0, space.host_at[0, 0]]:
        kind = 1
    request = space.host[kind, space.host_at[kind, 0]]
    space.host_at[kind, 0] += 1
    stream = space.stream[request]
    return kind, request, now_s + (service.collect_s[stream] if kind == 0 else service.submit_s[stream])


@njit(cache=True, error_model="numpy")
def next_due_s(service: Service, space: Space) -> float:
    """When the next request is due; infinite if no time of one is known."""
    due_s = NEVER
    for workload in range(len(service.saturated)):
        request = space.taken[workload, 0]
        if not service.saturated[workload] and request < service.first[workload + 1]:
            due_s = min(due_s, space.due_s[request])
    return due_s


@njit(cache=True, error_model="numpy")
def next_event_s(lanes: Floats, due_s: float, host_s: float) -> float:
    """When the next thing happens."""
    until_s = min(due_s, host_s)
    for lane in range(lanes.shape[1]):
        until_s = min(until_s, lanes[NEXT, lane])
    return until_s


@njit(cache=True, error_model="numpy")
def run(service: Service, space: Space) -> tuple[float, int]:
    """When the last step ends, in seconds, and how many steps ran. Results stay in ``space``."""
    lanes, num_devices = space.lanes, service.num_devices
    channel, copy, num_waiting, num_runs = num_devices, -1, 0, 0
    lanes[NEXT] = NEVER
    host_kind, host_request, host_s = -1, -1, NEVER
    now_s = last_s = 0.0
    share, wanted = False, True  # whether bandwidth must be shared; whether slots or arrivals changed
    while True:
        due_s = next_due_s(service, space)
        wanted = wanted or due_s <= now_s
        until_s = next_event_s(lanes, due_s if due_s > now_s else NEVER, host_s)
        if until_s > now_s:  # all other events of this time have happened
            if wanted:
                wanted = False
                for workload in range(len(service.saturated)):
                    assign(service, space, workload, now_s)
            if host_kind < 0:
                host_kind, host_request, host_s = take_job(service, space, now_s)
                if host_kind >= 0:
                    continue
            if num_waiting > 0 and copy < 0:
                place = next_copy(space, num_waiting)
                copy, one = space.copies[place, 0], space.copies[place, 1]
                num_waiting -= 1
                space.copies[place] = space.copies[num_waiting]
                space.copies_s[place] = space.copies_s[num_waiting]
                seconds, num_bytes = service.transfer_s[one], service.hand_over_bytes[one]
                moves = seconds > 0 and num_bytes > 0 and service.capacity_bytes_per_s < NEVER
                share = begin(lanes, channel, now_s, seconds, num_bytes, num_bytes / seconds if moves else 0.0) or share
                continue
            started = False
            for device in range(num_devices):
                if space.running[device, 0] < 0 and not started:
                    stream = pick_step(service, space, device, now_s)
                    if stream >= 0:
                        started = True
                        share = start_step(service, space, stream, device, now_s) or share
            if started:
                continue
            if share:
                share = False
                share_out(service.capacity_bytes_per_s, now_s, lanes)
                continue
            now_s = next_event_s(lanes, next_due_s(service, space), host_s)
            if now_s == NEVER:
                return last_s, num_runs
        if host_s == now_s:
            if host_kind == 0:
                space.in_flight[space.stream[host_request]] -= 1
                wanted = True
            else:
                space.num_submitted[space.stream[host_request]] += 1
            host_kind, host_s = -1, NEVER
        for lane in range(num_devices):
            if lanes[NEXT, lane] == now_s:
                lanes[NEXT, lane] = NEVER
                if space.running[lane, 0] >= 0:
                    share = share or lanes[DEMAND, lane] > 0
                    lanes[DEMAND, lane] = lanes[RATE, lane] = 0.0
                    num_waiting = end_step(service, space, lane, now_s, num_runs, num_waiting)
                    num_runs += 1
                    last_s = now_s
        if lanes.shape[1] > channel and lanes[NEXT, channel] == now_s:
            lanes[NEXT, channel] = NEVER
            share = share or lanes[DEMAND, channel] > 0
            lanes[DEMAND, channel] = lanes[RATE, channel] = 0.0
            space.arrival_s[copy] = now_s
            copy = -1
