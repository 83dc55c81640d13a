"""The page: what a run found, every executed plan's timeline, and how to get it again, in one file."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from hetsim.core.platform import Device
from hetsim.io.files import write_atomically
from hetsim.tuner.report.executed import ExecutedPlan
from hetsim.tuner.report.html.bars import plan_bars, where_bars
from hetsim.tuner.report.html.markup import Markup, bullets, facts, join, table, tag, text
from hetsim.tuner.report.html.timeline import chart, legend, segment_table
from hetsim.tuner.report.outcome import Outcome
from hetsim.tuner.report.wording import (
    PLAN_COLUMNS,
    ROUND_COLUMNS,
    WHERE_COLUMNS,
    exactness,
    format_ms,
    plan_cells,
    round_cells,
    verdict,
    where_cells,
)

_NATURES = {
    "stand-in": "other hardware computes in its place, and its times are those of that hardware",
    "emulated": "no such device computes here; it takes the time that its description says and hands on outputs "
    "that were computed beforehand",
    "hypothetical": "there is no such device here; its times come from its description",
}


def write_html(
    outcome: Outcome, path: Path, *, plans: Sequence[ExecutedPlan] = (), devices: Sequence[Device] = ()
) -> None:
    """Write the report as one HTML file that refers to nothing outside itself.

    Args:
        outcome: What the run found.
        path: The file.
        plans: The executed plans whose timelines it shows, in the order of the outcome's.
        devices: The platform's; what is not real hardware is explained.

    Raises:
        OSError: If the file cannot be written.
    """
    title = f"{outcome.model} on {outcome.platform}"
    ids = {plan.name: f"plan-{number}" for number, plan in enumerate(plans)}
    body = join(
        (
            _head(outcome, title, devices),
            _plans(outcome, ids),
            _timelines(outcome, plans, ids),
            _references(outcome),
            _search(outcome),
            _reproduction(outcome),
        ),
        "\n",
    )
    script = _resource("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = Template(_resource("template.html")).substitute(
        title=text(title), style=_resource("style.css"), script=script, script_digest=digest, body=body
    )
    write_atomically(path, page.encode())


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _head(outcome: Outcome, title: str, devices: Sequence[Device]) -> Markup:
    """The title, what to do, whether the outputs are right, and what is not as real as it looks."""
    switch = tag("button", "Dark", type="button", id="theme", hidden="")
    notes = [
        tag("p", tag("b", device.label), f": {_NATURES[device.nature]}.", class_="note")
        for device in devices
        if device.nature in _NATURES
    ]
    return tag(
        "header",
        tag("div", tag("h1", title), switch, class_="title"),
        tag("p", verdict(outcome), class_="verdict"),
        tag("p", exactness(outcome), class_="good" if outcome.outputs_match else "bad"),
        *(tag("p", f"WARNING: {warning}", class_="bad") for warning in outcome.warnings),
        *notes,
    )


def _marked(outcome: Outcome, name: str, href: str | None) -> Markup:
    """A plan's name, a link to its timeline if there is one, and its mark."""
    mark = outcome.mark(name)
    linked = text(name) if href is None else tag("a", name, href=href)
    return join((linked, tag("span", mark, class_=f"mark {mark}"))) if mark else linked


def _plans(outcome: Outcome, ids: dict[str, str]) -> Markup:
    """Bars and a table of all plans."""
    names = [_marked(outcome, plan.name, f"#{ids[plan.name]}" if plan.name in ids else None) for plan in outcome.plans]
    rows = [(name, *cells[1:]) for name, cells in zip(names, plan_cells(outcome), strict=True)]
    best = [plan.name for plan in outcome.plans].index(outcome.winner)
    return tag(
        "section",
        tag("h2", "Plans"),
        plan_bars(outcome, names),
        table(PLAN_COLUMNS, rows, emphasized=best, caption="Plans"),
        tag(
            "p",
            f"Times in ms. Measured: median of at least {outcome.num_samples} executions, with the 95 % confidence "
            "interval of the median. Error: simulated against measured. Speed-up: over the best single device.",
            class_="note",
        ),
    )


