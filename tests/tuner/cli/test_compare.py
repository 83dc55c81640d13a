"""``hetsim compare``: which run is compared, and what is printed and drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from hetsim.analysis.comparison import PARTS
from hetsim.core.dataflow import resolve
from hetsim.io.plan_file import save_plan
from hetsim.io.platform_file import format_platform
from hetsim.runtime import Inference
from hetsim.tuner.steps.final_measurement import find_median_run
from tests.support.models import fake_platform, fork_join, make_plan
from tests.support.programs.commands import hetsim_in_process as hetsim


def test_the_median_run_is_the_one_nearest_to_the_medians() -> None:
    model = fork_join()
    flow = resolve(model.graph, make_plan(model, cpu=["stem left right right2 join"]))
    runs = [
        Inference(
            outputs={},
            taken_up_ns=90,
            submitted_ns=100,
            collected_ns=999,
            stamps_ns=np.array([[101, 100 + end]]),
            flow=flow,
        )
        for end in (90, 30, 20, 10, 31)
    ]
    assert find_median_run(runs) is runs[1]


def test_the_command_prints_the_parts_and_draws_them(tmp_path: Path) -> None:
    model = fork_join()
    onnx.save(model.proto, tmp_path / "net.onnx")
    (tmp_path / "fake.toml").write_text(format_platform(fake_platform(op_s="0.001")))
    # However long each takes, the critical path leads from the CPU over the NPU back to the CPU.
    save_plan(make_plan(model, cpu=["stem", "join"], npu=["left", "right right2"]), tmp_path / "plan.json")
    few = ("--repeats", "3", "--explorations", "1")
    made = hetsim("profile", "net.onnx", "--platform", "fake.toml", "--out", "p.jsonl", *few, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    command = ("compare", "net.onnx", "--platform", "fake.toml", "--profile", "p.jsonl", "--requests", "3")
    compared = hetsim(*command, "--plan", "plan.json", "--picture", "c.png", cwd=tmp_path)
    assert compared.returncode == 0, compared.stderr
    lines = [line for line in compared.stdout.splitlines() if not line.startswith("WARNING")]  # others are at work
    first_words = [line.split()[0] for line in lines]
    assert first_words[1:8] == ["simulated", *PARTS, "measured"]
    assert "npu (emulated)" in compared.stdout
    assert (tmp_path / "c.png").stat().st_size > 1000
    failed = hetsim(*command, "--plan", "no.json", cwd=tmp_path)
    assert failed.returncode == 2
    assert failed.stderr.startswith("hetsim: cannot read plan no.json")
