"""The verdict: simulated beside measured for every scheduler, and the winner."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from hetsim.analysis.breakdown import breakdown, device_assignments
from hetsim.core.errors import OutputsError
from hetsim.core.platform import Platform
from hetsim.core.statistics import Summary, summarize
from hetsim.models.model import Model
from hetsim.models.split.planned import planned_model
from hetsim.runtime.machine.fingerprint import machine_fingerprint
from hetsim.tuner.options import Options
from hetsim.tuner.report.outcome import Outcome, PlanOutcome
from hetsim.tuner.report.shared_runs import shared_runs
from hetsim.tuner.steps.expected_outputs import ExpectedOutputs, tolerance
from hetsim.tuner.steps.final_measurement import Finalist
from hetsim.tuner.steps.proposals import SEARCH_ROUND, SPLITS, Proposals
from hetsim.tuner.steps.race import find_fastest, find_ratio, find_standings

_VERSIONS_OF = ("hetsim", "onnx", "onnxruntime", "onnxruntime-qnn", "openvino", "numpy", "simpy")


def judge(
    model: Model,
    platform: Platform,
    finalists: Mapping[str, Finalist],
    proposals: Proposals,
    *,
    expected: ExpectedOutputs,
    alone: Mapping[str, Summary],
    options: Options,
    warnings: tuple[str, ...] = (),
) -> Outcome:
    """The outcome of a run; its winner is the plan that measured best, and among ties the simplest.

    Plans tie that are shown to be within 1 % of the fastest; where neither that nor a difference is shown, the
    comparison is undecided, and the lower median counts (:mod:`hetsim.tuner.steps.race`). Simpler means on fewer
    devices; then with fewer shared operators; then in fewer segments; then faster. Plans whose
    outputs are off by more than the tolerance are rejected.

    Args:
        model: The model.
        platform: The devices.
        finalists: The executed plans by name.
        proposals: How they were found.
        expected: The outputs that the plans should have.
        alone: Latency of each engine alone on all cores, by the device's label.
        options: The options of the run.
        warnings: What may have disturbed the measurements.

    Raises:
        OutputsError: If all plans are rejected.
    """
    found = by_scheduler(finalists)
    rows = {name: _row(name, finalist) for name, finalist in found.items()}
    verdict = _choose(platform, finalists, found, rows, expected)
    won = found[verdict.winner]
    ratios = {
        name: find_ratio(finalist.execution.round_medians_s, won.execution.round_medians_s)
        for name, finalist in found.items()
    }
    planned = planned_model(model, won.plan)
    hand_over_s = [each_s for finalist in finalists.values() for each_s in finalist.execution.hand_over_s]
    return Outcome(
        model=model.graph.name,
        platform=platform.name,
        plans=tuple(replace(row, ratio=ratios[name]) for name, row in rows.items()),
        best_single_device_s=min((row.measured_s for row in rows.values() if row.num_devices == 1), default=None),
        winner=verdict.winner,
        tied=verdict.tied,
        undecided=verdict.undecided,
        outputs_match=verdict.largest_error <= verdict.tolerance,
        largest_error=verdict.largest_error,
        tolerance=verdict.tolerance,
        rejected=verdict.rejected,
        num_compared=len(model.comparable_outputs),
        not_compared=tuple(name for name in model.graph.outputs if name not in model.comparable_outputs),
        hand_over_s=summarize(hand_over_s).median_s if hand_over_s else None,
        assignments=device_assignments(planned.graph, won.plan, won.execution.median_run, platform),
        shared=shared_runs(model, won.plan),
        where=breakdown(won.execution.median_run, platform),
        rounds=proposals.rounds,
        rounds_ended=proposals.ended,
        reference_engines_s={label: latency.median_s for label, latency in alone.items()},
        reference_latencies=dict(alone),
        reference_threads=len(platform.cores),
        num_samples=min(finalist.execution.latency.num_samples for finalist in finalists.values()),
        seed=options.seed,
        machine=machine_fingerprint(),
        versions=versions(),
        command=options.command,
        warnings=warnings,
    )


def by_scheduler(finalists: Mapping[str, Finalist]) -> dict[str, Finalist]:
    """Each scheduler's finalist; of several of one scheduler, the one that measured best.

    The search's rounds come under the name ``search``, and all plans with splits as ``splits``, at the end.
    """
    families = {"search": SEARCH_ROUND, SPLITS: SPLITS}
    found = {name: one for name, one in finalists.items() if not name.startswith(tuple(families.values()))}
    for family, beginning in families.items():
        members = [finalist for name, finalist in finalists.items() if name.startswith(beginning)]
        if members:
            number = find_fastest({i: one.execution.round_medians_s for i, one in enumerate(members)})
            found[family] = members[number]
    return found


def allowed_error(platform: Platform, finalists: Collection[Finalist], expected: ExpectedOutputs) -> float:
    """The tolerance for all plans, from the errors of those that run on one device alone.

    How sensitive the model is, is found out only if a plan exceeds that.
    """
    alone = [one.execution.largest_error for one in finalists if len(one.plan.queues) == 1]
    allowed = tolerance(platform, alone)
    if all(one.execution.largest_error <= allowed for one in finalists):
        return allowed
    return tolerance(platform, alone, sensitivity=expected.sensitivity)


def versions() -> dict[str, str]:
    """Versions of the packages that take part, as far as they were installed under these names."""
    found: dict[str, str] = {}
    for name in _VERSIONS_OF:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """The winner, its ties, the plans that may be as fast, and those whose outputs are wrong."""

    winner: str
    tied: tuple[str, ...]
    undecided: tuple[str, ...]
    rejected: Mapping[str, float]
    largest_error: float
    tolerance: float


def _choose(
    platform: Platform,
    finalists: Mapping[str, Finalist],
    found: Mapping[str, Finalist],
    rows: Mapping[str, PlanOutcome],
    expected: ExpectedOutputs,
) -> _Verdict:
    """The winner among each scheduler's finalist, by the rules of :func:`judge`.

    Raises:
        OutputsError: If all plans are rejected.
    """
    allowed = allowed_error(platform, finalists.values(), expected)
    errors = {name: finalist.execution.largest_error for name, finalist in found.items()}
    rejected = {name: error for name, error in errors.items() if error > allowed}
    sound = [row for row in rows.values() if row.name not in rejected]
    if not sound:
        worst = ", ".join(f"{name} {error:.1e}" for name, error in rejected.items())
        raise OutputsError(
            f"no plan computes what the reference engine computes, so none is recommended: errors {worst}, tolerance "
            f"{allowed:.0e}; `hetsim verify` names the operator at which a device begins to deviate"
        )
    fastest, shown = find_standings(
        {row.name: found[row.name].execution.round_medians_s for row in sound},
        [one.execution.round_medians_s for one in finalists.values() if one.execution.largest_error <= allowed],
    )
    tied = [row for row in sound if row.name == fastest or shown[row.name] == "tie"]
    winner = min(tied, key=lambda row: (row.num_devices, row.num_splits, row.num_segments, row.measured_s))
    return _Verdict(
        winner=winner.name,
        tied=tuple(row.name for row in tied if row is not winner),
        undecided=tuple(name for name, relation in shown.items() if relation == "undecided"),
        rejected=rejected,
        largest_error=max(finalist.execution.largest_error for finalist in finalists.values()),
        tolerance=allowed,
    )


def _row(name: str, finalist: Finalist) -> PlanOutcome:
    latency = finalist.execution.latency
    return PlanOutcome(
        name=name,
        simulated_s=finalist.simulated.makespan_s,
        measured_s=latency.median_s,
        measured_iqr_s=latency.iqr_s,
        measured_low_s=latency.low_s,
        measured_high_s=latency.high_s,
        num_segments=finalist.plan.num_segments,
        num_devices=len(finalist.plan.queues),
        num_splits=len(finalist.plan.rewrites),
    )
