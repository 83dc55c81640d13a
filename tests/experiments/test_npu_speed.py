"""Hypothetical NPUs at tiny size, on make-believe devices."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

import hetsim
from experiments.npu_speed.command import log_speeds, vary
from experiments.npu_speed.study import Variations
from hetsim.core.errors import PlatformError, ProfileError
from hetsim.io.platform_file import load_platform
from tests.support import vendor_profiles
from tests.support.experiments import OPTIONS, SWEEP, platform_in, table
from tests.support.models import fork_join, images
from tests.support.pictures import Pictures


def test_an_interrupted_profile_is_gone_on_with(results: Path) -> None:
    folder = results / "interrupted"
    (folder / "tiny").mkdir(parents=True)
    whole = (results / "out/tiny/profile.jsonl").read_bytes()
    (folder / "tiny/profile.jsonl").write_bytes(b"".join(whole.splitlines(keepends=True)[:4]))
    vary([str(results / "tiny.onnx")], platform_in(results), folder, SWEEP, options=OPTIONS)
    assert len((folder / "tiny/profile.jsonl").read_bytes().splitlines()) > 4


def test_a_faster_npu_never_makes_the_best_plan_slower_nor_the_unchanged_one_better(
    results: Path, pictures: Pictures
) -> None:
    lines = table(results / "out/npu_speed.csv")
    wanted = "model platform speed scheduler simulated_s num_segments measured_s"
    assert list(lines[0])[:7] == wanted.split()
    assert {line["measured_s"] for line in lines} == {""}
    by_curve = {
        curve: [float(line["simulated_s"]) for line in lines if line["curve"] == curve]
        for curve in dict.fromkeys(line["curve"] for line in lines)
    }
    wanted_curves = {
        "planned anew",
        "planned anew without splits",
        "best of several devices",
        "best at 1x, unchanged",
        "cpu alone",
        "npu alone",
        "limit",
        "limit without splits",
    }
    assert by_curve.keys() == wanted_curves
    assert all(len(times_s) == len(SWEEP.speeds) for times_s in by_curve.values())
    best_s, limit_s = by_curve["planned anew"], by_curve.pop("limit")
    without_s, limit_without_s = by_curve["planned anew without splits"], by_curve.pop("limit without splits")
    assert all(limit <= other for limit, other in zip(limit_without_s, without_s, strict=True))
    assert all(best < other for best, other in zip(best_s, without_s, strict=True))  # parts take their share
    assert {line["scheduler"] for line in lines if line["curve"] == "planned anew"} == {"splits"}
    assert best_s == sorted(best_s, reverse=True)
    assert all(best <= min(others) for best, *others in zip(best_s, *by_curve.values(), strict=True))
    assert all(limit <= best for limit, best in zip(limit_s, best_s, strict=True))
    assert best_s[1] == by_curve["best at 1x, unchanged"][1]
    assert {line["device"] for line in lines} == {"npu (hypothetical)"}
    (axes,) = pictures.axes(results / "out/npu_speed.png")
    assert axes.x_label == "Speed of npu (hypothetical), relative to npu as measured"
    assert axes.y_label == "Latency, simulated (ms)"
    assert {curve for curve in wanted_curves if "limit" not in curve} <= set(axes.texts)
    assert {"limit: load", "limit without splits: critical path, load"} <= set(axes.texts)
    assert json.loads((results / "out/npu_speed.json").read_text())["settings"]["speeds"] == [0.5, 1.0, 2.0]


def test_more_npus_and_a_better_memory_never_make_the_best_plan_slower(results: Path, pictures: Pictures) -> None:
    for name, column, values in (
        ("npu_count", "num_npus", ["1", "2"]),
        ("memory_bandwidth", "relative_bandwidth", ["0.5", "1.0"]),
    ):
        lines = [line for line in table(results / f"out/{name}.csv") if line["curve"] == "planned anew"]
        assert [line[column] for line in lines] == values
        times_s = [float(line["simulated_s"]) for line in lines]
        assert times_s == sorted(times_s, reverse=True)
        (axes,) = pictures.axes(results / f"out/{name}.png")
        assert "hypothetical" in axes.x_label
        assert axes.y_label == "Latency, simulated (ms)"
        assert axes.num_points == 2 * 6  # two settings of each curve; limits have no marks
    cells = table(results / "out/speed_bandwidth.csv")
    assert len(cells) == len(SWEEP.bandwidths) * len(SWEEP.map_speeds)
    assert all(float(cell["gain_percent"]) >= 0 for cell in cells)
    assert all(float(cell["bandwidth_bytes_per_s"]) == 1e9 * float(cell["relative_bandwidth"]) for cell in cells)
    (axes,) = pictures.axes(results / "out/speed_bandwidth.png")
    assert axes.num_cells == len(cells)
    assert axes.y_label == "Hypothetical memory (GB/s)"
    turning_points = table(results / "out/turning_points.csv")
    assert turning_points[-1]["what"] == "no longer helps"
    assert {point["what"] for point in turning_points[:-1]} <= {"best plan changes"}


def test_plans_are_executed_beside_an_emulated_device(results: Path, pictures: Pictures) -> None:
    folder = results / "executed"
    (folder / "tiny").mkdir(parents=True)
    (folder / "tiny/profile.jsonl").write_bytes((results / "out/tiny/profile.jsonl").read_bytes())
    varied = Variations(device="npu", speeds=(0.25, 1.0, 2.0), execute=True)
    lines = vary([str(results / "tiny.onnx")], platform_in(results), folder, varied, options=OPTIONS)
    executed = [line for line in lines if line.measured_s is not None]
    assert {line.speed for line in executed} == {1.0, 2.0}  # 0.25 is below what is executed
    assert {line.curve for line in lines if line.speed == 1.0 and line.measured_s is None} == {
        "limit",
        "limit without splits",
    }
    assert {line.scheduler for line in executed if line.curve == "planned anew"} == {"splits"}
    for line in executed:
        assert line.largest_error < 1e-5
        assert line.measured_low_s <= line.measured_s <= line.measured_high_s
        # An emulated device is never early: five operators of 1 ms each, so many times as fast.
        if line.curve == "npu alone":
            assert line.measured_s > line.simulated_s - 1e-9
            assert line.simulated_s == line.predicted_s
    errors = table(folder / "emulated_errors.csv")
    assert {line["plans"] for line in errors} <= {"all", "on both"}
    assert all(float(line["worst_percent"]) >= float(line["mean_percent"]) >= 0 for line in errors)
    (axes,) = pictures.axes(folder / "npu_speed_executed.png")
    assert axes.y_label == "Latency (ms)"
    assert "executed beside npu (emulated)" in pictures.texts(folder / "npu_speed_executed.png")
    profile = (folder / "tiny/executed/speed-1.jsonl").read_text()
    assert '"npu":"emulated f32' in profile


def test_several_models_share_a_picture_and_have_their_own(results: Path, pictures: Pictures) -> None:
    onnx.save(fork_join(num_features=4).proto, results / "small.onnx")
    models = [str(results / "tiny.onnx"), str(results / "small.onnx")]
    vary(models, platform_in(results), results / "out", SWEEP, options=OPTIONS)
    assert {line["model"] for line in table(results / "out/npu_speed.csv")} == {"tiny", "small"}
    (axes,) = pictures.axes(results / "out/npu_speed.png")
    assert {"tiny", "small"} <= set(axes.texts)
    assert axes.num_lines == 2
    assert "small on desk, npu of any speed" in pictures.texts(results / "out/small/npu_speed.png")


def test_speeds_are_equal_ratios_apart() -> None:
    speeds = log_speeds(0.25, 8.0, 11)
    assert len(speeds) == 11
    assert {0.25, 0.5, 1.0, 2.0, 4.0, 8.0} <= set(speeds)
    for slowest, fastest in ((0.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (-1.0, 1.0)):
        with pytest.raises(PlatformError, match="make no sweep"):
            log_speeds(slowest, fastest, 3)


def test_a_profile_of_another_model_is_refused(results: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    onnx.save(fork_join(num_features=3).proto, tmp_path / "tiny.onnx")
    (tmp_path / "tiny/profile.jsonl").write_bytes((results / "out/tiny/profile.jsonl").read_bytes())
    with pytest.raises(ProfileError, match="was taken with another model hash"):
        vary([str(tmp_path / "tiny.onnx")], platform_in(results), tmp_path, SWEEP, options=OPTIONS)


def test_a_device_that_is_not_there_is_named(results: Path, tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"no device 'tpu' on platform 'desk'; it has cpu, npu"):
        vary([str(results / "tiny.onnx")], platform_in(results), tmp_path, Variations(device="tpu", speeds=(1.0,)))


def test_a_platform_of_hypothetical_devices_needs_no_profile(tmp_path: Path) -> None:
    onnx.save(images().proto, tmp_path / "images.onnx")
    (tmp_path / "trace.csv").write_text(vendor_profiles.optrace())
    platform = tmp_path / "htp.toml"
    hetsim.import_profile(tmp_path / "trace.csv", images(), platform, platform="phone")
    varied = Variations(device="npu", speeds=(1.0, 4.0))
    vary([str(tmp_path / "images.onnx")], load_platform(platform), tmp_path / "out", varied, options=OPTIONS)
    lines = table(tmp_path / "out/npu_speed.csv")
    alone_s = [float(line["simulated_s"]) for line in lines if line["curve"] == "npu alone"]
    assert alone_s == pytest.approx([4.84e-3 + 160e-6, 4.84e-3 + 40e-6])  # the launch stays
    with pytest.raises(PlatformError, match="--execute needs measured devices, but cpu, npu are hypothetical on 'htp'"):
        vary([], load_platform(platform), tmp_path / "out", replace(varied, execute=True), options=OPTIONS)
