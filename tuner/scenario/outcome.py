"""The result of a scenario."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hetsim.core.serving.outcome import Outcome, ServedWorkload
from hetsim.tuner.scenario.planning import Choice


@dataclass(frozen=True, kw_only=True)
class Execution:
    """A choice and what became of the requests.

    Attributes:
        choice: Deployments and policy.
        measured: As executed.
        simulated: By serial runs of the same time, with their noise.
    """

    choice: Choice
    measured: Outcome
    simulated: Outcome


@dataclass(frozen=True, kw_only=True)
class ScenarioOutcome:
    """What became of a scenario.

    Attributes:
        platform: The devices.
        executions: By contender: ``ours``, and the best with each whole model on one device.
        highest_factor: By which factor all rates may grow at most before some resource is overloaded.
        seed: Seed of everything random.
        command: The command line that repeats the run.
        warnings: About the machine, one line each.
    """

    platform: str
    executions: Mapping[str, Execution]
    highest_factor: float
    seed: int
    command: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def summary(outcome: ScenarioOutcome) -> dict[str, Any]:
    """The content of summary.json: plain values, times in seconds."""
    return {
        "platform": outcome.platform,
        "highest_factor": outcome.highest_factor,
        "contenders": {name: _execution(one) for name, one in outcome.executions.items()},
        "seed": outcome.seed,
        "command": list(outcome.command),
        "warnings": list(outcome.warnings),
    }


def _execution(one: Execution) -> dict[str, Any]:
    return {
        "policy": one.choice.policy,
        "models": {
            measured.name: {
                "plans": [instance.plan.scheduler for instance in deployment.instances],
                "dispatch": deployment.dispatch,
                "deadline_s": measured.deadline_s if measured.deadline_s < math.inf else None,
                "measured": figures(measured),
                "simulated": figures(simulated),
            }
            for measured, simulated, deployment in zip(
                one.measured.workloads, one.simulated.workloads, one.choice.deployments, strict=True
            )
        },
        "measured_utilisation": one.measured.utilisation,
        "simulated_utilisation": one.simulated.utilisation,
    }


def figures(one: ServedWorkload) -> dict[str, Any]:
    """The figures of one model's requests; times are null if no request was served."""
    times_s = {
        "p50_s": one.percentile_s(50),
        "p95_s": one.percentile_s(95),
        "p99_s": one.percentile_s(99),
        "tardiness_s": one.tardiness_s,
        "jitter_s": one.jitter_s,
    }
    return {
        "num_requests": len(one.due_s),
        "num_dropped": one.num_dropped,
        "miss_rate": one.miss_rate,
        **{name: time_s if math.isfinite(time_s) else None for name, time_s in times_s.items()},
    }
