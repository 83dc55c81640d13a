"""A simulated timeline above the measured one, on one axis of time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Patch

from hetsim.analysis.plots import style
from hetsim.core.graph import Graph
from hetsim.core.platform import Platform
from hetsim.core.timeline import Span, Timeline

_WIDTH_IN = 11.0
_LANE_IN = 0.52
_HEADER_IN = 0.38  # above each panel, for its makespan
_BAR = 0.66  # height of a bar, in lanes
_CRITICAL, _CRITICAL_PT = "#B00020", 1.8
_MAX_ARROWS = 40
_MAX_LINES = 300


def draw_timelines(
    simulated: Timeline | None,
    measured: Timeline | None,
    path: Path,
    *,
    platform: Platform,
    graph: Graph,
    title: str,
    critical: Sequence[Span] = (),
) -> None:
    """Write :func:`figure_of_timelines` to a PNG file.

    Raises:
        ValueError: If there is neither timeline.
        OSError: If the file cannot be written.
    """
    figure = figure_of_timelines(simulated, measured, platform=platform, graph=graph, title=title, critical=critical)
    style.save_figure(figure, path)


def figure_of_timelines(
    simulated: Timeline | None,
    measured: Timeline | None,
    *,
    platform: Platform,
    graph: Graph,
    title: str,
    critical: Sequence[Span] = (),
) -> Figure:
    """The simulated timeline above the measured one, with a lane for each device.

    Segments carry their name where it fits. Up to 40 hand-overs are drawn as arrows, up to 300 as thin lines; more are
    only counted. Segments alternate between two shades of their device's colour, so that neighbours can be told apart.

    Args:
        simulated: Upper panel; None leaves it out.
        measured: Lower panel; None leaves it out.
        platform: Gives the lanes and their names; a device that is not real hardware has its nature in its name.
        graph: Gives the segments' names.
        title: Title of the figure.
        critical: Spans of the simulated timeline that decide its makespan, first to last; they are framed.

    Raises:
        ValueError: If there is neither timeline.
    """
    given = [timeline for timeline in (simulated, measured) if timeline is not None]
    if not given:
        raise ValueError("a picture of timelines needs a simulated timeline, a measured one, or both")
    names = tuple(dict.fromkeys((*platform.device_names, *(s.device for t in given for s in t.compute))))
    labels = {device.name: device.label for device in platform.devices}
    lanes = tuple(labels.get(name, name) for name in names)
    panels = [(timeline.origin.capitalize(), timeline.with_waits()) for timeline in given]
    panel_in = _LANE_IN * len(names) + 0.1
    left_in = 0.35 + max(style.text_width_in(lane) for lane in lanes)
    height_in = 0.42 + len(panels) * (panel_in + _HEADER_IN) + 0.95
    figure = style.new_figure(_WIDTH_IN, height_in)
    style.title_figure(figure, title, left_in=left_in)
    end_s = max(t.makespan_s for _, t in panels)
    num_not_drawn = 0
    for number, (name, timeline) in enumerate(panels):
        bottom_in = 0.95 + (len(panels) - 1 - number) * (panel_in + _HEADER_IN)
        axes = figure.add_axes(
            (left_in / _WIDTH_IN, bottom_in / height_in, 1 - (left_in + 0.3) / _WIDTH_IN, panel_in / height_in)
        )
        _style_panel(axes, lanes, end_s, is_last=number == len(panels) - 1)
        num_not_drawn += _draw_panel(axes, timeline, names, graph)
        if timeline.origin == "simulated":
            _draw_critical(axes, critical, names)
        _draw_makespans(axes, name, timeline, other=panels[1 - number][1] if len(panels) == 2 else None)
    _draw_legend(figure, panels, lanes, num_not_drawn, with_critical=bool(critical) and simulated is not None)
    return figure


def _style_panel(axes: Axes, lanes: Sequence[str], end_s: float, *, is_last: bool) -> None:
    """The axes of one timeline; only the last panel has labels on its axis of time."""
    axes.set_xlim(0, end_s * 1e3 * 1.01 if end_s > 0 else 1.0)
    axes.set_ylim(len(lanes) - 0.5 + 0.1, -0.5 - 0.1)
    style.style_axes(axes, grid="x")
    axes.spines["left"].set_visible(False)
    axes.set_yticks(range(len(lanes)), lanes)
    axes.tick_params(axis="y", length=0)
    if is_last:
        axes.set_xlabel("Time since submission (ms)", size=style.TEXT_PT, color=style.INK)
    else:
        axes.tick_params(axis="x", labelbottom=False)


def _draw_panel(axes: Axes, timeline: Timeline, names: Sequence[str], graph: Graph) -> int:
    """Bars, labels and hand-overs of one timeline; returns how many hand-overs were too many to draw."""
    num_spans = len(timeline.compute)
    edge_pt = 0.8 if num_spans <= 60 else 0.4 if num_spans <= 150 else 0.15
    for lane, name in enumerate(names):
        waits = [span for span in timeline.spans if span.kind == "wait" and span.device == name]
        if waits:
            axes.broken_barh(
                [_range_ms(span) for span in waits],
                (lane - _BAR / 2, _BAR),
                facecolors="#FAFAFA",
                edgecolors="#D2D2D2",
                hatch="////",
                linewidth=0.0,
            )
        ran = [span for span in timeline.compute if span.device == name]
        if ran:
            colour = style.colour(lane)
            shades = [style.lighter(colour, 0.30), style.lighter(colour, 0.50)]
            axes.broken_barh(
                [_range_ms(span) for span in ran],
                (lane - _BAR / 2, _BAR),
                facecolors=[shades[i % 2] for i in range(len(ran))],
                edgecolors="white",
                linewidth=edge_pt,
            )
            for span in ran:
                _draw_label(axes, span, lane, graph.label(span.ops))
    return _draw_handovers(axes, timeline, names)


def _range_ms(span: Span) -> tuple[float, float]:
    return span.start_s * 1e3, span.duration_s * 1e3


def _draw_label(axes: Axes, span: Span, lane: int, label: str) -> None:
    """The segment's name inside its bar, or the end of it, or how many operators it has: the first that fits."""
    (left, _), (right, _) = axes.transData.transform([(span.start_s * 1e3, 0), (span.end_s * 1e3, 0)])
    room = right - left - 8
    num_ops = f"{len(span.ops)} ops" if len(span.ops) > 1 else ""
    for description in dict.fromkeys((label, label.rpartition("/")[2], num_ops)):
        if not description or room < 12:
            continue
        # Names of operators may have dollar signs, which would start a formula.
        text = axes.text(
            (span.start_s + span.end_s) * 5e2,
            lane,
            description,
            size=7.5,
            color=style.INK,
            ha="center",
            va="center",
            parse_math=False,
        )
        if text.get_window_extent().width <= room:
            return
        text.remove()


