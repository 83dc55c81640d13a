"""A service and the work space of its kernel, as arrays; streams, steps, hand-overs and requests are numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

FIRST_FREE, ROUND_ROBIN, EARLIEST_FINISH = 0, 1, 2


class Service(NamedTuple):
    """Streams and workloads. Steps are numbered through all streams, and so are hand-overs.

    Attributes:
        num_devices: Devices of the platform.
        capacity_bytes_per_s: Sustained bandwidth of the memory.
        any_copies: Whether a hand-over occupies the memory channel.
        step_start: By stream, its first step; one entry more than streams.
        device: By step, its device.
        seconds: By step, what it takes alone.
        num_bytes: By step, the bytes that it moves.
        in_start: By step, where its part of ``ins`` begins; one entry more.
        ins: Hand-overs that steps wait for.
        out_start: The same for ``outs``.
        outs: Hand-overs that steps start.
        hand_over_start: By stream, its first hand-over; one entry more.
        transfer_s: By hand-over, what it takes once it has started.
        copies: By hand-over, whether it occupies the channel.
        hand_over_bytes: By hand-over, its size.
        queue_start: By stream and device, where its part of ``queue`` begins, with one column more.
        queue: Steps in the order in which devices run them.
        num_slots: By stream, requests that may be in flight.
        submit_s: By stream, the host's time to submit a request.
        collect_s: By stream, the host's time to collect one.
        latency_s: By stream, what one request takes alone.
        busiest_s: By stream, what the busiest device works for one request.
        row_start: By stream, where its part of ``rows`` begins; one entry more.
        num_rows: By stream, its rows of durations; 0 for the steps' own times.
        rows: Durations, stream by stream, row by row, step by step.
        first_stream: By workload, its first stream; one entry more.
        first: By workload, its first request; one entry more.
        saturated: By workload, whether a request is always waiting.
        dispatch: By workload, FIRST_FREE, ROUND_ROBIN or EARLIEST_FINISH.
        cycle_start: By workload, where its part of ``cycle`` begins; one entry more.
        cycle: Streams in the order in which they take requests.
        deadline_s: By workload, its deadline.
        max_waiting: By workload, requests that may wait.
        drop_late: By workload, whether late requests are dropped.
        rank: By workload, what devices compare first.
        offset_s: By workload, what is added to the time at which a request is due.
    """

    num_devices: int
    capacity_bytes_per_s: float
    any_copies: bool
    step_start: Numbers
    device: Numbers
    seconds: Floats
    num_bytes: Floats
    in_start: Numbers
    ins: Numbers
    out_start: Numbers
    outs: Numbers
    hand_over_start: Numbers
    transfer_s: Floats
    copies: NDArray[np.bool_]
    hand_over_bytes: Floats
    queue_start: Numbers
    queue: Numbers
    num_slots: Numbers
    submit_s: Floats
    collect_s: Floats
    latency_s: Floats
    busiest_s: Floats
    row_start: Numbers
    num_rows: Numbers
    rows: Floats
    first_stream: Numbers
    first: Numbers
    saturated: NDArray[np.bool_]
    dispatch: Numbers
    cycle_start: Numbers
    cycle: Numbers
    deadline_s: Floats
    max_waiting: Numbers
    drop_late: NDArray[np.bool_]
    rank: Floats
    offset_s: Floats


class Space(NamedTuple):
    """The state of a simulation and its results.

    Attributes:
        due_s: By request, when it is due; NaN before that is known.
        stream: By request, the stream that it went to; -1 before, or if it was dropped.
        ends_s: By request, when its last step ended; NaN before.
        busy_s: By device, how long it ran steps.
        requests: By stream, its requests in order of dispatch.
        num_given: By stream, how many it got.
        num_submitted: By stream, how many of them the devices can see.
        in_flight: By stream, how many occupy a slot.
        free_s: By stream, when its busiest device will have ended all work.
        next_request: By stream and device, the request of the stream that the device works on next.
        next_place: By stream and device, the place of its next step in the queue.
        num_left: By stream and slot, steps that have not ended.
        arrival_s: By slot of all streams and hand-over, when it arrives; negative before that is known.
        arrival_start: By stream, where its part of ``arrival_s`` begins.
        taken: By workload, the next request to be taken up, and how many went by the cycle so far.
        waiting: By queue, requests that wait for a slot. Queues are the streams, then the workloads.
        waiting_at: By queue, where its waiting requests begin and end in its row.
        host: Two queues of requests for the host, to collect and to submit, in order.
        host_s: When they were queued.
        host_at: Where each queue begins and ends.
        copies: Copies that wait for the channel: stream, slot, hand-over, request.
        copies_s: When they were queued.
        lanes: As in :class:`hetsim.sim.kernel.arrays.Space`: by device, and the channel.
        running: By device: stream, request of the stream, and step that it runs; -1 if it is idle.
        starts_s: By device, when the step that it runs began.
        run_numbers: By step that ran: stream, request of the stream, step; may be empty.
        run_times_s: When it began and ended; may be empty.
    """

    due_s: Floats
    stream: Numbers
    ends_s: Floats
    busy_s: Floats
    requests: Numbers
    num_given: Numbers
    num_submitted: Numbers
    in_flight: Numbers
    free_s: Floats
    next_request: Numbers
    next_place: Numbers
    num_left: Numbers
    arrival_s: Floats
    arrival_start: Numbers
    taken: Numbers
    waiting: Numbers
    waiting_at: Numbers
    host: Numbers
    host_s: Floats
    host_at: Numbers
    copies: Numbers
    copies_s: Floats
    lanes: Floats
    running: Numbers
    starts_s: Floats
    run_numbers: Numbers
    run_times_s: Floats


def new_space(service: Service, due_s: Floats, *, with_runs: bool) -> Space:
    """The state before the first event.

    Args:
        service: The service.
        due_s: By request, when it is due; NaN for requests of saturated workloads.
        with_runs: Whether there is room for every step that runs.
    """
    num_streams, num_workloads, num_requests = len(service.num_slots), len(service.saturated), len(due_s)
    num_devices, most_slots = service.num_devices, int(service.num_slots.max())
    num_arrivals = np.diff(service.hand_over_start) * service.num_slots
    num_steps = np.diff(service.step_start)
    counts = np.diff(service.first)
    num_runs = sum(
        int(counts[workload] * num_steps[service.first_stream[workload] : service.first_stream[workload + 1]].max())
        for workload in range(num_workloads)
    )
    return Space(
        due_s=due_s.copy(),
        stream=np.full(num_requests, -1),
        ends_s=np.full(num_requests, np.nan),
        busy_s=np.zeros(num_devices),
        requests=np.zeros((num_streams, int(counts.max())), np.int64),
        num_given=np.zeros(num_streams, np.int64),
        num_submitted=np.zeros(num_streams, np.int64),
        in_flight=np.zeros(num_streams, np.int64),
        free_s=np.zeros(num_streams),
        next_request=np.zeros((num_streams, num_devices), np.int64),
        next_place=np.zeros((num_streams, num_devices), np.int64),
        num_left=np.zeros((num_streams, most_slots), np.int64),
        arrival_s=np.full(int(num_arrivals.sum()), -1.0),
        arrival_start=np.concatenate(([0], np.cumsum(num_arrivals)[:-1])),
        taken=np.stack((service.first[:-1], np.zeros(num_workloads, np.int64)), axis=1),
        waiting=np.zeros((num_streams + num_workloads, int(counts.max())), np.int64),
        waiting_at=np.zeros((num_streams + num_workloads, 2), np.int64),
        host=np.zeros((2, num_requests), np.int64),
        host_s=np.zeros((2, num_requests)),
        host_at=np.zeros((2, 2), np.int64),
        copies=np.zeros((int(num_arrivals.sum()), 4), np.int64),
        copies_s=np.zeros(int(num_arrivals.sum())),
        lanes=np.zeros((9, num_devices + service.any_copies)),
        running=np.full((num_devices, 3), -1),
        starts_s=np.zeros(num_devices),
        run_numbers=np.zeros((num_runs if with_runs else 0, 3), np.int64),
        run_times_s=np.zeros((num_runs if with_runs else 0, 2)),
    )
