"""What a tune run found, for people and programs: the screen, summary.json and report.html."""

from __future__ import annotations

import base64
import html
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hetsim.analysis.breakdown import Assignment, Breakdown
from hetsim.core.statistics import Summary
from hetsim.io.files import write_atomically
from hetsim.tuner.steps.rounds import Round
from hetsim.tuner.steps.sharing import SharedRun


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOutcome:
    """One scheduler's plan, simulated and executed.

    Attributes:
        name: The scheduler.
        simulated_s: Simulated makespan.
        measured_s: Median of the executions.
        measured_iqr_s: Distance between their quartiles.
        measured_low_s: Lower end of the median's 95 % confidence interval.
        measured_high_s: Upper end of it.
        num_segments: Compiled units of the plan.
        num_devices: Devices that have any.
        num_splits: Runs of operators that it computes in parts.
    """

    name: str
    simulated_s: float
    measured_s: float
    measured_iqr_s: float
    measured_low_s: float
    measured_high_s: float
    num_segments: int
    num_devices: int
    num_splits: int = 0

    @property
    def error(self) -> float:
        """How much longer the simulation takes than the execution, as a fraction; negative where it is shorter."""
        return self.simulated_s / self.measured_s - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that a tune run found.

    Attributes:
        model: Name of the model.
        platform: Name of the platform.
        plans: One for each scheduler, in the order in which people should see them.
        tied: Names of other plans between which and the winner noise may have decided.
        best_single_device_s: Median of the best single device, in seconds; None if none runs the whole model.
        winner: Name of the plan that measured best; among those that tie with it within the noise, the simplest.
        outputs_match: Whether every plan's outputs agree with the reference engine's within the tolerance.
        largest_error: The largest difference from the reference engine.
        tolerance: What the platform's precision allows.
        rejected: Plans whose outputs are off by more, with their errors; the winner is none of them unless all are.
        hand_over_s: Median time between devices, from the end of a segment to the start of one that sat waiting for
            its output, over all executions; None where nothing was handed over.
        assignments: Who runs what in the winner.
        shared: The runs of operators that the winner computes in parts.
        where: Where the winner's measured time goes.
        reference_engines_s: Each engine alone on all cores that the platform uses, by the device's label, in seconds.
        reference_latencies: The same with their spread.
        reference_threads: How many cores, and threads, those are.
        rounds: How the search came to its plan.
        rounds_ended: Why it stopped there.
        num_samples: Executions behind each measured time.
        seed: The seed that everything random came from.
        machine: The machine's fingerprint.
        versions: Versions of what took part, by name.
        command: The command line, as a list of arguments, that does it again.
        warnings: What may have spoiled the measurements.

    Raises:
        ValueError: If ``winner`` or one of ``tied`` is not among the plans.
    """

    model: str
    platform: str
    plans: tuple[PlanOutcome, ...]
    best_single_device_s: float | None
    winner: str
    tied: tuple[str, ...] = ()
    outputs_match: bool
    largest_error: float
    tolerance: float
    rejected: Mapping[str, float] = field(default_factory=dict)
    hand_over_s: float | None = None
    assignments: tuple[Assignment, ...] = ()
    shared: tuple[SharedRun, ...] = ()
    where: Breakdown | None = None
    reference_engines_s: Mapping[str, float] = field(default_factory=dict)
    reference_latencies: Mapping[str, Summary] = field(default_factory=dict)
    reference_threads: int = 0
    rounds: tuple[Round, ...] = ()
    rounds_ended: str = ""
    num_samples: int
    seed: int
    machine: str
    versions: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [plan.name for plan in self.plans]
        for name in (self.winner, *self.tied):
            if name not in names:
                raise ValueError(f"winner {name!r} is not among the plans {names}")

    @property
    def best(self) -> PlanOutcome:
        """The winner's plan."""
        return next(plan for plan in self.plans if plan.name == self.winner)

    @property
    def ties(self) -> tuple[PlanOutcome, ...]:
        """The plans that tie with the winner."""
        return tuple(plan for plan in self.plans if plan.name in self.tied)

    def speed_up(self, plan: PlanOutcome) -> float | None:
        """How many times faster than the best single device the plan measured."""
        return None if self.best_single_device_s is None else self.best_single_device_s / plan.measured_s


