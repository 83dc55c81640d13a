"""Deployments worth simulating: whole models, pipelines, and mixtures of plans."""

from __future__ import annotations

from collections.abc import Sequence

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.core.serving.deployment import Deployment, Instance
from hetsim.scheduler.registry import SINGLE, make_plan, scheduler_names
from hetsim.scheduler.throughput.mixture import Mixture

SIDE_BY_SIDE = "side_by_side"
"""The name of the deployment that has the whole model on every device."""
SLOTS = 2
"""Requests in flight in an instance at full load, so that the next one is there when a device becomes free."""
_MAX_SLOTS = 3
_COPIES = (1, 2, 4)  # instances of each plan of a mixture
_MAX_CYCLE = 12  # requests of a cycle at most


def whole_model_deployments(problem: Problem) -> dict[str, Deployment]:
    """By name, the whole model on one device, and on all that can run it, side by side.

    Raises:
        ProblemError: If an operator runs on no device.
    """
    names = [name for name in scheduler_names(problem) if name.startswith(SINGLE)]
    plans = {name: make_plan(name, problem) for name in names}
    found = {name: _deployment(plan) for name, plan in plans.items()}
    if len(plans) > 1:
        fastest_first = sorted(plans.values(), key=lambda plan: sum(problem.segment_times_s(plan.segments).values()))
        found[SIDE_BY_SIDE] = _deployment(*fastest_first)
    return found


def candidates(plans: Sequence[Plan], mixtures: Sequence[Mixture]) -> list[Deployment]:
    """Deployments to simulate.

    Args:
        plans: Plans of latency schedulers.
        mixtures: Mixtures that serve the most, under limits of the latency or without.
    """
    pipelines = [
        Deployment(instances=(Instance(plan=plan, num_slots=slots),))
        for plan in plans
        for slots in range(1, _MAX_SLOTS + 1)
    ]
    return [*pipelines, *(one for mixture in mixtures for one in mixed(mixture))]


def mixed(mixture: Mixture) -> list[Deployment]:
    """A mixture's plans round robin by their rates, and the next request to the first that is free.

    A device finishes a request of an instance before it begins the instance's next one. A plan that alternates between
    devices leaves gaps that other instances fill, so each plan has several.
    """
    found = []
    for copies in _COPIES:
        instances = tuple(Instance(plan=plan) for plan in mixture.plans for _ in range(copies))
        pattern: list[int] = []
        count = [0] * len(mixture.plans)
        for plan in cycle_of(mixture.rates_per_s) * copies:
            pattern.append(plan * copies + count[plan] % copies)
            count[plan] += 1
        found.append(Deployment(instances=instances, dispatch="round_robin", cycle=tuple(pattern)))
        found.append(Deployment(instances=instances))
    return found


def cycle_of(rates: Sequence[float]) -> tuple[int, ...]:
    """A short pattern in which each number comes about as often as its rate says, evenly spread.

    >>> cycle_of((2.0, 1.0))
    (0, 1, 0)
    """
    least = min(rates)
    length = min(_MAX_CYCLE, round(sum(rates) / least))
    credit, pattern = [0.0] * len(rates), []
    for _ in range(max(length, len(rates))):
        credit = [have + rate / sum(rates) for have, rate in zip(credit, rates, strict=True)]
        turn = max(range(len(rates)), key=lambda i: (credit[i], -i))
        credit[turn] -= 1
        pattern.append(turn)
    return tuple(pattern)


def _deployment(*plans: Plan) -> Deployment:
    return Deployment(instances=tuple(Instance(plan=plan, num_slots=SLOTS) for plan in plans))
