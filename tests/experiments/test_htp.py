"""The experiment on a real NPU's trace: with a trace made up here, and with the real one where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.htp.derive import derived, launches_s, rates, read_trace
from experiments.htp.network import traced_resnet50
from experiments.htp.study import COMMAND, PLATFORM, study, with_tables
from experiments.htp.tables import PlanLine, tables
from experiments.shared.records import read_rows
from hetsim.io.platform_file import load_platform
from hetsim.io.vendor_profiles.reading import read_vendor_profile
from hetsim.models.model import Model
from tests.support import vendor_profiles as samples

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared/data/qnn"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the trace is not part of the repository")
pytestmark = pytest.mark.slow  # importing the network takes seconds
TIMED = ("Conv", "Add", "MaxPool", "GlobalAveragePool", "Gemm", "Flatten")


@pytest.fixture(scope="module")
def network() -> Model:
    return traced_resnet50()


def made_up(network: Model, folder: Path) -> Path:
    """A trace in which every operator takes 10 cycles, and the input as many as all of them."""
    names = [op.name for op in network.graph.ops if op.kind in TIMED]
    cycles = {f"{name}_token_{i}_2:OpId_{i}": 10 for i, name in enumerate(names)}
    path = folder / "trace.csv"
    path.write_text(samples.optrace({"Input OpId_2": 10 * len(names), **cycles}))
    return path


def test_rates_and_figures_by_hand(network: Model, tmp_path: Path) -> None:
    trace = read_trace(made_up(network, tmp_path), network)
    assert trace.warm.ops_s == pytest.approx(100e-6)  # half of the busy 200 us
    launches = launches_s(trace)
    assert launches["warm call"] == pytest.approx(4.9e-3)
    assert launches["cold call"] == pytest.approx(8.5e-3)
    assert launches["warm, accelerator alone"] == pytest.approx(1.9e-3)  # 2000 - 220 and 220 - 200 and 100 us
    lines = {line.kind: line for line in rates(trace, load_platform(PLATFORM).device("npu"))}
    assert sum(line.num_ops for line in lines.values()) == len(trace.warm.seconds) == 73
    each_s = 100e-6 / 73
    assert {kind: line.num_ops for kind, line in lines.items()} == {
        "shallow": 1, "MaxPool": 1, "pointwise": 33, "spatial": 13, "Add": 16, "strided": 6, "GlobalAveragePool": 1,
        "Flatten": 1, "product": 1,
    }  # fmt: skip
    assert lines["product"].macs_per_s == pytest.approx(2048 * 1000 / each_s)
    assert lines["GlobalAveragePool"].elements_per_s == pytest.approx(2048 * 49 / each_s)
    figures = derived(trace, list(lines.values()))
    assert figures["peak_ops_per_s"] == pytest.approx(2 * 118013952 / each_s)  # the first layer has the most
    assert figures["shallow"] == pytest.approx(1.0)
    assert figures["link"] == pytest.approx(4 * 3 * 224 * 224 / 100e-6)


def test_a_study_writes_rows_and_tables(network: Model, tmp_path: Path) -> None:
    made = study(made_up(network, tmp_path), tmp_path / "out", [], seed=0, max_evaluations=1, command="test")
    rows = read_rows(tmp_path / "out/plans.csv", PlanLine)
    assert [row.times for row in rows] == ["trace"] * 5 + ["phone-htp"] * 5
    by_trace = {row.launch: row for row in rows if row.times == "trace"}
    assert by_trace["none"].plan_s == pytest.approx(100e-6) or by_trace["none"].plan_s > 100e-6  # memory may limit it
    assert by_trace["warm call"].plan_s == pytest.approx(5e-3, rel=0.2)
    assert "| · powering on |" not in made["calls"]
    assert "| · within these: powering on |" in made["calls"]
    page = "a\n<!-- calls -->\nold\n<!-- end -->\nb <!-- end -->"
    assert with_tables(page, made) == f"a\n<!-- calls -->\n{made['calls']}\n<!-- end -->\nb <!-- end -->"


@needs_real
def test_every_operator_of_the_real_trace_and_of_its_network_is_matched_or_listed(network: Model) -> None:
    trace = read_trace(REAL / "optrace_resnet50.csv", network)
    matching = trace.warm.matching
    profile = read_vendor_profile([REAL / "optrace_resnet50.csv", REAL / "qhas_resnet50.json"])
    assert [len(call.ops) for call in profile.calls] == [79] * 5
    assert len(profile.traffic_bytes) == 10
    listed = {*matching.ops_of, *matching.inserted, *matching.unmatched}
    assert listed == {op.name for op in profile.calls[0].ops}
    assert (len(matching.ops_of), len(matching.inserted), matching.unmatched) == (73, 6, ())
    assert {network.graph.by_name[op].kind for op in matching.fused} == {"Relu"}
    assert (len(matching.fused), matching.untimed) == (49, ())
    # 5.592 ms of the last call less 0.921 of the accelerator
    assert profile.calls[-1].launch_s == pytest.approx(4.671e-3)


@needs_real
def test_the_built_in_platform_has_the_figures_of_the_real_trace(network: Model) -> None:
    npu = load_platform(PLATFORM).device("npu")
    assert npu.sheet is not None
    trace = read_trace(REAL / "optrace_resnet50.csv", network)
    figures = derived(trace, rates(trace, npu))
    assert npu.launch_s == pytest.approx(figures["launch_s"], rel=0.01)
    assert npu.sheet.peak_ops_per_s["i8"] == pytest.approx(figures["peak_ops_per_s"], rel=0.01)
    assert npu.sheet.elements_per_s == pytest.approx(figures["elements_per_s"], rel=0.01)
    for shape in ("pointwise", "spatial", "strided", "shallow"):
        assert npu.sheet.efficiency_by_class[shape] == pytest.approx(figures[shape], rel=0.02)
    link = load_platform(PLATFORM).link("cpu", "npu")
    assert link.bandwidth_bytes_per_s == pytest.approx(figures["link"], rel=0.01)


@needs_real
def test_the_page_has_the_tables_of_the_real_trace(network: Model) -> None:
    platform = load_platform(PLATFORM)
    trace = read_trace(REAL / "optrace_resnet50.csv", network)
    lines = rates(trace, platform.device("npu"))
    made = tables(trace, lines, [], derived(trace, lines), platform)
    page = (ROOT / "docs/hypothetical.md").read_text("utf-8")
    for name in ("matching", "calls", "rates", "constants"):  # those of plans take half a minute
        assert made[name] in page, f"out of date: run {COMMAND}"
