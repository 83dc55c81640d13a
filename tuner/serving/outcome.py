"""The result of tuning a deployment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hetsim.core.serving.deployment import Deployment
from hetsim.tuner.serving.measured import MeasuredFigures
from hetsim.tuner.serving.objective import Objective
from hetsim.tuner.serving.proposing import rank
from hetsim.tuner.serving.simulated import Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class ContenderOutcome:
    """A deployment, simulated and measured.

    Attributes:
        name: Unique in the outcome.
        deployment: The deployment.
        simulated: Figures by the serial runs of its plans during the measurement, noise included.
        measured: Measured figures.
        error: Largest difference of an output from the expected one, relative to the output's largest value.
    """

    name: str
    deployment: Deployment
    simulated: Figures
    measured: MeasuredFigures
    error: float


@dataclass(frozen=True, kw_only=True)
class DeploymentOutcome:
    """What a run found.

    Attributes:
        model: The model.
        platform: The devices.
        objective: What counted.
        contenders: All that was executed.
        winner: Name of the recommended one.
        bound_per_s: No mixture of plans in ``space`` serves more requests per second, by the predicted costs.
        space: Which plans the bound speaks of.
        tolerance: The largest error that outputs may have.
        rejected: Contenders with larger errors.
        num_candidates: Deployments that were simulated.
        seed: Seed of everything random.
        command: The command line that repeats the run.
        warnings: About the machine, one line each.
    """

    model: str
    platform: str
    objective: Objective
    contenders: tuple[ContenderOutcome, ...]
    winner: str
    bound_per_s: float
    space: str
    tolerance: float
    rejected: tuple[str, ...]
    num_candidates: int
    seed: int
    command: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def best(self) -> ContenderOutcome:
        """The recommended contender."""
        return next(one for one in self.contenders if one.name == self.winner)

    @property
    def outputs_match(self) -> bool:
        """Whether no contender was rejected."""
        return not self.rejected


def choose(contenders: Sequence[ContenderOutcome], objective: Objective, rejected: Sequence[str]) -> str:
    """The name of the contender that measured best, among those that keep latencies small enough if any does.

    Among those that the intervals cannot tell from the best, the one with the fewest plans and devices.
    """
    right = [one for one in contenders if one.name not in rejected] or list(contenders)
    allowed = [one for one in right if one.measured.figures.p99_s <= objective.max_latency_s] or right
    best = min(allowed, key=lambda one: rank(objective, one.measured.figures))
    tied = [one for one in allowed if _may_equal(one.measured, best.measured, objective)]
    return min(tied, key=lambda one: (_size(one.deployment), rank(objective, one.measured.figures))).name


def _may_equal(one: MeasuredFigures, best: MeasuredFigures, objective: Objective) -> bool:
    if objective.goal == "p99":
        return one.p99_low_s <= best.p99_high_s and one.figures.p99_s <= 1.02 * best.figures.p99_s
    return one.high_per_s >= best.low_per_s and one.figures.throughput_per_s >= 0.98 * best.figures.throughput_per_s


def _size(deployment: Deployment) -> int:
    return sum(one.plan.num_segments for one in deployment.instances)


def summary(outcome: DeploymentOutcome) -> dict[str, Any]:
    """The content of summary.json: plain values, times in seconds."""
    return {
        "model": outcome.model,
        "platform": outcome.platform,
        "objective": {
            "goal": outcome.objective.goal,
            "every_s": outcome.objective.every_s,
            "max_latency_s": _finite(outcome.objective.max_latency_s),
        },
        "winner": outcome.winner,
        "outputs_match": outcome.outputs_match,
        "tolerance": outcome.tolerance,
        "rejected": list(outcome.rejected),
        "bound_per_s": outcome.bound_per_s,
        "bound_space": outcome.space,
        "num_candidates": outcome.num_candidates,
        "contenders": {one.name: _contender(one) for one in outcome.contenders},
        "seed": outcome.seed,
        "command": list(outcome.command),
        "warnings": list(outcome.warnings),
    }


def _contender(one: ContenderOutcome) -> dict[str, Any]:
    return {
        "num_plans": len(one.deployment.instances),
        "num_slots": one.deployment.num_slots,
        "dispatch": one.deployment.dispatch,
        "every_s": one.simulated.every_s,
        "simulated_per_s": one.simulated.throughput_per_s,
        "simulated_p50_s": one.simulated.p50_s,
        "simulated_p99_s": one.simulated.p99_s,
        "measured_per_s": one.measured.figures.throughput_per_s,
        "measured_low_per_s": one.measured.low_per_s,
        "measured_high_per_s": one.measured.high_per_s,
        "measured_p50_s": one.measured.figures.p50_s,
        "measured_p99_s": one.measured.figures.p99_s,
        "measured_p99_low_s": one.measured.p99_low_s,
        "measured_p99_high_s": one.measured.p99_high_s,
        "num_requests": one.measured.num_requests,
        "largest_error": one.error,
    }


def _finite(seconds: float) -> float | None:
    return seconds if seconds < float("inf") else None
