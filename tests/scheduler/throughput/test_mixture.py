"""Mixtures: best by hand, by brute force and by the relaxation; bounds that hold; plans that are valid and in time."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetsim.core.dataflow import check_plan
from hetsim.core.errors import PlanError, ProblemError
from hetsim.core.plan import Plan
from hetsim.core.platform import Host, Memory
from hetsim.core.problem import Problem
from hetsim.scheduler.baselines.single_device import single_device
from hetsim.scheduler.effort import Effort, Until
from hetsim.scheduler.registry import solve
from hetsim.scheduler.segments import plan_from_assignment
from hetsim.scheduler.throughput.loads import loads, resources
from hetsim.scheduler.throughput.mixture import Mixture, best_mixture
from hetsim.sim.simulate import makespan_s
from tests.support.linear_programs import best_rates, best_relaxed_rate
from tests.support.problems import graph_of, physical_problems, plan_of, platform_of, problem_of
from tests.support.split_networks import split_problem, stack

CHAIN = graph_of({"a": (), "b": ("a",)})
COSTS_S = {"a": {"cpu": 1.0, "npu": 4.0}, "b": {"cpu": 4.0, "npu": 1.0}}
"""Either device takes 5 s alone; each operator on its faster device, 1 s on both."""


def additive(problem: Problem) -> Problem:
    """The problem, told that its costs add up, as they do."""
    return replace(problem, additive=True, _known={})


def all_assigned(problem: Problem) -> list[Plan]:
    """A plan of each assignment of operators to devices that can run them, fused as far as possible."""
    names = [op.name for op in problem.graph.ops]
    choices = itertools.product(*(problem.devices_for((name,)) for name in names))
    return [plan_from_assignment(problem, "all", dict(zip(names, choice, strict=True))) for choice in choices]


def assert_sound(problem: Problem, mixture: Mixture, max_latency_s: float = math.inf) -> None:
    """Plans are valid and in time, few, have rates above 0, and load no resource above its capacity."""
    kinds = resources(problem)
    assert 1 <= len(mixture.plans) == len(mixture.rates_per_s) <= len(kinds.names)
    assert all(rate > 0 for rate in mixture.rates_per_s)
    used = np.zeros(len(kinds.names))
    for plan, rate in zip(mixture.plans, mixture.rates_per_s, strict=True):
        rewritten = problem.for_plan(plan)
        check_plan(rewritten.graph, plan, device_names=problem.platform.device_names)
        assert makespan_s(problem, plan) <= max_latency_s
        used += rate * loads(problem, plan)
    assert (used <= kinds.capacities * (1 + 1e-9)).all()
    assert mixture.throughput_per_s <= mixture.bound_per_s


def test_a_pipeline_gives_each_operator_to_its_faster_device() -> None:
    mixture = best_mixture(problem_of(CHAIN, COSTS_S, platform_of("cpu", "npu")))
    assert mixture.throughput_per_s == pytest.approx(1.0)
    assert mixture.bound_per_s == pytest.approx(1.0)
    assert [plan.digest for plan in mixture.plans] == [plan_of(CHAIN, ("cpu", "a"), ("npu", "b")).digest]


@pytest.mark.parametrize("is_additive", [False, True])
def test_what_the_channel_cannot_take_whole_models_fill(is_additive: bool) -> None:
    # A copy takes 2 s, so the pipeline serves 0.5 a second and leaves half of both devices, on which whole models take
    # 5 s: 0.1 a second each.
    problem = problem_of(CHAIN, COSTS_S, platform_of("cpu", "npu", setup_s=2.0, copy=True))
    mixture = best_mixture(replace(problem, additive=is_additive, _known={}))
    assert mixture.throughput_per_s == pytest.approx(0.7)
    assert mixture.bound_per_s == pytest.approx(0.7)
    assert sorted(mixture.rates_per_s) == pytest.approx([0.1, 0.1, 0.5])


@pytest.mark.parametrize(("host", "memory", "expected_per_s"), [
    (Host(submit_setup_s=1.0, collect_setup_s=3.0), Memory(), 0.25),
    (Host(), Memory(shared_bytes_per_s=50.0), 0.5),
])  # fmt: skip
def test_host_and_memory_limit_all_plans_alike(host: Host, memory: Memory, expected_per_s: float) -> None:
    # Each operator moves 50 bytes.
    problem = problem_of(CHAIN, COSTS_S, replace(platform_of("cpu", "npu"), host=host, memory=memory))
    mixture = best_mixture(replace(problem, traffic_function=lambda _, ops: 50 * len(ops), _known={}))
    assert mixture.throughput_per_s == pytest.approx(expected_per_s)
    assert mixture.bound_per_s == pytest.approx(expected_per_s)


@pytest.mark.parametrize(("max_latency_s", "expected_per_s"), [(math.inf, 1.0), (3.0, 0.4), (2.5, None)])
def test_plans_that_take_too_long_are_left_out(max_latency_s: float, expected_per_s: float | None) -> None:
    # The whole model takes 2.5 s on the cpu and 6 s on the npu; the pipeline 1 s, 2 s of delay and 1 s. Within 3 s
    # there is the cpu alone, and with the other costs within 2.5 s nothing, as whole models take 5 s.
    costs_s = {"a": {"cpu": 1.0, "npu": 5.0}, "b": {"cpu": 1.5, "npu": 1.0}}
    problem = problem_of(CHAIN, costs_s, platform_of("cpu", "npu", setup_s=2.0))
    if expected_per_s is None:
        problem = problem_of(CHAIN, COSTS_S, platform_of("cpu", "npu", setup_s=2.0))
        with pytest.raises(PlanError, match=r"inference takes at most 2500.000 ms; the fastest one found takes 4000"):
            best_mixture(problem, max_latency_s=max_latency_s)
        return
    mixture = best_mixture(problem, max_latency_s=max_latency_s)
    assert mixture.throughput_per_s == pytest.approx(expected_per_s)
    assert_sound(problem, mixture, max_latency_s)


def test_a_latency_of_zero_is_refused() -> None:
    with pytest.raises(PlanError, match="at most 0 s is impossible"):
        best_mixture(problem_of(CHAIN, COSTS_S, platform_of("cpu", "npu")), max_latency_s=0)


def test_requests_that_take_nothing_have_no_limit() -> None:
    free = problem_of(CHAIN, {"a": {"cpu": 0.0}, "b": {"cpu": 0.0}}, platform_of("cpu"))
    with pytest.raises(ProblemError, match="takes nothing of any resource"):
        best_mixture(free)


@settings(max_examples=60, deadline=None)
@given(physical_problems(max_ops=6, max_devices=2))
def test_two_devices_brute_force(problem: Problem) -> None:
    problem = additive(replace(problem, sharing=None))
    capacities = resources(problem).capacities
    relative = np.array([loads(problem, plan) / capacities for plan in all_assigned(problem)])
    if not relative.max(axis=1).min() > 0:
        return
    mixture = best_mixture(problem)
    assert_sound(problem, mixture)
    best_per_s = best_rates(relative)
    assert mixture.bound_per_s >= best_per_s * (1 - 1e-6)
    if problem.traffic_function is None:  # otherwise a device may move less at once than its operators one by one
        assert mixture.throughput_per_s == pytest.approx(best_per_s, rel=1e-6)
        assert mixture.gap <= 1e-6


@settings(max_examples=40, deadline=None)
@given(physical_problems(max_ops=6, max_devices=2))
def test_mixtures_serve_what_the_relaxation_does(problem: Problem) -> None:
    problem = additive(replace(problem, sharing=None, traffic_function=None))
    relaxed_per_s = best_relaxed_rate(problem)
    if relaxed_per_s is not None:
        assert best_mixture(problem).throughput_per_s == pytest.approx(relaxed_per_s, rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(physical_problems(max_ops=5, max_devices=3))
def test_bounds_hold_with_more_devices_and_shared_tensors(problem: Problem) -> None:
    problem = additive(problem)
    capacities = resources(problem).capacities
    relative = np.array([loads(problem, plan) / capacities for plan in all_assigned(problem)])
    if not relative.max(axis=1).min() > 0:
        return
    mixture = best_mixture(problem)
    assert_sound(problem, mixture)
    assert mixture.bound_per_s >= best_rates(relative) * (1 - 1e-6)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.floats(2.0, 30.0))
def test_sequences_with_fused_costs_brute_force(seed: int, max_latency_s: float) -> None:
    # A chain of four operators whose segments cost anything: all cuts and all devices are tried, within a latency.
    generator = np.random.default_rng(seed)
    names, devices = "abcd", ("cpu", "npu")
    graph = graph_of({op: (names[i - 1],) if i else () for i, op in enumerate(names)})
    costs_s = {op: {device: float(generator.uniform(1, 9)) for device in devices} for op in names}
    pairs = [(i, j) for i in range(4) for j in range(i + 2, 5)]
    groups_s = {(d, tuple(names[i:j])): float(generator.uniform(1, 12)) for d in devices for i, j in pairs}
    platform = platform_of(*devices, setup_s=float(generator.uniform(0, 2)), copy=bool(generator.integers(2)))
    problem = problem_of(graph, costs_s, platform, groups_s=groups_s)
    cuts = itertools.chain.from_iterable(itertools.combinations((1, 2, 3), n) for n in range(4))
    rows = [[" ".join(names[i:j]) for i, j in itertools.pairwise((0, *cut, 4))] for cut in cuts]
    plans = [
        plan_of(graph, *zip(chosen, row, strict=True))
        for row in rows
        for chosen in itertools.product(devices, repeat=len(row))
    ]
    capacities = resources(problem).capacities
    for cap_s in (math.inf, max_latency_s):
        relative = [loads(problem, plan) / capacities for plan in plans if makespan_s(problem, plan) <= cap_s]
        if not relative:
            with pytest.raises(PlanError, match="no plan of 'tiny' is known"):
                best_mixture(problem, max_latency_s=cap_s)
            continue
        mixture = best_mixture(problem, max_latency_s=cap_s)
        assert_sound(problem, mixture, cap_s)
        best_per_s = best_rates(np.array(relative))
        assert mixture.bound_per_s >= best_per_s * (1 - 1e-6)
        assert mixture.throughput_per_s <= best_per_s * (1 + 1e-6)
        if cap_s == math.inf:
            assert mixture.throughput_per_s == pytest.approx(best_per_s, rel=1e-6)
            assert mixture.proven


def test_extra_plans_are_mixed_in_and_checked() -> None:
    problem = split_problem(stack(2, channels=32), s_per_item={"cpu": 3e-6})
    plan = solve("splits", problem, Effort(max_evaluations=60)).plan
    assert plan.rewrites
    assert_sound(problem, mixture := best_mixture(problem, extra_plans=[plan], max_latency_s=makespan_s(problem, plan)))
    assert [each.digest for each in mixture.plans] == [plan.digest]
    problem = problem_of(CHAIN, COSTS_S, platform_of("cpu", "npu"))
    with pytest.raises(PlanError, match="leaves out 1 of 2 operators"):
        best_mixture(problem, extra_plans=[plan_of(CHAIN, ("cpu", "a"))])


def test_never_behind_the_plans_given() -> None:
    problem = problem_of(CHAIN, COSTS_S, platform_of("cpu", "npu", setup_s=0.5))
    plan = solve("search", problem).plan
    capacities = resources(problem).capacities
    mixture = best_mixture(problem, extra_plans=[plan], deadline=Until(stop=lambda: True))
    assert mixture.throughput_per_s >= 1 / float((loads(problem, plan) / capacities).max()) * (1 - 1e-9)
    singles = sum(1 / loads(problem, single_device(problem, name)).max() for name in ("cpu", "npu"))
    assert mixture.throughput_per_s >= singles * (1 - 1e-9)


def test_the_same_arguments_give_the_same_mixture() -> None:
    problem = problem_of(CHAIN, COSTS_S, platform_of("cpu", "npu", setup_s=0.5), launch_s=0.25)
    one, other = best_mixture(problem, max_latency_s=5.0), best_mixture(problem, max_latency_s=5.0)
    assert one == other
