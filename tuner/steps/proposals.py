"""Plans to execute: what proposers hand on, and how they are composed.

A proposer adds plans to those that were proposed before it. There are three:
:func:`~hetsim.tuner.steps.scheduler_plans.propose_baselines` and
:func:`~hetsim.tuner.steps.scheduler_plans.propose_searched` only plan;
:func:`~hetsim.tuner.steps.closed_loop.propose_by_rounds` measures what it plans and plans again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hetsim.core.plan import Plan
from hetsim.costs.refusals import refused_by
from hetsim.tuner.context import TuningContext
from hetsim.tuner.deadline import Deadline

SEARCH_ROUND = "search round "
"""Beginning of the names of the plans that the rounds of the closed loop propose."""

SPLITS = "splits"
"""Name of the best plan in which devices share operators; further ones are numbered from 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """A plan that a round measured.

    Attributes:
        name: Name of the plan.
        predicted_s: Its makespan as predicted.
        error_s: The error bar of that, one standard deviation; 0 if every segment was measured already.
        replayed_s: Its makespan once its segments had been measured.
        num_segments: The number of its segments.
        num_predicted: The number of segments that were only predicted.
    """

    name: str
    predicted_s: float
    error_s: float
    replayed_s: float
    num_segments: int
    num_predicted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round of the closed loop found.

    Attributes:
        number: From 1.
        optimistic_bound_s: The lower end of the least 95 % interval of a plan that the search found.
        tries: The plans that were measured.
        best_s: The best makespan from measured segments by the end of the round, baselines included.
    """

    number: int
    optimistic_bound_s: float
    tries: tuple[Try, ...]
    best_s: float

    @property
    def left(self) -> float:
        """How far the optimistic bound is below the best so far, as a fraction; 0 if it is not."""
        return max(0.0, 1 - self.optimistic_bound_s / self.best_s)


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """Plans to execute, and how they were found.

    Attributes:
        plans: The plans by name.
        rounds: What the rounds of the closed loop found; empty without one.
        ended: Why the closed loop ended; empty without one.
    """

    plans: Mapping[str, Plan] = field(default_factory=dict)
    rounds: tuple[Round, ...] = ()
    ended: str = ""

    def with_plans(self, plans: Mapping[str, Plan]) -> Proposals:
        """The same with further plans."""
        return replace(self, plans={**self.plans, **plans})


Proposer = Callable[[TuningContext, Proposals, Deadline], Proposals]
"""From the context, what was proposed before, and when to end: all proposals including its own."""


def propose(context: TuningContext, proposers: Sequence[Proposer], deadline: Deadline) -> Proposals:
    """The plans to execute, after every proposer in turn.

    Raises:
        ProblemError: If an operator runs on no device.
        DeviceError: If a device failed.
    """
    found = Proposals()
    for proposer in proposers:
        found = proposer(context, found, deadline)
    return found


def accepted_plan(context: TuningContext, make: Callable[[], Plan]) -> Plan | None:
    """A plan that all engines take.

    Refused segments are recorded in the profile, and the plan is made again. On an emulated target, whose problem may
    not follow all that is recorded, a plan that contains a refused segment again is dropped.

    Args:
        context: The devices.
        make: Makes the plan from the problem as it stands.

    Raises:
        DeviceError: If a device failed.
    """
    while True:
        plan = make()
        refusal = context.refusal(plan)
        if refusal is None:
            return plan
        known = refused_by(context.file.profile, refusal.device)
        if context.target.is_emulated and known.rules_out(refusal.segment):
            context.stages.say(f"{plan.scheduler}: dropped, {refusal}")
            return None
        context.note(refusal)
