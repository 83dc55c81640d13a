"""Pictures: what is drawn, from odd inputs too; nothing warns (warnings are errors here)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from hetsim.analysis.plots.bars import Bar, Group, figure_of_bars
from hetsim.analysis.plots.curves import Curve, Mark, Measurement, _spread, draw_curves
from hetsim.analysis.plots.heat import draw_heat_map
from hetsim.analysis.plots.plans import Baseline, PlanRow, References, draw_plans, figure_of_plans
from hetsim.analysis.plots.scatter import ScatterRow, figure_of_scatter
from hetsim.analysis.plots.timelines import draw_timelines, figure_of_timelines
from hetsim.core.graph import Graph
from hetsim.core.timeline import Origin, Span, Timeline
from hetsim.io.platform_file import load_platform
from tests.support.pictures import drawn_axes, legend_of, recorded_pictures

PLATFORM = load_platform()
GRAPH = Graph(name="net", ops=(), tensors={}, inputs=(), outputs=())  # no operator of it only moves data
CRITICAL_COLOUR = (0xB0 / 255, 0.0, 0x20 / 255)


def ping_pong(origin: Origin, num_segments: int) -> Timeline:
    """Segments that take turns on the two devices, with a hand-over between neighbours."""
    spans = []
    for i in range(num_segments):
        device, other = ("cpu", "npu") if i % 2 else ("npu", "cpu")
        ops, start_s = (f"block/$conv_{i}", "relu"), i * 1.1e-4
        if i:
            spans.append(
                Span(kind="hand-over", device=device, ops=ops, start_s=start_s - 1e-5, end_s=start_s, source=other)
            )
        spans.append(Span(kind="compute", device=device, ops=ops, start_s=start_s, end_s=start_s + 1e-4))
    return Timeline(origin=origin, spans=tuple(spans))


def num_segments(axes: Axes) -> int:
    """How many filled bars without a hatch a panel of a timeline has: its segments."""
    bars = [one for one in axes.collections if isinstance(one, PolyCollection) and one.get_hatch() is None]
    return sum(len(one.get_paths()) for one in bars if len(one.get_facecolor()))


def num_framed(axes: Axes) -> int:
    """How many bars have a frame in the colour of the critical path."""
    bars = [one for one in axes.collections if isinstance(one, PolyCollection) and not len(one.get_facecolor())]
    return sum(len(one.get_paths()) for one in bars if tuple(one.get_edgecolor()[0][:3]) == CRITICAL_COLOUR)


def num_hand_overs(axes: Axes) -> tuple[int, int]:
    """How many hand-overs are arrows, and how many are thin lines."""
    lines = [one for one in axes.collections if isinstance(one, LineCollection) and one.get_linewidth()[0] < 1]
    arrows = [one for one in axes.patches if isinstance(one, FancyArrowPatch)]
    return len(arrows), sum(len(one.get_segments()) for one in lines)


def timelines(simulated: Timeline | None, measured: Timeline | None, critical: tuple[Span, ...] = ()) -> Figure:
    return figure_of_timelines(
        simulated, measured, platform=PLATFORM, graph=GRAPH, title="odd $name_1$", critical=critical
    )


@pytest.mark.parametrize(
    ("length", "hand_overs"), [(0, (0, 0)), (1, (0, 0)), (5, (4, 0)), (300, (0, 299)), (400, (0, 0))]
)
def test_timelines_of_any_length(length: int, hand_overs: tuple[int, int]) -> None:
    figure = timelines(ping_pong("simulated", length), ping_pong("measured", length))
    upper, lower = figure.axes
    for axes in (upper, lower):
        assert num_segments(axes) == length
        assert num_hand_overs(axes) == hand_overs
        assert [tick.get_text() for tick in axes.get_yticklabels()] == [device.label for device in PLATFORM.devices]
    assert (upper.get_xlabel(), lower.get_xlabel()) == ("", "Time since submission (ms)")
    assert upper.get_xlim() == lower.get_xlim()
    legend = legend_of(figure)
    assert ("hand-over" in legend) == (1 < length < 400)
    assert ("798 hand-overs, too many to draw" in legend) == (length == 400)
    assert "odd $name_1$" in drawn_axes(figure)[0].texts


def test_a_device_that_is_not_real_hardware_says_so() -> None:
    hypothetical = [replace(device, nature="hypothetical") for device in PLATFORM.devices]
    platform = PLATFORM.with_devices(*hypothetical)
    figure = figure_of_timelines(ping_pong("simulated", 2), None, platform=platform, graph=GRAPH, title="t")
    assert "npu (hypothetical)" in [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert "npu (hypothetical): segment" in legend_of(figure)


def test_a_timeline_may_be_empty_and_have_a_device_that_the_platform_lacks() -> None:
    strange = Timeline(
        origin="measured", spans=(Span(kind="compute", device="dsp", ops=("a",), start_s=0.0, end_s=1e-3),)
    )
    upper, lower = timelines(Timeline(origin="simulated", spans=()), strange).axes
    assert (num_segments(upper), num_segments(lower)) == (0, 1)
    assert lower.get_yticklabels()[-1].get_text() == "dsp"


def test_one_timeline_alone_has_one_panel() -> None:
    (axes,) = timelines(None, ping_pong("measured", 3)).axes
    assert [text.get_text() for text in axes.texts][-2:] == ["Measured", "0.32 ms"]
    with pytest.raises(ValueError, match="needs a simulated timeline, a measured one, or both"):
        timelines(None, None)


def test_a_simulation_s_error_stands_above_it() -> None:
    upper, lower = timelines(ping_pong("simulated", 3), ping_pong("measured", 6)).axes
    # 0.32 ms against 0.65 ms.
    assert upper.texts[-1].get_text() == "0.32 ms, \N{MINUS SIGN}50.8 % against measured"
    assert lower.texts[-1].get_text() == "0.65 ms"


def test_a_critical_path_is_framed_in_the_simulated_panel_only() -> None:
    simulated, measured = ping_pong("simulated", 5), ping_pong("measured", 5)
    for critical in ((), simulated.spans):
        figure = timelines(simulated, measured, critical)
        assert [num_framed(axes) for axes in figure.axes] == [5 if critical else 0, 0]
        assert ("critical path" in legend_of(figure)) == bool(critical)
    assert "critical path" not in legend_of(timelines(None, measured, measured.spans))


def test_same_input_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_timelines(
            ping_pong("simulated", 3),
            ping_pong("measured", 3),
            tmp_path / name,
            platform=PLATFORM,
            graph=GRAPH,
            title="t",
        )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("num_rows", [0, 1, 12])
def test_plans(num_rows: int) -> None:
    rows = [
        PlanRow(scheduler=f"scheduler_{i}", simulated_s=0.01, measured_s=0.0125, low_s=0.0108, high_s=0.014)
        for i in range(num_rows)
    ]
    against = References(
        best_single=Baseline(label="best single device, cpu", seconds=0.013),
        references=(Baseline(label="cpu engine, two threads", seconds=0.009),),
    )
    figure = figure_of_plans(rows, title="compared", against=against)
    (axes,) = drawn_axes(figure)
    assert axes.x_label == "Time of one inference (ms)"
    assert axes.num_bars == 2 * num_rows
    assert axes.texts.count("10.00 (\N{MINUS SIGN}20.0 %)") == axes.texts.count("12.50") == num_rows
    assert legend_of(figure) == (
        "simulated (difference from measured)",
        "measured, median; whisker: interquartile range",
        "best single device, cpu: 13.00 ms",
        "cpu engine, two threads: 9.00 ms",
    )
    assert len(legend_of(figure_of_plans(rows, title="bare"))) == 2


@pytest.mark.parametrize(
    "models_s", [{}, {"tiny": 0.0}, {"tiny": 0.003}, {"tiny": 0.003, "big": 0.2}, {f"m{i}": i + 0.1 for i in range(12)}]
)
def test_scatter_of_no_point_of_zero_time_of_wide_ranges_and_of_more_models_than_colours(
    models_s: dict[str, float],
) -> None:
    rows = [
        ScatterRow(model=model, scheduler="search", simulated_s=s, measured_s=s * 1.25, low_s=s, high_s=s * 1.5)
        for model, s in models_s.items()
    ]
    figure = figure_of_scatter(rows, title="scatter")
    times, errors = drawn_axes(figure)
    assert (times.y_label, errors.x_label, errors.y_label) == (
        "Measured, median (ms)",
        "Simulated (ms)",
        "Simulation error (%)",
    )
    assert times.num_points == len(rows)
    assert errors.num_points == sum(s > 0 for s in models_s.values())
    assert set(models_s) <= set(times.texts)
    assert (figure.axes[0].get_xscale() == "log") == (len(models_s) > 1)
    if errors.num_points:
        subtitle = f"{len(rows)} plan{'s' * (len(rows) > 1)}; absolute error 20.0 % on average, 20.0 % at worst"
        assert subtitle in times.texts


def test_bars() -> None:
    groups = [
        Group(label="first\n$x$", bars=(Bar(label="measured", value=2.0, low=1.0, high=3.0), Bar(label="b", value=-1))),
        Group(label="second", bars=(Bar(label="measured", value=1.25),)),
    ]
    figure = figure_of_bars(groups, title="bars", axis="Latency (ms)", subtitle="hypothetical")
    (axes,) = drawn_axes(figure)
    assert (axes.x_label, axes.num_bars, axes.num_lines) == ("Latency (ms)", 3, 1)
    assert {"2", "-1", "1.25", "first\n\\$x\\$", "second", "bars", "hypothetical"} <= set(axes.texts)
    assert legend_of(figure) == ("measured", "b")
    named = figure_of_bars(groups, title="bars", axis="Latency (ms)", named=True)
    assert "1.25  measured" in drawn_axes(named)[0].texts
    assert not named.legends
    assert drawn_axes(figure_of_bars([], title="none", axis="Latency (ms)"))[0].num_bars == 0


@pytest.mark.parametrize("times_s", [(), (0.01,), (0.01, 0.008), (0.1, 0.002)])
@pytest.mark.parametrize("counted", [False, True])
def test_curves(tmp_path: Path, times_s: tuple[float, ...], counted: bool) -> None:
    speeds = (0.25, 8.0)[: len(times_s)]
    measured = tuple(
        Measurement(value=speed, seconds=time_s, low_s=time_s * 0.9, high_s=time_s * 1.1)
        for speed, time_s in zip(speeds, times_s, strict=True)
    )
    curves = [
        Curve(label="net", values=speeds, latencies_s=times_s, measured=measured),
        Curve(label="net, limit", values=speeds, latencies_s=times_s, dashed=True),
    ]
    with recorded_pictures() as pictures:
        draw_curves(
            curves if times_s else [],
            tmp_path / "curves.png",
            title="curves",
            subtitle="hypothetical",
            x_label="Speed",
            counted=counted,
            marks=[Mark(value=2.0, label="no longer helps")],
        )
    (axes,) = pictures.axes(tmp_path / "curves.png")
    assert (axes.x_label, axes.y_label) == ("Speed", "Latency, simulated (ms)")
    assert axes.num_points == 3 * len(times_s)  # each measured latency: a ring and the two ends of its interval
    assert {"curves", "hypothetical", "no longer helps"} <= set(axes.texts)
    assert ({"net", "net, limit"} <= set(axes.texts)) == bool(times_s)


@pytest.mark.parametrize("gains", [[[0.0]], [[0.0, 12.0], [3.0, 250.0]]])
def test_heat_maps(tmp_path: Path, gains: list[list[float]]) -> None:
    with recorded_pictures() as pictures:
        draw_heat_map(
            [f"{x}" for x in range(len(gains))],
            [f"$y{y}" for y in range(len(gains))],
            gains,
            tmp_path / "heat.png",
            title="a map",
            x_label="Speed",
            y_label="Bandwidth (GB/s)",
        )
    (axes,) = pictures.axes(tmp_path / "heat.png")
    assert (axes.x_label, axes.y_label) == ("Speed", "Bandwidth (GB/s)")
    assert axes.num_cells == sum(map(len, gains))
    assert {f"{gain:.0f}" for row in gains for gain in row} <= set(axes.texts)


@pytest.mark.parametrize(
    ("speeds", "times_s", "message"),
    [
        ((1.0,), (), "1 values but 0 latencies"),
        ((0.0,), (1.0,), "must be > 0"),
        ((1.0,), (float("nan"),), "must be > 0"),
    ],
)
def test_curve_refuses_what_cannot_be_drawn(
    speeds: tuple[float, ...], times_s: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Curve(label="net", values=speeds, latencies_s=times_s)


def test_labels_are_moved_apart_as_little_as_it_takes() -> None:
    assert _spread([0.0, 100.0], 10) == [0.0, 100.0]
    assert _spread([50.0, 50.0], 10) == [45.0, 55.0]
    assert _spread([3.0, 1.0, 2.0], 10) == [12.0, -8.0, 2.0]


def test_unwritable_path_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        draw_plans([], tmp_path / "file" / "plans.png", title="nowhere")
