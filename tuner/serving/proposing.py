"""From costs to the deployments that are executed: candidates are simulated, and the best for the objective go on."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.core.serving.deployment import Deployment
from hetsim.scheduler.effort import Until
from hetsim.scheduler.registry import SINGLE
from hetsim.scheduler.throughput.mixture import Mixture, best_mixture
from hetsim.sim.simulate import makespan_s
from hetsim.tuner.context import TuningContext
from hetsim.tuner.serving.candidates import SIDE_BY_SIDE, candidates, lopsided_plans, whole_models
from hetsim.tuner.serving.measured import Contender
from hetsim.tuner.serving.objective import Objective
from hetsim.tuner.serving.simulated import DeploymentSimulator, Figures

OURS = "ours"
_MIXTURE_S = 10.0  # time for the search for a mixture
_SIMPLER_IF_WITHIN = 0.01  # whole models side by side are taken unless another deployment is this much better


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """What is executed, and what it is compared with.

    Attributes:
        wholes: Whole models on each device, and side by side.
        simulated: Every candidate with its figures, the best for the objective first.
        mixture: The mixture that serves the most, with its bound.
        fastest_s: Latency of one request alone by the fastest plan, by the same costs, its submission included.
    """

    wholes: tuple[Contender, ...]
    simulated: tuple[tuple[Deployment, Figures], ...]
    mixture: Mixture
    fastest_s: float

    def best(self, objective: Objective) -> Contender | None:
        """The deployment that is recommended on paper; None if none keeps the latency small enough."""
        allowed = [
            (deployment, figures) for deployment, figures in self.simulated if figures.p99_s <= objective.max_latency_s
        ]
        if not allowed:
            return None
        deployment, figures = min(allowed, key=lambda one: rank(objective, one[1]))
        return Contender(name=OURS, deployment=deployment, expected=figures)


def rank(objective: Objective, figures: Figures) -> float:
    """Smaller is better."""
    return figures.p99_s if objective.goal == "p99" else -figures.throughput_per_s


def propose_deployments(
    context: TuningContext, plans: Sequence[Plan], objective: Objective, *, problem: Problem | None = None
) -> Proposed:
    """Candidates from the profile, simulated under the objective's load.

    Args:
        context: The devices, profiled.
        plans: Plans of latency schedulers.
        objective: What counts.
        problem: The costs; None stands for those of the profile.

    Raises:
        ProblemError: If an operator runs on no device.
    """
    problem = problem or context.problem()
    with context.stages.stage("plan deployments") as report:
        wholes = whole_models(problem)
        singles = [one.instances[0].plan for name, one in wholes.items() if name.startswith(SINGLE)]
        fastest_s = min(makespan_s(problem, plan) for plan in (*singles, *plans))
        fastest_s += problem.platform.host.submit_s(problem.graph.input_bytes)
        report(0.1, "mixture")
        deadline = Until(until_s=time.monotonic() + _MIXTURE_S)
        mixture = best_mixture(problem, extra_plans=plans, seed=context.options.seed, deadline=deadline)
        lopsided = {}
        if objective.goal == "p99" or objective.max_latency_s < math.inf:
            report(0.4, "plans that take turns")
            lopsided = lopsided_plans(problem, seed=context.options.seed)
        report(0.7, "simulate")
        found = [*wholes.values(), *candidates(plans, lopsided, mixture)]
        simulated = _simulate(problem, found, objective)
        expected = {name: DeploymentSimulator(one, lambda _: problem).at(0.0) for name, one in wholes.items()}
    return Proposed(
        wholes=tuple(Contender(name=name, deployment=one, expected=expected[name]) for name, one in wholes.items()),
        simulated=tuple(_ordered(simulated, objective, wholes.get(SIDE_BY_SIDE))),
        mixture=mixture,
        fastest_s=fastest_s,
    )


def _simulate(
    problem: Problem, deployments: Sequence[Deployment], objective: Objective
) -> list[tuple[Deployment, Figures]]:
    found = []
    for deployment in deployments:
        simulator = DeploymentSimulator(deployment, lambda _: problem)
        figures: Figures | None
        if objective.goal == "p99":
            figures = simulator.at(objective.every_s)
        elif objective.max_latency_s < math.inf:
            figures = simulator.fastest(objective.max_latency_s)
        else:
            figures = simulator.at(0.0)
        if figures is not None:
            found.append((deployment, figures))
    return found


def _ordered(
    found: Sequence[tuple[Deployment, Figures]], objective: Objective, simple: Deployment | None
) -> list[tuple[Deployment, Figures]]:
    """The best first; whole models side by side before all that are hardly better."""

    def key(one: tuple[Deployment, Figures]) -> float:
        bonus = _SIMPLER_IF_WITHIN if one[0] == simple else 0.0
        value = rank(objective, one[1])
        return value - bonus * abs(value)

    return sorted(found, key=key)
