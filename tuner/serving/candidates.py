"""Deployments worth simulating: whole models, mixtures, pipelines, and pairs of lopsided plans that take turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from hetsim.analysis.change import faster_device
from hetsim.analysis.scenario import Scenario
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.core.serving.deployment import Deployment, Instance
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.registry import SINGLE, make_plan, scheduler_names, solve
from hetsim.scheduler.throughput.mixture import Mixture

SIDE_BY_SIDE = "side_by_side"
"""The name of the deployment that has the whole model on every device."""
SLOTS = 2
"""Requests in flight in an instance at full load, so that the next one is there when a device becomes free."""
_SPEEDS = (0.7, 0.5)  # of one device, for which a plan is made that uses it less
_MAX_EVALUATIONS = 1000
_MAX_SLOTS = 3
_MAX_TURNS = 12  # length of a pattern of turns at most


def whole_models(problem: Problem) -> dict[str, Deployment]:
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


def lopsided_plans(problem: Problem, *, seed: int) -> dict[str, list[Plan]]:
    """By device, plans with splits that use it less than the fastest plan does: plans for a slower device.

    What a device is charged is a price. Plans for other prices trade latency for work, and two of them that favour
    different devices use both alike when they take turns.
    """
    found: dict[str, list[Plan]] = {}
    for device in problem.platform.device_names:
        plans = []
        for speed in _SPEEDS:
            changed = Scenario((faster_device(device, speed),)).problem(problem)
            plans.append(solve("splits", changed, Effort(seed=seed, max_evaluations=_MAX_EVALUATIONS)).plan)
        found[device] = list({plan.digest: plan for plan in plans}.values())
    return found


def candidates(
    plans: Sequence[Plan], lopsided: Mapping[str, Sequence[Plan]], mixture: Mixture | None
) -> list[Deployment]:
    """Deployments to simulate.

    Args:
        plans: Plans of latency schedulers.
        lopsided: By device, plans that use it less.
        mixture: The mixture that serves the most; None leaves it out.
    """
    found = [
        Deployment(instances=(Instance(plan=plan, num_slots=slots),))
        for plan in (*plans, *(plan for own in lopsided.values() for plan in own))
        for slots in range(1, _MAX_SLOTS + 1)
    ]
    if len(lopsided) == 2:
        found += [
            Deployment(instances=tuple(Instance(plan=plan) for plan in pair), dispatch="turns")
            for pair in product(*lopsided.values())
        ]
    if mixture is not None:
        found += mixed(mixture)
    return found


def mixed(mixture: Mixture) -> list[Deployment]:
    """A mixture's plans side by side, the next request to the first that is free, and in turns by their rates."""
    one = _deployment(*mixture.plans)
    if len(mixture.plans) == 1:
        return [one]
    turns = Deployment(instances=one.instances, dispatch="turns", turns=turns_of(mixture.rates_per_s))
    return [one, turns]


def turns_of(rates: Sequence[float]) -> tuple[int, ...]:
    """A short pattern in which each number comes about as often as its rate says, evenly spread.

    >>> turns_of((2.0, 1.0))
    (0, 1, 0)
    """
    least = min(rates)
    length = min(_MAX_TURNS, round(sum(rates) / least))
    credit, pattern = [0.0] * len(rates), []
    for _ in range(max(length, len(rates))):
        credit = [have + rate / sum(rates) for have, rate in zip(credit, rates, strict=True)]
        turn = max(range(len(rates)), key=lambda i: (credit[i], -i))
        credit[turn] -= 1
        pattern.append(turn)
    return tuple(pattern)


def _deployment(*plans: Plan) -> Deployment:
    return Deployment(instances=tuple(Instance(plan=plan, num_slots=SLOTS) for plan in plans))
