"""Every scheduler's answer comes with a bound that holds, and says of which plans."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetsim.core.problem import Problem
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.exact.exact import exact
from hetsim.scheduler.registry import make_plan, scheduler_names, solve
from hetsim.scheduler.search.search import search
from hetsim.scheduler.solution import ANY, Solution
from hetsim.sim.simulate import makespan_s
from tests.support.planning.brute_force import fastest_s, single_operators
from tests.support.problems import charged, graph_of, inception_like, plan_of, platform_of, problem_of, problems

SMALL = problems(max_ops=5, max_devices=2)
FEW = Effort(max_evaluations=60)


@given(problem=st.one_of(SMALL, charged(SMALL)))
@settings(max_examples=25, deadline=None)
@pytest.mark.equation("bound")
def test_no_plan_beats_a_scheduler_s_bound(problem: Problem) -> None:
    for name in scheduler_names(problem):
        solution = solve(name, problem, FEW)
        assert solution.plan == make_plan(name, problem, max_evaluations=60)
        assert solution.makespan_s == makespan_s(problem, solution.plan)
        assert solution.planning_s > 0
        if solution.space.startswith("single operators"):  # and maybe some fused ones
            fused = [segment for segment in solution.plan.segments if len(segment.ops) > 1]
            fastest = fastest_s(problem, [*single_operators(problem), *fused])
            assert solution.bound_s <= fastest + 1e-9


def test_what_is_known_in_words() -> None:
    plan = plan_of(graph_of({"a": ()}), ("cpu", "a"))
    proven = Solution(plan=plan, makespan_s=2.0, bound_s=2.0, space="single operators")
    assert (proven.gap, proven.proven, proven.verdict) == (0.0, True, "optimal among single operators")
    open_one = replace(proven, bound_s=1.5)
    assert (open_one.gap, open_one.proven) == (0.25, False)
    assert open_one.verdict == "not proven optimal among single operators"
    assert Solution(plan=plan, makespan_s=0.0, bound_s=0.0, space="any").gap == 0.0
    for bound_s in (-1.0, 3.0, float("nan")):
        with pytest.raises(ValueError, match=f"bound_s must be from 0 to makespan_s 2.0, got {bound_s}"):
            replace(proven, bound_s=bound_s)


def test_spaces_are_told_apart() -> None:
    problem = inception_like(1)
    assert solve("exact_operators", problem).space == "single operators"
    assert solve("single:cpu", problem).space == "single operators and the 1 fused segments of this plan"
    assert solve("exact", problem).space.startswith("segments from ")
    assert solve("single:cpu", replace(problem, additive=True)).space == ANY


def test_the_search_needs_no_walk_where_the_optimum_of_all_plans_is_known() -> None:
    problem = replace(inception_like(2, launch_s=0.0), additive=True)
    solution = search(problem)
    assert (solution.proven, solution.num_evaluations, solution.space) == (True, 0, ANY)
    assert solution.makespan_s == exact(problem).makespan_s


def test_the_search_goes_beyond_the_segments_that_exact_planning_knows_and_says_so() -> None:
    # b and c, side by side, cost nothing as one segment; no family of exact planning has b and c without a and d
    reads = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}
    costs_s = {op: {"cpu": 1.0} for op in reads}
    problem = problem_of(graph_of(reads), costs_s, platform_of("cpu"), groups_s={("cpu", ("b", "c")): 0.0})
    assert exact(problem).makespan_s == 4.0
    solution = search(problem, Effort(max_evaluations=300))
    assert solution.makespan_s == 2.0
    assert solution.space.endswith("and 1 more of this plan")
    assert solution.bound_s <= 2.0


def test_a_search_stops_when_told_to() -> None:
    calls: list[int] = []

    def stop() -> bool:
        calls.append(1)
        return len(calls) > 30

    assert search(inception_like(2), Effort(stop=stop)).num_evaluations < 30
    assert search(inception_like(2), Effort(time_limit_s=1e-6)).num_evaluations == 0
