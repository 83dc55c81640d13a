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

CAPS = (1.6, 1.3, 1.1)
"""Caps of the 99th percentile, relative to the latency of the fastest plan for one inference."""
LOADS = (0.6, 0.8, 0.9)
"""Rates of periodic requests, relative to what the best deployment serves on paper."""
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
            requests at 80 % of what it serves on paper.
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
    ours = _tried(context, proposed)
    contenders, caps = [*proposed.whole_models, ours, *(_at_load(ours, load) for load in LOADS)], {}
    for cap in CAPS:
        objective = Objective(max_latency_s=cap * proposed.fastest_s)
        capped = proposed.best(objective)
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


def _tried(context: TuningContext, proposed: Proposed) -> Contender:
    """The best deployment on paper, unless whole models side by side serve more when both are tried.

    What is reported is measured again, so that the choice favours neither.
    """
    best = proposed.best(Objective())
    side_by_side = next((one for one in proposed.whole_models if one.name == SIDE_BY_SIDE), None)
    if best is None or side_by_side is None or best.deployment.key == side_by_side.deployment.key:
        return replace(side_by_side or best or proposed.whole_models[0], name=OURS)
    tried = measure_contenders(context, [side_by_side, best], _TRIAL, purpose="try the best on paper")
    wins = tried[OURS].figures.throughput_per_s > tried[SIDE_BY_SIDE].figures.throughput_per_s
    return best if wins else replace(side_by_side, name=OURS)


def _at_load(ours: Contender, load: float) -> Contender:
    """The same deployment with periodic requests."""
    rate_per_s = load * ours.expected.throughput_per_s
    expected = replace(ours.expected, every_s=1 / rate_per_s, throughput_per_s=rate_per_s)
    return replace(ours, name=f"{OURS}@{load:.0%}", expected=expected)


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
