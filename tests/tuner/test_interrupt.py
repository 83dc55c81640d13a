"""Ctrl-C, as a real signal, while ``hetsim tune`` searches on make-believe devices; and limits on its time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from hetsim.costs.profile_file import load_profile
from hetsim.io.plan_file import load_plan
from hetsim.io.platform_file import format_platform
from hetsim.tuner.deadline import Deadline
from hetsim.tuner.options import Pace
from hetsim.tuner.pipeline import tune
from hetsim.tuner.progress import Report, Silent
from tests.support.split_networks import stack
from tests.support.tuning import QUICK, calibrated_platform

MODEL = stack(3, 3, 3, rows=32)
PLATFORM = calibrated_platform(item_s="5e-6")  # halves take half as long
OPTIONS = replace(QUICK, rounds=3, pace=Pace(num_runs=3, stall_budget_s=0.0), splits=True)


class Interrupting(Silent):
    """Presses Ctrl-C once for each of some works, when a stage reports it; records lines."""

    def __init__(self, *works: str) -> None:
        self._works = list(works)
        self.said: list[str] = []

    @contextmanager
    def stage(self, title: str) -> Iterator[Report]:  # noqa: ARG002
        def report(_done: float, description: str) -> None:
            found = next((work for work in self._works if description.startswith(work)), None)
            if found is not None:
                self._works.remove(found)
                os.kill(os.getpid(), signal.SIGINT)

        yield report

    def say(self, description: str) -> None:
        self.said.append(description)


def test_ctrl_c_in_the_rounds_leads_to_the_final_measurement(tmp_path: Path) -> None:
    stages = Interrupting("search round 1")
    outcome = tune(MODEL, PLATFORM, tmp_path, options=OPTIONS, stages=stages)
    assert outcome.rounds_ended == "interrupted"
    names = {plan.name for plan in outcome.plans}
    assert {"single:cpu", "single:npu", "search"} <= names
    assert "splits" not in names
    found = json.loads((tmp_path / "summary.json").read_text())
    assert load_plan(tmp_path / "plan.json").scheduler == found["winner"]


def test_ctrl_c_while_a_plan_is_replayed_leads_to_the_final_measurement(tmp_path: Path) -> None:
    stages = Interrupting("replay splits, round 1")
    outcome = tune(MODEL, PLATFORM, tmp_path, options=replace(OPTIONS, rounds=2), stages=stages)
    assert "search ends: interrupted" in stages.said
    assert outcome.winner == "splits"
    assert outcome.outputs_match
    splits = json.loads((tmp_path / "summary.json").read_text())["splits"]
    assert [tuple(split["ops"]) for split in splits] == [run.ops for run in outcome.shared]
    for split in splits:
        assert {name for part in split["parts"] for name in part["device"].split(" and ")} == {"cpu", "npu"}
        axis = "rows" if "rows" in split["parts"][0] else "channels"
        assert sum(part[axis] for part in split["parts"]) == {"rows": 32, "channels": 4}[axis]


def test_a_second_ctrl_c_is_the_usual_interrupt(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tune(MODEL, PLATFORM, tmp_path, options=OPTIONS, stages=Interrupting("search round 1", "replay"))
    assert {path.name for path in tmp_path.iterdir()} == {"platform.toml", "profile.jsonl"}
    assert load_profile(tmp_path / "profile.jsonl").num_segments > 0


def test_the_command_says_how_to_go_on(tmp_path: Path) -> None:
    onnx.save(MODEL.proto, tmp_path / "net.onnx")
    (tmp_path / "fake.toml").write_text(format_platform(PLATFORM))
    command = ["tune", "net.onnx", "--platform", "fake.toml", "--out", "out", "--repeats", "3"]
    with subprocess.Popen(
        [sys.executable, "-u", "-c", "from hetsim.tuner.cli.app import main; main()", *command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("profile ...") for line in process.stdout)
        os.killpg(process.pid, signal.SIGINT)  # a terminal's Ctrl-C is for all in its foreground, workers too
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    message = "hetsim: interrupted; what was measured is saved. To go on: hetsim tune net"
    assert said.splitlines()[-1].startswith(message)
    assert "Traceback" not in said, said
    assert not (tmp_path / "out" / "summary.json").exists()


def test_why_a_deadline_has_passed() -> None:
    assert not Deadline().passed()
    assert Deadline(until_s=time.monotonic() - 1).reason == "the time limit was reached"
    assert Deadline(interrupted=lambda: True).reason == "interrupted"
