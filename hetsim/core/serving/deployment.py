"""Deployments: the plans by which a model's requests are served, and which request goes to which plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from hetsim.core.errors import PlanError
from hetsim.core.plan import Plan

Dispatch = Literal["first_free", "round_robin", "earliest_finish"]
"""Which instance serves a request. ``"first_free"``: the first in the deployment's order that has a free slot, as soon
as one has. ``"round_robin"``: a fixed pattern. ``"earliest_finish"``: on arrival, the instance whose requests in flight
and waiting leave it the earliest end."""

DISPATCHES: tuple[str, ...] = get_args(Dispatch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A plan that serves requests of its model beside other instances.

    Attributes:
        plan: The plan. All segments of one request run before those of the next on each device.
        num_slots: Requests that may be in flight in it, at least 1.
    """

    plan: Plan
    num_slots: int = 1

    def __post_init__(self) -> None:
        if self.num_slots < 1:
            raise PlanError(f"an instance with {self.num_slots} requests in flight; at least 1 is needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """How a model's requests are served.

    Attributes:
        instances: One or more plans of one model.
        dispatch: Which instance serves a request.
        cycle: For ``"round_robin"``, the numbers of the instances that serve one request after another, over and over;
            empty means each in its order.

    Raises:
        PlanError: If there is no instance, plans are of different models, or the cycle names no instance.
    """

    instances: tuple[Instance, ...]
    dispatch: Dispatch = "first_free"
    cycle: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.instances:
            raise PlanError("a deployment without a plan; give at least one")
        models = {(one.plan.model, one.plan.model_hash) for one in self.instances}
        if len(models) > 1:
            raise PlanError(f"a deployment with plans of {len(models)} models; all must be of one model")
        if self.dispatch not in DISPATCHES:
            raise PlanError(f"dispatch {self.dispatch!r}; choose from {', '.join(DISPATCHES)}")
        if any(not 0 <= number < len(self.instances) for number in self.cycle):
            raise PlanError(
                f"the cycle {list(self.cycle)} names instances beyond the {len(self.instances)} that there are"
            )

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.instances[0].plan.model

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for deployments that serve requests alike."""
        return (*((one.plan.digest, one.num_slots) for one in self.instances), self.dispatch, self.full_cycle)

    @property
    def full_cycle(self) -> tuple[int, ...]:
        """The cycle, also where none was given."""
        return self.cycle or tuple(range(len(self.instances)))

    @property
    def num_slots(self) -> int:
        """Requests that may be in flight in all instances."""
        return sum(one.num_slots for one in self.instances)
