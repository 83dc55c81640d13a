"""HEFT, CPOP and PEFT: the examples of their papers to the number, and closed forms where the papers say nothing."""

from __future__ import annotations

import pytest
from hypothesis import given

from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.scheduler.list_scheduling.cpop import cpop
from hetsim.scheduler.list_scheduling.heft import heft
from hetsim.scheduler.list_scheduling.merging import fused_runs
from hetsim.scheduler.list_scheduling.peft import optimistic_costs_s, peft
from hetsim.scheduler.list_scheduling.timetable import CostTable, Timetable
from hetsim.sim.simulate import makespan_s
from tests.support.planning.task_graphs import delay_problem
from tests.support.problems import graph_of, platform_of, problem_of, problems

# Figure 2 of Topcuoglu, Hariri, Wu (2002): seconds of each task on P1, P2, P3, and of each edge between processors.
HEFT_COSTS_S = {
    "n1": (14, 16, 9), "n2": (13, 19, 18), "n3": (11, 13, 19), "n4": (13, 8, 17), "n5": (12, 13, 10),
    "n6": (13, 16, 9), "n7": (7, 15, 11), "n8": (5, 11, 14), "n9": (18, 12, 20), "n10": (21, 7, 16),
}  # fmt: skip
HEFT_EDGES_S = {
    ("n1", "n2"): 18, ("n1", "n3"): 12, ("n1", "n4"): 9, ("n1", "n5"): 11, ("n1", "n6"): 14, ("n2", "n8"): 19,
    ("n2", "n9"): 16, ("n3", "n7"): 23, ("n4", "n8"): 27, ("n4", "n9"): 23, ("n5", "n9"): 13, ("n6", "n8"): 15,
    ("n7", "n10"): 17, ("n8", "n10"): 11, ("n9", "n10"): 13,
}  # fmt: skip
# Figure 1 of Arabnejad, Barbosa (2014).
PEFT_COSTS_S = {
    "t1": (22, 21, 36), "t2": (22, 18, 18), "t3": (32, 27, 43), "t4": (7, 10, 4), "t5": (29, 27, 35),
    "t6": (26, 17, 24), "t7": (14, 25, 30), "t8": (29, 23, 36), "t9": (15, 21, 8), "t10": (13, 16, 33),
}  # fmt: skip
PEFT_EDGES_S = {
    ("t1", "t2"): 17, ("t1", "t3"): 31, ("t1", "t4"): 29, ("t1", "t5"): 13, ("t1", "t6"): 7, ("t2", "t8"): 3,
    ("t2", "t9"): 30, ("t3", "t7"): 16, ("t4", "t8"): 11, ("t4", "t9"): 7, ("t5", "t9"): 57, ("t6", "t8"): 5,
    ("t7", "t10"): 9, ("t8", "t10"): 42, ("t9", "t10"): 7,
}  # fmt: skip


def orders_of(plan: Plan) -> dict[str, list[str]]:
    return {device: [op for segment in queue for op in segment.ops] for device, queue in plan.queues.items()}


def test_heft_on_the_example_of_its_paper() -> None:
    problem = delay_problem(HEFT_COSTS_S, HEFT_EDGES_S)
    ranks_s = CostTable(problem).upward_ranks_s()
    # Table 3: 108.000 77.000 80.000 80.000 69.000 63.333 42.667 35.667 44.333 14.667
    published_s = (108, 77, 80, 80, 69, 63 + 1 / 3, 42 + 2 / 3, 35 + 2 / 3, 44 + 1 / 3, 14 + 2 / 3)
    assert [ranks_s[f"n{i}"] for i in range(1, 11)] == pytest.approx(published_s)
    plan = heft(problem)
    assert orders_of(plan) == {"p1": ["n2", "n8"], "p2": ["n4", "n6", "n9", "n10"], "p3": ["n1", "n3", "n5", "n7"]}
    assert makespan_s(problem, plan) == 80


def test_cpop_on_the_example_of_the_same_paper() -> None:
    problem = delay_problem(HEFT_COSTS_S, HEFT_EDGES_S)
    plan = cpop(problem)
    # The critical path n1 n2 n9 n10 takes least on P2: 16 + 19 + 12 + 7 = 54, against 66 and 63.
    assert {"n1", "n2", "n9", "n10"} <= set(orders_of(plan)["p2"])
    assert makespan_s(problem, plan) == 86


def test_peft_on_the_example_of_its_paper() -> None:
    problem = delay_problem(PEFT_COSTS_S, PEFT_EDGES_S)
    table_s = optimistic_costs_s(CostTable(problem))
    # Table 2. For instance t8 on P1: its only successor t10 takes 13 there, or 16 + 42 on P2, or 33 + 42 on P3.
    assert [tuple(table_s[f"t{i}"].values()) for i in range(1, 11)] == [
        (64, 68, 86), (42, 39, 42), (27, 41, 43), (42, 39, 50), (28, 37, 28),
        (42, 39, 44), (13, 16, 22), (13, 16, 33), (13, 16, 20), (0, 0, 0),
    ]  # fmt: skip
    plan = peft(problem)
    assert makespan_s(problem, plan) == 122
    assert makespan_s(problem, heft(problem)) == 133


