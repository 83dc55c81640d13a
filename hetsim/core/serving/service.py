"""Services: workloads that share a machine's devices, and the policy by which devices choose between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from hetsim.core.errors import ProblemError
from hetsim.core.serving.arrivals import Arrivals
from hetsim.core.serving.deployment import Deployment

Policy = Literal["fcfs", "edf", "rate_monotonic", "priority"]
"""Which ready segment a free device runs next: of the request that was due first, whose deadline is earliest, of the
workload with the highest rate, or of the workload with the highest priority. Running segments are not interrupted."""

POLICIES: tuple[str, ...] = get_args(Policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Requests for one model.

    Attributes:
        name: Unique in its service.
        deployment: How requests are served.
        arrivals: When they are due.
        deadline_s: Seconds after a request is due by which its last segment should end; infinite if none.
        priority: Smaller is more urgent, for the policy ``"priority"``.
        max_waiting: Requests that may wait for a slot; when one more is due, the newest is dropped and counted.
        drop_late: Whether a request that still waits for a slot at its deadline is dropped and counted.

    Raises:
        ProblemError: If the deadline is not above 0, or the number that may wait is negative.
    """

    name: str
    deployment: Deployment
    arrivals: Arrivals
    deadline_s: float = math.inf
    priority: int = 0
    max_waiting: int = 64
    drop_late: bool = False

    def __post_init__(self) -> None:
        if not self.deadline_s > 0:  # NaN fails too
            raise ProblemError(f"workload {self.name!r} has a deadline of {self.deadline_s} s; give a time above 0")
        if self.max_waiting < 0:
            raise ProblemError(f"workload {self.name!r} lets {self.max_waiting} requests wait; give 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Workloads on shared devices.

    Attributes:
        workloads: One or more, with names of their own.
        policy: Which ready segment a free device runs next. Ties go to the request that was due first, then to the
            workload and the instance that come first.

    Raises:
        ProblemError: If there is no workload, two have one name, or the policy is unknown.
    """

    workloads: tuple[Workload, ...]
    policy: Policy = "fcfs"

    def __post_init__(self) -> None:
        if not self.workloads:
            raise ProblemError("a service without a workload; give at least one")
        names = [one.name for one in self.workloads]
        for name in names:
            if names.count(name) > 1:
                raise ProblemError(f"two workloads are named {name!r}; give each a name of its own")
        if self.policy not in POLICIES:
            raise ProblemError(f"policy {self.policy!r}; choose from {', '.join(POLICIES)}")

    @property
    def ranks(self) -> tuple[int, ...]:
        """By workload, what devices compare first; the smaller rank goes first."""
        match self.policy:
            case "priority":
                return tuple(one.priority for one in self.workloads)
            case "rate_monotonic":
                order = sorted(range(len(self.workloads)), key=lambda i: (-self.workloads[i].arrivals.rate_per_s, i))
                return tuple(order.index(i) for i in range(len(self.workloads)))
            case _:
                return (0,) * len(self.workloads)

    @property
    def offsets_s(self) -> tuple[float, ...]:
        """By workload, what is added to the time at which a request is due before devices compare these times."""
        if self.policy != "edf":
            return (0.0,) * len(self.workloads)
        return tuple(one.deadline_s for one in self.workloads)
