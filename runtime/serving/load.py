"""Serve a load: many requests, one after another or several in flight, as :mod:`hetsim.sim.simulate` does."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hetsim.core.load import Load
from hetsim.core.timeline import Timeline
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.inference import Inference
from hetsim.runtime.session import Session

_MAX_WAIT_S = 1.0
_SLEEP_S = 2e-3  # waiting for workers rounds up to milliseconds, so the last ones before a request is due are slept


@dataclass(frozen=True, kw_only=True)
class Served:
    """The results of a load.

    Attributes:
        inferences: The result of each request, in order.
        timeline: All requests together; time 0 is when the first was due.
        submit_s: By request, from taking it up until the devices could see it, in seconds.
        collect_s: By request, from the end of its last segment until its outputs were copied, in seconds.
    """

    inferences: tuple[Inference, ...]
    timeline: Timeline
    submit_s: tuple[float, ...]
    collect_s: tuple[float, ...]


def serve(session: Session, inputs: Mapping[str, Array], load: Load) -> Served:
    """Submit the requests of a load and collect their results; blocks until all are collected.

    The caller's thread is the host of the model (docs/model.md): it submits a request once it is due and a slot is
    free, and collects finished ones in between.

    Args:
        session: A loaded plan with at least as many slots as the load.
        inputs: The inputs of every request, by tensor.
        load: The requests.

    Raises:
        ModelError: If the inputs do not fit the model.
        DeviceError: If the session has too few slots, or a device failed.
    """
    start_ns = time.monotonic_ns()
    arrivals_ns: list[int] = []
    done: list[Inference] = []
    while len(done) < load.num_requests:
        request = len(arrivals_ns)
        room = request < load.num_requests and request - len(done) < load.num_slots
        now_ns = time.monotonic_ns()
        due_ns = start_ns + round(request * load.every_s * 1e9) if load.every_s else now_ns
        if room and now_ns >= due_ns:
            session.submit(inputs)
            arrivals_ns.append(due_ns)
        elif room and due_ns - now_ns < _SLEEP_S * 1e9:
            time.sleep((due_ns - now_ns) * 1e-9)
        else:
            done += session.collect((due_ns - now_ns) * 1e-9 - _SLEEP_S if room else _MAX_WAIT_S)
    return _served(done, arrivals_ns)


def _served(done: Sequence[Inference], arrivals_ns: Sequence[int]) -> Served:
    spans = [
        replace(
            span,
            request=request,
            start_s=span.start_s + (one.submitted_ns - arrivals_ns[0]) * 1e-9,
            end_s=span.end_s + (one.submitted_ns - arrivals_ns[0]) * 1e-9,
        )
        for request, one in enumerate(done)
        for span in one.timeline.spans
    ]
    return Served(
        inferences=tuple(done),
        timeline=Timeline(
            origin="measured",
            spans=tuple(spans),
            arrivals_s=tuple((arrival_ns - arrivals_ns[0]) * 1e-9 for arrival_ns in arrivals_ns),
        ),
        submit_s=tuple((one.submitted_ns - one.taken_up_ns) * 1e-9 for one in done),
        collect_s=tuple((one.collected_ns - int(one.stamps_ns[:, 1].max())) * 1e-9 for one in done),
    )
