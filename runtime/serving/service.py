"""Execute a service: requests of several models, by several plans at once, on shared devices."""

from __future__ import annotations

import math
import select
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np

from hetsim.core.errors import PlanError
from hetsim.core.serving.deployment import Instance
from hetsim.core.serving.dispatch import Dispatcher, StreamFacts
from hetsim.core.serving.outcome import Outcome, Run, served_workloads
from hetsim.core.serving.service import Service
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.hang_detector import CHECK_INTERVAL_S
from hetsim.runtime.inference import Inference
from hetsim.runtime.session import Session
from hetsim.runtime.worker.process import Message
from hetsim.runtime.worker_pool import WorkerPool

_NEVER_NS = 1 << 55  # later than any deadline, in keys


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTimes:
    """What dispatch needs to know of an instance.

    Attributes:
        num_slots: Requests that may be in flight.
        latency_s: What one request takes alone, in seconds.
        busiest_s: Time that one request takes on the device with the most work for it, in seconds.
    """

    num_slots: int
    latency_s: float = 0.0
    busiest_s: float = 0.0


class ServiceSession:
    """Loaded plans that serve requests together; made by :meth:`hetsim.runtime.Runtime.load_together`.

    Use it as a context manager. The caller's thread is the host of the model (docs/model.md).

    Args:
        pool: The workers.
        sessions: Plans that are loaded.
    """

    def __init__(self, pool: WorkerPool, sessions: Sequence[Session]) -> None:
        self.sessions = tuple(sessions)
        self._pool = pool
        self._client = _Together(self.sessions)
        self._heard_s = 0.0  # when a worker last sent a message, or was last looked after

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the plans' memory here and on the devices."""
        for one in self.sessions:
            one.close()

    def serve(
        self,
        service: Service,
        inputs: Mapping[str, Mapping[str, Array]],
        *,
        times: Sequence[StreamFacts] = (),
        on_result: Callable[[int, int, Inference], None] | None = None,
        with_runs: bool = False,
    ) -> Outcome:
        """Serve a service's requests; blocks until the last one has ended.

        Args:
            service: The service. Its instances' plans are those of the sessions, in order.
            inputs: By workload, the inputs of every request.
            times: By instance, for the dispatch ``"earliest_finish"``; empty if no workload has it.
            on_result: Told workload, request and result of each request that was served.
            with_runs: Whether the outcome lists every segment that ran.

        Raises:
            PlanError: If the service has other plans or more requests in flight than the sessions were loaded for.
            ModelError: If inputs do not fit a model.
            DeviceError: If a device failed.
        """
        run = _Serving(self.sessions, service, inputs, times, on_result, with_runs=with_runs)
        self._pool.serve_together(self.sessions)
        descriptors = self._pool.filenos(self._client)
        run.start()
        self._heard_s = time.monotonic()
        while not run.is_done:
            wait_s = run.submit_due()
            if not run.is_done:
                self._receive(descriptors, min(wait_s, CHECK_INTERVAL_S))
        return run.outcome(self._client.device_names)

    def _receive(self, descriptors: Sequence[int], timeout_s: float) -> None:
        """Take in messages of all workers; after a long wait without one, check for devices that are stuck."""
        ready, _, _ = select.select(descriptors, (), (), timeout_s)  # poll would round up to milliseconds
        now_s = time.monotonic()
        if ready:
            self._heard_s = now_s
            self._pool.take(self._client, ready)
            for one in self.sessions:
                one.check_usable()
        elif now_s - self._heard_s >= CHECK_INTERVAL_S:
            self._heard_s = now_s
            for one in self.sessions:
                one.poll(0.0)


