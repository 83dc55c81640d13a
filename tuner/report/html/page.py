"""The page: report.html, one file that needs nothing else."""

from __future__ import annotations

import base64
import html
import shlex
from collections.abc import Sequence
from pathlib import Path

from hetsim.io.files import write_atomically
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
        parts.append(
            f"<p class='note'>Milliseconds of {format_ms(outcome.where.makespan_s)} measured, and their share.</p>"
        )
    if outcome.reference_engines_s:
        rows = [(label, format_ms(time_s)) for label, time_s in outcome.reference_engines_s.items()]
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
