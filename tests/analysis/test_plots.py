"""Pictures: a PNG of a sane size comes out of odd inputs too, and nothing warns (warnings are errors here)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from hetsim.analysis.plots.curves import Curve, Mark, Measurement, _spread, draw_curves
from hetsim.analysis.plots.heat import draw_heat_map
from hetsim.analysis.plots.plans import Baseline, Comparison, PlanRow, ScatterRow, draw_plans, draw_scatter
from hetsim.analysis.plots.timelines import draw_timelines
from hetsim.core.graph import Graph
from hetsim.core.timeline import Origin, Span, Timeline
from hetsim.io.platform_file import load_platform

PLATFORM = load_platform()
GRAPH = Graph(name="net", ops=(), tensors={}, inputs=(), outputs=())  # no operator of it only moves data


def png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


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


@pytest.mark.parametrize("num_segments", [0, 1, 5, 300, 400])
def test_timelines_of_any_length(tmp_path: Path, num_segments: int) -> None:
    path = tmp_path / "timeline.png"
    draw_timelines(
        ping_pong("simulated", num_segments), ping_pong("measured", num_segments), path,
        platform=PLATFORM, graph=GRAPH, title="odd $name_1$",
    )  # fmt: skip
    width, height = png_size(path)
    assert 1200 < width < 2400
    assert 400 < height < 1200


def test_timeline_with_one_side_empty_and_a_device_the_platform_lacks(tmp_path: Path) -> None:
    strange = Timeline(
        origin="measured", spans=(Span(kind="compute", device="dsp", ops=("a",), start_s=0.0, end_s=1e-3),)
    )
    path = tmp_path / "timeline.png"
    draw_timelines(Timeline(origin="simulated", spans=()), strange, path, platform=PLATFORM, graph=GRAPH, title="half")
    assert png_size(path)[1] > 500


def test_one_timeline_alone_is_half_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "timeline.png"
    draw_timelines(None, ping_pong("measured", 3), path, platform=PLATFORM, graph=GRAPH, title="measured only")
    assert png_size(path)[1] < 500
    with pytest.raises(ValueError, match="needs a simulated timeline, a measured one, or both"):
        draw_timelines(None, None, path, platform=PLATFORM, graph=GRAPH, title="nothing")


def test_a_critical_path_is_seen_where_it_is_simulated(tmp_path: Path) -> None:
    for origin, changes in (("simulated", True), ("measured", False)):
        timeline = ping_pong(origin, 5)  # type: ignore[arg-type]
        given = (timeline, None) if origin == "simulated" else (None, timeline)
        for name, critical in (("plain.png", ()), ("path.png", timeline.spans)):
            draw_timelines(*given, tmp_path / name, platform=PLATFORM, graph=GRAPH, title="t", critical=critical)
        assert png_size(tmp_path / "plain.png") == png_size(tmp_path / "path.png")
        assert ((tmp_path / "plain.png").read_bytes() != (tmp_path / "path.png").read_bytes()) == changes


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
def test_plans(tmp_path: Path, num_rows: int) -> None:
    rows = [
        PlanRow(scheduler=f"scheduler_{i}", simulated_s=0.01, measured_s=0.011, low_s=0.0108, high_s=0.012)
        for i in range(num_rows)
    ]
    draw_plans(rows, tmp_path / "plans.png", title="bare")
    bare_height = png_size(tmp_path / "plans.png")[1]
    against = Comparison(
        best_single=Baseline(label="best single device, cpu", seconds=0.013),
        references=(Baseline(label="cpu engine, two threads", seconds=0.009),),
    )
    draw_plans(rows, tmp_path / "plans.png", title="compared", against=against)
    assert png_size(tmp_path / "plans.png")[1] > bare_height


@pytest.mark.parametrize(
    "models_s", [{}, {"tiny": 0.0}, {"tiny": 0.003}, {"tiny": 0.003, "big": 0.2}, {f"m{i}": i + 0.1 for i in range(12)}]
)
def test_scatter_of_no_point_of_zero_time_of_wide_ranges_and_of_more_models_than_colours(
    tmp_path: Path, models_s: dict[str, float]
) -> None:
    rows = [
        ScatterRow(model=model, scheduler="search", simulated_s=s, measured_s=s * 1.1, low_s=s, high_s=s * 1.2)
        for model, s in models_s.items()
    ]
    draw_scatter(rows, tmp_path / "scatter.png", title="scatter")
    assert min(png_size(tmp_path / "scatter.png")) > 800


@pytest.mark.parametrize("times_s", [(), (0.01,), (0.01, 0.008), (0.1, 0.002)])
def test_curves(tmp_path: Path, times_s: tuple[float, ...]) -> None:
    speeds = (0.25, 8.0)[: len(times_s)]
    measured = tuple(
        Measurement(value=speed, seconds=time_s, low_s=time_s * 0.9, high_s=time_s * 1.1)
        for speed, time_s in zip(speeds, times_s, strict=True)
    )
    curves = [
        Curve(label="net", values=speeds, latencies_s=times_s, measured=measured),
        Curve(label="net, limit", values=speeds, latencies_s=times_s, dashed=True),
    ]
    for counted in (False, True):
        draw_curves(
            curves if times_s else [],
            tmp_path / "curves.png",
            title="curves",
            subtitle="hypothetical",
            x_label="Speed",
            counted=counted,
            marks=[Mark(value=2.0, label="no longer helps")],
        )
    assert min(png_size(tmp_path / "curves.png")) > 700


@pytest.mark.parametrize("gains", [[[0.0]], [[0.0, 12.0], [3.0, 250.0]]])
def test_heat_maps(tmp_path: Path, gains: list[list[float]]) -> None:
    draw_heat_map(
        [f"{x}" for x in range(len(gains))],
        [f"$y{y}" for y in range(len(gains))],
        gains,
        tmp_path / "heat.png",
        title="a map",
        x_label="Speed",
        y_label="Bandwidth (GB/s)",
    )
    assert min(png_size(tmp_path / "heat.png")) > 200


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