class _Together:
    """Several sessions as one client of the pool."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        self.number = sessions[0].number
        self.device_names = tuple({name: None for one in sessions for name in one.device_names})
        self._sessions = sessions

    def running_on(self, device: str) -> tuple[str, ...]:
        own = (one for one in self._sessions if device in one.device_names)
        return next(filter(None, (one.running_on(device) for one in own)), ())

    def handle(self, device: str, message: Message) -> None:
        raise AssertionError(f"{device}: {message[0]} must name its own session")

    def abort(self) -> None:
        for one in self._sessions:
            one.abort()


class _Serving:
    """The requests of one service on their way."""

    def __init__(
        self,
        sessions: Sequence[Session],
        service: Service,
        inputs: Mapping[str, Mapping[str, Array]],
        times: Sequence[StreamFacts],
        on_result: Callable[[int, int, Inference], None] | None,
        *,
        with_runs: bool,
    ) -> None:
        instances = [(i, one) for i, workload in enumerate(service.workloads) for one in workload.deployment.instances]
        _check(sessions, [one for _, one in instances])
        self._sessions, self._service, self._on_result, self._with_runs = sessions, service, on_result, with_runs
        self._workload = [i for i, _ in instances]
        self._inputs = [inputs[one.name] for one in service.workloads]
        self._dispatcher = Dispatcher(service, times or [StreamTimes(num_slots=one.num_slots) for _, one in instances])
        self._ends_s = np.full(self._dispatcher.num_requests, np.nan)
        self._ranks = {rank: i for i, rank in enumerate(sorted(set(service.ranks)))}
        self._busy_ns = [np.zeros(len(session.flow.steps), dtype=np.int64) for session in sessions]
        self._runs: list[Run] = []
        self._num_in_flight = 0
        self._start_ns = 0

    def start(self) -> None:
        """Time 0 is now."""
        self._start_ns = time.monotonic_ns()

    @property
    def is_done(self) -> bool:
        """Whether all requests have been taken up, and have ended or were dropped."""
        return not self._num_in_flight and self._start_ns > 0 and self._dispatcher.is_done

    def submit_due(self) -> float:
        """Submit what is due and has a slot; returns the seconds until the next request is due."""
        now_s = (time.monotonic_ns() - self._start_ns) * 1e-9
        for request, stream in self._dispatcher.assign(now_s):
            session = self._sessions[stream]
            number = session.submit(self._inputs[self._workload[stream]], key=self._key(request))
            session.deliver_to(number, partial(self._end, request, stream))
            self._num_in_flight += 1
        return max(0.0, self._dispatcher.next_due_s - (time.monotonic_ns() - self._start_ns) * 1e-9)

    def _key(self, request: int) -> int:
        """The order of :meth:`Dispatcher.key` as one integer."""
        rank, urgent_s, due_s = self._dispatcher.key(request)
        time_ns = round(urgent_s * 1e9) if urgent_s < math.inf else _NEVER_NS + round(due_s * 1e9)
        return self._ranks[int(rank)] * 2 * _NEVER_NS + time_ns

    def _end(self, request: int, stream: int, inference: Inference) -> None:
        # The caller's time here is the devices' time where they have all cores.
        self._num_in_flight -= 1
        self._dispatcher.release(stream)
        starts_ns, ends_ns = inference.stamps_ns.T
        self._ends_s[request] = (int(ends_ns.max()) - self._start_ns) * 1e-9
        self._busy_ns[stream] += ends_ns - starts_ns
        if not self._with_runs and self._on_result is None:
            return
        workload = self._workload[stream]
        number = request - self._dispatcher.first[workload]
        if self._with_runs:
            self._runs += self._runs_of(workload, number, stream, inference)
        if self._on_result is not None:
            self._on_result(workload, number, inference)

    def _runs_of(self, workload: int, number: int, stream: int, inference: Inference) -> list[Run]:
        times_s = ((inference.stamps_ns - self._start_ns) * 1e-9).tolist()
        return [
            Run(
                workload=workload,
                request=number,
                instance=stream - self._workload.index(workload),
                device=step.segment.device,
                ops=step.segment.ops,
                start_s=start_s,
                end_s=end_s,
            )
            for step, (start_s, end_s) in zip(inference.flow.steps, times_s, strict=True)
        ]

    def outcome(self, device_names: Sequence[str]) -> Outcome:
        """What became of the requests."""
        known = self._dispatcher
        busy_s = dict.fromkeys(device_names, 0.0)
        for session, all_ns in zip(self._sessions, self._busy_ns, strict=True):
            for step, busy_ns in zip(session.flow.steps, all_ns.tolist(), strict=True):
                busy_s[step.segment.device] += busy_ns * 1e-9
        return Outcome(
            origin="measured",
            workloads=served_workloads(self._service, known.first, known.due_s, self._ends_s, known.stream),
            busy_s=busy_s,
            makespan_s=float(np.nanmax(self._ends_s, initial=0.0)),
            runs=tuple(sorted(self._runs, key=lambda run: (run.start_s, run.device, run.end_s))),
        )


def _check(sessions: Sequence[Session], instances: Sequence[Instance]) -> None:
    if len(sessions) != len(instances):
        raise PlanError(f"the service has {len(instances)} instances, and {len(sessions)} plans are loaded")
    for session, one in zip(sessions, instances, strict=True):
        if one.num_slots > session.num_slots:
            raise PlanError(
                f"an instance has {one.num_slots} requests in flight, and its plan was loaded for {session.num_slots}"
            )
