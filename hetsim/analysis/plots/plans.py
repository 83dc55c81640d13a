"""Plans compared: simulated beside measured, per scheduler as bars, and over many plans as a scatter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hetsim.analysis.plots import style

_BANDS = {0.10: "#F1F1F1", 0.05: "#DFDFDF"}
"""Shades of how far off a simulated time is, as a fraction; the widest comes first, as it lies behind."""
_BEHIND: dict[str, Any] = {"linewidth": 0, "zorder": 0.5}


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
class ScatterRow:
    """One executed plan among many.

    Attributes:
        model: Its network.
        scheduler: Who made it.
        simulated_s: Simulated makespan.
        measured_s: Median of the executions.
        low_s: Lower end of the error bar, in seconds.
        high_s: Upper end of it.
    """

    model: str
    scheduler: str
    simulated_s: float
    measured_s: float
    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A time to hold plans against.

    Attributes:
        label: What it is.
        seconds: The time.
    """

    label: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What the bars are held against.

    Attributes:
        best_single: The best single device, or None.
        references: Further times, such as an engine with two threads on both cores.
        interval: What the whiskers show, in words.
    """

    best_single: Baseline | None = None
    references: tuple[Baseline, ...] = field(default=())
    interval: str = "interquartile range"


def draw_plans(rows: Sequence[PlanRow], path: Path, *, title: str, against: Comparison | None = None) -> None:
    """Draw each scheduler's simulated time beside its measured one as horizontal bars, in the rows' order, as a PNG.

    Args:
        rows: From top to bottom; none gives an empty picture.
        path: The PNG file.
        title: Above the picture.
        against: Vertical lines to compare with.

    Raises:
        OSError: If the file cannot be written.
    """
    against = against or Comparison()
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
    simulated_colour, measured_colour = style.lighter(style.PALETTE[0], 0.62), style.lighter(style.PALETTE[0], 0.1)
    reach_s = max([row.high_s for row in rows] + [row.simulated_s for row in rows], default=0.0)
    reach_s = max([reach_s, *(line.seconds for line in (*lines, *against.references))])
    reach_ms = reach_s * 1e3 if reach_s > 0 else 1.0
    for place, row in enumerate(rows):
        axes.barh(place - 0.18, row.simulated_s * 1e3, height=0.32, color=simulated_colour)
        axes.barh(place + 0.18, row.measured_s * 1e3, height=0.32, color=measured_colour)
        axes.plot([row.low_s * 1e3, row.high_s * 1e3], [place + 0.18] * 2, color=style.INK, linewidth=1.2)
        for end_s in (row.low_s, row.high_s):
            axes.plot([end_s * 1e3] * 2, [place + 0.11, place + 0.25], color=style.INK, linewidth=1.2)
        off = f" ({style.signed_percent(row.simulated_s / row.measured_s - 1)})" if row.measured_s > 0 else ""
        for at, end_s, description in (
            (place - 0.18, row.simulated_s, f"{row.simulated_s * 1e3:.2f}{off}"),
            (place + 0.18, max(row.high_s, row.measured_s), f"{row.measured_s * 1e3:.2f}"),
        ):
            axes.annotate(
                description,
                (end_s * 1e3, at),
                (4, 0),
                textcoords="offset points",
                size=8,
                va="center",
                color=style.INK,
                bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
            )
    axes.set_xlim(0, reach_ms * 1.16)
    handles: list[Patch | Line2D] = [
        Patch(facecolor=simulated_colour, label="simulated (difference from measured)"),
        Patch(facecolor=measured_colour, label=f"measured, median; whisker: {against.interval}"),
    ]
    for line in lines:
        axes.axvline(line.seconds * 1e3, color=style.INK, linewidth=1.3, linestyle=(0, (4, 2)), zorder=0.9)
        handles.append(_line_handle(line, style.INK, (0, (4, 2))))
    for number, line in enumerate(against.references):
        colour = style.PALETTE[(5, 2, 3, 1)[number % 4]]
        axes.axvline(line.seconds * 1e3, color=colour, linewidth=1.3, linestyle=(0, (1, 1.5)), zorder=0.9)
        handles.append(_line_handle(line, colour, (0, (1, 1.5))))
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=((left_in - 0.1) / width_in, 0.02),
        ncols=2,
        frameon=False,
        fontsize=style.SMALL_PT,
    )
    style.save_figure(figure, path)


def _line_handle(line: Baseline, colour: str, dashes: tuple[float, tuple[float, ...]]) -> Line2D:
    label = f"{line.label}: {line.seconds * 1e3:.2f} ms"
    return Line2D([], [], color=colour, linewidth=1.3, linestyle=dashes, label=label)


def draw_scatter(rows: Sequence[ScatterRow], path: Path, *, title: str) -> None:
    """Draw measured over simulated time, one point for each plan, and below it the error of each, as a PNG.

    A colour stands for a model, a marker for a scheduler; where there are more models than colours, markers of those
    that come later are hollow. Bands are of 5 and 10 %. Axes of times are logarithmic where these differ by more than a
    factor of 10.

    Raises:
        OSError: If the file cannot be written.
    """
    models = list(dict.fromkeys(row.model for row in rows))
    schedulers = list(dict.fromkeys(row.scheduler for row in rows))
    legend_in = 0.65 + max((style.text_width_in(name, style.SMALL_PT) for name in (*models, *schedulers)), default=0.4)
    side_in, errors_in, between_in, left_in, bottom_in = 5.6, 1.7, 0.2, 0.75, 0.62
    above_in = bottom_in + errors_in + between_in
    width_in, height_in = left_in + side_in + 0.15 + max(legend_in, 1.5), above_in + side_in + 0.75
    figure = style.new_figure(width_in, height_in)
    style.title_figure(figure, title, left_in=left_in, subtitle=_agreement(rows))
    axes = figure.add_axes((left_in / width_in, above_in / height_in, side_in / width_in, side_in / height_in))
    errors = figure.add_axes((left_in / width_in, bottom_in / height_in, side_in / width_in, errors_in / height_in))
    times_s = [time_s for row in rows for time_s in (row.simulated_s, row.low_s, row.high_s, row.measured_s)]
    positive_ms = [time_s * 1e3 for time_s in times_s if time_s > 0] or [0.1, 1.0]
    logarithmic = max(positive_ms) > 10 * min(positive_ms)
    low, high = min(positive_ms), max(positive_ms)
    margin = (high - low) * 0.12 + high * 0.05
    low, high = (low * 0.8, high * 1.25) if logarithmic else (max(low - margin, 0.0), high + margin)
    line = [low, high]
    style.style_axes(axes)
    style.style_axes(errors)
    for width, shade in _BANDS.items():
        axes.fill_between(
            line, [x * (1 - width) for x in line], [x * (1 + width) for x in line], color=shade, **_BEHIND
        )
        errors.fill_between(line, -100 * width, 100 * width, color=shade, **_BEHIND)
    axes.plot(line, line, color=style.MUTED, linewidth=1.0, zorder=1)
    errors.axhline(0.0, color=style.MUTED, linewidth=1.0, zorder=1)
    for row in rows:
        index = models.index(row.model)
        look = {
            "marker": style.MARKERS[schedulers.index(row.scheduler) % len(style.MARKERS)],
            "color": style.colour(index),
            "elinewidth": 1.0,
            "linestyle": "",
            "zorder": 3,
            **_marker_fill(index),
        }
        below_ms, above_ms = (
            max(gap_s, 0.0) * 1e3 for gap_s in (row.measured_s - row.low_s, row.high_s - row.measured_s)
        )
        axes.errorbar(
            row.simulated_s * 1e3, row.measured_s * 1e3, yerr=[[below_ms], [above_ms]], markersize=7.5, **look
        )
        if row.measured_s > 0:
            errors.errorbar(row.simulated_s * 1e3, 100 * (row.simulated_s / row.measured_s - 1), markersize=5.0, **look)
    if logarithmic:
        axes.set(xscale="log", yscale="log")
        errors.set(xscale="log")
    for axis in (axes.xaxis, axes.yaxis, errors.xaxis):
        if logarithmic:
            style.log_axis(axis, low, high)
        else:
            axis.set_major_locator(MaxNLocator(7))
    axes.set(xlim=(low, high), ylim=(low, high))
    reach = max(11.0, *(abs(bound) for bound in errors.get_ylim()))
    errors.set(xlim=(low, high), ylim=(-reach, reach))
    axes.tick_params(labelbottom=False)
    for axis, description in (
        (errors.xaxis, "Simulated (ms)"),
        (errors.yaxis, "Simulated off by (%)"),
        (axes.yaxis, "Measured, median (ms)"),
    ):
        axis.set_label_text(description, size=style.TEXT_PT, color=style.INK)
    handles = [_heading("Model")]
    handles += [
        Line2D([], [], marker="o", linestyle="", color=style.colour(i), label=style.plain(name), **_marker_fill(i))
        for i, name in enumerate(models)
    ]
    handles += [_heading(""), _heading("Scheduler")]
    handles += [
        Line2D(
            [],
            [],
            marker=style.MARKERS[i % len(style.MARKERS)],
            linestyle="",
            color=style.MUTED,
            label=style.plain(name),
        )
        for i, name in enumerate(schedulers)
    ]
    handles += [_heading(""), Line2D([], [], color=style.MUTED, linewidth=1.0, label="equal")]
    handles += [
        Patch(facecolor=shade, label=f"\N{PLUS-MINUS SIGN}{width * 100:.0f} %")
        for width, shade in sorted(_BANDS.items())
    ]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=style.SMALL_PT)
    style.save_figure(figure, path)


def _marker_fill(index: int) -> dict[str, Any]:
    """How the markers of the model of that index are filled: with its colour, or not where colours begin again."""
    if index < len(style.PALETTE):
        return {"markeredgecolor": "white", "markeredgewidth": 0.7}
    return {"markerfacecolor": "white", "markeredgecolor": style.colour(index), "markeredgewidth": 1.3}


def _heading(description: str) -> Line2D | Patch:
    return Line2D([], [], linestyle="", label=description)


def _agreement(rows: Sequence[ScatterRow]) -> str:
    """How far simulated times are from measured ones, in words."""
    errors = [abs(row.simulated_s / row.measured_s - 1) for row in rows if row.measured_s > 0]
    if not errors:
        return "no plans"
    mean, worst = sum(errors) / len(errors), max(errors)
    plans = "1 plan" if len(errors) == 1 else f"{len(errors)} plans"
    return f"{plans}; absolute error {mean:.1%} on average, {worst:.1%} at worst".replace("%", " %")
