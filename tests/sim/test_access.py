"""Shared tensors: what segments take longer in a plan, by hand and by the checker."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.dataflow import Access, SharingCosts, resolve
from hetsim.core.errors import PlanError
from hetsim.core.load import Load
from hetsim.core.plan import Segment
from hetsim.core.platform import Link, Memory
from hetsim.core.problem import Problem
from hetsim.sim.check import check_timeline
from hetsim.sim.compiled import CompiledSimulator
from hetsim.sim.simulate import makespan_s, simulate
from tests.support.problems import (
    charged,
    graph_of,
    plan_of,
    platform_of,
    problem_of,
    problems,
    random_plan,
    sharing_of,
)

# a feeds b, c and d; these feed e.
GRAPH = graph_of({"a": (), "b": ("a",), "c": ("a",), "d": ("a",), "e": ("b", "c", "d")})
A, B, C, DE = Segment("cpu", ("a",)), Segment("npu", ("b",)), Segment("npu", ("c",)), Segment("cpu", ("d", "e"))
PLAN = plan_of(GRAPH, ("cpu", "a"), ("npu", "b"), ("npu", "c"), ("cpu", "d e"))


def problem(sharing: SharingCosts | None) -> Problem:
    """A second for each operator, and 0.25 s from the CPU to the NPU."""
    names = ("cpu", "npu", "gpu")
    platform = replace(platform_of(*names), links={("cpu", "npu"): Link(setup_s=0.25)})
    return replace(problem_of(GRAPH, {op: dict.fromkeys(names, 1.0) for op in "abcde"}, platform), sharing=sharing)


SHARING = sharing_of(
    {("npu", "a"): 1.0, ("cpu", "a"): 0.5, ("cpu", "b"): 8.0, ("cpu", "c"): 4.0, ("cpu", "d"): 64.0},
    {("cpu", "a"): 2.0, ("npu", "b"): 0.25, ("npu", "c"): 0.125, ("cpu", "d"): 64.0},
)


@pytest.mark.equation("access")
def test_each_reading_segment_pays_and_the_one_that_makes_a_tensor_pays_once() -> None:
    # b and c read what a makes, a second each, for which a takes 2 s longer. So does d e, on the device that makes it,
    # for half a second, and what b and c make takes it 12 s more. What d makes stays in its segment.
    one = problem(SHARING)
    assert one.segment_times_s(PLAN.segments) == {A: 3.0, B: 2.25, C: 2.125, DE: 14.5}
    assert one.accesses(PLAN.segments) == {
        A: (Access("a.out", True, 2.0),),
        B: (Access("a.out", False, 1.0), Access("b.out", True, 0.25)),
        C: (Access("a.out", False, 1.0), Access("c.out", True, 0.125)),
        DE: (Access("a.out", False, 0.5), Access("b.out", False, 8.0), Access("c.out", False, 4.0)),
    }
    # a 0 to 3; b 3.25 to 5.5; c to 7.625; d e to 22.125: links delay as they did, and access is on top of it
    assert makespan_s(one, PLAN) == 22.125
    assert CompiledSimulator(one).run(PLAN.queues) == 22.125
    spans = {span.ops: (span.start_s, span.end_s) for span in simulate(one, PLAN).compute}
    assert spans["b",] == (3.25, 5.5)


@pytest.mark.equation("access")
def test_who_makes_a_tensor_pays_once_for_any_number_of_devices() -> None:
    one = problem(SHARING)
    plan = plan_of(GRAPH, ("cpu", "a"), ("npu", "b"), ("gpu", "c"), ("cpu", "d"), ("cpu", "e"))
    assert one.accesses(plan.segments)[A] == (Access("a.out", True, 2.0),)
    # d and e are on one device, which alone has what is between them: neither pays for it.
    times_s = one.segment_times_s(plan.segments)
    assert (times_s[A], times_s[Segment("cpu", ("d",))], times_s[Segment("cpu", ("e",))]) == (3.0, 1.5, 13.0)


@pytest.mark.equation("access")
def test_what_one_device_alone_accesses_costs_nothing() -> None:
    one = problem(SHARING)
    alone = plan_of(GRAPH, ("cpu", "a"), ("cpu", "b"), ("cpu", "c"), ("cpu", "d e"))
    assert set(one.segment_times_s(alone.segments).values()) == {1.0, 2.0}
    # Of a part of a plan, neither does what none of its segments makes, or reads on another device.
    assert one.segment_times_s([A, Segment("cpu", ("b",))]) == {A: 1.0, Segment("cpu", ("b",)): 1.0}
    assert one.segment_times_s([B, C]) == {B: 1.0, C: 1.0}
    assert problem(None).segment_times_s(PLAN.segments) == {A: 1.0, B: 1.0, C: 1.0, DE: 2.0}
    assert problem(None).accesses(PLAN.segments)[A] == ()


@given(problem=problems(), data=st.data())
@pytest.mark.equation("access")
def test_a_plan_knows_the_same_shared_tensors_as_the_problem(problem: Problem, data: st.DataObject) -> None:
    plan = random_plan(data, problem)
    always = replace(problem, sharing=SharingCosts(lambda *_: 1.0, lambda *_: 1.0))
    flow = resolve(problem.graph, plan)
    found = {step.segment: flow.shared_by(step) for step in flow.steps}
    assert found == {
        segment: tuple(access.tensor for access in accesses)
        for segment, accesses in always.accesses(plan.segments).items()
    }
    assert flow.shared == {tensor for tensors in found.values() for tensor in tensors}


@pytest.mark.equation("access")
@pytest.mark.equation("fluid")
def test_work_that_takes_longer_moves_its_bytes_more_slowly() -> None:
    # b and c move 400 bytes. b reads 1 s longer, so it demands 200 bytes/s and not 400, and c beside it 300 of 500: c
    # ends at 1 + 4/3, then b goes on at full speed, which it never left.
    graph = graph_of({"a": (), "b": ("a",), "c": ("a",)})
    platform = replace(platform_of("cpu", "npu"), memory=Memory(shared_bytes_per_s=500.0))
    one = problem_of(graph, {"a": {"cpu": 1.0}, "b": {"npu": 1.0}, "c": {"cpu": 1.0}}, platform)
    one = replace(
        one, traffic_function=lambda _, ops: 0 if "a" in ops else 400, sharing=sharing_of({("npu", "a"): 1.0})
    )
    plan = plan_of(graph, ("cpu", "a"), ("npu", "b"), ("cpu", "c"))
    ends_s = {span.ops[0]: span.end_s for span in simulate(one, plan).compute}
    assert ends_s == pytest.approx({"a": 1.0, "b": 3.0, "c": 1 + 4 / 3})
    assert CompiledSimulator(one).run(plan.queues) == makespan_s(one, plan)


@given(problem=charged(problems()), data=st.data())
@pytest.mark.equation("access")
@pytest.mark.equation("checker")
def test_the_checker_accepts_simulated_accesses_and_misses_none(problem: Problem, data: st.DataObject) -> None:
    plan, sharing = random_plan(data, problem), problem.sharing
    assert sharing is not None
    timeline = simulate(problem, plan, load=Load(num_requests=2, num_slots=2))

    def check(costs: SharingCosts | None) -> None:
        check_timeline(problem.graph, problem.platform, plan, timeline, duration_s=problem.cost_s, sharing=costs)

    check(sharing)
    dearer = SharingCosts(lambda device, tensor: sharing.read_s(device, tensor) + 1.0, sharing.written_s)
    for other in (dearer, SharingCosts(sharing.read_s, dearer.read_s), None):
        changed = replace(problem, sharing=other)
        if changed.segment_times_s(plan.segments) != problem.segment_times_s(plan.segments):
            with pytest.raises(PlanError, match=r"timeline gives '.*' .* s, not .* s"):
                check(other)


def test_the_checker_names_the_segment_that_was_not_charged() -> None:
    one = problem(SHARING)
    timeline = simulate(problem(None), PLAN)
    with pytest.raises(PlanError, match=r"timeline gives 'a' 1\.0 s, not 3\.0 s"):
        check_timeline(GRAPH, one.platform, PLAN, timeline, duration_s=one.cost_s, sharing=SHARING)


@given(problem=charged(problems()), data=st.data())
@pytest.mark.equation("access")
def test_hand_overs_cost_a_chain_the_link_and_both_its_ends(problem: Problem, data: st.DataObject) -> None:
    names, tensors = problem.platform.device_names, tuple(problem.graph.producer)
    source, target, tensor = (data.draw(st.sampled_from(some)) for some in (names, names, tensors))
    sharing = problem.sharing
    assert sharing is not None
    ends_s = sharing.written_s(source, tensor) + sharing.read_s(target, tensor)
    expected_s = 0.0 if source == target else problem.transfer_s(source, target, tensor) + ends_s
    assert problem.hand_over_s(source, target, tensor) == pytest.approx(expected_s)
