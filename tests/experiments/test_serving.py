"""Throughput and scenarios at tiny size, on make-believe devices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.scenarios.command import draw, measure, summarise
from experiments.scenarios.examples import examples
from experiments.shared.profiles import profiled
from experiments.throughput.command import summarise as summarise_throughput
from experiments.throughput.plots import draw as draw_throughput
from experiments.throughput.study import CAPS, measure_model
from hetsim.io.serving.scenario_file import ModelRequests, ServingScenario
from hetsim.models.importer import load_model
from hetsim.tuner.progress import Silent
from hetsim.tuner.serving.measured import ServingPace
from tests.support.experiments import OPTIONS, platform_in
from tests.support.pictures import Pictures


def test_contenders_are_simulated_and_executed(results: Path, pictures: Pictures) -> None:
    folder, model = results / "throughput", load_model(str(results / "tiny.onnx"))
    with profiled(model, platform_in(results), folder, options=OPTIONS, stages=Silent()) as context:
        rows = measure_model(context, ServingPace(num_rounds=2, round_s=0.0))
    by_name = {row.contender: row for row in rows}
    assert list(by_name)[:4] == ["single:cpu", "single:npu", "side_by_side", "ours"]
    assert {name for name in by_name if name.startswith("ours:")} <= {f"ours:{cap:g}" for cap in CAPS}
    for row in rows:
        assert row.measured_low_per_s <= row.measured_per_s <= row.measured_high_per_s
        assert row.measured_p50_s <= row.measured_p99_s
        assert row.outputs_match
    single = max(by_name[name].measured_per_s for name in ("single:cpu", "single:npu"))
    assert by_name["side_by_side"].measured_per_s > 1.3 * single
    assert "side_by_side" in summarise_throughput(rows)[0]
    draw_throughput(rows, folder)
    (axes,) = pictures.axes(folder / "throughput_tiny.png")
    assert axes.y_label == "Requests per second"


def test_a_scenario_s_highest_rates_are_found_and_executed(results: Path, pictures: Pictures) -> None:
    folder, file = results / "scenarios", str(results / "tiny.onnx")
    one = ModelRequests(name="a", model=file, every_s=0.05, deadline_s=0.05)
    scenario = ServingScenario(models=(one, replace(one, name="b", every_s=0.1)), seconds=0.2, policy="edf")
    rows = measure("two", scenario, platform_in(results), folder, options=OPTIONS, stages=Silent())
    ours, whole = rows
    assert (ours.contender, whole.contender) == ("ours", "whole models")
    assert whole.highest_factor <= ours.highest_factor <= ours.bound_factor
    assert summarise(rows)[0].startswith("two: ")
    draw(rows, folder / "scenarios.png")
    (axes,) = pictures.axes(folder / "scenarios.png")
    assert axes.x_label == "relative to whole models"


@pytest.mark.parametrize(("voice", "count"), [("", 9), ("voice.onnx", 10)])
def test_scenarios_have_two_to_four_models(voice: str, count: int) -> None:
    found = examples(1.0, voice=voice)
    assert len(found) == count
    assert {len(one.models) for one in found.values()} == {2, 3, 4}
