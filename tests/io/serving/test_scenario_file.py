"""Scenarios as TOML, and those of Band."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hetsim.core.errors import ProblemError
from hetsim.io.serving.scenario_file import ServingScenario, load_scenario

SCENARIO = """
policy = "edf"
seconds = 3.0
[models.detector]
model = "squeezenet"
every = "33ms"
deadline = "20ms"
priority = 1
[models.voice]
model = "voice.onnx"
trace = "times.txt"
[models.other]
model = "resnet18"
every = "100ms"
pattern = "bursty"
burst = 3
max_waiting = 2
drop_late = true
plans = ["a.json"]
"""


def read(folder: Path, text: str, name: str = "scenario.toml") -> ServingScenario:
    (folder / "times.txt").write_text("0.0\n0.1  # late\n\n0.4\n")
    (folder / name).write_text(text)
    return load_scenario(folder / name)


def test_a_scenario_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, SCENARIO)
    detector, voice, other = found.models
    assert (found.policy, found.seconds) == ("edf", 3.0)
    assert (detector.every_s, detector.deadline_s, detector.priority) == (0.033, 0.02, 1)
    assert len(detector.arrivals(3.0, seed=0).times_s or ()) == 91
    assert voice.model == str(tmp_path / "voice.onnx")
    assert voice.arrivals(0.2, seed=0).times_s == (0.0, 0.1)
    assert voice.deadline_s == voice.every_s == pytest.approx(0.2)
    assert other.deadline_s == 0.1
    assert other.plans == (tmp_path / "a.json",)
    times_s = other.arrivals(3.0, seed=0).times_s
    assert times_s is not None
    assert times_s[0] == times_s[1] == times_s[2] < times_s[3]


def test_rates_can_be_multiplied(tmp_path: Path) -> None:
    detector, voice, _ = read(tmp_path, SCENARIO).models
    assert detector.arrivals(0.1, seed=0, faster=2.0).times_s == pytest.approx([k * 0.0165 for k in range(7)])
    assert voice.arrivals(0.2, seed=0, faster=4.0).times_s == pytest.approx((0.0, 0.025, 0.1))


def test_band_s_configurations_are_read(tmp_path: Path) -> None:
    models = [
        {"graph": "squeezenet", "period_ms": 30, "slo_us": 20000, "batch_size": 1},
        {"graph": "net.onnx", "period_ms": 5.5},
        {"graph": "squeezenet", "period_ms": 60},
    ]
    content = {"models": models, "running_time_ms": 1500, "schedulers": ["fixed_worker"]}
    found = read(tmp_path, json.dumps(content), "band.json")
    assert [one.name for one in found.models] == ["squeezenet", "net", "squeezenet-2"]
    assert [one.every_s for one in found.models] == pytest.approx([0.03, 0.0055, 0.06])
    assert [one.deadline_s for one in found.models] == pytest.approx([0.02, 0.0055, 0.06])
    assert found.seconds == 1.5
    assert found.policy == ""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('policy = "edf"', 'policy = "best"', "policy 'best'; choose from fcfs, edf"),
        ("seconds = 3.0", "seconds = 0.0", "seconds is 0.0; give a number above 0"),
        ('every = "33ms"', 'every = "0ms"', "models.detector.every '0ms' is not a time above 0"),
        ('every = "33ms"\n', "", "needs either every or trace"),
        ('trace = "times.txt"', 'trace = "none.txt"', "cannot read arrivals"),
        ("burst = 3", "burst = 0", "models.other.burst is 0; give 1 or more"),
        ("[models.voice]", "[models.detector]", "malformed"),
        ('model = "squeezenet"', 'modell = "squeezenet"', "malformed"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SCENARIO
    with pytest.raises(ProblemError, match=message):
        read(tmp_path, SCENARIO.replace(old, new))


@pytest.mark.parametrize(
    ("text", "message"),
    [("0.1\n0.05\n", "line 2: 0.05 s; times must be finite and ascend"), ("soon\n", "line 1: 'soon'"), ("", "no time")],
)
def test_mistakes_in_arrivals_are_named(tmp_path: Path, text: str, message: str) -> None:
    read(tmp_path, SCENARIO)
    (tmp_path / "times.txt").write_text(text)
    with pytest.raises(ProblemError, match=message):
        load_scenario(tmp_path / "scenario.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"models": []}, "has no model"),
        ({"models": [{"graph": "squeezenet"}]}, "period_ms is 0.0"),
        ({"models": [{"graph": "squeezenet", "period_ms": 5, "slo_us": -1}]}, "slo_us is -1"),
        ({}, "malformed"),
    ],
)
def test_mistakes_in_band_s_configurations_are_named(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        read(tmp_path, json.dumps(content), "band.json")
