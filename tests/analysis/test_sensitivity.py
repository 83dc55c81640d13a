"""What a plan's latency owes to whom: by hand, and in agreement with the critical path."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.analysis.critical_path import critical_path
from hetsim.analysis.faster import op_share, with_faster_device, with_faster_link, with_faster_memory, with_faster_op
from hetsim.analysis.sensitivity import Effect, sensitivity
from hetsim.core.plan import Plan
from hetsim.core.platform import Memory
from hetsim.core.problem import Problem
from hetsim.scheduler.segments import plan_from_labels
from hetsim.sim.simulate import simulate
from hetsim.tuner.cli.explain import explain
from hetsim.tuner.progress import Silent
from tests.support.problems import graph_of, labellings, plan_of, platform_of, problem_of, problems

FORK = graph_of({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")})
COSTS = {"a": {"cpu": 1.0}, "b": {"cpu": 2.0, "npu": 1.0}, "c": {"npu": 4.0}, "d": {"cpu": 1.0}}
PLAN = plan_of(FORK, ("cpu", "a"), ("cpu", "b"), ("cpu", "d"), ("npu", "c"))


def effects_of(problem: Problem, plan: Plan, factor: float) -> tuple[Effect, ...]:
    """The plan's effects."""
    path = critical_path(problem.graph, plan, simulate(problem, plan), problem.platform)
    return sensitivity(problem, plan, path, factor=factor)


def saved_s(problem: Problem, plan: Plan, factor: float) -> dict[str, float]:
    """By label, what each change saves."""
    return {e.change.label(problem.platform): e.saved_s for e in effects_of(problem, plan, factor)}


@pytest.mark.equation("sensitivity")
def test_savings_by_hand() -> None:
    # a 0..1, over in 0.5 to c 1.5..5.5, back in 0.5 to d 6..7; b waits nowhere and ends at 3.
    problem = problem_of(FORK, COSTS, platform_of("cpu", "npu", setup_s=0.5))
    # Twice as fast: c ends at 3.5 and d at 5; the cpu runs a and d in 1 instead of 2; each link saves 0.25.
    assert saved_s(problem, PLAN, 2.0) == {
        "all of npu": 2.0,
        "c on npu": 2.0,
        "all of cpu": 1.0,
        "a on cpu": 0.5,
        "d on cpu": 0.5,
        "cpu->npu": 0.25,
        "npu->cpu": 0.25,
        "b on cpu": 0.0,
    }
    # Sixteen times: c would end at 1.75, and its tensor be there at 2.25, but then b, which ends at 3, is waited for.
    assert saved_s(problem, PLAN, 16.0)["c on npu"] == 3.0
    on_path_s = {e.change.label(problem.platform): e.on_path_s for e in effects_of(problem, PLAN, 2.0)}
    assert on_path_s == {
        "all of npu": 4.0, "c on npu": 4.0, "all of cpu": 2.0, "a on cpu": 1.0, "d on cpu": 1.0, "cpu->npu": 0.5,
        "npu->cpu": 0.5, "b on cpu": 0.0,
    }  # fmt: skip


@pytest.mark.equation("sensitivity")
def test_an_operator_of_a_segment_has_its_share_of_the_segment() -> None:
    # Alone a and b take 1 and 3, together 2: b counts 3/4 of it, so b twice as fast makes it 2 - 1.5 / 2.
    graph = graph_of({"a": (), "b": ("a",), "c": ("b",)})
    costs = {"a": {"cpu": 1.0, "npu": 9.0}, "b": {"cpu": 3.0}, "c": {"cpu": 5.0, "npu": 5.0}}
    problem = problem_of(graph, costs, platform_of("cpu", "npu"), groups_s={("cpu", ("a", "b")): 2.0})
    faster = with_faster_op(problem, "cpu", "b", 2.0)
    assert op_share(problem, "cpu", ("a", "b"), "b") == 0.75
    assert faster.cost_s("cpu", ("a", "b")) == pytest.approx(1.25)
    assert faster.cost_s("cpu", ("b",)) == pytest.approx(1.5)
    assert faster.cost_s("cpu", ("a",)) == 1.0
    assert faster.cost_s("npu", ("a",)) == 9.0
    assert faster.latency("npu", ("b",)) is None
    both = with_faster_op(faster, "cpu", "a", 2.0)  # each on its own, one after the other: all of it, nearly
    assert both.cost_s("cpu", ("a", "b")) == pytest.approx(1.25 * (1 - 1.0 / 2.5 / 2))


