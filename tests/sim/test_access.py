"""Cross-device access: what segments take longer in a plan, by hand and by the checker."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.errors import PlanError
from hetsim.core.load import Load
from hetsim.core.plan import Segment
from hetsim.core.platform import Link, Memory, Platform
from hetsim.core.problem import Problem
from hetsim.core.sharing import Access
from hetsim.sim.check import check_timeline
from hetsim.sim.compiled import CompiledSimulator
from hetsim.sim.simulate import makespan_s, simulate
from tests.support.problems import charged, graph_of, plan_of, platform_of, problem_of, problems, random_plan

# a feeds b, c and d, which feed e; a makes 1000 bytes, b 2000, the others 1000.
GRAPH = graph_of({"a": (), "b": ("a",), "c": ("a",), "d": ("a",), "e": ("b", "c", "d")}, num_bytes={"b": 2000})
A, B, C, DE = Segment("cpu", ("a",)), Segment("npu", ("b",)), Segment("npu", ("c",)), Segment("cpu", ("d", "e"))


def problem(**links: Link) -> Problem:
    """A second for each operator; links by the initials of their ends."""
    names = {"c": "cpu", "n": "npu", "g": "gpu"}
    platform = replace(
        platform_of("cpu", "npu", "gpu"), links={(names[p[0]], names[p[1]]): link for p, link in links.items()}
    )
    return problem_of(GRAPH, {op: dict.fromkeys(names.values(), 1.0) for op in "abcde"}, platform)


TWO_WAYS = {
    "cn": Link(setup_s=0.25, read_s_per_byte=1e-3, written_s_per_byte=2e-3),
    "nc": Link(read_s_per_byte=4e-3, written_s_per_byte=1e-4),
}


@pytest.mark.equation("access")
def test_each_reading_segment_pays_and_the_writer_pays_once() -> None:
    # b and c read a's 1000 bytes, 1 s each, for which a takes 2 s longer; d e reads 3000 bytes, 12 s.
    one = problem(**TWO_WAYS)
    plan = plan_of(GRAPH, ("cpu", "a"), ("npu", "b"), ("npu", "c"), ("cpu", "d e"))
    assert one.segment_times_s(plan.segments) == pytest.approx({A: 3.0, B: 2.2, C: 2.1, DE: 14.0})
    assert one.accesses(plan.segments)[B] == (
        Access("cpu", "npu", pytest.approx(1.0)),  # type: ignore[arg-type]
        Access("npu", "cpu", pytest.approx(0.2)),  # type: ignore[arg-type]
    )
    # a 0 to 3; b 3.25 to 5.45; c to 7.55; d e to 21.55: links delay as they did, and access is on top of it
    assert makespan_s(one, plan) == pytest.approx(21.55)
    assert CompiledSimulator(one).run(plan.queues) == makespan_s(one, plan)
    spans = {span.ops: (span.start_s, span.end_s) for span in simulate(one, plan).compute}
    assert spans["b",] == pytest.approx((3.25, 5.45))


@pytest.mark.equation("access")
def test_of_several_receivers_the_dearest_counts_for_the_writer() -> None:
    one = problem(cn=Link(written_s_per_byte=1e-3), cg=Link(written_s_per_byte=3e-3), gn=Link(written_s_per_byte=9e-3))
    plan = plan_of(GRAPH, ("cpu", "a"), ("npu", "b"), ("gpu", "c"), ("cpu", "d e"))
    assert one.accesses(plan.segments)[A] == (Access("cpu", "gpu", 3.0),)
    assert one.segment_times_s(plan.segments)[A] == 4.0
    # On one device nothing is paid, and for what no segment of a part of a plan makes neither.
    assert one.segment_times_s([A, Segment("cpu", ("b",))]) == {A: 1.0, Segment("cpu", ("b",)): 1.0}
    assert one.segment_times_s([B, C]) == {B: 1.0, C: 1.0}


@pytest.mark.equation("access")
def test_work_that_takes_longer_moves_its_bytes_more_slowly() -> None:
    # b and c move 400 bytes. b reads 1 s longer, so it demands 200 bytes/s and not 400, and c beside it 300 of 500: c
    # ends at 1 + 4/3, then b goes on at full speed, which it never left.
    graph = graph_of({"a": (), "b": ("a",), "c": ("a",)})
    platform = replace(
        platform_of("cpu", "npu"),
        links={("cpu", "npu"): Link(read_s_per_byte=1e-3)},
        memory=Memory(shared_bytes_per_s=500.0),
    )
    one = problem_of(graph, {"a": {"cpu": 1.0}, "b": {"npu": 1.0}, "c": {"cpu": 1.0}}, platform)
    one = replace(one, traffic_function=lambda _, ops: 0 if "a" in ops else 400)
    plan = plan_of(graph, ("cpu", "a"), ("npu", "b"), ("cpu", "c"))
    ends_s = {span.ops[0]: span.end_s for span in simulate(one, plan).compute}
    assert ends_s == pytest.approx({"a": 1.0, "b": 3.0, "c": 1 + 4 / 3})
    assert CompiledSimulator(one).run(plan.queues) == makespan_s(one, plan)


@given(problem=charged(problems()), data=st.data())
@pytest.mark.equation("access")
@pytest.mark.equation("checker")
def test_the_checker_accepts_simulated_accesses_and_misses_none(problem: Problem, data: st.DataObject) -> None:
    plan = random_plan(data, problem)
    timeline = simulate(problem, plan, load=Load(num_requests=2, num_slots=2))
    check_timeline(problem.graph, problem.platform, plan, timeline, duration_s=problem.cost_s)
    dearer = {
        pair: link if link.mode == "copy" else replace(link, read_s_per_byte=link.read_s_per_byte + 1e-3)
        for pair, link in problem.platform.links.items()
    }
    changed = replace(problem, platform=replace(problem.platform, links=dearer))
    if changed.segment_times_s(plan.segments) != problem.segment_times_s(plan.segments):
        with pytest.raises(PlanError):
            check_timeline(problem.graph, changed.platform, plan, timeline, duration_s=problem.cost_s)


def test_the_checker_names_the_segment_that_was_not_charged() -> None:
    one = problem(**TWO_WAYS)
    plan = plan_of(GRAPH, ("cpu", "a"), ("npu", "b"), ("npu", "c"), ("cpu", "d e"))
    free = replace(one, platform=replace(one.platform, links={("cpu", "npu"): Link(setup_s=0.25)}))
    with pytest.raises(PlanError, match=r"timeline gives 'a' 1\.0 s, not 3\.0 s"):
        check_timeline(GRAPH, one.platform, plan, simulate(free, plan), duration_s=one.cost_s)


@given(problem=charged(problems()), data=st.data())
@pytest.mark.equation("access")
def test_hand_overs_cost_a_chain_the_link_and_both_its_ends(problem: Problem, data: st.DataObject) -> None:
    names, tensors = problem.platform.device_names, tuple(problem.graph.producer)
    source, target, tensor = (data.draw(st.sampled_from(some)) for some in (names, names, tensors))
    link, num_bytes = problem.platform.link(source, target), problem.graph.tensors[tensor].num_bytes
    ends_s = num_bytes * (link.read_s_per_byte + link.written_s_per_byte)
    expected_s = 0.0 if source == target else problem.transfer_s(source, target, tensor) + ends_s
    assert problem.hand_over_s(source, target, tensor) == pytest.approx(expected_s)


def test_a_platform_knows_whether_anything_is_charged() -> None:
    platform: Platform = problem(**TWO_WAYS).platform
    assert platform.charges_access
    assert not problem(cn=Link(setup_s=1.0, bandwidth_bytes_per_s=1.0)).platform.charges_access
    assert problem().segment_times_s([A]) == {A: 1.0}
