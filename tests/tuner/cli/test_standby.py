"""``hetsim run --on-fault``: a device on standby serves the requests that a plan failed at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from hetsim.core.errors import DeviceError
from hetsim.io.plan_file import save_plan
from hetsim.models.model import random_inputs
from hetsim.models.reference import evaluate
from hetsim.tuner.cli.app import app
from tests.support.models import fork_join, make_plan

MODEL = fork_join()
PLAN = make_plan(MODEL, cpu=["stem", "left", "join"], npu=["right right2"])


def test_run_finishes_on_the_standby_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(MODEL.proto, tmp_path / "fork_join.onnx")
    (tmp_path / "p.toml").write_text(
        'name = "p"\n[device.cpu]\nkind = "cpu"\nbackend = "fake"\n'
        '[device.npu]\nkind = "npu"\nbackend = "fake"\noptions = {fail = "right2"}\n'
    )
    save_plan(PLAN, tmp_path / "plan.json")
    command = ["run", str(tmp_path / "fork_join.onnx"), "--plan", str(tmp_path / "plan.json"), "--platform"]
    command += [str(tmp_path / "p.toml"), "--requests", "2"]
    with pytest.raises(DeviceError, match="'npu' failed in segment 'right'"):
        app(command, standalone_mode=False)
    app([*command, "--on-fault", "cpu", "--outputs", str(tmp_path / "y.npz")], standalone_mode=False)
    said = " ".join(capsys.readouterr().out.split())
    warning = (
        "WARNING: device 'npu' failed in segment 'right' of 2: RuntimeError: told to fail; 'cpu' computes the model"
    )
    assert f"{warning} alone" in said
    assert np.allclose(np.load(tmp_path / "y.npz")["y"], evaluate(MODEL.proto, random_inputs(MODEL))["y"], atol=1e-6)
