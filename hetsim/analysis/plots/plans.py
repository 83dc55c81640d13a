"""Simulated times of plans beside measured ones, as bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hetsim.analysis.plots import style

_SIMULATED_COLOUR = style.lighter(style.PALETTE[0], 0.62)
_MEASURED_COLOUR = style.lighter(style.PALETTE[0], 0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """One scheduler's plan.

    Attributes:
        scheduler: Its name.
        simulated_s: Simulated makespan.
        measured_s: Median of the executions.
        low_s: Lower end of the whisker, in seconds.
        high_s: Upper end of it.
    """

    scheduler: str
    simulated_s: float
    measured_s: float
    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A time to compare plans with.

    Attributes:
        label: What it is.
        seconds: The time.
    """

    label: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """What the bars are compared with.

    Attributes:
        best_single: The best single device, or None.
        references: Further times, such as an engine with two threads on both cores.
        interval: What the whiskers show, for the legend.
    """

    best_single: Baseline | None = None
    references: tuple[Baseline, ...] = field(default=())
    interval: str = "interquartile range"


def draw_plans(rows: Sequence[PlanRow], path: Path, *, title: str, against: References | None = None) -> None:
    """Write :func:`figure_of_plans` to a PNG file.

    Raises:
        OSError: If the file cannot be written.
    """
    style.save_figure(figure_of_plans(rows, title=title, against=against), path)


def figure_of_plans(rows: Sequence[PlanRow], *, title: str, against: References | None = None) -> Figure:
    """Each scheduler's simulated time beside its measured one as horizontal bars.

    Args:
        rows: From top to bottom; none gives empty axes.
        title: Title of the figure.
        against: Vertical lines to compare with.
    """
    against = against or References()
    left_in = 0.35 + max((style.text_width_in(row.scheduler) for row in rows), default=0.5)
    width_in, panel_in = left_in + 7.2, max(0.5 * len(rows), 0.8) + 0.15
    lines = [] if against.best_single is None else [against.best_single]
    num_legend_lines = math.ceil((2 + len(lines) + len(against.references)) / 2)
    bottom_in = 0.72 + 0.2 * num_legend_lines
    height_in = 0.55 + panel_in + bottom_in
    figure = style.new_figure(width_in, height_in)
    style.title_figure(figure, title, left_in=left_in)
    axes = figure.add_axes(
        (left_in / width_in, bottom_in / height_in, 1 - (left_in + 0.25) / width_in, panel_in / height_in)
    )
    style.style_axes(axes, grid="x")
    axes.set_yticks(range(len(rows)), [style.plain(row.scheduler) for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(max(len(rows), 1) - 0.45, -0.55)
    axes.set_xlabel("Time of one inference (ms)", size=style.TEXT_PT, color=style.INK)
    for place, row in enumerate(rows):
        _draw_row(axes, place, row)
    reach_s = max([row.high_s for row in rows] + [row.simulated_s for row in rows], default=0.0)
    reach_s = max([reach_s, *(line.seconds for line in (*lines, *against.references))])
    axes.set_xlim(0, (reach_s * 1e3 if reach_s > 0 else 1.0) * 1.16)
    handles: list[Patch | Line2D] = [
        Patch(facecolor=_SIMULATED_COLOUR, label="simulated (difference from measured)"),
        Patch(facecolor=_MEASURED_COLOUR, label=f"measured, median; whisker: {against.interval}"),
    ]
    handles += [_draw_line(axes, line, style.INK, (0, (4, 2))) for line in lines]
    for number, line in enumerate(against.references):
        handles.append(_draw_line(axes, line, style.PALETTE[(5, 2, 3, 1)[number % 4]], (0, (1, 1.5))))
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=((left_in - 0.1) / width_in, 0.02),
        ncols=2,
        frameon=False,
        fontsize=style.SMALL_PT,
    )
    return figure


def _draw_row(axes: Axes, place: int, row: PlanRow) -> None:
    """The two bars of a plan, the whisker of the measured one, and their values."""
    axes.barh(place - 0.18, row.simulated_s * 1e3, height=0.32, color=_SIMULATED_COLOUR)
    axes.barh(place + 0.18, row.measured_s * 1e3, height=0.32, color=_MEASURED_COLOUR)
    axes.plot([row.low_s * 1e3, row.high_s * 1e3], [place + 0.18] * 2, color=style.INK, linewidth=1.2)
    for end_s in (row.low_s, row.high_s):
        axes.plot([end_s * 1e3] * 2, [place + 0.11, place + 0.25], color=style.INK, linewidth=1.2)
    error = f" ({style.signed_percent(row.simulated_s / row.measured_s - 1)})" if row.measured_s > 0 else ""
    for at, end_s, text in (
        (place - 0.18, row.simulated_s, f"{row.simulated_s * 1e3:.2f}{error}"),
        (place + 0.18, max(row.high_s, row.measured_s), f"{row.measured_s * 1e3:.2f}"),
    ):
        axes.annotate(
            text,
            (end_s * 1e3, at),
            (4, 0),
            textcoords="offset points",
            size=8,
            va="center",
            color=style.INK,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        )


def _draw_line(axes: Axes, line: Baseline, colour: str, dashes: tuple[float, tuple[float, ...]]) -> Line2D:
    """A vertical line at a baseline; returns its entry in the legend."""
    axes.axvline(line.seconds * 1e3, color=colour, linewidth=1.3, linestyle=dashes, zorder=0.9)
    label = f"{line.label}: {line.seconds * 1e3:.2f} ms"
    return Line2D([], [], color=colour, linewidth=1.3, linestyle=dashes, label=label)
