"""A service as arrays for its kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hetsim.core.serving.deployment import DISPATCHES
from hetsim.core.serving.service import Service
from hetsim.sim.kernel import service_arrays as arrays
from hetsim.sim.service.reference import Durations
from hetsim.sim.service.streams import Stream

_DISPATCH = {
    "first_free": arrays.FIRST_FREE,
    "round_robin": arrays.ROUND_ROBIN,
    "earliest_finish": arrays.EARLIEST_FINISH,
}
assert set(_DISPATCH) == set(DISPATCHES)


def encode(
    service: Service, streams: Sequence[Stream], capacity_bytes_per_s: float, durations: Durations
) -> arrays.Service:
    """The arrays of a service.

    Args:
        service: The service.
        streams: Its plans, resolved.
        capacity_bytes_per_s: Sustained bandwidth of the memory.
        durations: By stream, what steps take instead; empty for the streams' own times.
    """
    rows = [None] * len(streams) if not durations else list(durations)
    steps = [step for one in streams for step in one.steps]
    hand_overs = [hand_over for one in streams for hand_over in one.hand_overs]
    step_start, hand_over_start = (
        _starts(len(one.steps) for one in streams),
        _starts(len(one.hand_overs) for one in streams),
    )
    ins = [
        [hand_over_start[i] + arrival for arrival in step.arrivals]
        for i, one in enumerate(streams)
        for step in one.steps
    ]
    outs = [
        [hand_over_start[i] + k for k, hand_over in enumerate(one.hand_overs) if hand_over.producer == number]
        for i, one in enumerate(streams)
        for number in range(len(one.steps))
    ]
    queues = [[step_start[i] + step for step in queue] for i, one in enumerate(streams) for queue in one.queues]
    num_devices = len(streams[0].queues)
    ends = _starts(map(len, queues))
    return arrays.Service(
        **_workloads(service),
        num_devices=num_devices,
        capacity_bytes_per_s=float(capacity_bytes_per_s),
        any_copies=any(one.copies for one in hand_overs),
        step_start=step_start,
        device=_numbers(step.device for step in steps),
        seconds=_floats(step.seconds for step in steps),
        num_bytes=_floats(step.traffic_bytes for step in steps),
        in_start=_starts(map(len, ins)),
        ins=_numbers(chain.from_iterable(ins)),
        out_start=_starts(map(len, outs)),
        outs=_numbers(chain.from_iterable(outs)),
        hand_over_start=hand_over_start,
        transfer_s=_floats(one.transfer_s for one in hand_overs),
        copies=np.array([one.copies for one in hand_overs], np.bool_),
        hand_over_bytes=_floats(one.num_bytes for one in hand_overs),
        queue_start=np.array([ends[i * num_devices : (i + 1) * num_devices + 1] for i in range(len(streams))]),
        queue=_numbers(chain.from_iterable(queues)),
        num_slots=_numbers(one.num_slots for one in streams),
        submit_s=_floats(one.submit_s for one in streams),
        collect_s=_floats(one.collect_s for one in streams),
        latency_s=_floats(one.latency_s for one in streams),
        busiest_s=_floats(one.busiest_s for one in streams),
        row_start=_starts(0 if one is None else one.size for one in rows),
        num_rows=_numbers(0 if one is None else len(one) for one in rows),
        rows=np.concatenate([np.empty(0), *(one.ravel() for one in rows if one is not None)]),
    )


def _workloads(service: Service) -> dict[str, Any]:
    """The fields that describe the workloads."""
    workloads = service.workloads
    first_stream = _starts(len(one.deployment.instances) for one in workloads)
    cycle = [[first_stream[i] + number for number in one.deployment.full_cycle] for i, one in enumerate(workloads)]
    return {
        "first_stream": first_stream,
        "first": _starts(one.arrivals.num_requests for one in workloads),
        "saturated": np.array([one.arrivals.times_s is None for one in workloads]),
        "dispatch": _numbers(_DISPATCH[one.deployment.dispatch] for one in workloads),
        "cycle_start": _starts(map(len, cycle)),
        "cycle": _numbers(chain.from_iterable(cycle)),
        "deadline_s": _floats(one.deadline_s for one in workloads),
        "max_waiting": _numbers(one.max_waiting for one in workloads),
        "drop_late": np.array([one.drop_late for one in workloads]),
        "rank": _floats(service.ranks),
        "offset_s": _floats(service.offsets_s),
    }


def _numbers(values: Iterable[int]) -> NDArray[np.int64]:
    return np.array(list(values), np.int64)


def _floats(values: Iterable[float]) -> NDArray[np.float64]:
    return np.array(list(values), np.float64)


def _starts(counts: Iterable[int]) -> NDArray[np.int64]:
    """Where each of consecutive parts begins, and the end of the last."""
    return np.concatenate(([0], np.cumsum(_numbers(counts)))).astype(np.int64)