def _draw_handovers(axes: Axes, timeline: Timeline, names: Sequence[str]) -> int:
    """Arrows or lines between lanes; returns how many there were if they are too many to draw."""
    handovers = [span for span in timeline.spans if span.kind == "hand-over" and span.source in names]
    if len(handovers) > _MAX_LINES:
        return len(handovers)
    lines = []
    for span in handovers:
        source, target = names.index(span.source), names.index(span.device)
        towards = 1 if target > source else -1
        lines.append(
            [
                (span.start_s * 1e3, source + towards * _BAR / 2),
                (span.end_s * 1e3, target - towards * _BAR / 2),
            ]
        )
    if len(lines) <= _MAX_ARROWS:
        for start, end in lines:
            axes.add_patch(
                FancyArrowPatch(
                    start,
                    end,
                    arrowstyle="-|>",
                    mutation_scale=6,
                    linewidth=0.8,
                    color=style.INK,
                    shrinkA=0,
                    shrinkB=0,
                    zorder=4,
                )
            )
    else:
        axes.add_collection(
            LineCollection(lines, colors=style.INK, linewidths=0.5, alpha=0.45, zorder=4), autolim=False
        )
    return 0


def _draw_critical(axes: Axes, critical: Sequence[Span], names: Sequence[str]) -> None:
    """A frame around the path's segments, and a line from lane to lane where it changes devices."""
    lines = []
    for earlier, later in zip((None, *critical), critical, strict=False):
        lane = names.index(later.device)
        if later.kind == "compute":
            axes.broken_barh(
                [_range_ms(later)],
                (lane - _BAR / 2, _BAR),
                facecolors="none",
                edgecolors=_CRITICAL,
                linewidth=_CRITICAL_PT,
                zorder=5,
            )
        source = later.source or (earlier.device if earlier else later.device)
        if source != later.device:
            towards = 1 if lane > names.index(source) else -1
            start_s, end_s = (later.start_s, later.end_s if later.kind == "hand-over" else later.start_s)
            lines.append(
                [
                    (start_s * 1e3, names.index(source) + towards * _BAR / 2),
                    (end_s * 1e3, lane - towards * _BAR / 2),
                ]
            )
    axes.add_collection(LineCollection(lines, colors=_CRITICAL, linewidths=_CRITICAL_PT, zorder=5), autolim=False)


