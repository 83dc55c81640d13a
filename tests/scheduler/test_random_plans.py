"""Random plans: valid on any problem, diverse where there is room, the same again under the same seed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetsim.core.dataflow import resolve
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.models.structure import branch_levels
from hetsim.scheduler import scheduler_names
from hetsim.scheduler.random_plans import random_plans
from hetsim.sim.check import check_timeline
from hetsim.sim.simulate import simulate
from tests.support.problems import graph_of, inception_like, platform_of, problem_of, problems
from tests.support.programs.hash_seeds import printed_under


@given(problem=problems(), count=st.integers(0, 8), seed=st.integers(0, 5))
@settings(max_examples=40)
def test_any_problem_gets_distinct_plans_that_are_valid_and_run_where_they_can(
    problem: Problem, count: int, seed: int
) -> None:
    plans = random_plans(problem, count, seed=seed)
    assert len(plans) <= count
    assert bool(plans) == bool(count)
    assert len({plan.digest for plan in plans}) == len(plans)
    assert [plan.scheduler for plan in plans] == [f"random:{i + 1}" for i in range(len(plans))]
    for plan in plans:
        flow = resolve(problem.graph, plan)
        assert all(problem.latency(step.segment.device, step.segment.ops) is not None for step in flow.steps)
        timeline = simulate(problem, plan)
        check_timeline(problem.graph, problem.platform, plan, timeline, duration_s=problem.cost_s)


def test_a_segment_that_a_device_refuses_is_never_in_a_plan() -> None:
    costs_s = {op: {"cpu": 1.0} for op in "ab"}
    problem = problem_of(graph_of({"a": (), "b": ("a",)}), costs_s, platform_of("cpu"), refused={("cpu", ("a", "b"))})
    (plan,) = random_plans(problem, 5, seed=0)
    assert [segment.ops for segment in plan.segments] == [("a",), ("b",)]


def test_a_tiny_graph_has_no_more_plans_than_it_has() -> None:
    one = problem_of(graph_of({"a": ()}), {"a": {"cpu": 1.0, "npu": 1.0}}, platform_of("cpu", "npu"))
    assert {tuple(plan.queues) for plan in random_plans(one, 50, seed=0)} == {("cpu",), ("npu",)}
    with pytest.raises(ValueError, match="count must be >= 0, got -1"):
        random_plans(one, -1, seed=0)


@pytest.mark.parametrize("num_npus", [1, 2])
def test_plans_of_a_network_with_branches_differ_in_many_ways(num_npus: int) -> None:
    problem = inception_like(num_npus=num_npus)
    plans = random_plans(problem, 14, seed=0)
    assert len(plans) == 14
    counts = {plan.num_segments for plan in plans}
    assert len(counts) >= 8
    assert max(counts) > 4 * min(counts)
    assert any(set(plan.queues) == set(problem.platform.device_names) for plan in plans)
    spread = [fraction_spread(problem, plan) for plan in plans]
    assert max(spread) == 1.0
    assert min(spread) < 0.5


def fraction_spread(problem: Problem, plan: Plan) -> float:
    """The fraction of the levels with branches side by side whose branches are on all devices between them."""
    home = {op: segment.device for segment in plan.segments for op in segment.ops}
    wide = [level for level in branch_levels(problem.graph) if len(level) >= len(problem.platform.devices)]
    devices = [{home[op] for branch in level for op in branch} for level in wide]
    return sum(used == set(problem.platform.device_names) for used in devices) / len(wide)


def test_one_kind_keeps_all_devices_busy_at_once() -> None:
    problem = inception_like(launch_s=0.0)
    overlaps = []
    for plan in random_plans(problem, 20, seed=0)[4::5]:
        spans = [span for span in simulate(problem, plan).spans if span.kind == "compute"]
        busy_s = {device: sum(span.duration_s for span in spans if span.device == device) for device in ("cpu", "npu")}
        end_s = max(span.end_s for span in spans)
        overlaps.append((sum(busy_s.values()) - end_s) / min(busy_s.values()))
    # Of what the less busy device does, at least so much must be while the other one works.
    assert all(overlap > 0.5 for overlap in overlaps), overlaps


def test_a_seed_gives_the_same_plans_and_a_smaller_count_the_first_of_them() -> None:
    problem = inception_like(2)
    ten = random_plans(problem, 10, seed=3)
    assert random_plans(problem, 10, seed=3) == ten
    assert random_plans(problem, 4, seed=3) == ten[:4]
    assert {plan.digest for plan in random_plans(problem, 10, seed=4)} != {plan.digest for plan in ten}


def test_random_is_no_scheduler_to_choose() -> None:
    assert not any(name.startswith("random") for name in scheduler_names(inception_like(1)))


PRINT_PLANS = """
from hetsim.scheduler.random_plans import random_plans
from tests.support.problems import inception_like
print(*(plan.digest for plan in random_plans(inception_like(3, num_npus=2), 10, seed=7)))
"""


@pytest.mark.slow
def test_the_same_plans_under_any_hash_seed() -> None:
    found = [printed_under(seed, PRINT_PLANS) for seed in "01"]
    assert len(found[0].split()) == 10
    assert all(one == other for one, other in pairwise(found))
