"""The timeline of an executed plan: simulated above measured on one axis, as HTML that a style sheet lays out.

Every element carries its times in microseconds as custom properties; the style sheet computes places from them by the
part of the axis that is shown, so zooming and panning set two properties of the chart and touch nothing else. Without
JavaScript the chart shows everything and names operators by the browser's own hints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hetsim.core.graph import Graph
from hetsim.core.timeline import Span, Timeline
from hetsim.tuner.report.executed import ExecutedPlan
from hetsim.tuner.report.html.bars import NUM_COLOURS
from hetsim.tuner.report.html.markup import Markup, join, table, tag
from hetsim.tuner.report.wording import format_ms, format_percent

SEGMENT_COLUMNS = ("segment", "device", "start", "simulated", "measured", "error", "operators")
_BAR_TOP, _BAR_BOTTOM = 0.4, 0.96  # of a lane; the style sheet has the same
_HINT_OPS = 12  # operators that a hint names
_MARGIN = 1.01  # what the axis shows beyond the later end
_MANY_HANDOVERS = 40  # from so many on they are drawn faintly

_Key = tuple[str, tuple[str, ...], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lanes:
    """What the panels of a chart share.

    Attributes:
        graph: Names the segments.
        labels: By device, in the order of the lanes.
        numbers: The rows of the segment table, by segment.
        axis_us: Length of the axis in microseconds.
        faint: Whether hand-overs are so many that they are drawn faintly.
    """

    graph: Graph
    labels: Mapping[str, str]
    numbers: Mapping[_Key, int]
    axis_us: float
    faint: bool


def chart(plan: ExecutedPlan, plan_id: str) -> Markup:
    """Both timelines of a plan with a lane for each device.

    Args:
        plan: The plan.
        plan_id: The id of its section; those of its segments in :func:`segment_table` begin with it.
    """
    axis_us = max(plan.simulated.makespan_s, plan.measured.makespan_s) * 1e6 * _MARGIN or 1.0
    numbers = {_key(span): number for number, span in enumerate(plan.measured.compute)}
    devices = {device.device: device.label for device in plan.where.devices}
    error = plan.simulated.makespan_s / plan.measured.makespan_s - 1 if plan.measured.makespan_s > 0 else 0.0
    comparison = f", {format_percent(error, signed=True)} against this run"
    num_handovers = (sum(s.kind == "hand-over" for s in t.spans) for t in (plan.simulated, plan.measured))
    lanes = _Lanes(
        graph=plan.graph, labels=devices, numbers=numbers, axis_us=axis_us, faint=max(num_handovers) > _MANY_HANDOVERS
    )
    panels = [
        _panel(timeline, other, lanes, title, note)
        for timeline, other, title, note in (
            (plan.simulated, plan.measured, "Simulated", comparison),
            (plan.measured, plan.simulated, "Measured", ", the median run"),
        )
    ]
    ticks = (
        tag("span", tag("b", f"{tick_ms:g}"), style=f"--at:{_us(tick_ms * 1e-3)}") for tick_ms in _ticks_ms(axis_us)
    )
    return tag(
        "div",
        tag("div", *ticks, class_="ticks", aria_hidden="true"),
        *panels,
        tag("p", "Time since submission (ms)", class_="axis-name"),
        class_="chart",
        role="group",
        aria_label=f"Timelines of the plan of {plan.name}, simulated above measured",
        data_plan=plan_id,
        data_end=f"{axis_us:.3f}",
        style=f"--from:0;--end:{axis_us:.3f};--shown:{axis_us:.3f}",
    )


def segment_table(plan: ExecutedPlan, plan_id: str) -> Markup:
    """Every segment of the plan with its device, its times in ms and all its operators, by their measured starts."""
    simulated_s = {_key(span): span.duration_s for span in plan.simulated.compute}
    labels = {device.device: device.label for device in plan.where.devices}
    rows, ids = [], []
    for number, span in enumerate(plan.measured.compute):
        expected_s = simulated_s.get(_key(span))
        rows.append(
            (
                plan.graph.label(span.ops),
                labels.get(span.device, span.device),
                format_ms(span.start_s),
                "" if expected_s is None else format_ms(expected_s),
                format_ms(span.duration_s),
                _error(expected_s, span.duration_s),
                tag("span", *(tag("span", op) for op in span.ops), class_="ops"),
            )
        )
        ids.append(f"{plan_id}-segment-{number}")
    return table(SEGMENT_COLUMNS, rows, ids=ids, class_="segments", caption=f"Segments of the plan of {plan.name}")


def legend(plan: ExecutedPlan) -> Markup:
    """What colours and lines of the chart mean."""
    keys = [
        tag("span", tag("i", class_=f"key device-{number % NUM_COLOURS}"), f"{device.label}: segment")
        for number, device in enumerate(plan.where.devices)
    ]
    for class_, meaning in (
        ("waiting", "waiting"),
        ("handover", "hand-over, dot at the receiver"),
        ("own-end", "end"),
        ("other-end", "end of the other timeline"),
    ):
        keys.append(tag("span", tag("i", class_=f"key {class_}"), meaning))
    return tag("p", join(keys, " "), class_="legend")


def _panel(timeline: Timeline, other: Timeline, shared: _Lanes, title: str, note: str) -> Markup:
    """One timeline: its title, lanes, hand-overs and ends."""
    complete = timeline.with_waits()
    lanes = []
    for lane, (name, label) in enumerate(shared.labels.items()):
        spans = [span for span in complete.spans if span.device == name and span.kind != "hand-over"]
        spans.sort(key=lambda span: span.kind != "wait")  # bars lie on what was waited for
        shades = {_key(span): number % 2 for number, span in enumerate(s for s in spans if s.kind == "compute")}
        bars = (
            _bar(span, shared.graph, label, shared.numbers.get(_key(span)), shades.get(_key(span), 0)) for span in spans
        )
        lanes.append(
            tag(
                "div",
                tag("span", label, class_="lane-name"),
                tag("div", *bars, class_=f"track device-{lane % NUM_COLOURS}"),
                class_="lane",
            )
        )
    ends = [
        tag("i", class_="end other", style=f"--at:{_us(other.makespan_s)}"),
        tag("i", class_="end own", style=f"--at:{_us(timeline.makespan_s)}"),
    ]
    heading = tag("p", tag("b", title), f" {format_ms(timeline.makespan_s)} ms{note}", class_="panel-title")
    body = tag("div", *ends, _handovers(complete, shared), *lanes, class_="lanes")
    return tag("div", heading, body, class_=f"panel {timeline.origin}", data_origin=timeline.origin)


def _bar(span: Span, graph: Graph, device: str, number: int | None, shade: int) -> Markup:
    """A segment, or the wait for one."""
    label = graph.label(span.ops)
    place = f"--s:{_us(span.start_s)};--d:{_us(max(span.duration_s, 1e-9))}"
    if span.kind == "wait":
        return tag(
            "i", class_="wait", style=place, title=f"{device} waits for {label}: {format_ms(span.duration_s)} ms"
        )
    shown = ", ".join(span.ops[:_HINT_OPS])
    if len(span.ops) > _HINT_OPS:
        shown += f" and {len(span.ops) - _HINT_OPS} more"
    return tag(
        "div",
        tag("span", label),
        class_="segment shaded" if shade else "segment",
        style=place,
        title=f"{label} on {device}, {format_ms(span.duration_s)} ms: {shown}",
        role="img",
        data_segment=None if number is None else str(number),
    )


def _handovers(timeline: Timeline, shared: _Lanes) -> Markup:
    """Lines from lane to lane with a dot at the receiver; the picture is as wide as the whole axis."""
    names = tuple(shared.labels)
    spans = [span for span in timeline.spans if span.kind == "hand-over" and span.source in names]
    lines = []
    for span in spans:
        source, target = names.index(span.source), names.index(span.device)
        leaves, reaches = (_BAR_BOTTOM, _BAR_TOP) if target > source else (_BAR_TOP, _BAR_BOTTOM)
        start, end, y = _us(span.start_s), _us(span.end_s), f"{target + reaches:g}"
        route = f"M{start} {source + leaves:g}L{end} {y}"
        hint = (
            f"{span.tensor or 'hand-over'} from {shared.labels[span.source]} to {shared.labels[span.device]}: "
            f"{span.duration_s * 1e6:.1f} us"
        )
        lines.append(
            tag(
                "g",
                tag("title", hint),
                tag("path", d=route, class_="reach"),
                tag("path", d=route, class_="line"),
                tag("path", d=f"M{end} {y}h0", class_="dot"),
                class_="handover",
            )
        )
    return tag(
        "svg",
        tag("g", *lines, class_="view"),
        class_="handovers many" if shared.faint else "handovers",
        viewBox=f"0 0 {shared.axis_us:.3f} {len(names)}",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _ticks_ms(axis_us: float) -> list[float]:
    """At most seven round places on the axis, in ms."""
    step = 10.0 ** math.floor(math.log10(axis_us / 1e3))
    step = next(step * factor for factor in (0.1, 0.2, 0.5, 1.0, 2.0) if axis_us / 1e3 / (step * factor) < 7)
    return [number * step for number in range(math.floor(axis_us / 1e3 / step) + 1)]


def _key(span: Span) -> _Key:
    return span.device, span.ops, span.request


def _error(simulated_s: float | None, measured_s: float) -> str:
    return "" if simulated_s is None or measured_s <= 0 else format_percent(simulated_s / measured_s - 1, signed=True)


def _us(time_s: float) -> str:
    """Microseconds to the nanosecond, without zeros that say nothing."""
    return f"{time_s * 1e6:.3f}".rstrip("0").rstrip(".")
