"""Timelines: sums over their spans, and the waits between them."""

from __future__ import annotations

from hetsim.core.timeline import Span, Timeline


def _ran(device: str, op: str, start_s: float, end_s: float) -> Span:
    return Span(kind="compute", device=device, ops=(op,), start_s=start_s, end_s=end_s)


TIMELINE = Timeline(
    origin="simulated",
    spans=(
        _ran("cpu", "a", 0.0, 1.0),
        _ran("cpu", "b", 1.0, 2.0),
        Span(kind="hand-over", device="npu", ops=("c",), start_s=1.0, end_s=1.25, tensor="a.out", source="cpu"),
        _ran("npu", "c", 1.25, 2.75),
        _ran("cpu", "d", 3.0, 4.0),
    ),
)


def test_waits_fill_the_gaps_before_segments_once() -> None:
    waits = [span for span in TIMELINE.with_waits().spans if span.kind == "wait"]
    assert [(s.device, s.ops, s.start_s, s.end_s) for s in waits] == [
        ("npu", ("c",), 0.0, 1.25),
        ("cpu", ("d",), 2.0, 3.0),
    ]
    assert TIMELINE.with_waits().with_waits() == TIMELINE.with_waits()


def test_sums() -> None:
    assert TIMELINE.makespan_s == 4.0
    assert (TIMELINE.busy_s("cpu"), TIMELINE.busy_s("npu"), TIMELINE.busy_s("tpu")) == (3.0, 1.5, 0)
    assert Timeline(origin="measured", spans=()).makespan_s == 0.0
