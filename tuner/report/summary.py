"""The content of summary.json."""

from __future__ import annotations

import math
from typing import Any

from hetsim.tuner.report.outcome import Outcome, PlanOutcome
from hetsim.tuner.steps.proposals import Try


def summary(outcome: Outcome) -> dict[str, Any]:
    """The content of summary.json: plain values, times in seconds, plans by scheduler."""
    return {
        "model": outcome.model,
        "platform": outcome.platform,
        "winner": outcome.winner,
        "ties": list(outcome.tied),
        "undecided": list(outcome.undecided),
        "best_single_device_s": outcome.best_single_device_s,
        "speed_up": outcome.speed_up(outcome.best),
        "outputs_match": outcome.outputs_match,
        "largest_error": outcome.largest_error,
        "tolerance": outcome.tolerance,
        "rejected": dict(outcome.rejected),
        "not_compared": list(outcome.not_compared),
        "median_hand_over_s": outcome.hand_over_s,
        "plans": {plan.name: _measured(plan) for plan in outcome.plans},
        "devices": {
            a.device: {
                "num_ops": a.num_ops,
                "num_part_ops": a.num_part_ops,
                "num_segments": a.num_segments,
                "busy_share": a.busy_share,
            }
            for a in outcome.assignments
        },
        "splits": [
            {
                "ops": list(run.ops),
                "axis": run.axis,
                "parts": [{"device": device, run.axis: width} for device, width in run.parts],
            }
            for run in outcome.shared
        ],
        "reference_engines_s": dict(outcome.reference_engines_s),
        "reference_threads": outcome.reference_threads,
        "rounds": [
            {
                "number": one.number,
                "hoped_s": _finite(one.optimistic_bound_s),
                "best_s": _finite(one.best_s),
                "plans": [_tried(tried) for tried in one.tries],
            }
            for one in outcome.rounds
        ],
        "rounds_ended": outcome.rounds_ended,
        "num_samples": outcome.num_samples,
        "seed": outcome.seed,
        "machine": outcome.machine,
        "versions": dict(outcome.versions),
        "command": list(outcome.command),
        "warnings": list(outcome.warnings),
    }


def _measured(plan: PlanOutcome) -> dict[str, Any]:
    return {
        "simulated_s": plan.simulated_s,
        "measured_s": plan.measured_s,
        "measured_iqr_s": plan.measured_iqr_s,
        "measured_low_s": plan.measured_low_s,
        "measured_high_s": plan.measured_high_s,
        "ratio_to_winner": [plan.ratio.median, plan.ratio.low, plan.ratio.high],
        "num_segments": plan.num_segments,
        "num_devices": plan.num_devices,
        "num_splits": plan.num_splits,
    }


def _tried(tried: Try) -> dict[str, Any]:
    return {
        "name": tried.name,
        "predicted_s": tried.predicted_s,
        "error_s": tried.error_s,
        "replayed_s": tried.replayed_s,
        "num_segments": tried.num_segments,
        "num_predicted": tried.num_predicted,
    }


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None
