"""A long run over time: percentiles of latency above, the change of memory below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from hetsim.analysis.plots import style
from hetsim.analysis.plots.curves import name_ends

_LEFT_IN, _PANEL_IN, _HEIGHTS_IN, _GAP_IN, _BOTTOM_IN, _TOP_IN = 0.8, 7.4, (2.9, 2.1), 0.35, 0.62, 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """Latencies and memory of a long run, by interval.

    Attributes:
        ends_s: End of each interval, in seconds.
        latencies_s: By percentile, its latency in each interval, in seconds; positive.
        memory_bytes: By process, its memory at the end of each interval.
    """

    ends_s: Sequence[float]
    latencies_s: Mapping[str, Sequence[float]]
    memory_bytes: Mapping[str, Sequence[int]]


def draw_soak(soaked: Soaked, path: Path, *, title: str, subtitle: str = "") -> None:
    """Draw latencies and the change of memory since the first interval over time, as a PNG.

    Args:
        soaked: At least one interval.
        path: The PNG file.
        title: Title of the figure.
        subtitle: Line below the title.

    Raises:
        OSError: If the file cannot be written.
    """
    labels = {who: f"{who}, {sizes[-1] / 2**20:.0f} MiB" for who, sizes in soaked.memory_bytes.items()}
    right_in = 0.3 + max(style.text_width_in(label, style.SMALL_PT) for label in labels.values())
    width_in = _LEFT_IN + _PANEL_IN + right_in
    height_in = _BOTTOM_IN + sum(_HEIGHTS_IN) + _GAP_IN + _TOP_IN
    figure = style.new_figure(width_in, height_in)
    style.title_figure(figure, title, left_in=_LEFT_IN, subtitle=subtitle)
    minutes = [end_s / 60 for end_s in soaked.ends_s]

    def panel(bottom_in: float, panel_in: float) -> Axes:
        axes = figure.add_axes((_LEFT_IN / width_in, bottom_in / height_in, _PANEL_IN / width_in, panel_in / height_in))
        style.style_axes(axes)
        axes.set_xlim(0, minutes[-1] * 1.01)
        return axes

    upper = panel(_BOTTOM_IN + _HEIGHTS_IN[1] + _GAP_IN, _HEIGHTS_IN[0])
    upper.tick_params(labelbottom=False)
    upper.set_ylabel("Latency (ms)", size=style.TEXT_PT, color=style.INK)
    upper.set_yscale("log")
    milliseconds = {name: [each_s * 1e3 for each_s in seconds] for name, seconds in soaked.latencies_s.items()}
    every = [value for values in milliseconds.values() for value in values]
    style.log_axis(upper.yaxis, min(every) * 0.8, max(every) * 1.25)
    upper.set_ylim(min(every) * 0.8, max(every) * 1.25)
    _draw(upper, minutes, milliseconds, {name: name for name in milliseconds})

    lower = panel(_BOTTOM_IN, _HEIGHTS_IN[1])
    lower.set_xlabel("Time since the first request (min)", size=style.TEXT_PT, color=style.INK, labelpad=6)
    lower.set_ylabel("Change of memory (MiB)", size=style.TEXT_PT, color=style.INK)
    changes = {who: [(size - sizes[0]) / 2**20 for size in sizes] for who, sizes in soaked.memory_bytes.items()}
    every = [value for values in changes.values() for value in values]
    room = max(0.15 * (max(every) - min(every)), 0.5)
    lower.set_ylim(min(every) - room, max(every) + room)
    _draw(lower, minutes, changes, labels)
    style.save_figure(figure, path)


def _draw(
    axes: Axes, minutes: Sequence[float], curves: Mapping[str, Sequence[float]], labels: Mapping[str, str]
) -> None:
    """Curves with their names at their right ends."""
    ends = []
    for number, (name, values) in enumerate(curves.items()):
        colour = style.colour(number)
        axes.plot(
            minutes, values, color=colour, linewidth=1.4, marker=style.MARKERS[number], markersize=3.2,
            markeredgecolor="white", markeredgewidth=0.4,
        )  # fmt: skip
        ends.append((values[-1], labels[name], colour))
    name_ends(axes, ends)