def test_an_operator_goes_into_the_first_gap_that_it_fits_into() -> None:
    # cpu runs a (2 s) from 0; c waits for b on the npu (5 s) and 1 s more, so cpu is idle from 2 to 6 s.
    graph = graph_of({"a": (), "b": (), "c": ("a", "b"), "d": (), "e": (), "f": ()})
    costs_s = {"a": {"cpu": 2.0}, "b": {"npu": 5.0}, "c": {"cpu": 1.0}}
    costs_s |= {"d": {"cpu": 5.0}, "e": {"cpu": 4.0}, "f": {"cpu": 0.0}}
    timetable = Timetable(CostTable(problem_of(graph, costs_s, platform_of("cpu", "npu", setup_s=1.0))))
    for op in "abc":
        timetable.place_where_it_ends_first(op)
    assert timetable.earliest_s("d", "cpu") == (7.0, 12.0)
    assert timetable.earliest_s("e", "cpu") == (2.0, 6.0)
    timetable.place("e", "cpu")
    assert timetable.earliest_s("d", "cpu") == (7.0, 12.0)
    assert timetable.earliest_s("f", "cpu") == (7.0, 7.0)  # a gap of no length is none
    for op in "fd":
        timetable.place_where_it_ends_first(op)
    # In order a e c f d, and c waits for the npu; within a segment operators come in the graph's order.
    assert [segment.ops for segment in timetable.plan("test").queues["cpu"]] == [("a", "e"), ("c", "d", "f")]


def test_averages_are_over_the_devices_that_can_run_an_operator() -> None:
    # a on cpu or npu: (1 + 3) / 2. b on npu alone, so only cpu->npu can be a hand-over, of 1 s.
    graph = graph_of({"a": (), "b": ("a",)})
    problem = problem_of(
        graph, {"a": {"cpu": 1.0, "npu": 3.0}, "b": {"npu": 5.0}}, platform_of("cpu", "npu", setup_s=1.0)
    )
    costs = CostTable(problem)
    assert costs.upward_ranks_s() == {"a": 2.0 + 1.0 + 5.0, "b": 5.0}
    assert costs.downward_ranks_s() == {"a": 0.0, "b": 2.0 + 1.0}
    assert optimistic_costs_s(costs) == {"b": {"npu": 0.0}, "a": {"cpu": 6.0, "npu": 5.0}}
    # cpu then npu: 1 + 1 + 5; npu alone: 3 + 5. HEFT ends a first on the cpu, PEFT sees 1 + 6 < 3 + 5.
    assert makespan_s(problem, heft(problem)) == makespan_s(problem, peft(problem)) == 7.0


def test_cpop_takes_the_device_that_can_run_most_of_the_path() -> None:
    graph = graph_of({"a": (), "b": ("a",), "c": ("b",)})
    costs_s = {"a": {"cpu": 1.0, "npu": 9.0}, "b": {"cpu": 1.0}, "c": {"npu": 9.0}}
    problem = problem_of(graph, costs_s, platform_of("npu", "cpu"))
    # The cpu takes 2 s for two of three, the npu 18 s for two of three.
    assert orders_of(cpop(problem)) == {"cpu": ["a", "b"], "npu": ["c"]}


def test_runs_end_where_others_wait_or_are_waited_for() -> None:
    # cpu: a b c d e, npu: x. x reads b, d reads x.
    graph = graph_of({"a": (), "b": ("a",), "x": ("b",), "c": (), "d": ("c", "x"), "e": ("d",)})
    costs_s = {op: {"cpu": 1.0, "npu": 1.0} for op in "abcdex"}
    orders = {"cpu": "abcde", "npu": "x"}
    problem = problem_of(graph, costs_s, platform_of("cpu", "npu"))
    assert [s.ops for s in fused_runs(problem, orders)["cpu"]] == [("a", "b"), ("c",), ("d", "e")]
    refused = problem_of(graph, costs_s, platform_of("cpu", "npu"), refused={("cpu", ("a", "b"))})
    assert [s.ops for s in fused_runs(refused, orders)["cpu"]] == [("a",), ("b",), ("c",), ("d", "e")]


def test_neighbours_are_fused_unless_that_is_slower() -> None:
    graph = graph_of({"a": (), "b": ("a",)})
    costs_s = {op: {"cpu": 1.0} for op in "ab"}
    for group_s, segments in ((1.5, [("a", "b")]), (2.0, [("a", "b")]), (2.5, [("a",), ("b",)])):
        problem = problem_of(graph, costs_s, platform_of("cpu"), groups_s={("cpu", ("a", "b")): group_s})
        for plan in (heft(problem), cpop(problem), peft(problem)):
            assert plan.queues == {"cpu": tuple(Segment("cpu", ops) for ops in segments)}


@given(problem=problems())
def test_fusing_runs_changes_nothing_where_segments_cost_the_sum_of_their_operators(problem: Problem) -> None:
    def without_launches(device: str, ops: tuple[str, ...]) -> float:
        return sum(problem.cost_s(device, (op,)) for op in ops)

    costs_s = {
        op.name: {device: without_launches(device, (op.name,)) for device in problem.devices_for((op.name,))}
        for op in problem.graph.ops
    }
    summed = problem_of(problem.graph, costs_s, problem.platform)
    orders = orders_of(heft(summed))
    single = {device: tuple(Segment(device, (op,)) for op in ops) for device, ops in orders.items()}
    fused_s, single_s = (
        makespan_s(summed, Plan(model="tiny", queues=queues)) for queues in (fused_runs(summed, orders), single)
    )
    if not any(link.mode == "copy" for link in problem.platform.links.values()):  # copies may go in another order then
        assert fused_s == single_s
