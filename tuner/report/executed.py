"""The plans that were executed, each with what the report shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hetsim.analysis.breakdown import Assignment, Breakdown, breakdown, device_assignments
from hetsim.core.graph import Graph
from hetsim.core.platform import Platform
from hetsim.core.timeline import Timeline
from hetsim.models.model import Model
from hetsim.models.split.planned import planned_model
from hetsim.tuner.report.shared_runs import SharedRun, shared_runs
from hetsim.tuner.steps.final_measurement import Finalist


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedPlan:
    """One executed plan.

    Attributes:
        name: The scheduler that made it.
        graph: What it runs: the model's, or the rewritten one where it computes operators in parts.
        simulated: Its simulated timeline.
        measured: The timeline of its median run.
        where: Where its measured time goes, for every device of the platform.
        assignments: Who runs what.
        shared: The runs of operators that it computes in parts.
    """

    name: str
    graph: Graph
    simulated: Timeline
    measured: Timeline
    where: Breakdown
    assignments: tuple[Assignment, ...] = ()
    shared: tuple[SharedRun, ...] = ()


def executed_plans(model: Model, platform: Platform, finalists: Mapping[str, Finalist]) -> tuple[ExecutedPlan, ...]:
    """What the report shows of each finalist, in their order.

    Args:
        model: The model that was tuned.
        platform: The devices that executed the plans.
        finalists: By scheduler.

    Raises:
        PlanError: If the model cannot be rewritten as a plan asks.
    """
    found = []
    for name, finalist in finalists.items():
        planned = planned_model(model, finalist.plan)
        measured = finalist.execution.median_run
        found.append(
            ExecutedPlan(
                name=name,
                graph=planned.graph,
                simulated=finalist.simulated,
                measured=measured,
                where=breakdown(measured, platform),
                assignments=device_assignments(planned.graph, finalist.plan, measured, platform),
                shared=shared_runs(model, finalist.plan),
            )
        )
    return tuple(found)
