"""The difference between a simulated and a measured makespan, by parts and by spans."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hetsim.analysis.comparison import Comparison
from hetsim.analysis.plots import style
from hetsim.core.platform import Platform

_WIDTH_IN = 9.0
_STEPS_IN = 2.6
_BAR_IN = 0.34
_RIGHT_IN = 0.35
_MORE = style.PALETTE[5]
_LESS = style.PALETTE[0]
_WHOLE = "#8A8A8A"


def draw_comparison(comparison: Comparison, path: Path, *, platform: Platform, title: str) -> None:
    """Write :func:`figure_of_comparison` to a PNG file.

    Raises:
        OSError: If the file cannot be written.
    """
    style.save_figure(figure_of_comparison(comparison, platform=platform, title=title), path)


def figure_of_comparison(comparison: Comparison, *, platform: Platform, title: str) -> Figure:
    """The difference of the simulated and the measured makespan part by part, above the spans that differ most.

    Args:
        comparison: The comparison.
        platform: Gives the devices' names; a device that is not real hardware has its nature in its name.
        title: Title of the figure.
    """
    worst = comparison.worst()
    labels = {device.name: device.label for device in platform.devices}
    names = [f"{labels.get(span.device, span.device)}: {_short(span.label)} ({span.part})" for span in worst]
    left_in = max([0.9, *(0.35 + style.text_width_in(style.plain(name), style.SMALL_PT) for name in names)])
    worst_in = _BAR_IN * max(len(worst), 1) + 0.1
    height_in = 0.95 + _STEPS_IN + 0.95 + worst_in + 0.6
    figure = style.new_figure(_WIDTH_IN, height_in)
    style.title_figure(
        figure,
        title,
        left_in=0.3,
        subtitle=f"simulated {comparison.simulated_s * 1e3:.3f} ms{_error(comparison)}, "
        f"measured {comparison.measured_s * 1e3:.3f} ms",
    )
    steps_left_in = 0.9
    _draw_steps(
        figure.add_axes(
            (
                steps_left_in / _WIDTH_IN,
                (0.6 + worst_in + 0.95) / height_in,
                1 - (steps_left_in + _RIGHT_IN) / _WIDTH_IN,
                _STEPS_IN / height_in,
            )
        ),
        comparison,
    )
    axes = figure.add_axes(
        (left_in / _WIDTH_IN, 0.6 / height_in, 1 - (left_in + _RIGHT_IN) / _WIDTH_IN, worst_in / height_in)
    )
    figure.text(
        0.3 / _WIDTH_IN,
        (0.6 + worst_in + 0.14) / height_in,
        f"The {len(worst)} spans that contribute most" if worst else "No span differs",
        size=10,
        weight="bold",
        color=style.INK,
    )
    _draw_worst(axes, names, [span.difference_s * 1e3 for span in worst])
    return figure


def _error(comparison: Comparison) -> str:
    """The relative error of the simulated makespan in brackets; empty if the measured one is 0."""
    if not comparison.measured_s > 0:
        return ""
    return f" ({style.signed_percent(comparison.simulated_s / comparison.measured_s - 1)} against measured)"


def _draw_steps(axes: Axes, comparison: Comparison) -> None:
    """The waterfall from the simulated to the measured makespan; the axis is cut if the parts are small."""
    style.style_axes(axes, grid="y")
    level_ms = comparison.simulated_s * 1e3
    levels_ms = [level_ms]
    bars = [("simulated", 0.0, level_ms, _WHOLE, f"{level_ms:.3f}")]
    for part, part_s in comparison.parts_s.items():
        bars.append((part, level_ms, part_s * 1e3, _MORE if part_s > 0 else _LESS, _signed(part_s * 1e3)))
        level_ms += part_s * 1e3
        levels_ms.append(level_ms)
    measured_ms = comparison.measured_s * 1e3
    levels_ms.append(measured_ms)
    bars.append(("measured", 0.0, measured_ms, _WHOLE, f"{measured_ms:.3f}"))
    low_ms, high_ms = min(levels_ms), max(levels_ms)
    room_ms = max(high_ms - low_ms, 0.01 * high_ms) or 1.0
    cut = low_ms - room_ms > 0.3 * high_ms
    axes.set_ylim(low_ms - room_ms if cut else min(0.0, low_ms - 0.1 * room_ms), high_ms + 0.25 * room_ms)
    axes.set_xlim(-0.6, len(bars) - 0.4)
    for x, (_, from_ms, size_ms, colour, text) in enumerate(bars):
        axes.bar(x, size_ms, bottom=from_ms, width=0.62, color=style.lighter(colour, 0.25), linewidth=0)
        axes.annotate(
            text,
            (x, max(from_ms, from_ms + size_ms)),
            (0, 3),
            textcoords="offset points",
            ha="center",
            size=style.SMALL_PT,
            color=style.INK,
        )
        if x < len(bars) - 1:
            end_ms = levels_ms[x]
            axes.plot([x + 0.31, x + 0.69], [end_ms, end_ms], color=style.MUTED, linewidth=0.8)
    axes.set_xticks(range(len(bars)), [bar[0] for bar in bars])
    axes.set_ylabel("Time (ms), axis cut" if cut else "Time (ms)", size=style.TEXT_PT, color=style.INK)


def _draw_worst(axes: Axes, names: list[str], differences_ms: list[float]) -> None:
    style.style_axes(axes, grid="x")
    axes.spines["left"].set_visible(False)
    axes.set_yticks(range(len(names)), [style.plain(name) for name in names], size=style.SMALL_PT)
    axes.tick_params(axis="y", length=0, labelsize=style.SMALL_PT)
    axes.set_ylim(max(len(names), 1) - 0.4, -0.6)
    axes.set_xlabel("Measured minus simulated (ms)", size=style.TEXT_PT, color=style.INK)
    axes.axvline(0, color=style.MUTED, linewidth=0.8)
    most_ms = max(map(abs, differences_ms), default=0.0) or 1.0
    axes.set_xlim(
        min([*differences_ms, 0.0]) - (0.22 * most_ms if min([*differences_ms, 0.0]) < 0 else 0.0),
        max([*differences_ms, 0.0]) + (0.22 * most_ms if max([*differences_ms, 0.0]) > 0 else 0.02 * most_ms),
    )
    for y, value_ms in enumerate(differences_ms):
        colour = _MORE if value_ms > 0 else _LESS
        axes.barh(y, value_ms, height=0.62, color=style.lighter(colour, 0.25), linewidth=0)
        axes.annotate(
            _signed(value_ms),
            (value_ms, y),
            (4 if value_ms > 0 else -4, 0),
            textcoords="offset points",
            ha="left" if value_ms > 0 else "right",
            va="center",
            size=style.SMALL_PT,
            color=style.INK,
        )


def _short(label: str) -> str:
    """The label, or its end if it is long: names of operators of one network often begin alike."""
    return label if len(label) <= 36 else f"\N{HORIZONTAL ELLIPSIS}{label[-35:]}"


def _signed(value_ms: float) -> str:
    return f"{value_ms:+.3f}".replace("-", "\N{MINUS SIGN}")
