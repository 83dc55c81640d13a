"""The last step: write what a run found into its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from hetsim.analysis.plots.plans import Baseline, PlanRow, References, draw_plans
from hetsim.analysis.plots.timelines import draw_timelines
from hetsim.core.platform import Platform
from hetsim.io.chrome_trace import save_trace
from hetsim.io.files import write_atomically
from hetsim.io.plan_file import save_plan
from hetsim.models.model import Model
from hetsim.models.split.planned import planned_model
from hetsim.tuner.report.executed import executed_plans
from hetsim.tuner.report.html import write_html
from hetsim.tuner.report.outcome import Outcome
from hetsim.tuner.report.summary import summary
from hetsim.tuner.steps.final_measurement import Finalist
from hetsim.tuner.steps.judging import by_scheduler


def write_outputs(
    out: Path, model: Model, platform: Platform, finalists: Mapping[str, Finalist], outcome: Outcome
) -> None:
    """Write the plans, pictures, traces, the report and last the summary: a folder that has one is complete.

    Raises:
        OSError: If a file cannot be written.
    """
    rows = by_scheduler(finalists)
    for name, finalist in rows.items():
        save_plan(replace(finalist.plan, scheduler=name), out / "plans" / f"{name.replace(':', '-')}.json")
    won = rows[outcome.winner]
    simulated, measured = won.simulated, won.execution.median_run
    save_plan(replace(won.plan, scheduler=outcome.winner), out / "plan.json")
    title = f"{model.graph.name} on {platform.name}: {outcome.winner}"
    graph = planned_model(model, won.plan).graph
    draw_timelines(simulated, measured, out / "timeline.png", platform=platform, graph=graph, title=title)
    _draw_plans(outcome, out / "plans.png")
    for timeline, name in ((simulated, "simulated"), (measured, "measured")):
        save_trace(timeline, out / f"{name}.trace.json", platform=platform, graph=graph, label=name)
    plans = executed_plans(model, platform, rows)
    write_html(outcome, out / "report.html", plans=plans, devices=platform.devices)
    write_atomically(out / "summary.json", msgspec.json.format(msgspec.json.encode(summary(outcome)), indent=2) + b"\n")


def _draw_plans(outcome: Outcome, path: Path) -> None:
    single_s = outcome.best_single_device_s
    draw_plans(
        [
            PlanRow(
                scheduler=plan.name,
                simulated_s=plan.simulated_s,
                measured_s=plan.measured_s,
                low_s=plan.measured_low_s,
                high_s=plan.measured_high_s,
            )
            for plan in outcome.plans
        ],
        path,
        title=f"{outcome.model} on {outcome.platform}",
        against=References(
            best_single=None if single_s is None else Baseline(label="best single device", seconds=single_s),
            references=tuple(
                Baseline(label=f"{label}, {outcome.reference_threads} threads", seconds=seconds)
                for label, seconds in outcome.reference_engines_s.items()
            ),
            interval="95 % confidence interval of the median",
        ),
    )
