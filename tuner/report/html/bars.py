"""Bars: every plan's simulated time beside its measured one, and how devices spend the makespan."""

from __future__ import annotations

from collections.abc import Sequence

from hetsim.analysis.breakdown import Breakdown
from hetsim.tuner.report.html.markup import Markup, join, tag
from hetsim.tuner.report.outcome import Outcome
from hetsim.tuner.report.wording import format_ms, format_percent

NUM_COLOURS = 8
"""How many colours the style sheet has for devices; further devices begin again."""
_KINDS = ("compute", "launch", "hand-over", "waiting")


def plan_bars(outcome: Outcome, names: Sequence[Markup]) -> Markup:
    """A pair of bars for each plan: simulated, and measured with the interval of its median.

    Lines stand for the best single device and for each engine alone on all cores.

    Args:
        outcome: What the run found.
        names: What to write beside the bars, in the order of its plans.
    """
    single_s = outcome.best_single_device_s
    lines = [] if single_s is None else [("best single device", single_s)]
    threads = f"{outcome.reference_threads} threads"
    lines += [(f"{label} alone, {threads}", time_s) for label, time_s in outcome.reference_engines_s.items()]
    reach_s = max(
        (time_s for plan in outcome.plans for time_s in (plan.simulated_s, plan.measured_s, plan.measured_high_s)),
        default=0.0,
    )
    reach_s = max([reach_s, *(time_s for _, time_s in lines)]) or 1.0
    rows = []
    for name, plan in zip(names, outcome.plans, strict=True):
        simulated = f"{format_ms(plan.simulated_s)} ({format_percent(plan.error, signed=True)})"
        end_s = max(plan.measured_s, plan.measured_high_s)
        interval = _box("interval", plan.measured_low_s / reach_s, (end_s - plan.measured_low_s) / reach_s)
        rows.append(tag("div", name, class_="bar-name"))
        pair = (
            (_box("bar simulated", 0.0, plan.simulated_s / reach_s), _value(simulated, plan.simulated_s / reach_s)),
            (
                _box("bar measured", 0.0, plan.measured_s / reach_s),
                interval,
                _value(format_ms(plan.measured_s), end_s / reach_s),
            ),
        )
        rows.append(tag("div", *(tag("div", *bar) for bar in pair), class_="bar-track"))
    marks = [_box(f"line line-{number}", time_s / reach_s) for number, (_, time_s) in enumerate(lines)]
    legend = [
        tag("span", tag("i", class_="key simulated"), "simulated (difference from measured)"),
        tag("span", tag("i", class_="key measured"), "measured, with the 95 % interval of the median"),
    ]
    legend += [
        tag("span", tag("i", class_=f"key line-{number}"), f"{label}: {format_ms(time_s)}")
        for number, (label, time_s) in enumerate(lines)
    ]
    return tag(
        "figure",
        tag("div", tag("div", *marks, class_="bar-lines", aria_hidden="true"), *rows, class_="bars"),
        tag("figcaption", join(legend, " "), " Times in ms.", class_="legend"),
    )


def where_bars(where: Breakdown) -> Markup:
    """A bar for each device, divided into what it did in the makespan; a table beside it holds the figures."""
    rows = []
    for number, device in enumerate(where.devices):
        left, parts = 0.0, []
        for kind, time_s in zip(
            _KINDS, (device.compute_s, device.launch_s, device.hand_over_s, device.waiting_s), strict=True
        ):
            share = time_s / where.makespan_s if where.makespan_s > 0 else 0.0
            parts.append(_box(f"part {kind}", left, share))
            left += share
        rows.append(tag("div", device.label, class_="bar-name"))
        rows.append(tag("div", *parts, class_=f"where-track device-{number % NUM_COLOURS}"))
    legend = [tag("span", tag("i", class_=f"key {kind}"), kind) for kind in _KINDS]
    return tag(
        "figure",
        tag("div", *rows, class_="bars", aria_hidden="true"),
        tag("figcaption", join(legend, " "), class_="legend"),
    )


def _box(class_: str, left: float, width: float | None = None) -> Markup:
    """Something from ``left`` on, both as fractions of the track."""
    size = "" if width is None else f";width:{max(width, 0.0):.4%}"
    return tag("i", class_=class_, style=f"left:{left:.4%}{size}")


def _value(content: str, left: float) -> Markup:
    return tag("span", content, class_="value", style=f"left:{left:.4%}")
