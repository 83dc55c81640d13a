"""Plans that rest on splits, in every command that takes a plan, on make-believe devices."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from hetsim.core.errors import HetsimError
from hetsim.io.plan_file import load_plan, save_plan
from hetsim.io.platform_file import format_platform
from hetsim.scheduler.splits.placement import split_plan
from hetsim.scheduler.stages import Stage
from hetsim.tuner.cli.app import app, main
from tests.support.models import fake_platform
from tests.support.split_networks import row_split, split_problem, stack

MODEL = stack(3, 3, rows=16)
PROBLEM = split_problem(MODEL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, two devices, its profile, and a plan in which both share the convolutions."""
    folder = tmp_path_factory.mktemp("split")
    onnx.save(MODEL.proto, folder / "stack.onnx")
    (folder / "fake.toml").write_text(format_platform(fake_platform(item_s="1e-5")))
    split = row_split(PROBLEM, ("conv0", "conv1"), (0.25, 0.75))
    assert split is not None
    shared = Stage(ops=split.ops, devices=("cpu", "npu"), splits=(split,))
    save_plan(split_plan(PROBLEM, [shared, Stage(ops=("pool",), devices=("cpu",))]), folder / "plan.json")
    command(folder, "profile", "--out", str(folder / "p.jsonl"), "--repeats", "3", "--explorations", "2")
    return folder


def command(place: Path, name: str, *options: str, platform: str = "fake.toml") -> None:
    app([name, str(place / "stack.onnx"), "--platform", str(place / platform), *options], standalone_mode=False)


def test_each_command_takes_a_plan_with_splits(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plan, profile = ("--plan", str(place / "plan.json")), ("--profile", str(place / "p.jsonl"))
    command(place, "run", *plan, "--requests", "3")
    said = capfd.readouterr().out
    # cpu computes parts of both convolutions and all of the pooling.
    assert "cpu (emulated): 1 of 3 operators and parts of 2 more" in said
    assert "npu (emulated): 0 of 3 operators and parts of 2 more" in said
    assert "in parts: conv0 to conv1 (2 operators), 16 rows: cpu 4, npu 12" in said
    command(place, "simulate", *plan, *profile)
    assert "cpu (emulated): 1 of 3 operators and parts of 2 more" in capfd.readouterr().out
    command(place, "simulate", *plan, *profile, "--json")
    spans = json.loads(capfd.readouterr().out)["spans"]
    assert ["conv0[rows 0:5]", "conv1[rows 0:4]"] in [span["ops"][-2:] for span in spans]
    command(place, "compare", *plan, *profile, "--requests", "3", "--picture", str(place / "compare.png"))
    assert "conv1[rows 0:4]" in capfd.readouterr().out or (place / "compare.png").exists()
    command(place, "explain", *plan, *profile, "--replan", "0", "--picture", str(place / "explain.png"))
    assert "conv" in capfd.readouterr().out


def test_a_planned_split_is_executed_on_the_devices_and_beside_an_emulated_one(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan, profile = ("--plan", str(place / "planned.json")), ("--profile", str(place / "p.jsonl"))
    outputs = []
    for number, changes in enumerate(((), ("--set", "npu.speed=2"))):
        command(place, "plan", *profile, "--scheduler", "splits", "--out", plan[1], *changes)
        said = capfd.readouterr().out
        assert "in parts: conv0" in said
        assert "operators and parts of" in said
        made = place / f"planned{number}.npz"
        command(place, "run", *plan, "--outputs", str(made), *(changes and (*changes, *profile)))
        assert "in parts: conv0" in capfd.readouterr().out
        outputs.append(np.load(made)["y"])
        command(place, "simulate", *plan, *profile, *changes)
        texts = (said, capfd.readouterr().out)
        planned_ms, simulated_ms = (float(re.search(r"([\d.]+) ms simulated", text)[1]) for text in texts)  # type: ignore[index]
        assert simulated_ms == pytest.approx(planned_ms, rel=0.2)
    assert np.allclose(*outputs, rtol=0, atol=1e-5 * float(np.abs(outputs[0]).max()))


def test_a_split_beyond_the_tensor_ends_a_command_with_exit_code_2(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text((place / "plan.json").read_text().replace('"at": [\n    4\n   ]', '"at": [60]', 1))
    files = ["--platform", str(place / "fake.toml"), "--profile", str(place / "p.jsonl"), "--plan", str(broken)]
    monkeypatch.setattr("sys.argv", ["hetsim", "simulate", str(place / "stack.onnx"), *files])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "ends a part at 60, but it makes 16 rows; give numbers below 16" in line


def test_a_task_graph_has_nothing_to_split(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tasks = {"devices": ["cpu", "npu"], "ops": {"a": {"cpu": 1.0, "npu": 2.0}, "b": {"cpu": 2.0, "npu": 1.0}}}
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    for name in ("search", "splits"):
        files = ("--problem", str(tmp_path / "tasks.json"), "--out", str(tmp_path / f"{name}.json"))
        app(["plan", *files, "--scheduler", name], standalone_mode=False)
        assert f"{name}: 1000.00 ms simulated" in capfd.readouterr().out
    assert load_plan(tmp_path / "splits.json").rewrites == ()


def test_a_changed_device_is_emulated_in_a_plan_with_splits(place: Path) -> None:
    outputs = []
    for number, changes in enumerate(((), ("--set", "npu.speed=2", "--profile", str(place / "p.jsonl")))):
        made = place / f"changed{number}.npz"
        command(place, "run", "--plan", str(place / "plan.json"), "--outputs", str(made), *changes)
        outputs.append(np.load(made)["y"])
    assert np.allclose(*outputs, rtol=0, atol=1e-5 * float(np.abs(outputs[0]).max()))


def test_what_a_plan_with_splits_cannot_do_another_device_finishes(place: Path) -> None:
    (place / "failing.toml").write_text(format_platform(fake_platform(fail="conv1[rows 4:16]")))
    outputs = []
    for platform, options in (("fake.toml", ()), ("failing.toml", ("--on-fault", "cpu"))):
        made = ("--outputs", str(place / f"{platform}.npz"))
        command(place, "run", "--plan", str(place / "plan.json"), *made, *options, platform=platform)
        outputs.append(np.load(made[1])["y"])
    assert np.allclose(*outputs, rtol=0, atol=1e-5 * float(np.abs(outputs[0]).max()))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"conv0"', '"conv7"', "names 'conv7', which model 'stack' does not have"),
        ('"at": [\n    4\n   ]', '"at": [16]', "ends a part at 16, but it makes 16 rows"),
        ('"axis": "rows"', '"axis": "channels"', "ends a part at 4, but it makes 4 channels"),
        ('"at": [\n    4\n   ]', '"at": [5]', "places '.*rows 0:.*', which model 'stack' does not have"),
    ],
)
def test_a_broken_rewrite_is_one_line(place: Path, tmp_path: Path, before: str, after: str, message: str) -> None:
    broken = tmp_path / "broken.json"
    text = (place / "plan.json").read_text()
    assert before in text
    broken.write_text(text.replace(before, after, 1))
    plan, profile = ("--plan", str(broken)), ("--profile", str(place / "p.jsonl"))
    for name, options in (("run", plan), *((name, (*plan, *profile)) for name in ("simulate", "compare", "explain"))):
        with pytest.raises(HetsimError, match=message) as raised:
            command(place, name, *options)
        assert "\n" not in str(raised.value)
