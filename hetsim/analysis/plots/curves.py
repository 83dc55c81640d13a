"""Latency over a varied figure of a hypothetical machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import blended_transform_factory

from hetsim.analysis.plots import style


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The measured latency of a plan.

    Attributes:
        value: Of what is varied.
        seconds: The latency.
        low_s: Lower end of the latency's confidence interval.
        high_s: Upper end of it.
    """

    value: float
    seconds: float
    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Latency over what is varied.

    Attributes:
        label: What the curve stands for.
        values: Of what is varied; positive, ascending.
        latencies_s: Latency at each, in seconds; positive.
        dashed: Whether it is a reference more than a result: drawn dashed and without markers.
        measured: Measured latencies, drawn as rings with their intervals.
    """

    label: str
    values: tuple[float, ...]
    latencies_s: tuple[float, ...]
    dashed: bool = False
    measured: tuple[Measurement, ...] = ()

    def __post_init__(self) -> None:
        if len(self.values) != len(self.latencies_s):
            raise ValueError(f"{len(self.values)} values but {len(self.latencies_s)} latencies in {self.label!r}")
        if not all(value > 0 for value in (*self.values, *self.latencies_s)):  # NaN fails too
            raise ValueError(f"values and latencies must be > 0 in {self.label!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A vertical line with a text.

    Attributes:
        value: Of what is varied.
        label: The text.
    """

    value: float
    label: str


def times(value: float) -> str:
    """A factor with a multiplication sign."""
    return f"{value:g}\N{MULTIPLICATION SIGN}"


def draw_curves(
    curves: Sequence[Curve],
    path: Path,
    *,
    title: str,
    x_label: str,
    y_label: str = "Latency, simulated (ms)",
    subtitle: str = "",
    tick: Callable[[float], str] = times,
    counted: bool = False,
    marks: Sequence[Mark] = (),
) -> None:
    """Draw latency over a varied quantity, on a scale of powers of two or a scale of counts, as a PNG.

    Args:
        curves: One line each; labels stand at the right ends.
        path: The PNG file.
        title: Title of the figure.
        x_label: What is varied, with its unit.
        y_label: What the latencies are, with their unit.
        subtitle: Line below the title.
        tick: From a value to its label on the axis.
        counted: Whether values are counts, each with its tick.
        marks: Values with a vertical line and a text each.

    Raises:
        OSError: If the file cannot be written.
    """
    left_in, bottom_in, panel_in, top_in = 0.75, 0.72, (7.0, 4.3), 0.85 if subtitle else 0.6
    widths_in = [style.text_width_in(curve.label, style.SMALL_PT) for curve in curves]
    width_in = left_in + panel_in[0] + 0.35 + max(widths_in, default=0.5)
    height_in = bottom_in + panel_in[1] + top_in
    figure = style.new_figure(width_in, height_in)
    style.title_figure(figure, title, left_in=left_in, subtitle=subtitle)
    axes = figure.add_axes((left_in / width_in, bottom_in / height_in, panel_in[0] / width_in, panel_in[1] / height_in))
    style.style_axes(axes)
    ends: list[tuple[float, str, str]] = []  # value in ms, label, colour
    for number, curve in enumerate(curves):
        colour = style.INK if curve.dashed else style.colour(number)
        _draw_curve(axes, curve, colour, style.MARKERS[number % len(style.MARKERS)])
        if curve.latencies_s:
            ends.append((curve.latencies_s[-1] * 1e3, curve.label, colour))
    _scale_values(axes, curves, tick, counted=counted)
    _scale_latencies(axes, curves)
    for mark in marks:
        _draw_mark(axes, mark)
    axes.set_xlabel(x_label, size=style.TEXT_PT, color=style.INK, labelpad=6)
    axes.set_ylabel(y_label, size=style.TEXT_PT, color=style.INK)
    name_ends(axes, ends)
    style.save_figure(figure, path)


