"""``hetsim verify`` and ``hetsim.verify``: what is printed and written, exit codes, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

import hetsim
from hetsim.io.plan_file import save_plan
from hetsim.io.platform_file import format_platform
from tests.support.models import fake_platform, fork_join, make_plan
from tests.support.programs.commands import hetsim_in_process as command

MODEL = fork_join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model, a plan, inputs, and a platform on which ``right`` is wrong and ``Sigmoid`` refused."""
    onnx.save(MODEL.proto, tmp_path / "net.onnx")
    save_plan(make_plan(MODEL, cpu=["stem left", "right2 join"], npu=["right"]), tmp_path / "plan.json")
    np.savez(tmp_path / "x.npz", x=np.ones((4, 8), np.float32))
    wrong = fake_platform(wrong="right", wrong_by="scale:0.01", refuse="Sigmoid")
    (tmp_path / "wrong.toml").write_text(format_platform(wrong))
    (tmp_path / "right.toml").write_text(format_platform(fake_platform()))
    return tmp_path


def test_a_divergence_is_printed_written_drawn_and_ends_with_1(folder: Path) -> None:
    done = command("verify", "net.onnx", "--platform", "wrong.toml", "--device", "npu", "--out", "out", cwd=folder)
    assert done.returncode == 1, done.stderr
    assert "cpu" not in done.stdout
    lines = done.stdout.splitlines()
    (row,) = (line.split() for line in lines if line.startswith(" right "))
    assert row[:4] == ["right", "MatMul", "diverges", "first"]
    assert "  5 operators: agrees 3, diverges 1, refused 1" in lines
    assert "  refused: 'right2' (Sigmoid): Sigmoid is not supported" in lines
    (first,) = (line for line in lines if line.startswith("  first diverging operator: 'right' (MatMul): tensor "))
    assert " instead of " in first
    (device,) = json.loads((folder / "out/verify.json").read_text())["devices"]
    assert (device["nature"], device["first_diverging"]) == ("emulated", "right")
    assert (folder / "out/verify.png").stat().st_size > 1000


def test_agreement_ends_with_0_and_a_plan_is_verified_too(folder: Path) -> None:
    done = command(
        *("verify", "net.onnx", "--platform", "right.toml", "--plan", "plan.json", "--inputs", "x.npz"),
        *("--inputs", "x.npz", "--out", "out"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    content = json.loads((folder / "out/verify.json").read_text())
    assert (content["inputs"], content["num_samples"], content["diverges"]) == ("given", 2, False)
    assert [segment["verdict"] for segment in content["plan"]["segments"]] == ["agrees"] * 3
    assert content["plan"]["outputs"][0]["diverges"] is False
    assert "3 segments" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--platform", "phone"],
            "no device of platform 'phone' can be verified; 'cpu': it is hypothetical and has no",
        ),
        (["--platform", "right.toml", "--device", "tpu"], "no device 'tpu' on platform"),
        (["--platform", "right.toml", "--inputs", "plan.json"], "cannot read inputs from plan.json"),
        (["--platform", "right.toml", "--inputs", "y.npz"], "the model's inputs are x; got y"),
        (["--platform", "right.toml", "--inputs", "z.npz"], r"input 'x' must be float32 of shape [4, 8], got float64"),
        (["--platform", "right.toml", "--plan", "none.json"], "cannot read plan none.json"),
    ],
)
def test_bad_input_ends_with_2_and_one_line(folder: Path, arguments: list[str], message: str) -> None:
    np.savez(folder / "y.npz", y=np.ones((4, 8), np.float32))
    np.savez(folder / "z.npz", x=np.ones((4, 8)))
    done = command("verify", "net.onnx", "--out", "out", *arguments, cwd=folder)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "out").exists()


def test_devices_without_an_engine_are_left_out_and_a_plan_may_not_use_them() -> None:
    platform = hetsim.load_platform("phone")
    mixed = hetsim.Platform(name="mixed", devices=(fake_platform("cpu").devices[0], platform.device("npu")))
    found = hetsim.verify(MODEL, platform=mixed)
    assert [device.device for device in found.devices] == ["cpu"]
    assert found.not_verified == {"npu (hypothetical)": "it is hypothetical and has no engine that computes anything"}
    plan = make_plan(MODEL, cpu=["stem left", "right2 join"], npu=["right"])
    with pytest.raises(hetsim.PlanError, match="the plan uses device 'npu', which cannot be verified: it is hypoth"):
        hetsim.verify(MODEL, plan, platform=mixed)
    with pytest.raises(hetsim.PlatformError, match="device 'npu' cannot be verified: it is hypothetical"):
        hetsim.verify(MODEL, platform=mixed, device="npu")


def test_the_python_function_takes_inputs_once_or_several_times() -> None:
    one = {"x": np.ones((4, 8), np.float32)}
    assert hetsim.verify(MODEL, platform=fake_platform("npu"), inputs=one).num_samples == 1
    assert hetsim.verify(MODEL, platform=fake_platform("npu"), inputs=[one, one]).num_samples == 2
    for arguments, message in (({"inputs": []}, "the list of inputs is empty"), ({"num_samples": 0}, "num_samples 0")):
        with pytest.raises(hetsim.ModelError, match=message):
            hetsim.verify(MODEL, platform=fake_platform("npu"), **arguments)
