"""What a tune run shows in the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hetsim.tuner.report.outcome import Outcome
from hetsim.tuner.report.wording import (
    WHERE_COLUMNS,
    exactness,
    format_ms,
    plan_cells,
    verdict,
    where_cells,
)


def print_outcome(outcome: Outcome, console: Console) -> None:
    """Say on the screen what the run found: plans, who runs what, where the time goes, references, verdict."""
    table = _table(f"{outcome.model} on {outcome.platform}, times in ms")
    narrow = ("plan", "simulated", "measured", "95 %\ninterval", "error", "speed-\nup", "seg-\nments", "")
    for column in narrow:
        table.add_column(column, justify="left" if column in ("plan", "") else "right", no_wrap=True)
    for *row, _ in plan_cells(outcome):  # 80 columns hold all but the splits, which the winner's lines tell
        mark = outcome.mark(row[0])
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
        description = f"For reference, {label} alone with {outcome.reference_threads} threads: {format_ms(time_s)} ms"
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
        padding=0,
        pad_edge=False,
    )
