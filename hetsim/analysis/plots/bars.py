"""Groups of bars, such as measured beside simulated, with whiskers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hetsim.analysis.plots import style


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar.

    Attributes:
        label: What it stands for; bars of one label have one colour in all groups.
        value: Its length, in the unit of the axis.
        low: Lower end of the whisker, or None for a bar without one.
        high: Upper end of it.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Bars that belong together.

    Attributes:
        label: What they have in common; may have several lines.
        bars: From top to bottom.
    """

    label: str
    bars: tuple[Bar, ...]


def draw_bars(
    groups: Sequence[Group], path: Path, *, title: str, axis: str, subtitle: str = "", named: bool = False
) -> None:
    """Write :func:`figure_of_bars` to a PNG file.

    Raises:
        OSError: If the file cannot be written.
    """
    style.save_figure(figure_of_bars(groups, title=title, axis=axis, subtitle=subtitle, named=named), path)


def figure_of_bars(
    groups: Sequence[Group], *, title: str, axis: str, subtitle: str = "", named: bool = False
) -> Figure:
    """Groups of horizontal bars that start at 0, each with its value at its end; values may be negative.

    Args:
        groups: From top to bottom; none gives empty axes.
        title: Title of the figure.
        axis: What the bars measure, with its unit.
        subtitle: Line below the title.
        named: Whether each bar has its label at its end, for more labels than a legend has room for.
    """
    labels = list(dict.fromkeys(bar.label for group in groups for bar in group.bars))
    colours = {label: style.lighter(style.colour(i), 0.15 if i == 0 else 0.45) for i, label in enumerate(labels)}
    rows = sum(len(group.bars) for group in groups)
    group_lines = [line for group in groups for line in group.label.split("\n")]
    left_in = 0.35 + max((style.text_width_in(line) for line in group_lines), default=0.5)
    panel_in = max(0.21 * rows + 0.22 * len(groups), 0.8)
    wide_in = max((style.text_width_in(label, style.SMALL_PT) for label in labels), default=1.0) + 0.65
    columns = max(min(len(labels), int(7.2 / wide_in)), 1)
    width_in, bottom_in = left_in + 7.2, 0.6 if named else 0.75 + 0.2 * -(-len(labels) // columns)
    height_in = 0.75 + panel_in + bottom_in
    figure = style.new_figure(width_in, height_in)
    style.title_figure(figure, title, left_in=left_in, subtitle=subtitle)
    axes = figure.add_axes(
        (left_in / width_in, bottom_in / height_in, 1 - (left_in + 0.6) / width_in, panel_in / height_in)
    )
    style.style_axes(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    _draw_groups(axes, groups, colours, named=named)
    axes.set_xlabel(axis, size=style.TEXT_PT, color=style.INK)
    if not named:
        figure.legend(
            handles=[Patch(color=colours[label], label=label) for label in labels],
            loc="lower left",
            bbox_to_anchor=(left_in / width_in, 0.02),
            ncols=columns,
            frameon=False,
            fontsize=style.SMALL_PT,
        )
    return figure


def _draw_groups(
    axes: Axes, groups: Sequence[Group], colours: Mapping[str, tuple[float, float, float]], *, named: bool
) -> None:
    """All bars with their whiskers and values, and the names of the groups."""
    place, ticks = 0.0, []
    for group in groups:
        ticks.append(place + (len(group.bars) - 1) / 2)
        for bar in group.bars:
            axes.barh(place, bar.value, height=0.86, color=colours[bar.label])
            end = max(bar.value, 0.0)
            if bar.low is not None and bar.high is not None:
                axes.plot([bar.low, bar.high], [place, place], color=style.INK, linewidth=1.2)
                end = max(end, bar.high)
            axes.annotate(
                f"{bar.value:.3g}  {style.plain(bar.label)}" if named else f"{bar.value:.3g}",
                (end, place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                size=style.SMALL_PT,
                color=style.MUTED,
            )
            place += 1
        place += 1.0
    axes.set_yticks(ticks, [style.plain(group.label) for group in groups])
    axes.set_ylim(max(place - 1.0, 1.0) - 0.3, -0.7)
    lowest = min((bar.value if bar.low is None else bar.low for group in groups for bar in group.bars), default=0.0)
    right = axes.get_xlim()[1]
    axes.set_xlim(min(1.1 * lowest, 0.0), right * (1.35 if named else 1.0))  # room for the names