def summary(outcome: Outcome) -> dict[str, Any]:
    """The content of summary.json: plain values, times in seconds, plans by scheduler."""
    return {
        "model": outcome.model,
        "platform": outcome.platform,
        "winner": outcome.winner,
        "ties": [plan.name for plan in outcome.ties],
        "best_single_device_s": outcome.best_single_device_s,
        "speed_up": outcome.speed_up(outcome.best),
        "outputs_match": outcome.outputs_match,
        "largest_error": outcome.largest_error,
        "tolerance": outcome.tolerance,
        "rejected": dict(outcome.rejected),
        "median_hand_over_s": outcome.hand_over_s,
        "plans": {
            plan.name: {
                "simulated_s": plan.simulated_s,
                "measured_s": plan.measured_s,
                "measured_iqr_s": plan.measured_iqr_s,
                "measured_low_s": plan.measured_low_s,
                "measured_high_s": plan.measured_high_s,
                "num_segments": plan.num_segments,
                "num_devices": plan.num_devices,
                "num_splits": plan.num_splits,
            }
            for plan in outcome.plans
        },
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
                "plans": [asdict(tried) for tried in one.tries],
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


def verdict(outcome: Outcome) -> str:
    """What to do, in a sentence or two."""
    best, single_s = outcome.best, outcome.best_single_device_s
    if best.num_devices == 1:
        description = (
            f"Stay on one device: {best.name}, {_ms(best.measured_s)} ms; no plan over several devices is faster."
        )
    elif single_s is None:
        description = f"Run the plan of {best.name}: {_ms(best.measured_s)} ms; no single device runs the whole model."
    else:
        description = (
            f"Run the plan of {best.name}: {_ms(best.measured_s)} ms, {single_s / best.measured_s:.2f} times as fast "
            f"as the best single device ({_ms(single_s)} ms)."
        )
        if any(plan.num_devices == 1 for plan in outcome.ties):
            description += " The gain is within the noise, so staying on one device is as good."
    if outcome.ties:
        description += f" Tied with it within the noise: {', '.join(plan.name for plan in outcome.ties)}."
    return description


def exactness(outcome: Outcome) -> str:
    """Whether the outputs are right, in a sentence."""
    description = (
        "Outputs match the reference engine" if outcome.outputs_match else "OUTPUTS DIFFER from the reference engine"
    )
    rejected = ", ".join(f"{name} ({error:.1e})" for name, error in outcome.rejected.items())
    return f"{description}: largest error {outcome.largest_error:.1e}, tolerance {outcome.tolerance:.0e}." + (
        f" Rejected: {rejected}." if rejected else ""
    )


PLAN_COLUMNS = ("plan", "simulated", "measured", "95 % interval", "error", "speed-up", "segments", "splits")
ROUND_COLUMNS = ("plan", "predicted", "once measured", "error", "segments predicted", "best so far", "hoped to gain")
WHERE_COLUMNS = ("device", "compute", "launch", "hand-over", "waiting")


def plan_cells(outcome: Outcome) -> list[tuple[str, ...]]:
    """A row of :data:`PLAN_COLUMNS` for each plan; the error is that of the simulation against the measurement."""
    return [
        (
            plan.name,
            _ms(plan.simulated_s),
            _ms(plan.measured_s),
            f"{_ms(plan.measured_low_s)}\N{EN DASH}{_ms(plan.measured_high_s)}",
            _percent(plan.error, signed=True),
            _ratio(outcome.speed_up(plan)),
            str(plan.num_segments),
            str(plan.num_splits or ""),
        )
        for plan in outcome.plans
    ]


def where_cells(where: Breakdown) -> list[tuple[str, ...]]:
    """A row of :data:`WHERE_COLUMNS` for each device: milliseconds, and the share of the makespan."""
    return [
        (
            part.label,
            *(
                f"{_ms(time_s)} ({_percent(time_s / where.makespan_s if where.makespan_s > 0 else 0.0)})"
                for time_s in (part.compute_s, part.launch_s, part.hand_over_s, part.waiting_s)
            ),
        )
        for part in where.devices
    ]


def round_cells(outcome: Outcome) -> list[tuple[str, ...]]:
    """A row of :data:`ROUND_COLUMNS` for each plan that the search had measured; times in milliseconds."""
    return [
        (
            tried.name,
            _ms(tried.predicted_s) + (f" \N{PLUS-MINUS SIGN} {_ms(tried.error_s)}" if tried.num_predicted else ""),
            _ms(tried.replayed_s),
            _percent(tried.predicted_s / tried.replayed_s - 1, signed=True),
            f"{tried.num_predicted} of {tried.num_segments}",
            _ms(one.best_s),
            _percent(one.left),
        )
        for one in outcome.rounds
        for tried in one.tries
    ]


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None


def print_outcome(outcome: Outcome, console: Console) -> None:
    """Say on the screen what the run found: plans, who runs what, where the time goes, references, verdict."""
    marks = {outcome.winner: "best", **{plan.name: "tie" for plan in outcome.ties}}
    table = _table(f"{outcome.model} on {outcome.platform}, times in ms")
    narrow = ("plan", "simulated", "measured", "95 %\ninterval", "error", "speed-\nup", "seg-\nments", "")
    for column in narrow:
        table.add_column(column, justify="left" if column in ("plan", "") else "right", no_wrap=True)
    for *row, _ in plan_cells(outcome):  # 80 columns hold all but the splits, which the winner's lines tell
        mark = marks.get(row[0], "")
        table.add_row(*map(Text, row), mark, style="bold" if mark == "best" else None)
    console.print(table)
    if outcome.assignments:
        console.print(f"\nWho runs what in the plan of {outcome.winner}:", style="bold", markup=False)
        for assignment in outcome.assignments:
            console.print(f"  {assignment}", markup=False, highlight=False)
        for run in outcome.shared:
            console.print(f"  in parts: {run}", markup=False, highlight=False, soft_wrap=True)
    if outcome.where is not None:
        table = _table("Where its time goes, in ms as measured")
        for number, column in enumerate(WHERE_COLUMNS):
            table.add_column(column, justify="right" if number else "left", no_wrap=True)
        console.print()
        for cells in where_cells(outcome.where):
            table.add_row(*map(Text, cells))
        console.print(table)
    console.print()
    for label, time_s in outcome.reference_engines_s.items():
        description = f"For reference, {label} alone with {outcome.reference_threads} threads: {_ms(time_s)} ms"
        console.print(description, markup=False, highlight=False)
    if outcome.hand_over_s is not None:
        description = f"Median hand-over to a device that waits: {outcome.hand_over_s * 1e6:.1f} us"
        console.print(description, markup=False, highlight=False)
    console.print(
        exactness(outcome), style=None if outcome.outputs_match else "bold red", markup=False, highlight=False
    )
    console.print(verdict(outcome), style="bold", markup=False, highlight=False)
    for description in outcome.warnings:
        console.print(f"WARNING: {description}", style="bold red", markup=False, highlight=False)


def _table(title: str) -> Table:
    """An empty table that is narrow enough for 80 columns; titles and cells are taken as they are, not as markup."""
    return Table(
        title=Text(title, "bold"),
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


def write_html(outcome: Outcome, path: Path, pictures: Sequence[tuple[str, Path]] = ()) -> None:
    """Write the report as one HTML file that needs nothing else: pictures are inside it.

    Args:
        outcome: What the run found.
        path: The file.
        pictures: Caption and PNG file of each picture.

    Raises:
        OSError: If a picture cannot be read or the file cannot be written.
    """
    title = f"{outcome.model} on {outcome.platform}"
    marks = {plan.name: " (tie)" for plan in outcome.ties} | {outcome.winner: " (best)"}
    plans = [(cells[0] + marks.get(cells[0], ""), *cells[1:]) for cells in plan_cells(outcome)]
    best_row = [plan.name for plan in outcome.plans].index(outcome.winner)
    parts = [
        f"<h1>{_text(title)}</h1>",
        f'<p class="verdict">{_text(verdict(outcome))}</p>',
        f'<p class="{"good" if outcome.outputs_match else "bad"}">{_text(exactness(outcome))}</p>',
        *(f'<p class="bad">WARNING: {_text(description)}</p>' for description in outcome.warnings),
        "<h2>Plans</h2>",
        _html_table(PLAN_COLUMNS, plans, bold_row=best_row),
        f"<p class='note'>Times in ms. Measured: median of {outcome.num_samples} executions, with the 95 % confidence "
        "interval of the median. Error: simulated against measured. Speed-up: over the best single device.</p>",
    ]
    for caption, picture in pictures:
        data = base64.b64encode(picture.read_bytes()).decode("ascii")
        parts.append(
            f'<figure><img alt="{_text(caption)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{_text(caption)}</figcaption></figure>"
        )
    if outcome.assignments:
        items = "".join(f"<li>{_text(str(assignment))}</li>" for assignment in outcome.assignments)
        parts.append(f"<h2>Who runs what in the plan of {_text(outcome.winner)}</h2><ul>{items}</ul>")
    if outcome.shared:
        items = "".join(f"<li>{_text(str(run))}</li>" for run in outcome.shared)
        parts.append(f"<p>These runs of operators are computed in parts:</p><ul>{items}</ul>")
    if outcome.where is not None:
        parts.append("<h2>Where its time goes</h2>")
        parts.append(_html_table(WHERE_COLUMNS, where_cells(outcome.where)))
        parts.append(f"<p class='note'>Milliseconds of {_ms(outcome.where.makespan_s)} measured, and their share.</p>")
    if outcome.reference_engines_s:
        rows = [(label, _ms(time_s)) for label, time_s in outcome.reference_engines_s.items()]
        parts.append(f"<h2>For reference: one engine alone, {outcome.reference_threads} threads</h2>")
        parts.append(_html_table(("engine", "measured, ms"), rows))
    if outcome.rounds:
        parts.append("<h2>How the search came to its plans</h2>")
        parts.append(_html_table(ROUND_COLUMNS, round_cells(outcome)))
        parts.append(
            "<p class='note'>Times in ms; predictions with their error bars, one standard deviation. Once measured: "
            "simulated from the plan's own serial replay. Hoped to gain: what that round's search hoped for beside "
            f"the best so far. The search ended: {_text(outcome.rounds_ended)}.</p>"
        )
    parts.append("<h2>How to get this again</h2>")
    if outcome.command:
        parts.append(f"<pre>{_text(shlex.join(outcome.command))}</pre>")
    facts = [("machine", outcome.machine), ("seed", str(outcome.seed)), *outcome.versions.items()]
    parts.append(f'<div class="facts">{_html_table(("", ""), facts)}</div>')
    page = _PAGE.format(title=_text(title), style=_STYLE, body="\n".join(parts))
    write_atomically(path, page.encode())


def _html_table(columns: Sequence[str], rows: Sequence[Sequence[str]], bold_row: int = -1) -> str:
    head = "".join(f"<th>{_text(column)}</th>" for column in columns)
    lines = []
    for number, row in enumerate(rows):
        cells = "".join(f"<td>{_text(cell)}</td>" for cell in row)
        opening = '<tr class="best">' if number == bold_row else "<tr>"
        lines.append(f"{opening}{cells}</tr>")
    header = f"<thead><tr>{head}</tr></thead>" if any(columns) else ""
    return f'<div class="wide"><table>{header}<tbody>{"".join(lines)}</tbody></table></div>'


def _text(description: str) -> str:
    return html.escape(description, quote=True)


def _ms(time_s: float) -> str:
    """Milliseconds with as many digits as mean something: 0.123, 1.23, 12.34."""
    return f"{time_s * 1e3:.3f}" if time_s < 1e-3 else f"{time_s * 1e3:.2f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _percent(fraction: float, *, signed: bool = False) -> str:
    description = f"{fraction:+.1%}" if signed else f"{fraction:.0%}"
    return description.replace("%", " %").replace("-", "\N{MINUS SIGN}")


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 0 auto; padding: 1rem;
  max-width: 60rem; }
h1 { font-size: 1.5rem; margin: .5rem 0; } h2 { font-size: 1.1rem; margin: 1.8rem 0 .5rem; }
.verdict { font-size: 1.1rem; border-left: 4px solid #0072B2; padding: .2rem 0 .2rem .8rem; }
.bad { color: #B00020; font-weight: bold; } .note, figcaption { color: #5c5c5c; font-size: .875rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem .3rem 0; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } .facts td { text-align: left; white-space: normal; }
th { font-weight: 600; color: #5c5c5c; }
.best td { font-weight: bold; } figure { margin: 1.5rem 0; } img { max-width: 100%; height: auto; }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - hetsim</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
