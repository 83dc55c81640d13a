"""Ctrl-C, as a real signal, in a real ``hetsim tune`` on make-believe devices."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from hetsim.machine.platform import Calibration, format_platform
from hetsim.plan import load_plan
from hetsim.profile import load_profile
from tests.models import fake_platform
from tests.test_split import stack

CALIBRATED = Calibration(date="2026-01-01T00:00:00+00:00", machine="make-believe", num_samples=1)
ENDLESS = ("--rounds", "1000", "--max-evaluations", "1000000000")
"""Rounds of a search that nobody waits for."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a model, and devices on which halves take half as long."""
    onnx.save(stack(3, 3, 3, rows=32).proto, tmp_path / "net.onnx")
    platform = replace(fake_platform(item_s="1e-6"), calibration=CALIBRATED)
    (tmp_path / "fake.toml").write_text(format_platform(platform))
    return tmp_path


def interrupted(place: Path, stage: str, *options: str, times: int) -> tuple[int, str]:
    """Tune until it comes to a stage, press Ctrl-C so many times, and return the exit code and what was said."""
    command = ["tune", "net.onnx", "--platform", "fake.toml", "--out", "out", "--repeats", "3", "--runs", "6", *options]
    with subprocess.Popen(
        [sys.executable, "-u", "-c", "from tuner.cli import main; main()", *command],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
        start_new_session=True,
    ) as process:
        said = []
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.startswith(stage):
                break
        for _ in range(times):
            time.sleep(0.3)
            os.killpg(process.pid, signal.SIGINT)  # a terminal's Ctrl-C is for all of its foreground, workers too
        said.append(process.communicate(timeout=60)[0])
    return process.returncode, "".join(said)


def test_the_first_ctrl_c_in_the_rounds_leads_to_the_finals(place: Path) -> None:
    code, said = interrupted(place, "plan ...", *ENDLESS, times=1)
    assert code == 0, said
    assert "search ends: interrupted" in said
    assert "splits ..." not in said
    found = json.loads((place / "out" / "summary.json").read_text())
    assert found["rounds_ended"] == "interrupted"
    assert {"single:cpu", "single:npu", "search"} <= set(found["plans"])
    assert load_plan(place / "out" / "plan.json").scheduler == found["winner"]


def test_the_first_ctrl_c_in_the_search_of_splits_leads_to_the_finals(place: Path) -> None:
    code, said = interrupted(place, "splits ...", "--rounds", "1", "--max-evaluations", "50", times=1)
    assert code == 0, said
    assert "splits end: interrupted" in said
    assert "search" in json.loads((place / "out" / "summary.json").read_text())["plans"]


def test_the_second_ctrl_c_ends_the_command_and_keeps_the_profile(place: Path) -> None:
    code, said = interrupted(place, "plan ...", *ENDLESS, times=2)
    assert code == 130, said
    assert "interrupted; what was measured is kept. To go on: hetsim tune net.onnx" in said
    assert "Traceback" not in said
    assert {path.name for path in (place / "out").iterdir()} == {"platform.toml", "profile.jsonl"}
    assert load_profile(place / "out" / "profile.jsonl").num_segments > 0
