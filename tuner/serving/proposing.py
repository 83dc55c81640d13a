"""From costs to the deployments that are executed: candidates are simulated, and the best for the objective go on."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from hetsim.core.errors import PlanError
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.core.serving.deployment import Deployment
from hetsim.scheduler.effort import Until
from hetsim.scheduler.registry import SINGLE
from hetsim.scheduler.throughput.mixture import Mixture, best_mixture
from hetsim.sim.simulate import makespan_s
from hetsim.tuner.context import TuningContext
from hetsim.tuner.serving.candidates import SIDE_BY_SIDE, candidates, whole_model_deployments
from hetsim.tuner.serving.measured import Contender
from hetsim.tuner.serving.objective import Objective
from hetsim.tuner.serving.simulated import DeploymentSimulator, Figures

OURS = "ours"
_MIXTURE_S = 8.0  # time for the search for a mixture
_LIMIT_PART = 0.9  # of a limit that a request alone may take, as requests also wait for each other
_SIMPLER_IF_WITHIN = 0.03  # whole models side by side are taken unless another deployment is this much better


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """What may be executed, and what it is compared with.

    Attributes:
        whole_models: Whole models on each device, and side by side, at full load.
        mixture: The mixture that serves the most, with its bound.
        fastest_s: Latency of one request alone by the fastest plan, by the same costs, its submission included.
        simulators: Every candidate, ready to be simulated.
    """

    whole_models: tuple[Contender, ...]
    mixture: Mixture
    fastest_s: float
    simulators: tuple[DeploymentSimulator, ...] = field(repr=False)

    def best(self, objective: Objective) -> Contender | None:
        """The deployment that is recommended on paper; None if none keeps the latency small enough."""
        return next(iter(self.ranked(objective)), None)

    def ranked(self, objective: Objective) -> tuple[Contender, ...]:
        """The deployments that keep the latency small enough on paper, best first.

        Whole models side by side are best unless another one is better by more than three hundredths.
        """
        found = [(one.deployment, simulated_for(one, objective)) for one in self.simulators]
        allowed = [(one, figures) for one, figures in found if figures and figures.p99_s <= objective.max_latency_s]
        simple = next((one.deployment for one in self.whole_models if one.name == SIDE_BY_SIDE), None)

        def key(one: tuple[Deployment, Figures]) -> float:
            value = rank(objective, one[1])
            return value - (_SIMPLER_IF_WITHIN * abs(value) if simple and one[0].key == simple.key else 0.0)

        return tuple(
            Contender(name=OURS, deployment=one, expected=figures) for one, figures in sorted(allowed, key=key)
        )

    def at(self, deployment: Deployment, every_s: float) -> Contender:
        """A candidate under another load; 0 stands for a request that is always waiting."""
        simulator = next(one for one in self.simulators if one.deployment.key == deployment.key)
        return Contender(name=OURS, deployment=deployment, expected=simulator.at(every_s))


def rank(objective: Objective, figures: Figures) -> float:
    """Smaller is better."""
    return figures.p99_s if objective.goal == "p99" else -figures.throughput_per_s


def simulated_for(simulator: DeploymentSimulator, objective: Objective) -> Figures | None:
    """A deployment's figures under the objective's load; None if none keeps the latency small enough."""
    if objective.goal == "p99":
        return simulator.at(objective.every_s)
    return simulator.fastest(objective.max_latency_s) if objective.max_latency_s < math.inf else simulator.at(0.0)


def propose_deployments(
    context: TuningContext, problem: Problem, plans: Sequence[Plan], latency_limits: Sequence[float] = ()
) -> Proposed:
    """Candidates by the costs of a problem.

    Args:
        context: The devices; nothing is executed.
        problem: The costs.
        plans: Plans of latency schedulers.
        latency_limits: Latencies, in terms of that of one request alone by the fastest plan, that may not be exceeded.

    Raises:
        ProblemError: If an operator runs on no device.
    """
    seed = context.options.seed
    with context.stages.stage("plan deployments") as report:
        alone = whole_model_deployments(problem)
        singles = [one.instances[0].plan for name, one in alone.items() if name.startswith(SINGLE)]
        fastest_s = min(makespan_s(problem, plan) for plan in (*singles, *plans))
        mixtures = []
        for number, limit in enumerate((math.inf, *latency_limits)):
            report(0.1 + 0.7 * number / (1 + len(latency_limits)), "mixture")
            with suppress(PlanError):  # no plan is known that keeps the limit
                mixtures.append(_mixture(problem, plans, _LIMIT_PART * limit * fastest_s, seed=seed))
        report(0.8, "resolve")
        found = [*alone.values(), *candidates(plans, mixtures)]
        simulators = {one.key: DeploymentSimulator(one, lambda _: problem) for one in found}
    return Proposed(
        whole_models=tuple(
            Contender(name=name, deployment=one, expected=simulators[one.key].at(0.0)) for name, one in alone.items()
        ),
        mixture=mixtures[0],
        fastest_s=fastest_s + problem.platform.host.submit_s(problem.graph.input_bytes),
        simulators=tuple(simulators.values()),
    )


def _mixture(problem: Problem, plans: Sequence[Plan], max_latency_s: float, *, seed: int) -> Mixture:
    deadline = Until(until_s=time.monotonic() + _MIXTURE_S)
    return best_mixture(problem, extra_plans=plans, max_latency_s=max_latency_s, seed=seed, deadline=deadline)
