"""All contenders of one model: whole models, and the best deployments for several latencies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hetsim.scheduler.registry import make_plan
from hetsim.tuner.context import TuningContext
from hetsim.tuner.serving.candidates import SIDE_BY_SIDE
from hetsim.tuner.serving.measured import Contender, ServingPace, measure_contenders
from hetsim.tuner.serving.objective import Objective
from hetsim.tuner.serving.outcome import ContenderOutcome
from hetsim.tuner.serving.pipeline import execute, judge
from hetsim.tuner.serving.proposing import OURS, Proposed, propose_deployments
from hetsim.tuner.serving.trials import best_tried

CAPS = (1.6, 1.3, 1.1)
"""Caps of the 99th percentile, relative to the latency of the fastest plan for one inference."""
LOADS = (0.6, 0.8, 0.9)
"""Rates of periodic requests, relative to what the best deployment served when it was tried at full load."""
_SCHEDULERS = ("search", "splits")
_TRIAL = ServingPace(num_rounds=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThroughputRow:
    """A line of throughput.csv: one contender of one model.

    Attributes:
        model: The network.
        platform: The devices.
        contender: ``single:<device>``, ``side_by_side``, ``ours``; ``ours:1.3`` for the best whose 99th percentile
            should stay below 1.3 times the latency of the fastest plan; ``ours@80%`` for ``ours`` with periodic
            requests at 80 % of what it served when it was tried at full load.
        simulated_per_s: Simulated requests per second.
        measured_per_s: Median over rounds.
        measured_p50_s: Median latency, from when a request was due to its end.
        measured_p99_s: 99th percentile.
        measured_low_per_s: Lower end of the 95 % bootstrap interval over rounds.
        measured_high_per_s: Upper end of it.
        simulated_p50_s: Simulated median latency.
        simulated_p99_s: Simulated 99th percentile.
        every_s: Time between requests; 0 if a request was always waiting.
        max_latency_s: The cap; empty without one.
        num_plans: Plans of the deployment.
        num_requests: Requests that were measured.
        bound_per_s: No mixture of plans serves more, by the predicted costs, in the space that the search states.
        fastest_s: Simulated latency of one request alone by the fastest plan, its submission included.
        largest_error: Largest error of an output, relative to the output's largest value.
        outputs_match: Whether it is within the tolerance.
    """

    model: str
    platform: str
    contender: str
    simulated_per_s: float
    measured_per_s: float
    measured_p50_s: float
    measured_p99_s: float
    measured_low_per_s: float
    measured_high_per_s: float
    simulated_p50_s: float
    simulated_p99_s: float
    every_s: float
    max_latency_s: float | None
    num_plans: int
    num_requests: int
    bound_per_s: float
    fastest_s: float
    largest_error: float
    outputs_match: bool


def measure_model(context: TuningContext, pace: ServingPace) -> list[ThroughputRow]:
    """All rows of one model.

    Raises:
        ProblemError: If an operator runs on no device.
        DeviceError: If a device failed.
    """
    problem, seed = context.problem(), context.options.seed
    plans = [make_plan(name, problem, seed=seed) for name in _SCHEDULERS]
    proposed = propose_deployments(context, problem, plans, CAPS)
    ours, served_per_s = _tried(context, proposed)
    contenders, caps = [*proposed.whole_models, ours], {}
    for load in LOADS:
        periodic = proposed.at(ours.deployment, 1 / (load * served_per_s))
        contenders.append(replace(periodic, name=f"{OURS}@{load:.0%}"))
    for cap in CAPS:
        objective = Objective(max_latency_s=cap * proposed.fastest_s)
        capped = best_tried(context, proposed, objective)
        if capped is not None:
            name = f"{OURS}:{cap:g}"
            caps[name] = objective.max_latency_s
            contenders.append(replace(capped, name=name))
    executed = execute(context, contenders, pace)
    outcome = judge(context, proposed, executed, Objective())
    return [
        _row(context, one, caps.get(one.name, math.inf), proposed.fastest_s, outcome.bound_per_s, outcome.rejected)
        for one in executed
    ]


def _tried(context: TuningContext, proposed: Proposed) -> tuple[Contender, float]:
    """The best deployment on paper, or whole models side by side if these serve more; and the requests per second.

    Both are tried at full load. What is reported is measured again, so that the choice favours neither.
    """
    best = proposed.best(Objective()) or proposed.whole_models[0]
    side_by_side = next((one for one in proposed.whole_models if one.name == SIDE_BY_SIDE), best)
    both = {one.deployment.key: one for one in (side_by_side, best)}
    tried = measure_contenders(context, list(both.values()), _TRIAL, purpose="try the best on paper")
    served_per_s = {one.name: tried[one.name].figures.throughput_per_s for one in both.values()}
    winner = max(both.values(), key=lambda one: served_per_s[one.name])
    return replace(winner, name=OURS), served_per_s[winner.name]


def _row(
    context: TuningContext,
    one: ContenderOutcome,
    max_latency_s: float,
    fastest_s: float,
    bound_per_s: float,
    rejected: Sequence[str],
) -> ThroughputRow:
    measured, simulated = one.measured, one.simulated
    return ThroughputRow(
        model=context.model.name,
        platform=context.platform.name,
        contender=one.name,
        simulated_per_s=simulated.throughput_per_s,
        measured_per_s=measured.figures.throughput_per_s,
        measured_p50_s=measured.figures.p50_s,
        measured_p99_s=measured.figures.p99_s,
        measured_low_per_s=measured.low_per_s,
        measured_high_per_s=measured.high_per_s,
        simulated_p50_s=simulated.p50_s,
        simulated_p99_s=simulated.p99_s,
        every_s=simulated.every_s,
        max_latency_s=max_latency_s if max_latency_s < math.inf else None,
        num_plans=len(one.deployment.instances),
        num_requests=measured.num_requests,
        bound_per_s=bound_per_s,
        fastest_s=fastest_s,
        largest_error=one.error,
        outputs_match=one.name not in rejected,
    )
