"""How a plan's latency depends on devices, operators, links and the memory: by hand, and equal to ``--set``."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.analysis.critical_path import critical_path
from hetsim.analysis.scenario import parse_scenario
from hetsim.analysis.sensitivity import Effect, sensitivity
from hetsim.core.plan import Plan
from hetsim.core.platform import Memory
from hetsim.core.problem import Problem
from hetsim.scheduler.segments import plan_from_assignment
from hetsim.sim.simulate import makespan_s, simulate
from tests.support.problems import (
    assignments,
    charged,
    graph_of,
    plan_of,
    platform_of,
    problem_of,
    problems,
    sharing_of,
    zero_copy,
)

FORK = graph_of({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")})
COSTS = {"a": {"cpu": 1.0}, "b": {"cpu": 2.0, "npu": 1.0}, "c": {"npu": 4.0}, "d": {"cpu": 1.0}}
PLAN = plan_of(FORK, ("cpu", "a"), ("cpu", "b"), ("cpu", "d"), ("npu", "c"))


def effects_of(problem: Problem, plan: Plan, factor: float) -> tuple[Effect, ...]:
    """The plan's effects."""
    path = critical_path(problem.graph, plan, simulate(problem, plan), problem.platform)
    return sensitivity(problem, plan, path, factor=factor)


def saved_s(problem: Problem, plan: Plan, factor: float) -> dict[str, float]:
    """By setting, what each change saves."""
    return {e.scenario.description: e.saved_s for e in effects_of(problem, plan, factor)}


def on_path_s(problem: Problem, plan: Plan) -> dict[str, float]:
    """By setting, how much of the critical path each change makes faster."""
    return {e.scenario.description: e.on_path_s for e in effects_of(problem, plan, 2.0)}


@pytest.mark.equation("sensitivity")
def test_savings_by_hand() -> None:
    # a 0..1, over in 0.5 to c 1.5..5.5, back in 0.5 to d 6..7; b waits nowhere and ends at 3.
    problem = problem_of(FORK, COSTS, platform_of("cpu", "npu", setup_s=0.5))
    # Twice as fast: c ends at 3.5 and d at 5; the cpu runs a and d in 1 instead of 2; each link saves 0.25.
    assert saved_s(problem, PLAN, 2.0) == {
        "npu.speed=2": 2.0,
        "npu.speed.op:c=2": 2.0,
        "cpu.speed=2": 1.0,
        "cpu.speed.op:a=2": 0.5,
        "cpu.speed.op:d=2": 0.5,
        "link.cpu->npu.speed=2": 0.25,
        "link.npu->cpu.speed=2": 0.25,
        "cpu.speed.op:b=2": 0.0,
    }
    # Sixteen times: c would end at 1.75, and its tensor be there at 2.25, but then b, which ends at 3, is waited for.
    assert saved_s(problem, PLAN, 16.0)["npu.speed.op:c=16"] == 3.0
    assert on_path_s(problem, PLAN) == {
        "npu.speed=2": 4.0,
        "npu.speed.op:c=2": 4.0,
        "cpu.speed=2": 2.0,
        "cpu.speed.op:a=2": 1.0,
        "cpu.speed.op:d=2": 1.0,
        "link.cpu->npu.speed=2": 0.5,
        "link.npu->cpu.speed=2": 0.5,
        "cpu.speed.op:b=2": 0.0,
    }


def problem_with_launches() -> Problem:
    """``a``, ``b``, ``c`` in a row; alone they take 1.5, 3.5 and 5.5 s, ``a`` and ``b`` together 2.5; launches 0.5."""
    graph = graph_of({"a": (), "b": ("a",), "c": ("b",)})
    platform = platform_of("cpu", "npu", setup_s=0.5, bandwidth_bytes_per_s=1000.0)
    platform = platform.with_devices(*(replace(device, launch_s=0.5) for device in platform.devices))
    costs = {"a": {"cpu": 1.5, "npu": 9.0}, "b": {"cpu": 3.5}, "c": {"cpu": 5.5, "npu": 5.5}}
    problem = problem_of(graph, costs, platform, groups_s={("cpu", ("a", "b")): 2.5})
    problem = replace(problem, platform=replace(platform, memory=Memory(shared_bytes_per_s=100.0)), _known={})
    return replace(problem, traffic_function=lambda _device, ops: 20 * len(ops), _known={})


