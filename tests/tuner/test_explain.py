"""Explanations: what planning again saves in a scenario."""

from __future__ import annotations

from hetsim.tuner.explanation import explain
from hetsim.tuner.progress import Silent
from tests.support.problems import graph_of, plan_of, platform_of, problem_of


def test_planned_again_a_change_saves_what_another_plan_gains_by_it() -> None:
    # One operator of 1 s on the cpu and 1.25 s on the npu: twice as fast, the npu is the better place. So a plan that
    # is on the npu saves 0.625 by it, and the best plan, which is on the cpu now, 1 - 0.625.
    graph = graph_of({"a": ()})
    problem = problem_of(graph, {"a": {"cpu": 1.0, "npu": 1.25}}, platform_of("cpu", "npu"))
    plan = plan_of(graph, ("npu", "a"))
    found = explain(problem, plan, factor=2.0, stages=Silent(), replan=1)
    assert found.best_s == 1.0
    assert found.effects[0].saved_s == 0.625
    (again,) = found.replanned
    assert again.scenario == found.effects[0].scenario
    assert (again.makespan_s, again.saved_s, again.is_other_plan) == (0.625, 0.375, True)
