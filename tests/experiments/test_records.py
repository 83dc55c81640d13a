"""What experiments keep: settings, sidecars, calibration; and bad input."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from experiments import simulated_vs_measured
from experiments.npu_speed import command as npu_speed
from experiments.npu_speed.command import vary
from experiments.npu_speed.study import Variations
from experiments.shared.profiles import calibrated
from experiments.shared.records import model_names
from experiments.simulated_vs_measured import compare
from hetsim.core.errors import HetsimError, ModelError, PlatformError
from hetsim.core.platform import Platform
from hetsim.tuner.progress import Silent
from tests.support.experiments import NUM_RANDOM, OPTIONS, platform_in
from tests.support.models import fork_join


def test_results_under_other_settings_are_not_mixed(results: Path) -> None:
    models, platform = [str(results / "tiny.onnx")], platform_in(results)
    with pytest.raises(HetsimError, match=r"plans.csv holds results for seed 0, this run asks for 1; choose another"):
        compare(models, platform, results / "out", options=replace(OPTIONS, seed=1), num_random=NUM_RANDOM)
    with pytest.raises(HetsimError, match=r"holds results for random 3, this run asks for 0; choose another"):
        compare(models, platform, results / "out", options=OPTIONS, num_random=0)
    with pytest.raises(
        HetsimError, match=r"holds results for speeds \[0.5, 1.0, 2.0\], this run asks for \[1.0, 2.0\]"
    ):
        vary(models, platform, results / "out", Variations(device="npu", speeds=(1.0, 2.0)), options=OPTIONS)


def test_a_malformed_csv_is_refused(results: Path, tmp_path: Path) -> None:
    for name in ("plans.csv", "plans.json"):
        (tmp_path / name).write_bytes((results / "out" / name).read_bytes())
    path, models = tmp_path / "plans.csv", [str(results / "tiny.onnx")]
    path.write_text(path.read_text().replace(",desk,", ",desk,,", 1))
    with pytest.raises(HetsimError, match=r"plans.csv, line 2 is malformed"):
        compare(models, platform_in(results), tmp_path, options=OPTIONS, num_random=NUM_RANDOM)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(HetsimError, match=r"plans.csv has columns a, b; this version writes model, platform"):
        compare(models, platform_in(results), tmp_path, options=OPTIONS, num_random=NUM_RANDOM)
    (tmp_path / "plans.json").unlink()
    with pytest.raises(HetsimError, match=r"exists without plans.json"):
        compare(models, platform_in(results), tmp_path, options=OPTIONS, num_random=NUM_RANDOM)


@pytest.mark.parametrize("experiment", [simulated_vs_measured, npu_speed])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "squeezenest"], "no model 'squeezenest': no such file, and the zoo has bvlc_alexnet"),
        (["--models", " ,"], "--models ' ,' names no model; name some of bvlc_alexnet"),
        (["--models", "resnet18,resnet18"], "--models holds 'resnet18' twice"),
        (["--models", "resnet18", "--platform", "desktop"], "no platform 'desktop'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    experiment: object, arguments: list[str], message: str, *, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(sys, "argv", ["x", *arguments, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as left:
        experiment.main()
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert said.startswith("python -m experiments.")
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_is_calibrated_once_and_for_one_platform(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = platform_in(results)
    raw = replace(measured, calibration=None)
    calls: list[Platform] = []

    def calibrate(runtime: Platform, **_: object) -> Platform:
        calls.append(runtime)
        return measured.with_devices(replace(measured.device("npu"), launch_s=1e-5))

    monkeypatch.setattr("experiments.shared.profiles.Runtime", nullcontext)
    monkeypatch.setattr("experiments.shared.profiles.calibrate", calibrate)
    assert calibrated(measured, tmp_path, stages=Silent()) is measured
    first = calibrated(raw, tmp_path, stages=Silent())
    assert calibrated(raw, tmp_path, stages=Silent()) == first
    assert first.device("npu").launch_s == 1e-5
    assert calls == [raw]
    other = raw.with_devices(replace(raw.device("npu"), threads=2))
    with pytest.raises(PlatformError, match=r"platform.toml was calibrated for another platform \('desk'\)"):
        calibrated(other, tmp_path, stages=Silent())


def test_a_file_counts_by_its_name(tmp_path: Path) -> None:
    onnx.save(fork_join().proto, tmp_path / "resnet18.onnx")
    assert model_names(f" resnet50, {tmp_path / 'resnet18.onnx'},") == ("resnet50", str(tmp_path / "resnet18.onnx"))
    with pytest.raises(ModelError, match="holds 'resnet18' twice"):
        model_names(f"resnet18,{tmp_path / 'resnet18.onnx'}")