def _draw_mark(axes: Axes, mark: Mark) -> None:
    axes.axvline(mark.value, color=style.MUTED, linewidth=0.9, linestyle=(0, (1, 2)), zorder=0.9)
    axes.annotate(
        mark.label,
        (mark.value, 1),
        (2, -3),
        xycoords=blended_transform_factory(axes.transData, axes.transAxes),
        textcoords="offset points",
        size=style.SMALL_PT - 1,
        color=style.MUTED,
        rotation=90,
        va="top",
        parse_math=False,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.85},
    )


def name_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write names at the right ends of curves without overlaps; ``ends`` has last values, names and colours."""
    heights = [float(axes.transData.transform((1, value))[1]) for value, _, _ in ends]
    line_px = style.SMALL_PT / 72 * style.DOTS_PER_INCH * 1.25
    for (value, label, colour), height, spread in zip(ends, heights, _spread(heights, line_px), strict=True):
        axes.annotate(
            label,
            (1, value),
            (7, (spread - height) * 72 / style.DOTS_PER_INCH),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            size=style.SMALL_PT,
            color=style.darker(colour),
            va="center",
            annotation_clip=False,
            parse_math=False,
        )


def _draw_curve(axes: Axes, curve: Curve, colour: str, marker: str) -> None:
    """One line, and measured latencies as rings with their intervals."""
    axes.plot(
        curve.values,
        [time_s * 1e3 for time_s in curve.latencies_s],
        color=colour,
        marker="" if curve.dashed or curve.measured else marker,
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        linewidth=1.2 if curve.dashed else 1.7,
        linestyle=(0, (4, 2)) if curve.dashed else "-",
    )
    if curve.measured:
        axes.errorbar(
            [one.value for one in curve.measured],
            [one.seconds * 1e3 for one in curve.measured],
            yerr=[
                [(one.seconds - one.low_s) * 1e3 for one in curve.measured],
                [(one.high_s - one.seconds) * 1e3 for one in curve.measured],
            ],
            color=style.darker(colour),
            marker=marker,
            markersize=6,
            markerfacecolor="none",
            markeredgewidth=1.2,
            linestyle="",
            capsize=2.5,
            elinewidth=1.0,
        )


def _scale_values(axes: Axes, curves: Sequence[Curve], tick: Callable[[float], str], *, counted: bool) -> None:
    values = sorted({value for curve in curves for value in curve.values}) or [0.25, 8.0]
    if counted:
        axes.set_xlim(values[0] - 0.15, values[-1] + 0.15)
        ticks = values
    else:
        axes.set_xscale("log", base=2)
        axes.set_xlim(values[0] / 1.08, values[-1] * 1.08)
        ticks = [2.0**power for power in range(-8, 11) if values[0] / 1.01 <= 2.0**power <= values[-1] * 1.01]
    axes.xaxis.set_major_locator(FixedLocator(ticks or [values[0]]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))


def _scale_latencies(axes: Axes, curves: Sequence[Curve]) -> None:
    values_ms = [time_s * 1e3 for curve in curves for time_s in curve.latencies_s]
    values_ms += [one.high_s * 1e3 for curve in curves for one in curve.measured]
    values_ms = values_ms or [1.0]
    if max(values_ms) > 10 * min(values_ms):
        low, high = min(values_ms) * 0.8, max(values_ms) * 1.25
        axes.set_yscale("log")
        style.log_axis(axes.yaxis, low, high)
    else:
        low, high = 0.0, max(values_ms) * 1.08
        axes.yaxis.set_major_locator(MaxNLocator(7))
    axes.set_ylim(low, high)


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    """The heights, moved as little as possible so that neighbours are at least ``gap`` apart; their order stays."""
    order = sorted(range(len(heights)), key=lambda i: (heights[i], i))
    groups: list[tuple[list[int], float]] = []  # members from bottom to top, middle of the group
    for i in order:
        members, middle = [i], heights[i]
        while groups and middle - (len(members) - 1) * gap / 2 < (
            groups[-1][1] + (len(groups[-1][0]) - 1) * gap / 2 + gap
        ):
            earlier, _ = groups.pop()
            members = [*earlier, *members]
            middle = sum(heights[j] for j in members) / len(members)
        groups.append((members, middle))
    placed = list(heights)
    for members, middle in groups:
        for rank, i in enumerate(members):
            placed[i] = middle + (rank - (len(members) - 1) / 2) * gap
    return placed