@pytest.mark.equation("sensitivity")
def test_launches_stay_and_an_operator_has_its_share_of_a_segment_s_arithmetic() -> None:
    # Without launches a and b take 1 and 3 alone, so b is 3/4 of the 2 s of arithmetic of their segment of 2.5 s. The
    # hand-over takes 0.5 s and 1000 bytes at 1000 bytes/s; c is 0.5 s of launch and 5 s of arithmetic.
    problem = problem_with_launches()
    plan = plan_of(problem.graph, ("cpu", "a b"), ("npu", "c"))
    assert saved_s(problem, plan, 2.0) == pytest.approx(
        {
            "cpu.speed=2": 1.0,
            "npu.speed=2": 2.5,
            "link.cpu->npu.speed=2": 0.75,
            "memory.bandwidth=2x": 0.0,
            "cpu.speed.op:a=2": 0.25,
            "cpu.speed.op:b=2": 0.75,
            "npu.speed.op:c=2": 2.5,
        }
    )
    assert on_path_s(problem, plan) == pytest.approx(
        {
            "cpu.speed=2": 2.0,
            "npu.speed=2": 5.0,
            "link.cpu->npu.speed=2": 1.5,
            "memory.bandwidth=2x": 0.0,
            "cpu.speed.op:a=2": 0.5,
            "cpu.speed.op:b=2": 1.5,
            "npu.speed.op:c=2": 5.0,
        }
    )


@pytest.mark.equation("sensitivity")
def test_a_faster_link_also_saves_its_ends_what_access_costs_them() -> None:
    # 0.5 s and 1 s on the link, 2 s for a and 4 s for b. A faster device shortens none of these.
    graph = graph_of({"a": (), "b": ("a",)})
    platform = platform_of("cpu", "npu", setup_s=0.5, bandwidth_bytes_per_s=1000.0)
    problem = problem_of(graph, {"a": {"cpu": 1.0}, "b": {"npu": 3.0}}, platform)
    problem = replace(problem, sharing=sharing_of({("npu", "a"): 4.0}, {("cpu", "a"): 2.0}))
    plan = plan_of(graph, ("cpu", "a"), ("npu", "b"))
    saved = {"cpu.speed=2": 0.5, "npu.speed=2": 1.5, "link.cpu->npu.speed=2": 3.75}
    saved |= {"cpu.speed.op:a=2": 0.5, "npu.speed.op:b=2": 1.5}
    assert saved_s(problem, plan, 2.0) == pytest.approx(saved)
    assert on_path_s(problem, plan) == pytest.approx({name: 2 * seconds for name, seconds in saved.items()})


@pytest.mark.equation("sensitivity")
def test_of_several_links_each_has_its_part_of_what_access_costs() -> None:
    # Of a's 2 s and b's 4 s each of two links stands for half.
    graph = graph_of({"a": (), "b": ("a",)})
    problem = problem_of(graph, {"a": {"cpu": 1.0}, "b": {"npu": 3.0}}, platform_of("cpu", "npu", "gpu"))
    problem = replace(problem, sharing=sharing_of({("npu", "a"): 4.0}, {("cpu", "a"): 2.0}))
    plan = plan_of(graph, ("cpu", "a"), ("npu", "b"))
    assert on_path_s(problem, plan)["link.cpu->npu.speed=2"] == pytest.approx(3.0)
    assert saved_s(problem, plan, 2.0)["link.cpu->npu.speed=2"] == pytest.approx(1.5)


@pytest.mark.equation("sensitivity")
@pytest.mark.parametrize("factor", [0.5, 1.1, 1 + 7.3 / 100, 3.0])
def test_each_effect_is_that_of_its_setting(factor: float) -> None:
    problem = problem_with_launches()
    plan = plan_of(problem.graph, ("cpu", "a b"), ("npu", "c"))
    for effect in effects_of(problem, plan, factor):
        scenario = parse_scenario([effect.scenario.description])
        assert effect.makespan_s == makespan_s(scenario.problem(problem), plan)


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
        "memory.bandwidth=2x": 1.0,
        "cpu.speed=2": 0.0,
        "npu.speed=2": 0.0,
        "cpu.speed.op:a=2": 0.0,
        "npu.speed.op:b=2": 0.0,
    }


@given(st.data())
def test_without_copies_and_contention_savings_are_on_the_path_and_no_more_than_they_cost(data: st.DataObject) -> None:
    problem = data.draw(charged(problems().map(zero_copy)))
    device_of, raised = data.draw(assignments(problem))
    plan = plan_from_assignment(problem, "test", device_of, raised)
    effects = effects_of(problem, plan, 2.0)
    for effect in effects:
        assert -1e-12 <= effect.saved_s <= effect.on_path_s / 2 + 1e-12
    savings = [effect.saved_s for effect in effects]
    assert savings == sorted(savings, reverse=True)
