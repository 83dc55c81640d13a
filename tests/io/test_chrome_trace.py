"""Chrome traces: tracks, names, times, and arrows that start and end inside the slices they join."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hetsim.core.graph import Graph
from hetsim.core.timeline import Span, Timeline
from hetsim.io.chrome_trace import save_trace, trace_events
from hetsim.io.platform_file import load_platform

PLATFORM = load_platform()
GRAPH = Graph(name="tiny", ops=(), tensors={}, inputs=(), outputs=())  # no operator of it only moves data


def compute(device: str, ops: tuple[str, ...], start_s: float, end_s: float) -> Span:
    return Span(kind="compute", device=device, ops=ops, start_s=start_s, end_s=end_s)


def handover(tensor: str, ops: tuple[str, ...], start_s: float, end_s: float) -> Span:
    return Span(kind="hand-over", device="npu", ops=ops, start_s=start_s, end_s=end_s, tensor=tensor, source="cpu")


TIMELINE = Timeline(
    origin="simulated",
    spans=(
        compute("cpu", ("stem/conv", "stem/relu"), 0.0, 1e-3),
        handover("t0", ("a", "b"), 1e-3, 1.002e-3),
        handover("t1", ("a", "b"), 1e-3, 1.003e-3),
        compute("npu", ("a", "b"), 1.003e-3, 2e-3),
        compute("cpu", ("c",), 1e-3, 4e-3),
    ),
)


def events(timeline: Timeline = TIMELINE) -> list[dict[str, Any]]:
    return trace_events(timeline, platform=PLATFORM, graph=GRAPH, process_name="tiny simulated")


def test_threads_are_devices_by_label_then_one_for_each_overlapping_handover() -> None:
    names = [e["args"]["name"] for e in events() if e["name"] in ("process_name", "thread_name")]
    assert names == ["tiny simulated", "cpu", "npu (stand-in)", "hand-over 1", "hand-over 2"]


def test_slices_carry_onnx_names_and_microseconds() -> None:
    first = next(e for e in events() if e.get("cat") == "compute")
    assert (first["name"], first["ts"], first["dur"]) == ("stem/conv +1", 0.0, 1000.0)
    assert first["args"]["ops"] == ["stem/conv", "stem/relu"]
    assert first["args"]["num_ops"] == 2
    assert first["args"]["duration_ms"] == pytest.approx(1.0)


def test_waits_are_computed() -> None:
    (wait,) = [e for e in events() if e.get("cat") == "wait"]
    assert (wait["name"], wait["ts"], wait["dur"]) == ("wait for a +1", 0.0, 1003.0)


def test_arrows_join_producer_and_consumer() -> None:
    starts, ends = ([e for e in events() if e["ph"] == phase] for phase in "sf")
    assert [e["name"] for e in starts] == [e["name"] for e in ends] == ["t0", "t1"]
    assert [e["id"] for e in starts] == [e["id"] for e in ends]
    for start, end in zip(starts, ends, strict=True):
        assert start["tid"] == 1
        assert 0 < start["ts"] < 1000.0  # inside the producer's slice
        assert (end["tid"], end["ts"], end["bp"]) == (2, 1003.0, "e")


def test_handover_without_its_segments_gets_no_arrow() -> None:
    alone = Timeline(origin="measured", spans=(handover("t0", ("a",), 0.0, 1e-6),))
    assert [e["ph"] for e in events(alone) if e["ph"] != "M"] == ["X"]


def test_slices_of_a_thread_never_overlap_however_times_round() -> None:
    ends_s = [i / 3 * 1e-6 for i in range(50)]
    spans = tuple(compute("cpu", (f"op{i}",), a, b) for i, (a, b) in enumerate(pairwise(ends_s)))
    slices = [e for e in events(Timeline(origin="measured", spans=spans)) if e["ph"] == "X"]
    for earlier, later in pairwise(slices):
        assert round((earlier["ts"] + earlier["dur"]) * 1e3) <= round(later["ts"] * 1e3)


def test_file_is_json_that_names_model_and_origin(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "simulated.trace.json"
    save_trace(TIMELINE, path, platform=PLATFORM, graph=GRAPH, label="simulated")
    content = json.loads(path.read_text("utf-8"))
    assert content["otherData"] == {"model": "tiny", "platform": "cpu+npu", "origin": "simulated"}
    assert content["traceEvents"] == events()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_empty_timeline_still_names_its_threads() -> None:
    assert {e["ph"] for e in events(Timeline(origin="measured", spans=()))} == {"M"}
