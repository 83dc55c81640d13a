"""Simulate a service: compiled, or in SimPy with equal results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hetsim.core.problem import Problem
from hetsim.core.serving.dispatch import Dispatcher
from hetsim.core.serving.outcome import Outcome, Run, first_instances, served_workloads
from hetsim.core.serving.service import Service
from hetsim.sim.service.encoding import encode
from hetsim.sim.service.reference import Durations, ServiceRun
from hetsim.sim.service.streams import make_streams, platform_of

StepRun = tuple[int, int, int, float, float]
"""A step that ran: stream, request of the stream, step, start and end in seconds."""


class ServiceSimulator:
    """Simulates a service many times, with other durations or arrivals.

    Args:
        service: The service.
        problems: By name of a workload, the costs of its model, or by instance what its plan costs; all have one
            platform.

    Attributes:
        streams: The service's plans, resolved.
        device_names: The devices of the platform, in its order.

    Raises:
        PlanError: If a plan does not fit its problem, or puts a segment where it cannot run.
    """

    def __init__(self, service: Service, problems: Mapping[str, Problem | Sequence[Problem]]) -> None:
        self.service = service
        self.streams = make_streams(service, problems)
        platform = platform_of(problems)
        self.device_names = platform.device_names
        self._capacity_bytes_per_s = platform.memory.shared_bytes_per_s

    def run(self, durations: Durations = (), *, service: Service | None = None, with_runs: bool = False) -> Outcome:
        """One simulation, compiled.

        Args:
            durations: By stream, what steps take instead (:data:`hetsim.sim.service.reference.Durations`).
            service: The service with other arrivals, deadlines or policy, and the same plans.
            with_runs: Whether the outcome lists every step that ran.
        """
        from hetsim.sim.kernel import service as kernel  # numba takes a second to import
        from hetsim.sim.kernel.service_arrays import new_space

        service = service or self.service
        arrays = encode(service, self.streams, self._capacity_bytes_per_s, durations)
        dispatcher = Dispatcher(service, self.streams)
        space = new_space(arrays, dispatcher.due_s, with_runs=with_runs)
        end_s, num_runs = kernel.run(arrays, space)
        columns = (*space.run_numbers[:num_runs].T.tolist(), *space.run_times_s[:num_runs].T.tolist())
        runs: list[StepRun] = list(zip(*columns, strict=True))
        requests = [space.requests[i, : space.num_given[i]].tolist() for i in range(len(self.streams))]
        busy_s = dict(zip(self.device_names, space.busy_s.tolist(), strict=True))
        return Outcome(
            origin="simulated",
            workloads=served_workloads(service, dispatcher.first, space.due_s, space.ends_s, space.stream),
            busy_s=busy_s,
            makespan_s=float(end_s),
            runs=self._runs(service, dispatcher.first, runs, requests),
        )

    def run_reference(self, durations: Durations = ()) -> Outcome:
        """One simulation, in SimPy; equal to that of :meth:`run`, with all its runs."""
        one = ServiceRun(self.service, self.streams, self._capacity_bytes_per_s, durations)
        one.run()
        known = one.dispatcher
        busy_s = dict.fromkeys(self.device_names, 0.0)
        for stream, _, step, start_s, end_s in one.runs:
            busy_s[self.device_names[self.streams[stream].steps[step].device]] += end_s - start_s
        requests = [np.flatnonzero(known.stream == i).tolist() for i in range(len(self.streams))]
        return Outcome(
            origin="simulated",
            workloads=served_workloads(self.service, known.first, known.due_s, one.ends_s, known.stream),
            busy_s=busy_s,
            makespan_s=max((run[-1] for run in one.runs), default=0.0),
            runs=self._runs(self.service, known.first, one.runs, requests),
        )

    def _runs(
        self,
        service: Service,
        first: list[int],
        runs: list[StepRun],
        requests: list[list[int]],
    ) -> tuple[Run, ...]:
        bases = first_instances(service)
        found = []
        for stream, request, step, start_s, end_s in runs:
            one = self.streams[stream]
            found.append(
                Run(
                    workload=one.workload,
                    request=requests[stream][request] - first[one.workload],
                    instance=stream - bases[one.workload],
                    device=self.device_names[one.steps[step].device],
                    ops=one.steps[step].ops,
                    start_s=start_s,
                    end_s=end_s,
                )
            )
        return tuple(sorted(found, key=lambda run: (run.start_s, run.device, run.end_s)))
