"""Rows of simulated_vs_measured: simulated and measured latencies of plans, and errors over a model's plans."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from hetsim.core.statistics import kendall_interval, kendall_tau


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """A line of plans.csv: one plan, under the name of one scheduler that made it.

    Attributes:
        model: The network.
        platform: The devices.
        plan_id: The plan's digest; two schedulers may have made the same plan.
        scheduler: The scheduler that made it; ``search`` may make one plan in each round, and ``random`` makes many.
        num_segments: Compiled units.
        predicted_s: Simulated from a profile that holds nothing measured on this plan.
        simulated_s: Simulated from the plan's own serial replay.
        measured_s: Median latency of the executions.
        measured_iqr_s: Interquartile range of these latencies.
        measured_low_s: Lower end of the 95 % confidence interval of the median.
        measured_high_s: Upper end of that interval.
        num_samples: Counted executions.
    """

    model: str
    platform: str
    plan_id: str
    scheduler: str
    num_segments: int
    predicted_s: float
    simulated_s: float
    measured_s: float
    measured_iqr_s: float
    measured_low_s: float
    measured_high_s: float
    num_samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorLine:
    """A line of errors.csv, over the distinct plans of one model; errors are relative, in percent of the measured time.

    Attributes:
        model: The network.
        platform: The devices.
        num_plans: Distinct plans.
        simulated_mean_percent: Mean absolute error of ``simulated_s``.
        simulated_worst_percent: Largest absolute error of ``simulated_s``.
        simulated_bias_percent: Mean signed error of ``simulated_s``; positive if simulations are too slow.
        predicted_mean_percent: Mean absolute error of ``predicted_s``.
        predicted_worst_percent: Largest absolute error of ``predicted_s``.
        predicted_bias_percent: Mean signed error of ``predicted_s``.
        kendall_tau: Rank correlation (tau-b) of ``simulated_s`` and ``measured_s``; None, an empty cell, if there is
            nothing to rank, as with a single plan.
        tau_low: Lower end of its 95 % bootstrap interval over plans, or None.
        tau_high: Upper end of that interval, or None.
        predicted_kendall_tau: Rank correlation of ``predicted_s`` and ``measured_s``, or None.
        spread_over_iqr: Measured time from the fastest plan to the slowest, as a multiple of the median
            ``measured_iqr_s``: how much plans differ, relative to how much executions of one plan differ. None if all
            executions took equally long.
    """

    model: str
    platform: str
    num_plans: int
    simulated_mean_percent: float
    simulated_worst_percent: float
    simulated_bias_percent: float
    predicted_mean_percent: float
    predicted_worst_percent: float
    predicted_bias_percent: float
    kendall_tau: float | None
    tau_low: float | None
    tau_high: float | None
    predicted_kendall_tau: float | None
    spread_over_iqr: float | None


def summarize_errors(lines: Sequence[PlanLine]) -> list[ErrorLine]:
    """A line for each model, in the order of first appearance; a plan counts once, however many schedulers made it."""
    found = []
    for model, platform in dict.fromkeys((line.model, line.platform) for line in lines):
        own = distinct_plans(line for line in lines if (line.model, line.platform) == (model, platform))
        simulated = [(line.simulated_s / line.measured_s - 1) * 100 for line in own]
        predicted = [(line.predicted_s / line.measured_s - 1) * 100 for line in own]
        measured_s = [line.measured_s for line in own]
        simulated_s = [line.simulated_s for line in own]
        low, high = kendall_interval(simulated_s, measured_s)
        noise_s = median(line.measured_iqr_s for line in own)
        found.append(
            ErrorLine(
                model=model,
                platform=platform,
                num_plans=len(own),
                simulated_mean_percent=sum(map(abs, simulated)) / len(own),
                simulated_worst_percent=max(map(abs, simulated)),
                simulated_bias_percent=sum(simulated) / len(own),
                predicted_mean_percent=sum(map(abs, predicted)) / len(own),
                predicted_worst_percent=max(map(abs, predicted)),
                predicted_bias_percent=sum(predicted) / len(own),
                kendall_tau=_number_or_none(kendall_tau(simulated_s, measured_s)),
                tau_low=_number_or_none(low),
                tau_high=_number_or_none(high),
                predicted_kendall_tau=_number_or_none(kendall_tau([line.predicted_s for line in own], measured_s)),
                spread_over_iqr=(max(measured_s) - min(measured_s)) / noise_s if noise_s else None,
            )
        )
    return found


def _number_or_none(number: float) -> float | None:
    return None if math.isnan(number) else number


def distinct_plans(lines: Iterable[PlanLine]) -> list[PlanLine]:
    """The first line of each plan."""
    return list({(line.model, line.platform, line.plan_id): line for line in reversed(list(lines))}.values())[::-1]
