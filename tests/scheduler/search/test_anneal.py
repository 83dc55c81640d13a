"""Annealing over single operators: valid plans, the model's makespan, budgets, and the optimum where it is known."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.shared.random_graphs import layered_problem
from hetsim.core.dataflow import check_plan
from hetsim.core.errors import ProblemError
from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.list_scheduling.heft import heft
from hetsim.scheduler.search.anneal import anneal
from hetsim.sim.check import check_timeline
from hetsim.sim.simulate import Simulator, makespan_s, simulate
from tests.support.planning.candidates import planned, topological_orders
from tests.support.problems import charged, graph_of, physical_problems, plan_of, platform_of, problem_of, problems

SMALL = problems(max_ops=4, max_devices=2)


@settings(max_examples=30)
@given(problem=st.one_of(SMALL, charged(SMALL)))
def test_small_problems_are_planned_as_well_as_by_brute_force(problem: Problem) -> None:
    best_s = min(
        Simulator(problem).run(planned(problem, order, devices).queues)
        for order in topological_orders(problem)
        for devices in product(*(problem.devices_for((op,)) for op in order))
    )
    assert makespan_s(problem, anneal(problem, Effort(max_evaluations=3000), start=heft(problem))) == best_s


@settings(max_examples=50)
@given(problem=physical_problems(), seed=st.integers(0, 5), max_evaluations=st.integers(0, 300))
def test_every_plan_is_valid_and_what_is_said_of_it_is_what_the_model_says(
    problem: Problem, seed: int, max_evaluations: int
) -> None:
    told: list[float] = []

    def tell(_: int, __: int, best_s: float, ___: float) -> None:
        told.append(best_s)

    plan = anneal(problem, Effort(seed=seed, max_evaluations=max_evaluations, progress=tell), start=heft(problem))
    check_plan(problem.graph, plan, device_names=problem.platform.device_names)
    assert plan.num_segments == len(problem.graph.ops)
    check_timeline(problem.graph, problem.platform, plan, simulate(problem, plan))
    if max_evaluations and makespan_s(problem, plan):  # a plan that takes no time is as fast as can be
        assert told[-1] == makespan_s(problem, plan)
        assert told == sorted(told, reverse=True)


@pytest.mark.parametrize("contention", [0.0, 1.5])
def test_it_improves_on_its_start_and_says_the_models_makespan(contention: float) -> None:
    problem = layered_problem(150, seed=2, contention=contention)
    told: list[tuple[int, int, float, float]] = []
    plan = anneal(
        problem, Effort(max_evaluations=20_000, progress=lambda *each: told.append(each)), start=heft(problem)
    )
    start = anneal(problem, Effort(max_evaluations=0), start=heft(problem))
    assert makespan_s(problem, plan) == told[-1][2] < makespan_s(problem, start)
    assert told[-1][:2] == (20_000, 20_000)


def test_the_same_seed_gives_the_same_plan_and_another_one_another() -> None:
    problem = layered_problem(60, seed=1)
    first, again, other = (
        anneal(problem, Effort(seed=seed, max_evaluations=5000), start=heft(problem)) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_it_starts_from_the_plan_that_it_is_given() -> None:
    problem = layered_problem(40, seed=0)
    good = anneal(problem, Effort(max_evaluations=20_000), start=heft(problem))
    assert anneal(problem, Effort(max_evaluations=0), start=good).digest == good.digest
    whole = Plan(
        model=problem.graph.name, queues={"cpu": (Segment("cpu", tuple(op.name for op in problem.graph.ops)),)}
    )
    assert makespan_s(problem, anneal(problem, Effort(max_evaluations=0), start=whole)) == pytest.approx(
        makespan_s(problem, whole)
    )


def test_told_to_stop_or_as_fast_as_can_be_it_returns_the_best_so_far() -> None:
    problem = layered_problem(60, seed=1)
    told: list[float] = []

    def tell(_: int, __: int, best_s: float, ___: float) -> None:
        told.append(best_s)

    plan = anneal(problem, Effort(max_evaluations=10**9, progress=tell, stop=lambda: bool(told)), start=heft(problem))
    assert [makespan_s(problem, plan)] == told
    start = anneal(problem, Effort(max_evaluations=0), start=heft(problem))
    assert anneal(problem, Effort(max_evaluations=10**9, stop=lambda: True), start=heft(problem)) == start
    assert (
        anneal(problem, Effort(max_evaluations=10**9), start=heft(problem), bound_s=makespan_s(problem, start)) == start
    )


def test_what_it_cannot_do_is_said() -> None:
    graph = graph_of({"a": (), "b": ("a",)})
    problem = problem_of(graph, {"a": {"cpu": 1.0}, "b": {"npu": 1.0}}, platform_of("cpu", "npu"))
    with pytest.raises(ProblemError, match="'b' was put on 'cpu', which cannot run it alone; these can: npu"):
        anneal(problem, Effort(max_evaluations=1), start=plan_of(graph, ("cpu", "a b")))
