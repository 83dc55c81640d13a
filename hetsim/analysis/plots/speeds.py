"""Plans evaluated per second over the size of the graph, by evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hetsim.analysis.plots import style


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedRow:
    """The speed of one evaluator at one size of graph.

    Attributes:
        label: The evaluator.
        num_ops: Number of operators of the graph.
        plans_per_s: Plans per second; positive.
    """

    label: str
    num_ops: int
    plans_per_s: float


def draw_speeds(rows: Sequence[SpeedRow], path: Path, *, title: str) -> None:
    """Draw plans per second over operators, both on logarithmic scales, a line for each evaluator, as a PNG.

    Raises:
        OSError: If the file cannot be written.
    """
    labels = tuple(dict.fromkeys(row.label for row in rows))
    left_in, bottom_in, panel_in = 0.85, 0.72, (5.6, 3.6)
    right_in = 0.35 + max((style.text_width_in(label, style.SMALL_PT) for label in labels), default=0.5)
    width_in, height_in = left_in + panel_in[0] + right_in, bottom_in + panel_in[1] + 0.6
    figure = style.new_figure(width_in, height_in)
    style.title_figure(figure, title, left_in=left_in)
    axes = figure.add_axes((left_in / width_in, bottom_in / height_in, panel_in[0] / width_in, panel_in[1] / height_in))
    style.style_axes(axes)
    for number, label in enumerate(labels):
        points = sorted((row.num_ops, row.plans_per_s) for row in rows if row.label == label)
        axes.plot(
            *zip(*points, strict=True),
            color=style.colour(number),
            marker=style.MARKERS[number % len(style.MARKERS)],
            markersize=5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            linewidth=1.7,
        )
        axes.annotate(
            label,
            points[-1],
            (7, 0),
            textcoords="offset points",
            size=style.SMALL_PT,
            color=style.darker(style.colour(number)),
            va="center",
            annotation_clip=False,
            parse_math=False,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted({row.num_ops for row in rows})))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_yscale("log")
    speeds = [row.plans_per_s for row in rows]
    axes.set_ylim(min(speeds, default=1.0) / 2, max(speeds, default=1.0) * 2)
    axes.set_xlabel("Operators", size=style.TEXT_PT, color=style.INK, labelpad=6)
    axes.set_ylabel("Plans evaluated per second", size=style.TEXT_PT, color=style.INK)
    style.save_figure(figure, path)
