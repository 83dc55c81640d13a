"""What the interface's functions take and return: models and problems alike, refusals, and what notebooks show."""

from __future__ import annotations

import pytest

import hetsim
from tests.support.problems import graph_of, plan_of, platform_of, problem_of

GRAPH = graph_of({"a": (), "b<1>": ("a",)})
PROBLEM = problem_of(
    GRAPH, {"a": {"cpu": 1.0}, "b<1>": {"cpu": 4.0, "npu": 2.0}}, platform_of("cpu", "npu", setup_s=0.5)
)


def test_a_problem_and_a_model_are_planned_simulated_and_explained_alike() -> None:
    model, platform = hetsim.load_model("squeezenet"), hetsim.load_platform("phone")
    for arguments in ({"source": "squeezenet", "platform": "phone"}, {"source": model, "platform": platform}):
        solution = hetsim.plan(**arguments, scheduler="heft")
        problem = hetsim.make_problem(model, platform)
        assert hetsim.plan(problem, scheduler="heft").plan == solution.plan
        assert hetsim.simulate(problem, solution.plan) == hetsim.simulate(plan=solution.plan, **arguments)
    (found,) = hetsim.explain(problem, solution.plan, replan=1, scheduler="heft").replanned
    assert found == hetsim.explain(model, solution.plan, platform="phone", replan=1, scheduler="heft").replanned[0]


def test_a_scenario_is_a_change_several_or_a_value() -> None:
    plan = plan_of(GRAPH, ("cpu", "a"), ("npu", "b<1>"))
    assert hetsim.simulate(PROBLEM, plan).makespan_s == 3.5
    for scenario in ("npu.speed=2", ["npu.speed=2"], hetsim.parse_scenario(["npu.speed=2"])):
        assert hetsim.simulate(PROBLEM, plan, scenario=scenario).makespan_s == 2.5
    with pytest.raises(hetsim.PlatformError, match="tpu"):
        hetsim.plan(PROBLEM, scenario="tpu.speed=2")


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(hetsim.ProblemError, match="platform belongs to a model"):
        hetsim.plan(PROBLEM, platform="phone")
    with pytest.raises(hetsim.ProblemError, match=r"squeezenet needs profile=.*hetsim\.profile\('squeezenet'"):
        hetsim.plan("squeezenet")
    with pytest.raises(hetsim.ProblemError, match="factor 1 makes nothing faster"):
        hetsim.explain(PROBLEM, plan_of(GRAPH, ("cpu", "a b<1>")), factor=1)


def test_values_describe_themselves_and_notebooks_show_them() -> None:
    solution = hetsim.plan(PROBLEM, scheduler="exact")
    timeline = hetsim.simulate(PROBLEM, solution.plan)
    explained = hetsim.explain(PROBLEM, solution.plan)
    assert repr(PROBLEM).startswith("<Problem ")
    assert "2 operators; cpu, npu>" in repr(PROBLEM)
    assert repr(solution).startswith("<Solution by exact: 3500.000 ms, bound 3500.000 ms, gap 0.0%, optimal among")
    assert "by exact: cpu 1 segments, npu 1 segments>" in repr(solution.plan)
    assert repr(timeline) == "<Timeline, simulated: 3500.000 ms, 2 segments on cpu, npu>"
    assert repr(explained).startswith("<Explanation: 3500.000 ms, critical path of 2 segments")
    drawing = timeline._repr_html_()
    assert drawing.count("<rect") == 3  # two segments and the hand-over
    assert "b&lt;1&gt;: 1500.000 to 3500.000 ms" in drawing
    assert "b&lt;1&gt;" in solution._repr_html_()
    assert drawing in explained._repr_html_()
