"""No plan is faster than the bounds say, and where they are known they are what they should be."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetsim.core.dataflow import resolve
from hetsim.core.graph import Graph
from hetsim.core.plan import Segment
from hetsim.core.platform import Memory
from hetsim.core.problem import Problem
from hetsim.scheduler.bounds import load_s, load_weights, lower_bound, on_grid, prices, weighted
from hetsim.scheduler.segments import plan_from_assignment
from hetsim.sim.simulate import makespan_s
from tests.support.planning.brute_force import fastest_s, single_operators
from tests.support.problems import assignments, charged, graph_of, platform_of, problem_of, problems, sharing_of

FORK = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


def fork(**costs_s: tuple[float, float]) -> Problem:
    costs = {op: {"cpu": cpu_s, "npu": npu_s} for op, (cpu_s, npu_s) in costs_s.items()}
    return problem_of(graph_of(FORK), costs, platform_of("cpu", "npu", setup_s=0.5))


@pytest.mark.equation("bound")
def test_a_critical_path_by_hand() -> None:
    # a is free on the cpu alone, b on the npu alone: one hand-over, 0.5, is paid in any case; then c beside b is free
    problem = fork(a=(1.0, 9.0), b=(9.0, 2.0), c=(1.0, 1.0), d=(9.0, 1.0))
    assert lower_bound(problem) == 1.0 + 0.5 + 2.0 + 1.0


@pytest.mark.equation("bound")
def test_heads_loads_and_tails_by_hand() -> None:
    # b and c take 2 s of any device; between a and d they fit in 2 s with both at work; the path through b alone, too
    problem = fork(a=(1.0, 1.0), b=(2.0, 2.0), c=(2.0, 2.0), d=(1.0, 1.0))
    assert lower_bound(problem) == 1.0 + 2.0 + 1.0
    # five of them take 10 s of two devices, so 5 s between a and d
    reads = {"a": (), **{f"b{i}": ("a",) for i in range(5)}, "d": tuple(f"b{i}" for i in range(5))}
    costs_s = {op: {"cpu": 2.0, "npu": 2.0} for op in reads} | {op: {"cpu": 1.0, "npu": 1.0} for op in "ad"}
    assert lower_bound(problem_of(graph_of(reads), costs_s, platform_of("cpu", "npu"))) == 1.0 + 5.0 + 1.0


@pytest.mark.equation("bound")
def test_loads_by_hand() -> None:
    # one each takes 2 s and 3 s; the first device takes a part p of the other's work too: 2 + 9 p = 3 (1 - p), p = 1/12
    assert load_s(np.array([[2.0, 4.0], [9.0, 3.0]])) == pytest.approx(2.0 + 9.0 / 12)
    assert load_s(np.array([[1.0, 1.0, 1.0]] * 4)) == pytest.approx(4 / 3)
    assert load_s(np.array([[np.inf, 2.0], [np.inf, 3.0]])) == 5.0
    assert load_s(np.zeros((3, 2))) == 0.0


@given(
    costs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6),
    num_devices=st.integers(1, 3),
)
def test_no_assignment_of_operators_to_devices_beats_the_load(
    costs: list[tuple[int, int, int]], num_devices: int
) -> None:
    price = np.array(costs, float)[:, :num_devices]
    least_s = min(
        max(sum(price[v, d] for v, d in enumerate(chosen) if d == device) for device in range(num_devices))
        for chosen in product(range(num_devices), repeat=len(costs))
    )
    assert load_s(price) <= least_s + 1e-9
    assert load_s(price) >= price.min(axis=1).sum() / num_devices - 1e-9  # equal weights
    rows = load_weights(price)
    assert rows.sum(axis=1) == pytest.approx(1.0)
    assert rows.min() >= 0
    assert weighted(price, rows).shape == (len(rows), len(costs))


@given(costs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8))
@pytest.mark.equation("bound")
def test_of_two_devices_the_load_is_that_of_the_linear_program(costs: list[tuple[int, int]]) -> None:
    # fill the first device by falling advantage, and cut one operator so that both end at once
    left = sorted(costs, key=lambda cost: cost[0] / (cost[0] + cost[1]) if sum(cost) else 0.5)
    first_s, second_s = 0.0, float(sum(cost[1] for cost in left))
    for here_s, there_s in left:
        if first_s + here_s >= second_s - there_s:
            part = (second_s - first_s) / (here_s + there_s) if here_s + there_s else 0.0
            first_s, second_s = first_s + part * here_s, second_s - part * there_s
            break
        first_s, second_s = first_s + here_s, second_s - there_s
    assert load_s(np.array(costs, float)) == pytest.approx(max(first_s, second_s))


@given(problem=charged(problems(max_ops=5)))
@settings(max_examples=80, deadline=None)
@pytest.mark.equation("bound")
def test_no_plan_of_single_operators_beats_the_bound(problem: Problem) -> None:
    assert lower_bound(problem) <= fastest_s(problem, single_operators(problem)) + 1e-9


@given(problem=charged(problems()), data=st.data(), traffic_bytes=st.integers(0, 3000))
@pytest.mark.equation("bound")
def test_no_plan_beats_the_bound_with_its_segments(problem: Problem, data: st.DataObject, traffic_bytes: int) -> None:
    problem = replace(
        problem,
        traffic_function=lambda _device, ops: traffic_bytes * len(ops),
        platform=replace(problem.platform, memory=Memory(shared_bytes_per_s=1500.0)),
    )
    plan = plan_from_assignment(problem, "test", *data.draw(assignments(problem)))
    assert lower_bound(problem, plan.segments) <= makespan_s(problem, plan) + 1e-9


@pytest.mark.equation("bound")
def test_access_is_a_delay_between_operators_by_hand() -> None:
    # a runs on the cpu, b on the npu alone: their tensor takes a 2 s and b 0.5 s longer, beside 0.25 s on the link
    graph, platform = graph_of({"a": (), "b": ("a",)}), platform_of("cpu", "npu", setup_s=0.25)
    problem = problem_of(graph, {"a": {"cpu": 1.0}, "b": {"npu": 1.0}}, platform)
    problem = replace(problem, sharing=sharing_of({("npu", "a"): 0.5}, {("cpu", "a"): 2.0}))
    assert lower_bound(problem) == pytest.approx(1.0 + 2.0 + 0.25 + 0.5 + 1.0)
    assert fastest_s(problem, single_operators(problem)) == pytest.approx(1.0 + 2.0 + 0.25 + 0.5 + 1.0)


def test_work_that_waits_for_the_memory_may_access_tensors_meanwhile() -> None:
    # b would take 1 s and 1 s for access, but its 3000 bytes take the memory 3 s: it ends at 4 s, not at 5 s
    platform = replace(platform_of("cpu", "npu"), memory=Memory(shared_bytes_per_s=1000.0))
    problem = replace(
        problem_of(graph_of({"a": (), "b": ("a",)}), {"a": {"cpu": 1.0}, "b": {"npu": 1.0}}, platform),
        traffic_function=lambda device, _: 3000 if device == "npu" else 0,
        sharing=sharing_of({("npu", "a"): 1.0}),
    )
    assert lower_bound(problem) <= fastest_s(problem, single_operators(problem)) == pytest.approx(4.0)


def test_shares_of_segments_by_hand() -> None:
    # alone a takes 1 and b 3; together they take 2, so 0.5 and 1.5 at least; b and c together are dearer than alone
    graph: Graph = graph_of({"a": (), "b": ("a",), "c": ("b",)})
    costs_s = {"a": {"cpu": 1.0}, "b": {"cpu": 3.0}, "c": {"cpu": 1.0}}
    groups_s = {("cpu", ("a", "b")): 2.0, ("cpu", ("b", "c")): 8.0}
    problem = problem_of(graph, costs_s, platform_of("cpu"), groups_s=groups_s)
    found = prices(problem, [Segment("cpu", ("a", "b")), Segment("cpu", ("b", "c"))])
    assert found.tolist() == [[0.5], [1.5], [1.0]]
    assert lower_bound(problem, [Segment("cpu", ("a", "b"))]) == 3.0
    assert resolve(graph, plan_from_assignment(problem, "test", dict.fromkeys("abc", "cpu"))) is not None


def test_work_that_wants_more_than_the_memory_gives_takes_longer_also_alone() -> None:
    problem = problem_of(graph_of({"a": ()}), {"a": {"cpu": 1.0}}, platform_of("cpu"))
    starved = replace(
        problem,
        traffic_function=lambda _device, _ops: 3000,
        platform=replace(problem.platform, memory=Memory(shared_bytes_per_s=1000.0)),
    )
    assert lower_bound(starved) == 3.0


def grid_problem(*seconds: float, hand_over_s: float = 0.0) -> Problem:
    graph = graph_of({f"n{i}": (f"n{i - 1}",) if i else () for i in range(len(seconds))})
    costs = {f"n{i}": {"cpu": one, "npu": one} for i, one in enumerate(seconds)}
    return problem_of(graph, costs, platform_of("cpu", "npu", setup_s=hand_over_s))


@pytest.mark.parametrize(
    ("problem", "bound_s", "expected_s"),
    [
        (grid_problem(2.0, 4.0, 6.0), 6.5, 8.0),
        (grid_problem(2.0, 4.0, 6.0), 8.0 * (1 + 1e-12), 8.0),  # rounding is not raised
        (grid_problem(2.0, 4.0, 6.0, hand_over_s=0.5), 6.7, 7.0),
        (grid_problem(0.75, 0.0, 1.5), 1.0, 1.5),
        (grid_problem(0.0, 0.0), 0.0, 0.0),
        (grid_problem(0.1, 0.3), 0.25, 0.25),  # 0.1 and 0.3 are no multiples of one number that matters
    ],
)
def test_what_whole_times_add_up_to_is_whole(problem: Problem, bound_s: float, expected_s: float) -> None:
    assert on_grid(problem, bound_s) == expected_s


def test_what_sharing_costs_is_part_of_whole_times() -> None:
    sharing = sharing_of({("npu", "n0"): 0.5}, {("cpu", "n1"): 0.25})
    problem = replace(grid_problem(2.0, 4.0, 6.0), sharing=sharing)
    assert on_grid(problem, 6.1) == 6.25
    assert on_grid(replace(problem, sharing=sharing_of({})), 6.1) == 8.0
