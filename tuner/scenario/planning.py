"""Which deployment each model of a scenario gets, and by which policy devices choose: found by simulation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hetsim.core.errors import ProblemError
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.core.serving.deployment import Deployment, Instance
from hetsim.core.serving.outcome import Outcome
from hetsim.core.serving.service import POLICIES, Policy, Service, Workload
from hetsim.io.serving.scenario_file import ModelRequests, ServingScenario
from hetsim.scheduler.registry import SINGLE, make_plan, scheduler_names
from hetsim.scheduler.throughput.loads import loads, resources
from hetsim.scheduler.throughput.master import Master
from hetsim.sim.service.simulate import ServiceSimulator
from hetsim.sim.simulate import makespan_s

MAX_COMBINATIONS = 20_000
"""Combinations of deployments and policies that are simulated at most; beyond, models keep their better half."""
_SLOTS = 2
_ALLOWED_MISSES = 0.01


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A way to serve a scenario.

    Attributes:
        deployments: By model of the scenario, in order.
        policy: Which ready segment a free device runs next.
        outcome: What became of the requests, simulated.
    """

    deployments: tuple[Deployment, ...]
    policy: Policy
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class PlannedModel:
    """A model of a scenario with what it may be served by.

    Attributes:
        requests: Its requests.
        problem: Its costs.
        plans: The plans that it may be served by; those of whole models come first.
        whole: How many of them are whole models.
    """

    requests: ModelRequests
    problem: Problem
    plans: tuple[Plan, ...]
    whole: int

    @property
    def fastest_s(self) -> float:
        """Latency of one request alone by the fastest plan, its submission included, in seconds."""
        alone_s = min(makespan_s(self.problem, plan) for plan in self.plans)
        return alone_s + self.problem.platform.host.submit_s(self.problem.graph.input_bytes)

    def deployments(self) -> list[Deployment]:
        """What it may be served by: each plan, and whole models on every device, the next request to either."""
        found = [_one(plan) for plan in self.plans]
        if self.whole > 1:
            instances = tuple(Instance(plan=plan, num_slots=_SLOTS) for plan in self.plans[: self.whole])
            found.append(Deployment(instances=instances, dispatch="earliest_finish"))
        return found


def _one(plan: Plan) -> Deployment:
    return Deployment(instances=(Instance(plan=plan, num_slots=_SLOTS),))


def plan_model(requests: ModelRequests, problem: Problem, plans: Sequence[Plan]) -> PlannedModel:
    """A model's choices: whole models on each device, and the given plans.

    Raises:
        ProblemError: If an operator runs on no device, or the deadline is below the fastest latency.
    """
    names = [name for name in scheduler_names(problem) if name.startswith(SINGLE)]
    alone = [make_plan(name, problem) for name in names]
    known = {plan.digest for plan in alone}
    others = {plan.digest: plan for plan in plans if plan.digest not in known}
    found = PlannedModel(requests=requests, problem=problem, plans=(*alone, *others.values()), whole=len(alone))
    if requests.deadline_s < found.fastest_s:
        raise ProblemError(
            f"{requests.name} has a deadline of {requests.deadline_s * 1e3:.3g} ms, and the fastest plan takes "
            f"{found.fastest_s * 1e3:.3g} ms for one request alone; give a later deadline"
        )
    return found


def highest_factor(models: Sequence[PlannedModel]) -> float:
    """By which factor all rates may grow at most before some resource is loaded above its capacity.

    Each mixture of the models' plans is one of the linear program's solutions: a column is one plan for each model, and
    its load that of all requests of a second.
    """
    shares = [[_load_per_s(one, plan) for plan in one.plans] for one in models]
    master = Master(len(shares[0][0]))
    for column in product(*shares):
        master.add(np.sum(column, axis=0))
    rates, _ = master.solve()
    return float(rates.sum())


def _load_per_s(model: PlannedModel, plan: Plan) -> NDArray[np.float64]:
    """By resource, the share of its capacity that a model's requests take by a plan."""
    return loads(model.problem, plan) / resources(model.problem).capacities / model.requests.every_s


