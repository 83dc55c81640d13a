"""Schedulers compared: makespans relative to the best plan, and planning times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from hetsim.analysis.plots import style


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One scheduler's plan for one problem.

    Attributes:
        problem: The problem's name.
        num_ops: Number of its operators; at least 1.
        scheduler: The scheduler's name.
        simulated_s: Simulated makespan of the plan in seconds; positive.
        planning_s: Planning time in seconds; positive.
    """

    problem: str
    num_ops: int
    scheduler: str
    simulated_s: float
    planning_s: float

    def __post_init__(self) -> None:
        if not (self.simulated_s > 0 and self.planning_s > 0):  # NaN fails too
            raise ValueError(f"{self.problem!r} by {self.scheduler!r} takes {self.simulated_s} s, {self.planning_s} s")


def draw_schedulers(plans: Sequence[Planned], path: Path, *, title: str, most: float = 2.0) -> None:
    """Draw each problem's makespans relative to the best of them, and planning time over size, as a PNG.

    Args:
        plans: The plans; problems are drawn from top to bottom in the order of their first plan.
        path: The PNG file.
        title: Title of the figure.
        most: Larger ratios are drawn as an arrow at the right edge.

    Raises:
        OSError: If the file cannot be written.
    """
    problems = list(dict.fromkeys(plan.problem for plan in plans))
    schedulers = list(dict.fromkeys(plan.scheduler for plan in plans))
    left_in = 0.4 + max((style.text_width_in(name, style.SMALL_PT) for name in problems), default=0.5)
    height_in, rows_in, panel_in = 1.6, max(2.6, 0.26 * len(problems)), 4.6
    width_in, height_in = left_in + 2 * panel_in + 1.2, rows_in + height_in
    figure = style.new_figure(width_in, height_in)
    style.title_figure(figure, title, left_in=left_in)
    box = (0.95 / height_in, panel_in / width_in, rows_in / height_in)
    ratios = figure.add_axes((left_in / width_in, *box))
    times = figure.add_axes(((left_in + panel_in + 0.9) / width_in, *box))
    looks = {name: (style.colour(i), style.MARKERS[i % len(style.MARKERS)]) for i, name in enumerate(schedulers)}
    _draw_ratios(ratios, plans, problems, looks, most)
    _draw_times(times, plans, looks)
    figure.legend(
        handles=[
            Line2D([], [], color=colour, marker=marker, linestyle="none", markersize=6, label=style.plain(name))
            for name, (colour, marker) in looks.items()
        ],
        loc="lower center",
        ncols=min(len(looks), 7) or 1,
        frameon=False,
        fontsize=style.SMALL_PT,
    )
    style.save_figure(figure, path)


Looks = dict[str, tuple[str, str]]
"""By scheduler, colour and marker."""


def _draw_ratios(axes: Axes, plans: Sequence[Planned], problems: Sequence[str], looks: Looks, most: float) -> None:
    style.style_axes(axes)
    best_s = {name: min(plan.simulated_s for plan in plans if plan.problem == name) for name in problems}
    for plan in plans:
        colour, marker = looks[plan.scheduler]
        ratio = plan.simulated_s / best_s[plan.problem]
        axes.plot(
            min(ratio, most),
            problems.index(plan.problem),
            color=colour,
            marker=marker if ratio <= most else "$\\rightarrow$",
            markersize=6 if ratio <= most else 8,
            markeredgewidth=0.5,
            markeredgecolor="white" if ratio <= most else colour,
            clip_on=False,
        )
    axes.set_yticks(range(len(problems)), [style.plain(name) for name in problems])
    axes.tick_params(axis="y", labelsize=style.SMALL_PT)
    axes.set_ylim(len(problems) - 0.5, -0.5)
    axes.set_xlim(0.99, most)
    axes.set_xlabel("Makespan relative to the best plan, simulated", size=style.TEXT_PT, color=style.INK)


def _draw_times(axes: Axes, plans: Sequence[Planned], looks: Looks) -> None:
    style.style_axes(axes)
    for name, (colour, marker) in looks.items():
        points = sorted((plan.num_ops, plan.planning_s) for plan in plans if plan.scheduler == name)
        axes.plot(
            [num_ops for num_ops, _ in points],
            [seconds for _, seconds in points],
            color=colour,
            marker=marker,
            markersize=5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            linestyle="none",  # problems of one size take different times
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("Operators", size=style.TEXT_PT, color=style.INK)
    axes.set_ylabel("Planning time (s)", size=style.TEXT_PT, color=style.INK)
