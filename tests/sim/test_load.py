"""Rule 4: requests under a load, against closed forms worked out by hand and against what any load must keep."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.load import Load
from hetsim.core.plan import Plan
from hetsim.core.platform import Host
from hetsim.core.problem import Problem
from hetsim.core.timeline import Timeline
from hetsim.sim.check import check_timeline
from hetsim.sim.simulate import simulate
from tests.support.problems import LOADS, graph_of, plan_of, platform_of, problem_of, problems, random_plan

ONE = graph_of({"a": ()})
CHAIN = graph_of({"a": (), "b": ("a",)})


def served(load: Load, host: Host | None = None) -> Timeline:
    """One operator of 2 s on one device."""
    platform = replace(platform_of("cpu"), host=host or Host())
    problem = problem_of(ONE, {"a": {"cpu": 2.0}}, platform)
    return simulate(problem, plan_of(ONE, ("cpu", "a")), load=load)


def runs(timeline: Timeline) -> list[tuple[float, float]]:
    return [(span.start_s, span.end_s) for span in timeline.compute]


HOST = Host(submit_setup_s=0.5, collect_setup_s=0.25)


@pytest.mark.parametrize(
    ("load", "expected", "arrivals_s"),
    [
        # One slot: submit .5, run 2, collect .25, and only then is the next one due.
        (Load(num_requests=3), [(0.5, 2.5), (3.25, 5.25), (6.0, 8.0)], (0.0, 2.75, 5.5)),
        # Two: the second is submitted from .5 to 1 and runs when the first has ended. That one is collected from 2.5 to
        # 2.75, so then the third is due; submitted at 3.25, it waits for the device.
        (Load(num_requests=3, num_slots=2), [(0.5, 2.5), (2.5, 4.5), (4.5, 6.5)], (0.0, 0.0, 2.75)),
        # Due every 3 s: the device is idle in between.
        (Load(num_requests=2, every_s=3.0, num_slots=2), [(0.5, 2.5), (3.5, 5.5)], (0.0, 3.0)),
        # The second is due at 2.5, just when the first ends. Collecting goes first, until 2.75; submitted at 3.25.
        (Load(num_requests=2, every_s=2.5, num_slots=2), [(0.5, 2.5), (3.25, 5.25)], (0.0, 2.5)),
        # Due at 1 and 2, but with one slot each waits until the one before is collected.
        (Load(num_requests=3, every_s=1.0), [(0.5, 2.5), (3.25, 5.25), (6.0, 8.0)], (0.0, 1.0, 2.0)),
    ],
)
@pytest.mark.equation("load")
def test_requests_by_hand(load: Load, expected: list[tuple[float, float]], arrivals_s: tuple[float, ...]) -> None:
    timeline = served(load, HOST)
    assert runs(timeline) == expected
    assert timeline.arrivals_s == arrivals_s


@pytest.mark.equation("load")
def test_latencies_run_from_when_a_request_was_due() -> None:
    timeline = served(Load(num_requests=3, every_s=1.0), HOST)
    assert timeline.latencies_s == (2.5, 4.25, 6.0)
    assert timeline.throughput_per_s == 2 / (8.0 - 2.5)
    assert served(Load()).throughput_per_s == 0.5


@pytest.mark.equation("load")
def test_the_host_copies_inputs_and_outputs() -> None:
    # x has 4 bytes, a.out 1000: at 1000 bytes/s submitting takes .25 + .004 s and collecting 1 s.
    timeline = served(Load(num_requests=2), Host(submit_setup_s=0.25, bandwidth_bytes_per_s=1000.0))
    assert sum(runs(timeline), ()) == pytest.approx((0.254, 2.254, 3.508, 5.508))


@pytest.mark.equation("load")
def test_devices_work_on_different_requests_at_once() -> None:
    # cpu: a0 0-2, a1 2-4. npu: b0 2-5, b1 5-8. The third is due when the first has ended, at 5: a2 5-7, b2 8-11.
    problem = problem_of(CHAIN, {"a": {"cpu": 2.0}, "b": {"npu": 3.0}}, platform_of("cpu", "npu"))
    plan = plan_of(CHAIN, ("cpu", "a"), ("npu", "b"))
    timeline = simulate(problem, plan, load=Load(num_requests=3, num_slots=2))
    assert timeline.ends_s == (5.0, 8.0, 11.0)
    assert timeline.arrivals_s == (0.0, 0.0, 5.0)
    assert timeline.throughput_per_s == pytest.approx(1 / 3)
    check_timeline(CHAIN, problem.platform, plan, timeline, duration_s=problem.cost_s)


@pytest.mark.equation("ties")
def test_copies_that_are_asked_for_at_the_same_time_go_by_request() -> None:
    # Both requests' a end at 2: the first's on cpu, b there and c on npu; copies take 1 s each.
    graph = graph_of({"a": (), "b": ("a",)})
    platform = platform_of("cpu", "npu", bandwidth_bytes_per_s=1000.0, copy=True)
    problem = problem_of(graph, {"a": {"cpu": 0.0}, "b": {"npu": 0.5}}, platform)
    timeline = simulate(problem, plan_of(graph, ("cpu", "a"), ("npu", "b")), load=Load(num_requests=2, num_slots=2))
    copies = [(span.request, span.start_s) for span in timeline.spans if span.kind == "hand-over"]
    assert copies == [(0, 0.0), (1, 1.0)]


def test_durations_may_differ_from_request_to_request() -> None:
    problem = problem_of(ONE, {"a": {"cpu": 2.0}}, platform_of("cpu"))
    timeline = simulate(
        problem,
        plan_of(ONE, ("cpu", "a")),
        load=Load(num_requests=3),
        duration_s=lambda request, _: 1.0 + request,
    )
    assert timeline.latencies_s == (1.0, 2.0, 3.0)


@given(problem=problems(), data=st.data())
@pytest.mark.equation("load")
def test_one_request_with_a_free_host_is_one_inference(problem: Problem, data: st.DataObject) -> None:
    plan = random_plan(data, problem)
    assert simulate(problem, plan, load=Load()) == simulate(problem, plan)


HOSTS = st.builds(Host, submit_setup_s=st.sampled_from([0.0, 0.25, 0.5]), collect_setup_s=st.sampled_from([0.0, 0.25]))


@given(problem=problems(), load=LOADS, host=HOSTS, data=st.data())
@pytest.mark.equation("checker")
def test_the_independent_checker_accepts_loads(problem: Problem, load: Load, host: Host, data: st.DataObject) -> None:
    plan = random_plan(data, problem)
    problem = replace(problem, platform=replace(problem.platform, host=host), _known={})
    timeline = simulate(problem, plan, load=load)
    check_timeline(problem.graph, problem.platform, plan, timeline, duration_s=problem.cost_s)
    assert len(timeline.arrivals_s) == load.num_requests
    in_flight = [
        sum(
            arrival_s <= span.start_s < end_s
            for arrival_s, end_s in zip(_taken_up_s(timeline), timeline.ends_s, strict=True)
        )
        for span in timeline.compute
    ]
    assert max(in_flight, default=0) <= load.num_slots


def _taken_up_s(timeline: Timeline) -> list[float]:
    """By request, when its first segment started."""
    return [
        min((span.start_s for span in timeline.compute if span.request == request), default=0.0)
        for request in range(len(timeline.arrivals_s))
    ]


@given(problem=problems(), load=LOADS, data=st.data())
@pytest.mark.equation("load")
def test_no_device_works_more_than_there_is_time(problem: Problem, load: Load, data: st.DataObject) -> None:
    timeline = simulate(problem, random_plan(data, problem), load=load)
    for device in problem.platform.device_names:
        assert timeline.busy_s(device) <= timeline.makespan_s + 1e-9


@pytest.mark.equation("load")
def test_requests_far_apart_are_inferences_of_their_own() -> None:
    problem = problem_of(CHAIN, {"a": {"cpu": 2.0}, "b": {"npu": 3.0}}, platform_of("cpu", "npu", setup_s=0.25))
    plan: Plan = plan_of(CHAIN, ("cpu", "a"), ("npu", "b"))
    timeline = simulate(problem, plan, load=Load(num_requests=4, every_s=16.0, num_slots=2))
    assert timeline.latencies_s == (5.25,) * 4
