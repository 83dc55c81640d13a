"""Loads on fake devices: order, slots, schedules, and what the model says of the same load."""

from __future__ import annotations

import pytest

from hetsim.core.errors import DeviceError, ProblemError
from hetsim.core.load import Load, parse_load
from hetsim.models.model import random_inputs
from hetsim.runtime import Runtime
from hetsim.runtime.serving.load import serve
from hetsim.sim.check import check_timeline
from tests.support.models import fake_platform, fork_join, make_plan

MODEL = fork_join()
PLAN = make_plan(MODEL, cpu=["stem", "left", "join"], npu=["right right2"])
PLATFORM = fake_platform(op_s="0.002")


@pytest.fixture(scope="module")
def runtime():
    with Runtime(PLATFORM) as made:
        yield made


@pytest.mark.parametrize(
    "load",
    [
        Load(num_requests=5),
        Load(num_requests=8, num_slots=3),
        Load(num_requests=4, num_slots=2, every_s=0.02),
        Load(num_requests=6, num_slots=2, every_s=0.001),  # due faster than they can be served
    ],
)
def test_every_request_is_served_in_order_and_obeys_the_physics(runtime: Runtime, load: Load) -> None:
    with runtime.load(MODEL, PLAN, num_slots=load.num_slots) as session:
        served = serve(session, random_inputs(MODEL), load)
    timeline = served.timeline
    check_timeline(MODEL.graph, PLATFORM, PLAN, timeline)
    assert len(served.inferences) == len(timeline.arrivals_s) == load.num_requests
    assert list(timeline.ends_s) == sorted(timeline.ends_s)
    if load.every_s:
        assert timeline.arrivals_s == pytest.approx([k * load.every_s for k in range(load.num_requests)], abs=1e-8)
    for k in range(load.num_slots, load.num_requests):  # a slot must be free first
        first_s = min(span.start_s for span in timeline.compute if span.request == k)
        assert first_s >= timeline.ends_s[k - load.num_slots]
    assert all(seconds > 0 for seconds in (*served.submit_s, *served.collect_s))


def test_more_in_flight_than_slots_is_refused(runtime: Runtime) -> None:
    with runtime.load(MODEL, PLAN) as session, pytest.raises(DeviceError, match="the session has 1 slot"):
        serve(session, random_inputs(MODEL), Load(num_requests=3, num_slots=2))


def test_collecting_gives_up_after_its_time(runtime: Runtime) -> None:
    with runtime.load(MODEL, PLAN) as session:
        session.run(random_inputs(MODEL))
        assert session.collect(0.0) == ()
        session.submit(random_inputs(MODEL))
        found: tuple[object, ...] = ()
        while not found:
            found = session.collect(1.0)
        assert len(found) == 1


@pytest.mark.parametrize(
    ("text", "every_s"), [("", 0.0), ("33ms", 0.033), ("0.5s", 0.5), ("800us", 800e-6), ("2 ms", 0.002)]
)
def test_loads_are_read_from_text(text: str, every_s: float) -> None:
    assert parse_load(3, text, 2) == Load(num_requests=3, every_s=every_s, num_slots=2)


@pytest.mark.parametrize("text", ["33", "ms", "-3ms", "0ms", "1.2.3s", "3 min"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ProblemError, match=f"--every '{text}' is not a time above 0; write it as 33ms"):
        parse_load(1, text, 1)
