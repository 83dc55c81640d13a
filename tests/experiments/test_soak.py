"""A short soak: every answer is right, descriptors are level, all slots come back; faults are found."""

from __future__ import annotations

import asyncio
import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.shared.soak_network import soak_network, soak_plan
from experiments.shared.soak_rows import SoakLine, judge
from experiments.soak import Clients, Tally, first_answers, soak
from hetsim.analysis.plots.soak import Soaked, draw_soak
from hetsim.core.errors import HetsimError
from hetsim.io.platform_file import load_platform
from hetsim.runtime import Runtime, Session
from hetsim.tuner.progress import Silent
from tests.support.models import fake_platform
from tests.support.pictures import Pictures

MODEL = soak_network()
PLAN = soak_plan(MODEL)


@pytest.mark.engines
def test_three_thousand_requests_on_two_engines(tmp_path: Path, pictures: Pictures) -> None:
    lines = soak(
        load_platform("cpu+npu"),
        tmp_path,
        num_requests=3000,
        num_slots=3,
        cancel=0.1,
        num_intervals=6,
        seed=1,
        command="short soak",
        stages=Silent(),
    )
    assert sum(line.num_requests for line in lines) == 3000
    assert 0 < sum(line.num_cancelled for line in lines) < 600  # each is cancelled with a probability of one in ten
    assert [(line.num_wrong, line.num_stuck) for line in lines] == [(0, 0)] * 6
    for process in ("caller", "cpu", "npu"):
        assert len({getattr(line, f"{process}_descriptors") for line in lines[1:]}) == 1
    assert all(line.p50_s <= line.p99_s <= line.p999_s for line in lines)
    with open(tmp_path / "soak.csv", newline="") as file:
        assert [int(row["interval"]) for row in csv.DictReader(file)] == [1, 2, 3, 4, 5, 6]
    sidecar = json.loads((tmp_path / "soak.json").read_text())
    assert sidecar["command"] == "short soak"
    assert (sidecar["settings"]["seed"], sidecar["model_hashes"]) == (1, {"soak": soak_network(1).hash})
    latencies, memory = pictures.axes(tmp_path / "soak.png")
    assert "ms" in latencies.y_label
    assert "MB" in memory.y_label or "MiB" in memory.y_label
    assert latencies.num_lines == 3  # the median and two late percentiles


@pytest.fixture(scope="module")
def runtime():
    with Runtime(fake_platform(op_s="0.001")) as made:
        yield made


def asked(session: Session, num_requests: int, *, cancel: float = 0.0, wrong: int | None = None) -> Tally:
    """The tally of requests; with ``wrong``, the expected answer to that input is a wrong one."""
    inputs, answers = first_answers(session, MODEL, seed=0)
    if wrong is not None:
        answers[wrong] = answers[wrong][::-1]
    clients = Clients(session, inputs, answers, rng=np.random.default_rng(0))
    return asyncio.run(clients.ask(num_requests, cancel))


def test_wrong_answers_are_counted(runtime: Runtime) -> None:
    drawn = np.random.default_rng(0).integers(8, size=60)
    with runtime.load(MODEL, PLAN, num_slots=2) as session:
        assert asked(session, 60, wrong=3).num_wrong == np.count_nonzero(drawn == 3)


def test_a_stale_buffer_shows(runtime: Runtime) -> None:
    with runtime.load(MODEL, PLAN, num_slots=2) as session:
        assert asked(session, 40).num_wrong == 0
        inputs, answers = first_answers(session, MODEL, seed=0)
        session._inputs[1] = session._inputs[0]  # the second slot keeps what it has
        clients = Clients(session, inputs, answers, rng=np.random.default_rng(0))
        assert asyncio.run(clients.ask(40, 0.0)).num_wrong > 10


def test_requests_that_are_all_cancelled_give_no_wrong_answer(runtime: Runtime) -> None:
    with runtime.load(MODEL, PLAN, num_slots=2) as session:
        tally = asked(session, 60, cancel=1.0)
        assert len(tally.latencies_ns) == tally.num_wrong == 0
        assert tally.num_cancelled > 30
        while session.num_in_flight:
            session.poll(0.05)
        assert asked(session, 20).num_wrong == 0


def test_a_soak_does_not_begin_with_a_wrong_answer() -> None:
    with (
        Runtime(fake_platform(nan="join")) as own,
        own.load(MODEL, PLAN) as session,
        pytest.raises(HetsimError, match="the first answer to input 0 is off by nan"),
    ):
        first_answers(session, MODEL, seed=0)


LINE = SoakLine(
    interval=1, end_s=10.0, num_requests=1000, num_cancelled=20, num_wrong=0, num_stuck=0, throughput_per_s=100.0,
    p50_s=1e-3, p99_s=2e-3, p999_s=3e-3, caller_bytes=2**20, cpu_bytes=2**20, npu_bytes=2**20,
    caller_descriptors=9, cpu_descriptors=9, npu_descriptors=9,
)  # fmt: skip


def lines(**steps: float) -> list[SoakLine]:
    """Twenty intervals of 10 s in which some fields rise by so much each time."""
    return [
        replace(
            LINE,
            interval=i + 1,
            end_s=10.0 * (i + 1),
            **{name: getattr(LINE, name) + step * i for name, step in steps.items()},
        )
        for i in range(20)
    ]


def test_a_soak_without_fault_is_level() -> None:
    findings = judge(lines())
    assert all(finding.good for finding in findings)
    assert findings[0].text.startswith("20,000 requests in 3.3 min: 19,600 answered, 400 given up; wrong answers: 0;")
    assert [finding.text.rpartition(": ")[2] for finding in findings[1:]] == ["level"] * 9


@pytest.mark.parametrize(
    ("steps", "number", "message"),
    [
        ({"num_wrong": 1}, 0, "wrong answers: 190"),
        ({"num_stuck": 1}, 0, "slots that did not come back: 190"),
        # 80 kB every 1000 requests; 18,000 requests are judged, so that less than 58.25 bytes each is no leak
        ({"npu_bytes": 80_000}, 3, r"memory of npu: \+80.000 bytes a request \(95 % interval \+80.000 to .*: leaks"),
        ({"caller_descriptors": 1}, 4, "descriptors of caller: 11 to 28: not level"),
    ],
)
def test_leaks_and_wrong_answers_are_faults(steps: dict[str, float], number: int, message: str) -> None:
    findings = judge(lines(**steps))
    assert [finding.good for finding in findings] == [i != number for i in range(10)]
    assert re.search(message, findings[number].text)


def test_a_rising_latency_is_reported_and_is_no_fault() -> None:
    # From 1.1 ms (the third of 20, which is the first that counts) by 50 microseconds each to 1.95 ms; the median of
    # these 18 is 1.525 ms, so the drift is 0.85 / 1.525.
    findings = judge(lines(p50_s=5e-5))
    assert all(finding.good for finding in findings)
    assert "drift +55.7 % (95 % interval +55.7 % to +55.7 %): rises" in findings[7].text


@pytest.mark.parametrize("num_intervals", [1, 2, 60])
def test_pictures_of_any_length(tmp_path: Path, num_intervals: int, pictures: Pictures) -> None:
    ends_s = [3.0 * (i + 1) for i in range(num_intervals)]
    soaked = Soaked(
        ends_s=ends_s, latencies_s={"p50": [1e-3] * num_intervals}, memory_bytes={"$c": [5] * num_intervals}
    )
    draw_soak(soaked, tmp_path / "soak.png", title="odd $name_1$")
    assert len(pictures.axes(tmp_path / "soak.png")) == 2
