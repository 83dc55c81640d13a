"""Simulated times of many plans against measured ones, as a scatter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hetsim.analysis.plots import style

_BANDS = {0.10: "#F1F1F1", 0.05: "#DFDFDF"}
"""By relative error, the shade of its band; the widest band comes first, since it is drawn behind the other."""
_BEHIND: dict[str, Any] = {"linewidth": 0, "zorder": 0.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatterRow:
    """One executed plan among many.

    Attributes:
        model: Its network.
        scheduler: The scheduler that made it.
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


def draw_scatter(rows: Sequence[ScatterRow], path: Path, *, title: str) -> None:
    """Write :func:`figure_of_scatter` to a PNG file.

    Raises:
        OSError: If the file cannot be written.
    """
    style.save_figure(figure_of_scatter(rows, title=title), path)


def figure_of_scatter(rows: Sequence[ScatterRow], *, title: str) -> Figure:
    """Measured over simulated time, one point for each plan, and below it the relative error of each.

    A colour stands for a model, a marker for a scheduler; where there are more models than colours, markers of those
    that come later are hollow. Bands are of 5 and 10 %. Axes of times are logarithmic where these differ by more than a
    factor of 10.
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
    style.style_axes(axes)
    style.style_axes(errors)
    low_ms, high_ms, logarithmic = _range_ms(rows)
    _draw_bands(axes, errors, low_ms, high_ms)
    for row in rows:
        _draw_point(axes, errors, row, models.index(row.model), schedulers.index(row.scheduler))
    _scale(axes, errors, low_ms, high_ms, logarithmic=logarithmic)
    axes.tick_params(labelbottom=False)
    for axis, label in (
        (errors.xaxis, "Simulated (ms)"),
        (errors.yaxis, "Simulation error (%)"),
        (axes.yaxis, "Measured, median (ms)"),
    ):
        axis.set_label_text(label, size=style.TEXT_PT, color=style.INK)
    axes.legend(
        handles=_legend(models, schedulers),
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=style.SMALL_PT,
    )
    return figure


def _range_ms(rows: Sequence[ScatterRow]) -> tuple[float, float, bool]:
    """The range of the axes of times in milliseconds, and whether they are logarithmic."""
    times_s = [time_s for row in rows for time_s in (row.simulated_s, row.low_s, row.high_s, row.measured_s)]
    positive_ms = [time_s * 1e3 for time_s in times_s if time_s > 0] or [0.1, 1.0]
    low, high = min(positive_ms), max(positive_ms)
    if high > 10 * low:
        return low * 0.8, high * 1.25, True
    margin = (high - low) * 0.12 + high * 0.05
    return max(low - margin, 0.0), high + margin, False


def _draw_bands(axes: Axes, errors: Axes, low_ms: float, high_ms: float) -> None:
    """The line of equal times, and bands of relative errors around it."""
    line = [low_ms, high_ms]
    for width, shade in _BANDS.items():
        axes.fill_between(
            line, [x * (1 - width) for x in line], [x * (1 + width) for x in line], color=shade, **_BEHIND
        )
        errors.fill_between(line, -100 * width, 100 * width, color=shade, **_BEHIND)
    axes.plot(line, line, color=style.MUTED, linewidth=1.0, zorder=1)
    errors.axhline(0.0, color=style.MUTED, linewidth=1.0, zorder=1)


def _draw_point(axes: Axes, errors: Axes, row: ScatterRow, model: int, scheduler: int) -> None:
    """One plan in both panels; ``model`` and ``scheduler`` count from 0."""
    look = {
        "marker": style.MARKERS[scheduler % len(style.MARKERS)],
        "color": style.colour(model),
        "elinewidth": 1.0,
        "linestyle": "",
        "zorder": 3,
        **_marker_fill(model),
    }
    below_ms, above_ms = (max(gap_s, 0.0) * 1e3 for gap_s in (row.measured_s - row.low_s, row.high_s - row.measured_s))
    axes.errorbar(row.simulated_s * 1e3, row.measured_s * 1e3, yerr=[[below_ms], [above_ms]], markersize=7.5, **look)
    if row.measured_s > 0:
        errors.errorbar(row.simulated_s * 1e3, 100 * (row.simulated_s / row.measured_s - 1), markersize=5.0, **look)


def _scale(axes: Axes, errors: Axes, low_ms: float, high_ms: float, *, logarithmic: bool) -> None:
    if logarithmic:
        axes.set(xscale="log", yscale="log")
        errors.set(xscale="log")
    for axis in (axes.xaxis, axes.yaxis, errors.xaxis):
        if logarithmic:
            style.log_axis(axis, low_ms, high_ms)
        else:
            axis.set_major_locator(MaxNLocator(7))
    axes.set(xlim=(low_ms, high_ms), ylim=(low_ms, high_ms))
    reach = max(11.0, *(abs(bound) for bound in errors.get_ylim()))
    errors.set(xlim=(low_ms, high_ms), ylim=(-reach, reach))


def _legend(models: Sequence[str], schedulers: Sequence[str]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [_heading("Model")]
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
    return handles


def _marker_fill(index: int) -> dict[str, Any]:
    """The fill of a model's markers: its colour, or none for models beyond the number of colours."""
    if index < len(style.PALETTE):
        return {"markeredgecolor": "white", "markeredgewidth": 0.7}
    return {"markerfacecolor": "white", "markeredgecolor": style.colour(index), "markeredgewidth": 1.3}


def _heading(text: str) -> Line2D:
    return Line2D([], [], linestyle="", label=text)


def _agreement(rows: Sequence[ScatterRow]) -> str:
    """Number of plans with the mean and the largest absolute error of their simulation, for the subtitle."""
    errors = [abs(row.simulated_s / row.measured_s - 1) for row in rows if row.measured_s > 0]
    if not errors:
        return "no plans"
    mean, worst = sum(errors) / len(errors), max(errors)
    plans = "1 plan" if len(errors) == 1 else f"{len(errors)} plans"
    return f"{plans}; absolute error {mean:.1%} on average, {worst:.1%} at worst".replace("%", " %")