@pytest.mark.equation("sensitivity")
def test_operators_that_cannot_run_alone_have_equal_shares() -> None:
    graph = graph_of({"a": (), "b": ("a",)})
    costs = {"a": {"cpu": 1.0, "npu": 3.0}, "b": {"cpu": 1.0, "npu": 1.0}}
    problem = problem_of(graph, costs, platform_of("cpu", "npu"), refused=[("npu", ("b",))])
    assert op_share(problem, "npu", ("a", "b"), "a") == 0.5
    nothing = problem_of(graph, {"a": {"cpu": 0.0}, "b": {"cpu": 0.0}}, platform_of("cpu"))
    assert op_share(nothing, "cpu", ("a", "b"), "a") == 0.5


def test_devices_links_and_the_memory_are_faster_alone() -> None:
    platform = replace(platform_of("cpu", "npu", setup_s=0.5, bandwidth_bytes_per_s=1000.0))
    problem = problem_of(FORK, COSTS, replace(platform, memory=Memory(shared_bytes_per_s=100.0)))
    assert with_faster_device(problem, "npu", 4.0).cost_s("npu", ("c",)) == 1.0
    assert with_faster_device(problem, "npu", 4.0).cost_s("cpu", ("b",)) == 2.0
    link = with_faster_link(problem, "cpu", "npu", 2.0)
    assert problem.transfer_s("cpu", "npu", "a.out") == 1.5
    assert link.transfer_s("cpu", "npu", "a.out") == 0.75
    assert link.transfer_s("npu", "cpu", "c.out") == 1.5
    assert with_faster_memory(problem, 2.0).platform.memory.shared_bytes_per_s == 200.0


@pytest.mark.equation("sensitivity")
def test_a_memory_that_is_short_is_worth_its_bandwidth() -> None:
    # Two segments of 1 s that move 100 bytes each share 100 bytes/s: both end at 2. With twice the memory, at 1.
    graph = graph_of({"a": (), "b": ()})
    platform = replace(platform_of("cpu", "npu"), memory=Memory(shared_bytes_per_s=100.0))
    problem = problem_of(graph, {"a": {"cpu": 1.0}, "b": {"npu": 1.0}}, platform)
    problem = replace(problem, traffic_function=lambda *_: 100, _known={})
    plan = plan_of(graph, ("cpu", "a"), ("npu", "b"))
    # A faster device moves no fewer bytes: its half of the memory still takes 2 s.
    assert saved_s(problem, plan, 2.0) == {
        "memory": 1.0, "all of cpu": 0.0, "all of npu": 0.0, "a on cpu": 0.0, "b on npu": 0.0,
    }  # fmt: skip


@given(st.data())
def test_without_copies_and_contention_savings_are_on_the_path_and_no_more_than_they_cost(data: st.DataObject) -> None:
    problem = data.draw(problems().filter(lambda p: all(link.mode != "copy" for link in p.platform.links.values())))
    device_of, raised = data.draw(labellings(problem))
    plan = plan_from_labels(problem, "test", device_of, raised)
    effects = effects_of(problem, plan, 2.0)
    for effect in effects:
        assert -1e-12 <= effect.saved_s <= effect.on_path_s / 2 + 1e-12
    savings = [effect.saved_s for effect in effects]
    assert savings == sorted(savings, reverse=True)


def test_planned_anew_a_change_saves_what_another_plan_makes_of_it() -> None:
    # One operator of 1 s on the cpu and 1.25 s on the npu: twice as fast, the npu is the better place. So a plan that
    # is on the npu saves 0.625 by it, and the best plan, which is on the cpu now, 1 - 0.625.
    graph = graph_of({"a": ()})
    problem = problem_of(graph, {"a": {"cpu": 1.0, "npu": 1.25}}, platform_of("cpu", "npu"))
    plan = plan_of(graph, ("npu", "a"))
    found = explain(problem, plan, factor=2.0, stages=Silent(), replan=1)
    assert found.best_s == 1.0
    assert found.effects[0].saved_s == 0.625
    (again,) = found.replanned
    assert again.change == found.effects[0].change
    assert (again.makespan_s, again.saved_s, again.is_other_plan) == (0.625, 0.375, True)