def check_load(models: Sequence[PlannedModel]) -> float:
    """The factor of :func:`highest_factor`.

    Raises:
        ProblemError: If it is below 1: the scenario cannot be met, whatever the policy.
    """
    factor = highest_factor(models)
    if factor >= 1:
        return factor
    shares = {one.requests.name: min(float(_load_per_s(one, plan).max()) for plan in one.plans) for one in models}
    largest = sorted(shares.items(), key=lambda item: -item[1])
    raise ProblemError(
        f"the scenario cannot be met: at most {factor:.2f} times its rates fit on the devices, whatever the policy; "
        f"the busiest resource would have to serve {', '.join(f'{name} {share:.0%}' for name, share in largest)} of "
        "the time; lower rates, or drop a model"
    )


def workloads(
    scenario: ServingScenario, deployments: Sequence[Deployment], *, seed: int, faster: float = 1.0
) -> tuple[Workload, ...]:
    """The workloads of a scenario, with all rates multiplied by ``faster``."""
    return tuple(
        Workload(
            name=one.name,
            deployment=deployment,
            arrivals=one.arrivals(scenario.seconds, seed=seed + number, faster=faster),
            deadline_s=one.deadline_s,
            priority=one.priority,
            max_waiting=one.max_waiting,
            drop_late=one.drop_late,
        )
        for number, (one, deployment) in enumerate(zip(scenario.models, deployments, strict=True))
    )


def cost(outcome: Outcome) -> tuple[float, float, float]:
    """Smaller is better: misses of the worst model, all misses, and latencies relative to deadlines."""
    rates = [one.miss_rate for one in outcome.workloads]
    relative = [
        one.percentile_s(95) / one.deadline_s
        for one in outcome.workloads
        if one.deadline_s < math.inf and len(one.latencies_s)
    ]
    return max(rates), sum(rates), max(relative, default=0.0)


class Planner:
    """Simulates choices for a scenario.

    Args:
        scenario: The scenario.
        models: Its models, planned, in order.
        seed: Draws random arrivals.
    """

    def __init__(self, scenario: ServingScenario, models: Sequence[PlannedModel], *, seed: int) -> None:
        self._scenario, self._models, self._seed = scenario, models, seed
        self._problems = {one.requests.name: one.problem for one in models}
        self._simulators: dict[tuple[object, ...], ServiceSimulator] = {}
        self.policies: tuple[Policy, ...] = (scenario.policy,) if scenario.policy else POLICIES  # type: ignore[assignment]

    def simulate(self, deployments: Sequence[Deployment], policy: Policy, *, faster: float = 1.0) -> Choice:
        """What becomes of the requests, without noise."""
        service = Service(
            workloads=workloads(self._scenario, deployments, seed=self._seed, faster=faster), policy=policy
        )
        key = tuple(one.key for one in deployments)
        if key not in self._simulators:
            self._simulators[key] = ServiceSimulator(service, self._problems)
        outcome = self._simulators[key].run(service=service)
        return Choice(deployments=tuple(deployments), policy=policy, outcome=outcome)

    def best(self, *, faster: float = 1.0, whole_models_only: bool = False) -> Choice:
        """The best choice of all combinations; with ``whole_models_only``, each model stays on one device."""
        found = (
            self.simulate(deployments, policy, faster=faster)
            for deployments in self._combinations(whole_models_only=whole_models_only)
            for policy in self.policies
        )
        return min(found, key=lambda choice: cost(choice.outcome))

    def highest_rate(self, *, whole_models_only: bool = False, steps: int = 8) -> tuple[float, Choice]:
        """The largest factor of all rates at which no model misses more than a hundredth of its deadlines.

        Returns:
            The factor, by bisection between 0 and the bound, and the choice at it.
        """
        low, high = 0.0, highest_factor(self._models)
        best = self.best(faster=high / 2**steps, whole_models_only=whole_models_only)
        for _ in range(steps):
            middle = (low + high) / 2
            found = self.best(faster=middle, whole_models_only=whole_models_only)
            if max(one.miss_rate for one in found.outcome.workloads) <= _ALLOWED_MISSES:
                best, low = found, middle
            else:
                high = middle
        return low, best

    def _combinations(self, *, whole_models_only: bool) -> Iterator[tuple[Deployment, ...]]:
        options = [
            [_one(plan) for plan in one.plans[: one.whole]] if whole_models_only else one.deployments()
            for one in self._models
        ]
        while math.prod(map(len, options)) * len(self.policies) > MAX_COMBINATIONS:
            longest = max(options, key=len)
            del longest[len(longest) // 2 :]
        return product(*options)
