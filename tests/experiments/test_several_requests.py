"""Requests under load and memory-bound pairs at tiny size, on make-believe devices."""

from __future__ import annotations

from pathlib import Path

from experiments.contention import contend
from experiments.several_requests import serve_all
from hetsim.core.load import Load
from hetsim.tuner.progress import Silent
from tests.support.experiments import OPTIONS, platform_in, table
from tests.support.pictures import Pictures


def test_requests_are_served_and_simulated(results: Path, pictures: Pictures) -> None:
    folder = results / "served"
    serve_all(
        [str(results / "tiny.onnx")],
        platform_in(results),
        folder,
        schedulers=("single:npu", "partition_tuner"),
        load=Load(num_requests=6, num_slots=3),
        num_rounds=2,
        effort=OPTIONS.effort,
        seed=0,
        command="smoke run",
        stages=Silent(),
    )
    lines = table(folder / "several_requests.csv")
    assert len(lines) == 2 * 2 * 3  # schedulers, loads, figures
    for line in lines:
        assert float(line["measured_low"]) <= float(line["measured"]) <= float(line["measured_high"])
        # Devices that only sleep: the model is off by what sleeping oversleeps, not by a factor.
        assert 0.5 < float(line["simulated"]) / float(line["measured"]) < 2
        assert int(line["num_requests"]) == 12
    (axes,) = pictures.axes(folder / "several_requests.png")
    assert axes.x_label == "relative to measured"
    assert axes.num_bars == 2 * len(lines)


def test_pairs_of_operators_run_side_by_side(results: Path, pictures: Pictures) -> None:
    folder = results / "pairs"
    models, platform = [str(results / "tiny.onnx")], platform_in(results)
    contend(models, platform, folder, num_ops=1, num_runs=3, effort=OPTIONS.effort, command="smoke", stages=Silent())
    lines = table(folder / "contention.csv")
    assert [(line["pair"], line["device"], line["op"]) for line in lines] == [
        ("right + right", "cpu", "right"),
        ("right + right", "npu", "right"),
    ]
    for line in lines:
        assert int(line["touched_bytes"]) == 256 + 2 * 128
        # Make-believe devices share no memory, and the platform does not say that they do.
        assert float(line["simulated_s"]) == float(line["without_s"]) == float(line["alone_s"])
    (axes,) = pictures.axes(folder / "contention.png")
    assert axes.x_label == "times as long as alone"
    assert axes.num_bars == 3 * len(lines)
