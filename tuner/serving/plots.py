"""Throughput over latency of executed deployments, with intervals, simulated beside measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from hetsim.analysis.plots import style
from hetsim.tuner.serving.outcome import ContenderOutcome

_PANEL_IN = (5.2, 3.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """An executed deployment.

    Attributes:
        label: Its name.
        measured_per_s: Requests per second.
        low_per_s: Lower end of its interval.
        high_per_s: Upper end of it.
        measured_p50_s: Median latency.
        measured_p99_s: 99th percentile.
        simulated_per_s: Simulated requests per second.
        simulated_p50_s: Simulated median latency.
    """

    label: str
    measured_per_s: float
    low_per_s: float
    high_per_s: float
    measured_p50_s: float
    measured_p99_s: float
    simulated_per_s: float
    simulated_p50_s: float


def draw_deployments(
    contenders: Sequence[ContenderOutcome], path: Path, *, title: str, bound_per_s: float | None = None
) -> None:
    """Draw the contenders of an outcome (:func:`draw_points`).

    Raises:
        OSError: If the file cannot be written.
    """
    points = [
        Point(
            label=one.name,
            measured_per_s=one.measured.figures.throughput_per_s,
            low_per_s=one.measured.low_per_s,
            high_per_s=one.measured.high_per_s,
            measured_p50_s=one.measured.figures.p50_s,
            measured_p99_s=one.measured.figures.p99_s,
            simulated_per_s=one.simulated.throughput_per_s,
            simulated_p50_s=one.simulated.p50_s,
        )
        for one in contenders
    ]
    draw_points(points, path, title=title, bound_per_s=bound_per_s)


def draw_points(points: Sequence[Point], path: Path, *, title: str, bound_per_s: float | None = None) -> None:
    """Draw throughput over median latency as a PNG, with an arm from the median to the 99th percentile.

    Raises:
        OSError: If the file cannot be written.
    """
    left_in, bottom_in, right_in = 0.85, 0.72, 2.3
    width_in, height_in = left_in + _PANEL_IN[0] + right_in, bottom_in + _PANEL_IN[1] + 0.6
    figure = style.new_figure(width_in, height_in)
    style.title_figure(figure, title, left_in=left_in)
    axes = figure.add_axes(
        (left_in / width_in, bottom_in / height_in, _PANEL_IN[0] / width_in, _PANEL_IN[1] / height_in)
    )
    style.style_axes(axes)
    for number, point in enumerate(points):
        _draw_point(axes, point, style.colour(number), style.MARKERS[number % len(style.MARKERS)])
    if bound_per_s is not None:
        axes.axhline(bound_per_s, color=style.INK, linewidth=0.9, linestyle=(0, (4, 3)), label="bound, predicted costs")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Latency, ms: median, arm to the 99th percentile", size=style.TEXT_PT, color=style.INK, labelpad=6)
    axes.set_ylabel("Requests per second", size=style.TEXT_PT, color=style.INK)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        frameon=False,
        fontsize=style.SMALL_PT,
        title="measured (hollow: simulated)",
        title_fontsize=style.SMALL_PT,
    )
    style.save_figure(figure, path)


def _draw_point(axes: Axes, point: Point, colour: str, marker: str) -> None:
    p50_ms, p99_ms = point.measured_p50_s * 1e3, point.measured_p99_s * 1e3
    below, above = point.measured_per_s - point.low_per_s, point.high_per_s - point.measured_per_s
    axes.errorbar(
        [p50_ms],
        [point.measured_per_s],
        xerr=[[0.0], [p99_ms - p50_ms]],
        yerr=[[max(0.0, below)], [max(0.0, above)]],
        color=colour,
        marker=marker,
        markersize=7,
        markeredgecolor="white",
        linewidth=1.2,
        linestyle="none",
        label=f"{point.label}: {point.measured_per_s:,.4g}/s",
    )
    axes.plot(
        [point.simulated_p50_s * 1e3],
        [point.simulated_per_s],
        color=colour,
        marker=marker,
        markersize=10,
        markerfacecolor="none",
        linestyle="none",
    )
