"""Best latency over the speed of a device that nobody has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from hetsim.pictures import style


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Latency over a device's speed.

    Attributes:
        label: What the curve stands for: a model or a scheduler.
        speeds: Speed relative to the device as measured; positive, ascending.
        latencies_s: Latency at each speed, in seconds; positive.
        single_device_s: Latency of a single device whose speed does not change, drawn as a horizontal line, or None.
        single_device_label: What that device is called.
    """

    label: str
    speeds: tuple[float, ...]
    latencies_s: tuple[float, ...]
    single_device_s: float | None = None
    single_device_label: str = ""

    def __post_init__(self) -> None:
        if len(self.speeds) != len(self.latencies_s):
            raise ValueError(f"{len(self.speeds)} speeds but {len(self.latencies_s)} latencies in {self.label!r}")
        if not all(value > 0 for value in (*self.speeds, *self.latencies_s)):  # NaN fails too
            raise ValueError(f"speeds and latencies must be > 0 in {self.label!r}")


def draw_curves(curves: Sequence[Curve], path: Path, *, title: str, relative_to: str, device: str = "NPU") -> None:
    """Draw latency over a hypothetical device's speed, the speed on a scale of powers of two, as a PNG.

    Args:
        curves: One line each; labels stand at the right ends.
        path: The PNG file.
        title: Above the picture.
        relative_to: What speed 1 is, such as ``"the stand-in as measured"``.
        device: What the device is called on the axis.

    Raises:
        OSError: If the file cannot be written.
    """
    names = [curve.label for curve in curves]
    names += [curve.single_device_label for curve in curves if curve.single_device_s is not None]
    left_in, bottom_in, panel_in = 0.75, 0.72, (7.0, 4.3)
    right_in = 0.35 + max((style.text_width_in(name, style.SMALL_PT) for name in names), default=0.5)
    width_in, height_in = left_in + panel_in[0] + right_in, bottom_in + panel_in[1] + 0.6
    figure = style.new_figure(width_in, height_in)
    style.title_figure(figure, title, left_in=left_in)
    axes = figure.add_axes((left_in / width_in, bottom_in / height_in, panel_in[0] / width_in, panel_in[1] / height_in))
    style.style_axes(axes)
    speeds = sorted({speed for curve in curves for speed in curve.speeds}) or [0.25, 8.0]
    values_ms = [time_s * 1e3 for curve in curves for time_s in curve.latencies_s]
    values_ms += [curve.single_device_s * 1e3 for curve in curves if curve.single_device_s is not None]
    values_ms = values_ms or [1.0]
    ends: list[tuple[float, str, str]] = []  # value in ms, words, colour
    for number, curve in enumerate(curves):
        colour = style.colour(number)
        axes.plot(
            curve.speeds,
            [time_s * 1e3 for time_s in curve.latencies_s],
            color=colour,
            marker=style.MARKERS[number % len(style.MARKERS)],
            markersize=5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            linewidth=1.7,
        )
        if curve.latencies_s:
            ends.append((curve.latencies_s[-1] * 1e3, curve.label, colour))
        if curve.single_device_s is not None:
            axes.axhline(curve.single_device_s * 1e3, color=colour, linewidth=1.0, linestyle=(0, (4, 2)), alpha=0.8)
            ends.append((curve.single_device_s * 1e3, curve.single_device_label, colour))
    axes.axvline(1.0, color=style.MUTED, linewidth=0.9, linestyle=(0, (1, 2)), zorder=0.9)
    axes.set_xscale("log", base=2)
    axes.set_xlim(speeds[0] / 1.08, speeds[-1] * 1.08)
    ticks = [2.0**power for power in range(-6, 11) if speeds[0] / 1.01 <= 2.0**power <= speeds[-1] * 1.01]
    axes.xaxis.set_major_locator(FixedLocator(ticks or [speeds[0]]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}\N{MULTIPLICATION SIGN}"))
    logarithmic = max(values_ms) > 10 * min(values_ms)
    if logarithmic:
        low, high = min(values_ms) * 0.8, max(values_ms) * 1.25
        axes.set_yscale("log")
        style.log_axis(axes.yaxis, low, high)
    else:
        low, high = 0.0, max(values_ms) * 1.08
        axes.yaxis.set_major_locator(MaxNLocator(7))
    axes.set_ylim(low, high)
    axes.set_xlabel(
        f"Hypothetical {device} speed, relative to {relative_to}", size=style.TEXT_PT, color=style.INK, labelpad=6
    )
    axes.set_ylabel("Best latency, simulated (ms)", size=style.TEXT_PT, color=style.INK)
    heights = [float(axes.transData.transform((1, value))[1]) for value, _, _ in ends]
    line_px = style.SMALL_PT / 72 * style.DOTS_PER_INCH * 1.25
    for (value, words, colour), height, spread in zip(ends, heights, _spread(heights, line_px), strict=True):
        axes.annotate(
            words,
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
    style.save_figure(figure, path)


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    """The heights moved apart until neighbours are at least ``gap`` away, in their old order, as little as it takes."""
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
