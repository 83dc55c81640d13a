"""The SimPy model against closed forms worked out by hand, and against bounds on random problems."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.dataflow import resolve
from hetsim.core.errors import PlanError
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import Device, Link
from hetsim.core.problem import Problem
from hetsim.sim.check import check_timeline
from hetsim.sim.simulate import Simulator, makespan_s, simulate
from tests.support.problems import charged, graph_of, plan_of, platform_of, problem_of, problems, random_plan

DIAMOND = graph_of({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")})
DIAMOND_S = {
    "a": {"cpu": 1.0, "npu": 1.0},
    "b": {"cpu": 2.0, "npu": 2.0},
    "c": {"cpu": 3.0, "npu": 3.0},
    "d": {"cpu": 1.0, "npu": 1.0},
}


@pytest.mark.parametrize(
    ("segments", "expected_s"),
    [
        ((("cpu", "a b c d"),), 7.0),  # 1 + 2 + 3 + 1
        ((("cpu", "a"), ("cpu", "b"), ("npu", "c"), ("cpu", "d")), 5.5),  # a 1, over .25, c 3, over .25, d 1
        ((("cpu", "a b"), ("npu", "c"), ("cpu", "d")), 7.5),  # a's output shows only when a+b ends: 3 .25 3 .25 1
        ((("cpu", "a"), ("npu", "c"), ("cpu", "b d")), 7.5),  # b+d waits for all that either reads: 1 .25 3 .25 3
        ((("npu", "a"), ("npu", "b"), ("npu", "c"), ("npu", "d")), 7.0),  # nothing is handed over within a device
        ((("npu", "a c"), ("cpu", "b"), ("npu", "d")), 7.5),  # 4 .25 2 .25 1
    ],
)
@pytest.mark.equation("start")
@pytest.mark.equation("arrive")
def test_zero_copy_by_hand(segments: tuple[tuple[str, str], ...], expected_s: float) -> None:
    problem = problem_of(DIAMOND, DIAMOND_S, platform_of("cpu", "npu", setup_s=0.25))
    plan = plan_of(DIAMOND, *segments)
    assert simulate(problem, plan).makespan_s == expected_s
    assert makespan_s(problem, plan) == expected_s


FAN = graph_of({"a": (), "b": ("a",), "c": ("a",)})
FAN_S = {"a": {"cpu": 1.0}, "b": {"npu0": 2.0, "npu1": 2.0}, "c": {"npu0": 2.0, "npu1": 2.0}}


@pytest.mark.parametrize(
    ("copy", "segments", "starts_s"),
    [
        # 1000 bytes at 1000 bytes/s: a copy takes 1 s. The second one waits for the first.
        (True, (("cpu", "a"), ("npu0", "b"), ("npu1", "c")), {"b": 2.0, "c": 3.0}),
        (True, (("cpu", "a"), ("npu0", "c"), ("npu1", "b")), {"c": 2.0, "b": 3.0}),  # ties: npu0 comes first
        (True, (("cpu", "a"), ("npu1", "b"), ("npu1", "c")), {"b": 2.0, "c": 4.0}),  # one copy serves both readers
        (False, (("cpu", "a"), ("npu0", "b"), ("npu1", "c")), {"b": 2.0, "c": 2.0}),  # zero-copy: nothing queues
    ],
)
@pytest.mark.equation("channel")
def test_copies_queue_for_the_memory_channel(
    copy: bool, segments: tuple[tuple[str, str], ...], starts_s: dict[str, float]
) -> None:
    platform = platform_of("cpu", "npu0", "npu1", bandwidth_bytes_per_s=1000.0, copy=copy)
    timeline = simulate(problem_of(FAN, FAN_S, platform), plan_of(FAN, *segments))
    assert {span.ops[0]: span.start_s for span in timeline.compute if span.ops != ("a",)} == starts_s


@pytest.mark.parametrize(
    ("second_s", "expected_s"),
    [
        (1.0, {"c": 2.0, "d": 3.0}),  # both ask at 1: in plan order, a's tensor before b's, though b's device is first
        (0.5, {"c": 2.5, "d": 1.5}),  # b asks at .5 and holds the channel until 1.5
    ],
)
@pytest.mark.equation("ties")
def test_copies_are_served_first_come_first_served_ties_in_plan_order(
    second_s: float, expected_s: dict[str, float]
) -> None:
    graph = graph_of({"a": (), "b": (), "c": ("a",), "d": ("b",)})
    platform = platform_of("cpu0", "cpu1", bandwidth_bytes_per_s=1000.0, copy=True)
    costs_s = {"a": {"cpu1": 1.0}, "b": {"cpu0": second_s}, "c": {"cpu0": 1.0}, "d": {"cpu1": 1.0}}
    plan = plan_of(graph, ("cpu0", "b"), ("cpu0", "c"), ("cpu1", "a"), ("cpu1", "d"))
    timeline = simulate(problem_of(graph, costs_s, platform), plan)
    assert {span.ops[0]: span.start_s for span in timeline.compute if span.start_s > 0} == expected_s


@pytest.mark.equation("ties")
def test_a_tie_counts_whoever_asks_at_that_time_even_after_a_segment_that_takes_no_time() -> None:
    # z ends at 1 on cpu1, and b, which takes no time, right behind it; a ends at 1 on cpu0 and comes later in the graph
    graph = graph_of({"z": (), "b": ("z",), "a": (), "to_b": ("b",), "to_a": ("a",)})
    platform = platform_of("cpu0", "cpu1", "npu", bandwidth_bytes_per_s=1000.0, copy=True)
    costs_s = {"z": {"cpu1": 1.0}, "b": {"cpu1": 0.0}, "a": {"cpu0": 1.0}, "to_a": {"npu": 1.0}, "to_b": {"npu": 1.0}}
    plan = plan_of(graph, ("cpu0", "a"), ("cpu1", "z"), ("cpu1", "b"), ("npu", "to_b"), ("npu", "to_a"))
    hand_overs = [s for s in simulate(problem_of(graph, costs_s, platform), plan).spans if s.kind == "hand-over"]
    assert [(span.tensor, span.start_s) for span in hand_overs] == [("b.out", 1.0), ("a.out", 2.0)]


def test_the_span_of_a_hand_over_says_from_where_to_where_and_for_whom() -> None:
    problem = problem_of(DIAMOND, DIAMOND_S, platform_of("cpu", "npu", setup_s=0.25))
    plan = plan_of(DIAMOND, ("cpu", "a"), ("cpu", "b"), ("npu", "c"), ("cpu", "d"))
    first, second = (span for span in simulate(problem, plan).spans if span.kind == "hand-over")
    assert (first.source, first.device, first.tensor, first.ops) == ("cpu", "npu", "a.out", ("c",))
    assert (first.start_s, first.end_s) == (1.0, 1.25)
    assert (second.source, second.device, second.tensor, second.ops) == ("npu", "cpu", "c.out", ("d",))


@pytest.mark.equation("arrive")
def test_a_link_that_is_not_there_hands_over_for_nothing_and_has_no_span() -> None:
    platform = replace(platform_of("cpu", "npu"), links={("cpu", "npu"): Link(setup_s=0.5)})
    plan = plan_of(DIAMOND, ("cpu", "a b"), ("npu", "c"), ("cpu", "d"))
    timeline = simulate(problem_of(DIAMOND, DIAMOND_S, platform), plan)
    assert timeline.makespan_s == 3 + 0.5 + 3 + 1
    assert [span.device for span in timeline.spans if span.kind == "hand-over"] == ["npu"]


def test_part_of_a_graph_runs_as_if_what_it_reads_were_there() -> None:
    problem = problem_of(DIAMOND, DIAMOND_S, platform_of("cpu", "npu", setup_s=0.25))
    queues = {"cpu": (Segment("cpu", ("b",)), Segment("cpu", ("d",))), "npu": (Segment("npu", ("c",)),)}
    assert Simulator(problem).run(queues) == 3 + 0.25 + 1


@pytest.mark.parametrize(
    ("segments", "model_hash", "message"),
    [
        ((("cpu", "a b c"),), "", "leaves out 1 of 4 operators"),
        ((("cpu", "a"), ("npu", "b c d")), "", "'npu' cannot run segment 'b \\+2' as one; these can: cpu"),
        ((("cpu", "a b c"), ("tpu", "d")), "", "uses device 'tpu', but the platform has cpu, npu"),
        ((("cpu", "a b c d"),), "beef", "made for model 'tiny' \\(hash beef\\).*\\(hash cafe\\)"),
    ],
)
@pytest.mark.equation("valid")
def test_plans_that_cannot_be_simulated(segments: tuple[tuple[str, str], ...], model_hash: str, message: str) -> None:
    costs_s = {**DIAMOND_S, "b": {"cpu": 1.0}}
    problem = problem_of(DIAMOND, costs_s, platform_of("cpu", "npu"), model_hash="cafe")
    plan = plan_of(DIAMOND, *segments, model_hash=model_hash)
    for run in (simulate, makespan_s):
        with pytest.raises(PlanError, match=message):
            run(problem, plan)


def test_queues_that_wait_for_each_other_are_noticed_even_unchecked() -> None:
    graph = graph_of({"a": (), "b": (), "c": ("a",), "d": ("b",)})
    costs_s = {op: {"cpu": 1.0, "npu": 1.0} for op in "abcd"}
    plan = plan_of(graph, ("cpu", "d"), ("cpu", "a"), ("npu", "c"), ("npu", "b"))
    simulator = Simulator(problem_of(graph, costs_s, platform_of("cpu", "npu")))
    with pytest.raises(PlanError, match="4 segments wait for each other"):
        simulator.run(plan.queues)


def critical_path_s(graph: Graph, problem: Problem, plan: Plan) -> float:
    """The longest path of segments and hand-overs, devices and channel free for all."""
    times_s, ends_s = problem.segment_times_s(plan.segments), list[float]()
    steps = resolve(graph, plan).steps
    for step in steps:
        start_s = max(
            (
                ends_s[i] + problem.transfer_s(steps[i].segment.device, step.segment.device, tensor)
                for tensor, i in step.inputs
                if i is not None
            ),
            default=0.0,
        )
        ends_s.append(start_s + times_s[step.segment])
    return max(ends_s)


@given(problem=charged(problems()), data=st.data())
@pytest.mark.equation("makespan")
def test_makespan_lies_between_the_critical_path_and_the_serial_sum(problem: Problem, data: st.DataObject) -> None:
    plan = random_plan(data, problem)
    steps = resolve(problem.graph, plan).steps
    hand_overs = {
        (steps[i].segment.device, step.segment.device, tensor)
        for step in steps
        for tensor, i in step.inputs
        if i is not None
    }
    serial_s = sum(problem.segment_times_s(plan.segments).values())
    serial_s += sum(problem.transfer_s(source, target, tensor) for source, target, tensor in sorted(hand_overs))
    assert critical_path_s(problem.graph, problem, plan) <= makespan_s(problem, plan) <= serial_s


@given(problem=problems(), data=st.data())
@pytest.mark.equation("checker")
def test_the_independent_checker_accepts_simulated_timelines(problem: Problem, data: st.DataObject) -> None:
    plan = random_plan(data, problem)
    timeline = simulate(problem, plan)
    check_timeline(problem.graph, problem.platform, plan, timeline, duration_s=problem.cost_s)
    assert timeline.makespan_s == makespan_s(problem, plan) == Simulator(problem).run(plan.queues)


@given(problem=problems(), data=st.data())
@pytest.mark.equation("channel")
def test_copies_never_overlap(problem: Problem, data: st.DataObject) -> None:
    timeline = simulate(problem, random_plan(data, problem))
    links = problem.platform.links
    copies = [s for s in timeline.spans if s.kind == "hand-over" and links[s.source, s.device].mode == "copy"]
    for i, copy in enumerate(copies[1:]):
        assert copies[i].end_s <= copy.start_s


@given(problem=problems(), data=st.data())
@pytest.mark.equation("start")
def test_a_device_that_is_never_used_changes_nothing(problem: Problem, data: st.DataObject) -> None:
    plan = random_plan(data, problem)
    idle = Device(name="idle", kind="gpu", backend="fake")
    wider = replace(problem, platform=replace(problem.platform, devices=(idle, *problem.platform.devices)), _known={})
    assert simulate(wider, plan) == simulate(problem, plan)


@given(problem=problems(), data=st.data())
@pytest.mark.equation("start")
def test_the_order_in_which_devices_are_listed_in_a_plan_changes_nothing(problem: Problem, data: st.DataObject) -> None:
    plan = random_plan(data, problem)
    turned = replace(plan, queues=dict(reversed(list(plan.queues.items()))))
    assert simulate(problem, turned) == simulate(problem, plan)
