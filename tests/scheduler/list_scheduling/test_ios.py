"""IOS: closed forms of stages, against brute force over all stages and devices, and pruning."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from hypothesis import given, settings

import hetsim.scheduler.list_scheduling.ios
from experiments.shared.random_graphs import layered_problem
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.scheduler.list_scheduling.ios import ios
from hetsim.sim.simulate import makespan_s
from tests.support.problems import graph_of, platform_of, problem_of, problems


def test_branches_run_side_by_side_where_that_pays() -> None:
    # a (b c) d, 2 s each on either device. Side by side 2 + (2 + hand-over) + hand-over + 2; on one device 8.
    graph = graph_of({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}, kinds=dict.fromkeys("abcd", "Conv"))
    costs_s = {op: {"cpu": 2.0, "npu": 2.0} for op in "abcd"}
    for setup_s, expected_s in ((0.5, 7.0), (1.5, 8.0)):
        problem = problem_of(graph, costs_s, platform_of("cpu", "npu", setup_s=setup_s))
        assert makespan_s(problem, ios(problem)) == expected_s


def test_groups_are_segments_and_cost_what_they_cost_as_one() -> None:
    graph = graph_of({"a": (), "b": ("a",), "c": ("b",)}, kinds=dict.fromkeys("abc", "Conv"))
    costs_s = {op: {"cpu": 1.0} for op in "abc"}
    groups_s = {("cpu", ("a", "b")): 2.5, ("cpu", ("b", "c")): 1.25, ("cpu", ("a", "b", "c")): 4.0}
    plan = ios(problem_of(graph, costs_s, platform_of("cpu"), groups_s=groups_s))
    # Articulation operators end blocks, so groups are single here; fusing all of them costs 4 s, more than 3.
    assert [segment.ops for segment in plan.segments] == [("a",), ("b",), ("c",)]
    graph = graph_of({"a": (), "b": ("a",), "c": ("b",), "x": ()}, kinds=dict.fromkeys("abcx", "Conv"))
    costs_s |= {"x": {"npu": 1.0}}
    plan = ios(problem_of(graph, costs_s, platform_of("cpu", "npu"), groups_s=groups_s))
    # Beside x nothing is an articulation operator: a, then b and c as one group, takes 2.25 s.
    assert [segment.ops for segment in plan.queues["cpu"]] == [("a",), ("b", "c")]


def test_a_stage_has_no_more_groups_and_units_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Four operators side by side on four devices: 1 s in one stage. Two groups to a stage make two stages, both of
    # which go to the first two devices, as no other is better.
    graph = graph_of(dict.fromkeys("abcd", ()))
    names = tuple(f"npu{i}" for i in range(4))
    problem = problem_of(graph, {name: dict.fromkeys(names, 1.0) for name in "abcd"}, platform_of(*names))
    assert makespan_s(problem, ios(problem)) == 1.0
    monkeypatch.setattr(hetsim.scheduler.list_scheduling.ios, "MAX_GROUPS", 2)
    assert makespan_s(problem, ios(problem)) == 2.0


def least_stages_s(problem: Problem) -> float:
    """The least sum of stage times for one block, over all partitions into stages and all devices; no hand-overs."""
    graph = problem.graph
    names = [op.name for op in graph.ops]

    def parts(ops: tuple[str, ...]) -> list[tuple[str, ...]]:
        left, found = list(ops), []
        while left:
            part = {left[0]}
            while True:
                near = {
                    op
                    for op in left
                    if op in part
                    or any(p in part for p in graph.predecessors[op])
                    or any(s in part for s in graph.successors[op])
                }
                if near <= part:
                    break
                part |= near
            found.append(graph.ordered(part))
            left = [op for op in left if op not in part]
        return found

    def stage_s(ops: tuple[str, ...]) -> float:
        groups = parts(ops)
        best_s = float("inf")
        for devices in product(problem.platform.device_names, repeat=len(groups)):
            busy_s: dict[str, float] = {}
            for group, device in zip(groups, devices, strict=True):
                seconds = sum(problem.cost_s(device, (op,)) for op in group)
                busy_s[device] = busy_s.get(device, 0.0) + seconds
            best_s = min(best_s, max(busy_s.values()))
        return best_s

    best: dict[frozenset[str], float] = {frozenset(): 0.0}

    def solve(done: frozenset[str]) -> float:
        if done not in best:
            best[done] = min(
                solve(done - set(stage)) + stage_s(graph.ordered(stage))
                for size in range(1, len(done) + 1)
                for stage in combinations(sorted(done, key=graph.position.__getitem__), size)
                if not any(after in done and after not in stage for op in stage for after in graph.successors[op])
            )
        return best[done]

    return solve(frozenset(names))


@given(problem=problems(max_ops=5, max_devices=2))
@settings(max_examples=40)
def test_no_sequence_of_stages_is_shorter(problem: Problem) -> None:
    # Without hand-overs, launches and fused chains the dynamic program is exact, and execution only faster.
    costs_s = {
        op.name: {name: problem.cost_s(name, (op.name,)) for name in problem.devices_for((op.name,))}
        for op in problem.graph.ops
    }
    reads = dict(problem.graph.predecessors)
    free = problem_of(
        graph_of(reads, kinds=dict.fromkeys(reads, "Conv")), costs_s, platform_of(*problem.platform.device_names)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hetsim.scheduler.list_scheduling.ios, "MAX_GROUP_SIZE", 5)
        assert makespan_s(free, ios(free)) <= least_stages_s(free) + 1e-9


def test_wide_graphs_are_cut_to_size() -> None:
    problem = layered_problem(150, seed=1)
    plan = ios(problem)
    assert isinstance(plan, Plan)
    single_s = min(sum(problem.cost_s(name, (op.name,)) for op in problem.graph.ops) for name in ("cpu", "npu"))
    assert makespan_s(problem, plan) < single_s / 2