def _draw_makespans(axes: Axes, name: str, timeline: Timeline, *, other: Timeline | None) -> None:
    """Mark the ends of both timelines, and write the makespan and a simulation's error above the panel."""
    own_s = timeline.makespan_s
    if other is not None:
        axes.axvline(other.makespan_s * 1e3, color=style.MUTED, linewidth=1.0, linestyle=(0, (3, 2)), zorder=3)
    axes.axvline(own_s * 1e3, color=style.INK, linewidth=1.3, zorder=3)
    says = f"{own_s * 1e3:.2f} ms"
    if other is not None and timeline.origin == "simulated" and other.origin == "measured" and other.makespan_s > 0:
        says += f", {style.signed_percent(own_s / other.makespan_s - 1)} against measured"
    axes.annotate(
        name,
        (0, 1),
        (0, 5),
        xycoords="axes fraction",
        textcoords="offset points",
        size=10,
        weight="bold",
        color=style.INK,
    )
    axes.annotate(
        says,
        (1, 1),
        (0, 5),
        xycoords="axes fraction",
        textcoords="offset points",
        size=style.TEXT_PT,
        color=style.INK,
        ha="right",
    )


def _draw_legend(
    figure: Figure,
    panels: Sequence[tuple[str, Timeline]],
    lanes: Sequence[str],
    num_not_drawn: int,
    *,
    with_critical: bool,
) -> None:
    """The legend below the axis."""
    handles: list[Patch | Line2D] = [
        Patch(facecolor=style.lighter(style.colour(i), 0.30), label=f"{lane}: segment") for i, lane in enumerate(lanes)
    ]
    handles.append(Patch(facecolor="#FAFAFA", edgecolor="#C4C4C4", hatch="////", linewidth=0, label="waiting"))
    num_handovers = [sum(span.kind == "hand-over" for span in timeline.spans) for _, timeline in panels]
    if num_not_drawn:
        handles.append(Line2D([], [], linestyle="", label=f"{num_not_drawn} hand-overs, too many to draw"))
    elif any(num_handovers):
        handles.append(Line2D([], [], color=style.INK, linewidth=0.8, label="hand-over"))
    if with_critical:
        handles.append(Line2D([], [], color=_CRITICAL, linewidth=_CRITICAL_PT, label="critical path"))
    handles.append(Line2D([], [], color=style.INK, linewidth=1.3, label="end"))
    if len(panels) > 1:
        dashes = (0, (3, 2))
        handles.append(
            Line2D([], [], color=style.MUTED, linewidth=1.0, linestyle=dashes, label="end of the other timeline")
        )
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=min(len(handles), 6),
        frameon=False,
        fontsize=style.SMALL_PT,
        handlelength=1.8,
        columnspacing=1.8,
        borderaxespad=0.6,
    )