def _timelines(outcome: Outcome, plans: Sequence[ExecutedPlan], ids: dict[str, str]) -> Markup:
    """A section for each plan, of which JavaScript shows one at a time."""
    if not plans:
        return Markup("")
    measured_s = {plan.name: plan.measured_s for plan in outcome.plans}
    choices = []
    for plan in plans:
        radio = Markup(f'<input type="radio" name="plan" value="{ids[plan.name]}">')
        median = f" {format_ms(measured_s[plan.name])} ms" if plan.name in measured_s else ""
        choices.append(tag("label", radio, tag("span", _marked(outcome, plan.name, None), tag("small", median))))
    buttons = (
        tag("button", label, type="button", data_do=action, title=hint, aria_label=hint)
        for action, label, hint in (
            ("out", "\N{MINUS SIGN}", "Zoom out"),
            ("in", "+", "Zoom in"),
            ("left", "\N{LEFTWARDS ARROW}", "Pan left"),
            ("right", "\N{RIGHTWARDS ARROW}", "Pan right"),
            ("all", "Whole", "Show the whole timeline"),
        )
    )
    help_ = (
        "Drag to pan; Ctrl and wheel, pinch or double click to zoom. With the keyboard: arrows go from segment to "
        "segment, + and \N{MINUS SIGN} zoom, Shift and arrows pan, 0 shows all."
    )
    controls = tag(
        "div",
        tag("fieldset", tag("legend", "Plan"), *choices, class_="choices"),
        tag("div", *buttons, tag("output", ""), class_="zoom", role="toolbar", aria_label="Zoom"),
        tag("p", help_, class_="note"),
        id="controls",
        hidden="",
    )
    sections = (_plan_section(outcome, plan, ids[plan.name]) for plan in plans)
    first = ids.get(outcome.winner, ids[plans[0].name])
    return tag("section", tag("h2", "Timelines"), controls, *sections, id="timelines", data_first=first)


def _plan_section(outcome: Outcome, plan: ExecutedPlan, plan_id: str) -> Markup:
    """One plan: its timelines, who runs what, where the time goes, and its segments."""
    parts = [tag("h3", _marked(outcome, plan.name, None)), chart(plan, plan_id), legend(plan)]
    if plan.assignments:
        parts += [tag("h4", "Who runs what"), bullets([str(assignment) for assignment in plan.assignments])]
    if plan.shared:
        parts += [tag("p", "These runs of operators are computed in parts:"), bullets([str(s) for s in plan.shared])]
    parts += [
        tag("h4", "Where the time goes"),
        where_bars(plan.where),
        table(WHERE_COLUMNS, where_cells(plan.where), caption="Where the time goes"),
        tag("p", f"Milliseconds of {format_ms(plan.where.makespan_s)} measured, and their share.", class_="note"),
    ]
    num_segments = len(plan.measured.compute)
    summary = "The one segment" if num_segments == 1 else f"All {num_segments} segments"
    parts.append(
        tag("details", tag("summary", f"{summary} with times in ms and operators"), segment_table(plan, plan_id))
    )
    return tag("section", *parts, class_="plan", id=plan_id, data_name=plan.name)


def _references(outcome: Outcome) -> Markup:
    if not outcome.reference_engines_s:
        return Markup("")
    rows = []
    for label, time_s in outcome.reference_engines_s.items():
        spread = outcome.reference_latencies.get(label)
        interval = "" if spread is None else f"{format_ms(spread.low_s)}\N{EN DASH}{format_ms(spread.high_s)}"
        rows.append((label, format_ms(time_s), interval, f"{time_s / outcome.best.measured_s:.2f}"))
    return tag(
        "section",
        tag("h2", f"For reference: one engine alone, {outcome.reference_threads} threads"),
        table(("engine", "measured, ms", "95 % interval", "times the best plan"), rows, caption="Engines alone"),
    )


def _search(outcome: Outcome) -> Markup:
    if not outcome.rounds:
        return Markup("")
    return tag(
        "section",
        tag("h2", "How the search came to its plans"),
        table(ROUND_COLUMNS, round_cells(outcome), caption="Plans that the search had measured"),
        tag(
            "p",
            "Times in ms; predictions with their error bars, one standard deviation. Once measured: simulated from the "
            "plan's own serial run. Optimistic gain: how far the round's optimistic bound lies below the best so far. "
            f"The search ended: {outcome.rounds_ended}.",
            class_="note",
        ),
    )


def _reproduction(outcome: Outcome) -> Markup:
    rows = [("machine", outcome.machine), ("seed", str(outcome.seed)), *outcome.versions.items()]
    command = tag("pre", tag("code", shlex.join(outcome.command))) if outcome.command else ""
    return tag("section", tag("h2", "How to get this again"), command, facts(rows))
