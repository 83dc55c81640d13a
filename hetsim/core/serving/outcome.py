"""What became of the requests of a service, simulated or measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hetsim.core.serving.service import Service
from hetsim.core.timeline import Origin

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ServedWorkload:
    """The requests of one workload; times are in seconds since the first request of the service was due.

    Attributes:
        name: The workload.
        deadline_s: Seconds after a request is due by which it should end; infinite if none.
        due_s: By request, when it was due; shape (num_requests,).
        ends_s: By request, when its last segment ended; NaN if it was dropped.
        instances: By request, the number of the instance that served it; -1 if it was dropped.
    """

    name: str
    deadline_s: float
    due_s: Floats
    ends_s: Floats
    instances: NDArray[np.int64]

    @cached_property
    def latencies_s(self) -> Floats:
        """Of the requests that were not dropped, from when they were due to their end; shape (num_served,)."""
        latencies: Floats = (self.ends_s - self.due_s)[~np.isnan(self.ends_s)]
        return latencies

    @property
    def num_dropped(self) -> int:
        """Requests that were dropped."""
        return int(np.isnan(self.ends_s).sum())

    @property
    def miss_rate(self) -> float:
        """The share of requests that were dropped or ended after their deadline."""
        late = int((self.latencies_s > self.deadline_s).sum())
        return (late + self.num_dropped) / len(self.due_s)

    @property
    def tardiness_s(self) -> float:
        """By how much served requests ended after their deadlines, on average; on time counts as 0."""
        late_s = np.maximum(0.0, self.latencies_s - self.deadline_s)
        return float(late_s.mean()) if len(late_s) else math.nan

    @property
    def jitter_s(self) -> float:
        """Standard deviation of the latencies."""
        return float(self.latencies_s.std()) if len(self.latencies_s) else math.nan

    @property
    def throughput_per_s(self) -> float:
        """Served requests after the first to end, by the time from the first end to the last."""
        ends_s = self.ends_s[~np.isnan(self.ends_s)]
        if not len(ends_s):
            return 0.0
        seconds = float(ends_s.max() - ends_s.min())
        return (len(ends_s) - 1) / seconds if seconds > 0 else math.inf

    def percentile_s(self, percent: float) -> float:
        """A percentile of the latencies; NaN if nothing was served."""
        return float(np.percentile(self.latencies_s, percent)) if len(self.latencies_s) else math.nan


@dataclass(frozen=True, kw_only=True)
class Run:
    """One step of one request.

    Attributes:
        workload: Number of the workload.
        request: Number of the request in its workload.
        instance: Number of the instance in its deployment.
        device: The device.
        ops: The segment's operators.
        start_s: Seconds since the first request of the service was due.
        end_s: Likewise.
    """

    workload: int
    request: int
    instance: int
    device: str
    ops: tuple[str, ...]
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a service.

    Attributes:
        origin: Whether it was simulated or measured.
        workloads: By workload, its requests.
        busy_s: By device, how long it ran segments.
        makespan_s: When the last segment ended.
        runs: All steps that ran, by start; empty if they were not asked for.
    """

    origin: Origin
    workloads: tuple[ServedWorkload, ...]
    busy_s: Mapping[str, float]
    makespan_s: float
    runs: tuple[Run, ...] = ()

    @property
    def utilisation(self) -> dict[str, float]:
        """By device, the share of the time until the last end in which it ran segments."""
        return {name: busy_s / self.makespan_s if self.makespan_s else 0.0 for name, busy_s in self.busy_s.items()}


def first_instances(service: Service) -> list[int]:
    """By workload, the number of its first instance among all; one entry more than workloads."""
    counts = [len(one.deployment.instances) for one in service.workloads]
    return [sum(counts[:i]) for i in range(len(counts) + 1)]


def served_workloads(
    service: Service,
    first: list[int],
    due_s: Floats,
    ends_s: Floats,
    instances: NDArray[np.int64],
) -> tuple[ServedWorkload, ...]:
    """By workload, what became of its requests.

    Args:
        service: The service.
        first: By workload, the number of its first request; one entry more than workloads.
        due_s: By request, when it was due.
        ends_s: By request, when its last step ended; NaN if it was dropped.
        instances: By request, the instance, among all, that it went to; -1 if it was dropped.
    """
    bases = first_instances(service)
    return tuple(
        ServedWorkload(
            name=one.name,
            deadline_s=one.deadline_s,
            due_s=due_s[first[i] : first[i + 1]].copy(),
            ends_s=ends_s[first[i] : first[i + 1]].copy(),
            instances=np.maximum(instances[first[i] : first[i + 1]] - bases[i], -1),
        )
        for i, one in enumerate(service.workloads)
    )
