"""The largest rate at which a deployment keeps latencies small enough, tried on the devices.

On paper a deployment is chosen close to the rate at which its queue begins to grow, where a small error of the costs
makes latencies many times as long. So the best on paper are tried, at lower rates until they keep the limit, or at
higher ones as long as they do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hetsim.runtime.measure.profiler import warm_up
from hetsim.tuner.context import TuningContext
from hetsim.tuner.serving.measured import Contender, ServingPace, load_deployment, serve_round
from hetsim.tuner.serving.objective import Objective
from hetsim.tuner.serving.proposing import Proposed
from hetsim.tuner.serving.simulated import HEADROOM, Figures, pooled

_MAX_TRIED = 4  # deployments with different plans or loads
_MAX_TRIALS = 5  # rates of each
_ROUNDS = ServingPace(num_rounds=2)  # as long as those of the measurement: in short ones no queue grows
_SLOWER, _FASTER = 0.93, 1.06  # steps of the rate
_BELOW_SERVED = 0.95  # of what an overloaded deployment served

Trial = Callable[[float], Figures]
"""What a deployment achieves with a request every so many seconds; 0 stands for one that is always waiting."""


def best_tried(context: TuningContext, proposed: Proposed, objective: Objective) -> Contender | None:
    """The deployment that is within the limit at the largest rate; the best on paper if none is.

    Its load is just below that rate. None if none is on paper.

    Raises:
        DeviceError: If a device failed.
    """
    ranked = _with_different_plans(proposed.ranked(objective))
    best = next(iter(ranked), None)
    best_per_s = 0.0
    with context.stages.stage("try rates") as report:
        for number, one in enumerate(ranked):
            report(number / len(ranked), f"{one.expected.throughput_per_s:.3g} requests per second")
            every_s = one.expected.every_s / HEADROOM
            found = _tried(context, one, every_s, objective.max_latency_s, at_least_per_s=best_per_s)
            if found is not None:
                best_per_s = found.throughput_per_s
                best = proposed.at(one.deployment, found.every_s * HEADROOM)
    return best


def _with_different_plans(contenders: tuple[Contender, ...]) -> list[Contender]:
    """The first contender with each set of plans at a rate, and the first that can always have a request waiting."""
    found: dict[tuple[frozenset[str], bool], Contender] = {}
    for one in contenders:
        plans = frozenset(instance.plan.digest for instance in one.deployment.instances)
        found.setdefault((plans, one.expected.every_s == 0), one)
    return list(found.values())[:_MAX_TRIED]


def _tried(
    context: TuningContext, contender: Contender, every_s: float, max_latency_s: float, *, at_least_per_s: float
) -> Figures | None:
    inputs = context.expected.inputs
    with load_deployment(context, contender.deployment) as session:

        def trial(every_s: float) -> Figures:
            load = replace(contender, expected=replace(contender.expected, every_s=every_s))
            return pooled([serve_round(session, load, _ROUNDS, inputs) for _ in range(_ROUNDS.num_rounds)], every_s)

        for one in session.sessions:
            warm_up(one, inputs)
        return largest_rate(trial, every_s, max_latency_s, at_least_per_s=at_least_per_s)


def largest_rate(trial: Trial, every_s: float, max_latency_s: float, *, at_least_per_s: float = 0.0) -> Figures | None:
    """The figures at the largest rate tried at which the 99th percentile of latencies is small enough.

    Args:
        trial: What a rate gives.
        every_s: The first time between requests; 0 stands for a request that is always waiting.
        max_latency_s: What is small enough, in seconds.
        at_least_per_s: Smaller rates, in requests per second, are of no use.

    Returns:
        None if none of the rates tried is useful and small enough.
    """
    found = trial(every_s)
    if found.p99_s <= max_latency_s:
        for _ in range(_MAX_TRIALS if every_s else 0):
            every_s /= _FASTER
            faster = trial(every_s)
            if faster.p99_s > max_latency_s:
                break
            found = faster
        return found if found.throughput_per_s > at_least_per_s else None
    for _ in range(_MAX_TRIALS):
        every_s = max(every_s / _SLOWER, 1 / (_BELOW_SERVED * found.throughput_per_s))
        if every_s * at_least_per_s > 1:
            return None
        found = trial(every_s)
        if found.p99_s <= max_latency_s:
            return found
    return None
