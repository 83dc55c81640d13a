"""Planning again for a hypothetical machine: never slower than the first plan, monotone in speed, with a limit.

On layered graphs and on rows of blocks with branches, as networks have them. Contention and copies are off here: with
them, a faster device may make the best plan slower (docs/model.md).
"""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.shared.random_graphs import layered_problem
from hetsim.analysis.scenario import parse_scenario
from hetsim.core.problem import Problem
from hetsim.scheduler.bounds import lower_bound
from hetsim.scheduler.exact.decomposition import Decomposition
from hetsim.scheduler.registry import solve
from hetsim.sim.simulate import makespan_s
from tests.support.problems import Costs, graph_of, platform_of, problem_of

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 16.0)
ROUNDING = 1 + 1e-9


def faster(problem: Problem, speed: float) -> Problem:
    return parse_scenario([f"npu.speed={speed!r}"]).problem(problem)


@st.composite
def blocky_problems(draw: st.DrawFn) -> Problem:
    """Up to five blocks in a row of one to three branches each; segments save launches, hand-overs take time."""
    generator = random.Random(draw(st.integers(0, 2**32)))
    reads: dict[str, tuple[str, ...]] = {"stem": ()}
    before = "stem"
    for block in range(draw(st.integers(1, 5))):
        ends = []
        for branch in range(draw(st.integers(1, 3))):
            last = before
            for depth in range(draw(st.integers(1, 3))):
                name = f"b{block}.{branch}.{depth}"
                reads[name] = (last,)
                last = name
            ends.append(last)
        before = f"b{block}.join"
        reads[before] = tuple(ends)
    launch_s = draw(st.sampled_from((0.0, 0.05)))
    costs_s: Costs = {
        op: {"cpu": launch_s + generator.uniform(0.1, 2.0)}
        | ({"npu": launch_s + generator.uniform(0.1, 2.0)} if generator.random() < 0.8 else {})
        for op in reads
    }
    platform = platform_of("cpu", "npu", setup_s=draw(st.sampled_from((0.0, 0.2))))
    npu = replace(platform.device("npu"), launch_s=launch_s)
    return problem_of(graph_of(reads), costs_s, platform.with_devices(npu), launch_s=launch_s)


@st.composite
def layered_problems(draw: st.DrawFn) -> Problem:
    """Layered graphs on two devices, on which exact planning proves its plan."""
    return layered_problem(draw(st.integers(4, 14)), seed=draw(st.integers(0, 1000)))


EITHER = st.one_of(blocky_problems(), layered_problems())


@settings(max_examples=40)
@given(EITHER)
@pytest.mark.equation("monotone")
def test_a_new_plan_is_never_slower_than_the_first_one_and_falls_with_speed(problem: Problem) -> None:
    first = solve("exact", problem)
    assert first.proven
    best_s: list[float] = []
    for speed in SPEEDS:
        there = faster(problem, speed)
        found = solve("exact", there)
        assert found.proven
        assert found.makespan_s <= makespan_s(there, first.plan) * ROUNDING
        best_s.append(found.makespan_s)
    assert all(later <= earlier * ROUNDING for earlier, later in pairwise(best_s))


@given(blocky_problems())
@pytest.mark.equation("monotone")
def test_latency_ends_at_that_of_an_npu_whose_arithmetic_takes_no_time(problem: Problem) -> None:
    # The same problem with nothing but launches left of the NPU, written down without scenario.
    launch_s = problem.platform.device("npu").launch_s
    costs_s: Costs = {
        op.name: {
            device: problem.cost_s("cpu", (op.name,)) if device == "cpu" else launch_s
            for device in problem.devices_for((op.name,))
        }
        for op in problem.graph.ops
    }
    limit = problem_of(problem.graph, costs_s, problem.platform, launch_s=launch_s)
    cpu = limit.platform.device("cpu")
    assert cpu.launch_s == 0.0
    end, least = solve("exact", faster(problem, 1e12)), solve("exact", limit)
    assert end.proven
    assert least.proven
    assert end.makespan_s == pytest.approx(least.makespan_s, rel=1e-6, abs=1e-9)
    bound_s = lower_bound(limit, Decomposition(limit, fused=True).segments())
    assert bound_s <= end.makespan_s * ROUNDING


def test_where_the_cpu_has_to_run_a_chain_latency_ends_at_the_critical_path() -> None:
    # a, c and e run on the CPU alone, 1 + 2 + 3 s; b and d on the NPU too; hand-overs of 0.25 s.
    graph = graph_of({"a": (), "b": ("a",), "c": ("a",), "d": ("c",), "e": ("b", "d")})
    costs_s = {
        "a": {"cpu": 1.0},
        "b": {"cpu": 8.0, "npu": 8.0},
        "c": {"cpu": 2.0},
        "d": {"cpu": 6.0, "npu": 6.0},
        "e": {"cpu": 3.0},
    }
    problem = problem_of(graph, costs_s, platform_of("cpu", "npu", setup_s=0.25))
    end = solve("exact_operators", faster(problem, 1e9))
    # a, c, then d on the NPU and back, then e: 1 + 2 + 0.25 + 0.25 + 3; b is long done.
    assert end.makespan_s == pytest.approx(6.5)
    assert lower_bound(faster(problem, 1e9)) == pytest.approx(6.5)
    assert solve("exact_operators", faster(problem, 4.0)).makespan_s == pytest.approx(6.5 + 6.0 / 4)


@settings(max_examples=40)
@given(EITHER, st.integers(2, 3))
@pytest.mark.equation("monotone")
def test_more_devices_never_make_the_best_plan_slower(problem: Problem, count: int) -> None:
    more = parse_scenario([f"npu.count={count}"]).problem(problem)
    first, found = solve("exact", problem), solve("exact", more)
    assert makespan_s(more, first.plan.renamed({"npu": "npu0"})) == makespan_s(problem, first.plan)
    assert found.bound_s <= first.makespan_s * ROUNDING
    assert not found.proven or found.makespan_s <= first.makespan_s * ROUNDING
