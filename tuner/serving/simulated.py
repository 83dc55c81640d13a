"""Simulated figures of a deployment: at full load, at a rate, and at the largest rate that keeps latencies small."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.core.serving.arrivals import Arrivals, periodic, saturated
from hetsim.core.serving.deployment import Deployment
from hetsim.core.serving.outcome import Outcome
from hetsim.core.serving.service import Service, Workload
from hetsim.sim.segments import DurationFunction
from hetsim.sim.service.reference import Durations
from hetsim.sim.service.simulate import ServiceSimulator
from hetsim.sim.service.streams import Stream

NUM_REQUESTS = 200
"""Requests of one simulation."""
_NUM_ROWS = 50  # drawn durations of a stream, used over and over
_BISECTIONS = 12  # each halves the interval of rates

HEADROOM = 1.05
"""A deployment keeps a limit at this times the rate: just above what it serves, its queue never ends."""

MAX_WAITING = 1_000_000
"""Requests of one model alone wait as long as they must: what counts is their latency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a deployment achieves.

    Attributes:
        every_s: Time between requests; 0 if a request is always waiting.
        throughput_per_s: Requests per second.
        p50_s: Median latency.
        p99_s: 99th percentile of latencies.
    """

    every_s: float
    throughput_per_s: float
    p50_s: float
    p99_s: float


def pooled(rounds: Sequence[Outcome], every_s: float) -> Figures:
    """Figures of rounds of one load, each of one workload: the median throughput, and percentiles of all latencies."""
    latencies_s = np.concatenate([one.workloads[0].latencies_s for one in rounds])
    p50_s, p99_s = np.percentile(latencies_s, [50, 99])
    throughput_per_s = float(np.median([one.workloads[0].throughput_per_s for one in rounds]))
    return Figures(every_s=every_s, throughput_per_s=throughput_per_s, p50_s=float(p50_s), p99_s=float(p99_s))


def service_of(deployment: Deployment, arrivals: Arrivals) -> Service:
    """One model's requests."""
    workload = Workload(name=deployment.model, deployment=deployment, arrivals=arrivals, max_waiting=MAX_WAITING)
    return Service(workloads=(workload,))


def arrivals_of(every_s: float, num_requests: int) -> Arrivals:
    """Requests every so many seconds; 0 stands for one that is always waiting."""
    return periodic(every_s, num_requests) if every_s else saturated(num_requests)


class DeploymentSimulator:
    """Simulates one deployment under different loads.

    Args:
        deployment: The deployment.
        problem_of: The problem that gives a plan's costs.
        noise_of: Durations of a plan's segments with noise; None for none.

    Raises:
        PlanError: If a plan does not fit its problem, or puts a segment where it cannot run.
    """

    def __init__(
        self,
        deployment: Deployment,
        problem_of: Callable[[Plan], Problem],
        noise_of: Callable[[Plan], DurationFunction] | None = None,
    ) -> None:
        self.deployment = deployment
        plans = [one.plan for one in deployment.instances]
        problems = {deployment.model: [problem_of(plan) for plan in plans]}
        self._simulator = ServiceSimulator(service_of(deployment, saturated(1)), problems)
        self._durations: Durations = ()
        if noise_of is not None:
            names = self._simulator.device_names
            self._durations = [
                duration_rows(plan, noise_of(plan), names, stream)
                for plan, stream in zip(plans, self._simulator.streams, strict=True)
            ]

    def at(self, every_s: float, num_requests: int = NUM_REQUESTS) -> Figures:
        """The figures at a rate; 0 stands for a request that is always waiting.

        Args:
            every_s: Time between requests in seconds.
            num_requests: Requests of a round. Rounds begin with idle devices. If a round has fewer than
                :data:`NUM_REQUESTS`, there are several.
        """
        num_rounds = -(-NUM_REQUESTS // num_requests)
        return pooled(
            [self._outcome(every_s, num_requests, number * num_requests) for number in range(num_rounds)], every_s
        )

    def _outcome(self, every_s: float, num_requests: int, first_row: int) -> Outcome:
        """A round whose first request has the durations of a row, the next one those of the next row."""
        service = service_of(self.deployment, arrivals_of(every_s, num_requests))
        durations = [None if rows is None else np.roll(rows, -first_row, axis=0) for rows in self._durations]
        return self._simulator.run(durations, service=service)

    def fastest(self, max_latency_s: float) -> Figures | None:
        """The figures at the largest rate at which the 99th percentile of latencies is small enough.

        Returns:
            None if it is not even at a twentieth of the rate at full load.
        """
        full = self.at(0.0)
        if full.p99_s <= max_latency_s:
            return full
        short_s, long_s = 1 / full.throughput_per_s, 20 / full.throughput_per_s
        best = self.at(long_s)
        if best.p99_s > max_latency_s:
            return None
        for _ in range(_BISECTIONS):
            middle_s = math.sqrt(short_s * long_s)
            found = self.at(middle_s)
            if found.p99_s <= max_latency_s:
                best, long_s = found, middle_s
            else:
                short_s = middle_s
        return self.at(best.every_s * HEADROOM)


def duration_rows(
    plan: Plan, noise: DurationFunction, device_names: tuple[str, ...], stream: Stream
) -> NDArray[np.float64]:
    """Drawn durations of a plan's segments in its stream; shape (num_rows, num_segments), device by device."""
    segments: list[Segment] = [segment for name in device_names for segment in plan.queues.get(name, ())]
    drawn = np.array([[noise(row, segment) for segment in segments] for row in range(_NUM_ROWS)])
    return drawn * np.array(stream.host_factors) if stream.host_factors else drawn
