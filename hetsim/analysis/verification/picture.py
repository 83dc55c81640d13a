"""The picture of a verification: how the error grows along the network, a panel for each device and for the plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import blended_transform_factory

from hetsim.analysis.plots import style
from hetsim.analysis.verification.records import Difference, Finding, Verification

_LEAST, _MOST = 1e-9, 1e3
"""Deviations below and above are drawn on these lines; the former stands for 0, the latter for infinity."""
_WRONG = "#D55E00"
_LEFT_IN, _RIGHT_IN, _PANEL_IN = 0.95, 0.25, (8.2, 2.1)
_TOP_IN, _GAP_IN, _BOTTOM_IN = 0.42, 0.62, 0.92


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """What one panel shows: findings in order, the tolerance of each precision among them, the first that diverges."""

    title: str
    findings: tuple[Finding, ...]
    tolerance: float | None
    first: Finding | None


def draw_verification(found: Verification, path: Path) -> None:
    """Write :func:`figure_of_verification` to a PNG file.

    Raises:
        OSError: If the file cannot be written.
    """
    style.save_figure(figure_of_verification(found), path)


def figure_of_verification(found: Verification) -> Figure:
    """Relative deviations by operator, isolated as points and accumulated as a line, on a logarithmic axis."""
    panels = _panels(found)
    width_in = _LEFT_IN + _PANEL_IN[0] + _RIGHT_IN
    height_in = _TOP_IN + len(panels) * (_PANEL_IN[1] + _GAP_IN) + _BOTTOM_IN
    figure = style.new_figure(width_in, height_in)
    samples = f"{found.num_samples} input{'s' * (found.num_samples != 1)}, {found.inputs}"
    title = f"{found.model} on {found.platform}, beside the reference engine"
    style.title_figure(figure, title, left_in=_LEFT_IN, subtitle=style.plain(f"worst of {samples}"))
    for number, panel in enumerate(panels):
        bottom_in = height_in - _TOP_IN - (number + 1) * (_PANEL_IN[1] + _GAP_IN) + 0.1
        axes = figure.add_axes(
            (_LEFT_IN / width_in, bottom_in / height_in, _PANEL_IN[0] / width_in, _PANEL_IN[1] / height_in)
        )
        _draw_panel(axes, panel, style.colour(number))
        if number == len(panels) - 1 or panels[number + 1].title.startswith("plan"):
            unit = "Segment of the plan" if panel.title.startswith("plan") else "Operator, in topological order"
            axes.set_xlabel(unit, size=style.TEXT_PT, color=style.INK, labelpad=2)
    _draw_legend(figure, panels)
    return figure


def _panels(found: Verification) -> list[_Panel]:
    panels = [
        _Panel(
            title=f"{device.label}, {device.precision}",
            findings=device.ops,
            tolerance=device.tolerance,
            first=device.first_diverging,
        )
        for device in found.devices
    ]
    if found.plan is not None:
        segments, first = found.plan.segments, found.plan.first_diverging
        panels.append(_Panel(title=f"plan {found.plan.plan}", findings=segments, tolerance=None, first=first))
    return panels


def _draw_panel(axes: Axes, panel: _Panel, colour: str) -> None:
    style.style_axes(axes)
    _draw_points(axes, panel.findings, colour)
    if panel.tolerance is not None:
        axes.axhline(panel.tolerance, color=style.MUTED, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1.5)
    if panel.first is not None:
        _mark_first(axes, panel)
    axes.text(0, 1.03, panel.title, transform=axes.transAxes, size=style.TEXT_PT, weight="bold", parse_math=False)
    axes.set_yscale("log")
    axes.set_ylim(_LEAST / 2, _MOST * 2)
    axes.yaxis.set_major_locator(FixedLocator([_LEAST, 1e-6, 1e-3, 1.0, _MOST]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_tick))
    axes.set_xlim(-1, max(len(panel.findings), 1))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_ylabel("Relative deviation", size=style.TEXT_PT, color=style.INK)


def _draw_points(axes: Axes, findings: Sequence[Finding], colour: str) -> None:
    """The line of accumulated deviations, points of isolated ones, and crosses for what was not run."""
    line = [(x, _height(one.accumulated)) for x, one in enumerate(findings) if one.accumulated is not None]
    axes.plot([x for x, _ in line], [y for _, y in line], color=colour, linewidth=1.6, zorder=2)
    for wrong in (False, True):
        points = [
            (x, _height(one.isolated))
            for x, one in enumerate(findings)
            if one.isolated is not None and one.diverges == wrong
        ]
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            linestyle="",
            marker="D" if wrong else "o",
            markersize=5.5 if wrong else 3.6,
            markerfacecolor=_WRONG if wrong else style.lighter(colour, 0.45),
            markeredgecolor="white" if wrong else colour,
            markeredgewidth=0.6,
            zorder=4 if wrong else 3,
        )
    absent = [x for x, one in enumerate(findings) if one.verdict in ("refused", "failed")]
    axes.plot(
        absent, [_LEAST] * len(absent), linestyle="", marker="x", markersize=4.5, color=style.MUTED, clip_on=False
    )


def _mark_first(axes: Axes, panel: _Panel) -> None:
    first = panel.first
    assert first is not None
    place = panel.findings.index(first)
    axes.axvline(place, color=_WRONG, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1.6)
    is_right = place > 0.6 * len(panel.findings)
    label = f"first: {first.label}" + (f" ({first.kind})" if first.kind else "")
    axes.annotate(
        label,
        (place, 1),
        (-4 if is_right else 4, -4),
        xycoords=blended_transform_factory(axes.transData, axes.transAxes),
        textcoords="offset points",
        size=style.SMALL_PT,
        color=style.darker(_WRONG),
        ha="right" if is_right else "left",
        va="top",
        parse_math=False,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85},
        zorder=5,
    )


def _draw_legend(figure: Figure, panels: Sequence[_Panel]) -> None:
    every = [finding for panel in panels for finding in panel.findings]
    entries = [
        Line2D([], [], color=style.MUTED, linewidth=1.6, label="accumulated: from the device's own values"),
        Line2D([], [], color=style.MUTED, marker="o", markersize=4, linestyle="", label="isolated: from right values"),
        Line2D([], [], color=style.MUTED, linewidth=1.0, linestyle=(0, (4, 2)), label="tolerance of an operator"),
    ]
    if any(finding.diverges for finding in every):
        entries.append(Line2D([], [], color=_WRONG, marker="D", markersize=5, linestyle="", label="diverges"))
    if any(finding.verdict in ("refused", "failed") for finding in every):
        entries.append(
            Line2D([], [], color=style.MUTED, marker="x", markersize=5, linestyle="", label="refused or failed")
        )
    legend = figure.legend(
        handles=entries,
        loc="lower left",
        bbox_to_anchor=(_LEFT_IN / figure.get_size_inches()[0], 0.0),
        ncols=3,
        frameon=False,
        fontsize=style.SMALL_PT,
        labelcolor=style.INK,
    )
    legend.set_in_layout(False)


def _height(difference: Difference | None) -> float:
    if difference is None:
        return _LEAST
    relative = difference.deviation.relative
    return _MOST if math.isnan(relative) else min(max(relative, _LEAST), _MOST)


def _tick(value: float, _: object) -> str:
    if value <= _LEAST:
        return "0"
    if value >= _MOST:
        return "infinite"
    return f"{value:.0e}".replace("e-0", "e\N{MINUS SIGN}").replace("e+0", "e").replace("1e0", "1")
