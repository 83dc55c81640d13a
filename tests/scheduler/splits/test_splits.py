"""Plans with splits: optimal by hand, valid on random networks, never slower than the search, bounds that hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetsim.analysis.scenario import parse_scenario
from hetsim.core.errors import PlanError
from hetsim.core.plan import Split
from hetsim.core.platform import Link, Platform
from hetsim.core.problem import Problem
from hetsim.costs.problems import make_problem
from hetsim.io.platform_file import load_platform
from hetsim.models.importer import load_model
from hetsim.models.model import random_inputs
from hetsim.models.split.check import first_difference
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.registry import solve
from hetsim.scheduler.splits.splits import splits
from hetsim.sim.check import check_timeline
from hetsim.sim.simulate import makespan_s, simulate
from tests.support.models import fake_platform
from tests.support.planning.brute_force import fastest_s, single_operators
from tests.support.problems import graph_of, inception_like, platform_of, problem_of
from tests.support.split_networks import random_network, split_problem, stack

FEW = Effort(max_evaluations=60)
WIDE = stack(1, channels=32)
"""A convolution of 32 channels, 1280 multiplications each, and a pooling that makes 32 numbers."""


def linked(platform: Platform, setup_s: float, bandwidth_bytes_per_s: float) -> Platform:
    """The platform with the same link between any two devices."""
    names = platform.device_names
    link = Link(setup_s=setup_s, bandwidth_bytes_per_s=bandwidth_bytes_per_s)
    return replace(platform, links={(a, b): link for a in names for b in names if a != b})


@pytest.mark.equation("split-bound")
def test_two_devices_share_a_convolution_by_channels_so_that_both_end_at_once() -> None:
    # The NPU takes 1 us an item and the CPU 3 us: 24 and 8 channels of 1280 + 1 items take both 30,744 us. Then 32
    # numbers are joined, which is 2 items. By rows, slices come on top; alone, the NPU takes 40,992 us.
    problem = split_problem(WIDE, s_per_item={"cpu": 3e-6})
    solution = solve("splits", problem, FEW)
    assert solution.makespan_s == pytest.approx(30_744e-6 + 2e-6)
    (split,) = solution.plan.rewrites
    assert (split.ops, split.axis, split.at) == (("conv0", "pool"), "channels", (8,))
    assert solution.bound_s == pytest.approx(30_744e-6)
    assert solve("search", problem, FEW).makespan_s == pytest.approx(40_992e-6)
    assert "divided in any way in which a part takes its share" in solution.verdict


@pytest.mark.parametrize(("setup_s", "at"), [(0.0, 8), (12e-3, 5), (33e-3, 1), (40e-3, 0)])
def test_hand_overs_decide_how_much_the_other_device_computes(setup_s: float, at: int) -> None:
    # With k channels the CPU's part arrives after 3 k 1281 us and the set-up, while the NPU computes 32 - k channels.
    solution = solve("splits", split_problem(WIDE, linked(fake_platform(), setup_s, 1e12), {"cpu": 3e-6}), FEW)
    assert [split.at for split in solution.plan.rewrites] == ([(at,)] if at else [])
    assert solution.makespan_s == pytest.approx((32 - at) * 1281e-6 + (2e-6 if at else 0.0), abs=1e-7)


def test_three_devices_share_and_one_that_is_too_slow_gets_nothing() -> None:
    devices = fake_platform("cpu", "npu0", "npu1")
    solution = solve("splits", split_problem(WIDE, devices, {"cpu": 1e-3}), FEW)
    assert set(solution.plan.queues) == {"npu0", "npu1"}
    assert solution.makespan_s == pytest.approx(40_992e-6 / 2 + 2e-6)
    equal = solve("splits", split_problem(WIDE, devices), FEW)
    assert set(equal.plan.queues) == {"cpu", "npu0", "npu1"}
    assert equal.makespan_s == pytest.approx(11 * 1281e-6 + 2e-6)  # 11, 11 and 10 channels


def test_one_device_no_model_or_splits_already_give_the_plan_of_the_search() -> None:
    alone = split_problem(WIDE, fake_platform("cpu"))
    tasks = inception_like(2)
    rewritten = split_problem(WIDE).rewritten((Split(("conv0",), "rows", (4,)),)).problem
    for problem in (alone, tasks, rewritten):
        with_splits, without = solve("splits", problem, FEW), solve("search", problem, FEW)
        assert with_splits.plan == replace(without.plan, scheduler="splits")
        assert with_splits.bound_s == without.bound_s


def test_a_device_that_cannot_slice_leaves_that_to_another() -> None:
    problem = split_problem(WIDE, fake_platform("cpu", "npu0", "npu1"), {"cpu": 1e-4})

    def without_copies(rewritten: Problem) -> Problem:
        graph = rewritten.graph

        def latency(device: str, ops: tuple[str, ...]):  # type: ignore[no-untyped-def]
            copies = any(graph.by_name[op].moves_data for op in ops)
            return None if copies and device != "cpu" else rewritten.latency(device, ops)

        return replace(
            rewritten, latency_function=latency, splitting=rewritten.changed_splitting(without_copies), _known={}
        )

    changed = without_copies(problem)
    solution = solve("splits", changed, FEW)
    assert solution.plan.rewrites
    graph = changed.for_plan(solution.plan).graph
    home = {op: segment.device for segment in solution.plan.segments for op in segment.ops}
    assert {home[op.name] for op in graph.ops if op.moves_data} == {"cpu"}
    assert {home[op.name] for op in graph.ops if op.part_of == "conv0"} == {"npu0", "npu1"}


def random_split_problem(seed: int) -> tuple[Problem, np.random.Generator]:
    """The problem of a random network on two or three devices, some with launches, links or copies."""
    rng = np.random.default_rng(seed)
    model = random_network(rng)
    names = ("cpu", "npu", "gpu")[: int(rng.integers(2, 4))]
    platform = fake_platform(*names)
    launch_s = float(rng.choice((0.0, 1e-6, 1e-4)))
    platform = platform.with_devices(*(replace(device, launch_s=launch_s) for device in platform.devices))
    link = Link(
        setup_s=float(rng.choice((0.0, 1e-6, 1e-4))),
        bandwidth_bytes_per_s=float(rng.choice((1e7, 1e9))),
        mode="copy" if rng.random() < 0.3 else "zero-copy",
    )
    platform = replace(platform, links={(a, b): link for a in names for b in names if a != b})
    rates = {name: float(rng.choice((1e-8, 3e-8, 1e-7))) for name in names}
    return split_problem(model, platform, rates), rng


@pytest.mark.slow
@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_plans_of_random_networks_are_valid_right_and_never_slower_than_the_search(seed: int) -> None:
    problem, _ = random_split_problem(seed)
    solution = splits(problem, FEW)
    plan = solution.plan
    assert solution.makespan_s == makespan_s(problem, plan)
    assert 0 <= solution.bound_s <= solution.makespan_s
    assert solution.makespan_s <= solve("search", problem, FEW).makespan_s
    assert splits(problem, FEW).plan == plan
    target = problem.for_plan(plan)
    duration_s = target.cost_s
    check_timeline(target.graph, target.platform, plan, simulate(problem, plan), duration_s=duration_s)
    if plan.rewrites:
        model = random_network(np.random.default_rng(seed))
        assert model.hash == problem.model_hash
        assert first_difference(model, plan.rewrites, random_inputs(model)) is None


def test_most_random_networks_are_split_where_that_is_cheap() -> None:
    num_split = 0
    for seed in range(12):
        problem = split_problem(random_network(np.random.default_rng(seed)), s_per_item={"cpu": 2e-6})
        num_split += bool(splits(problem, FEW).plan.rewrites)
    assert num_split >= 8


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_no_plan_of_single_operators_beats_the_bound_either(seed: int) -> None:
    problem, _ = random_split_problem(seed)
    if len(problem.graph.ops) <= 5 and len(problem.platform.devices) == 2:
        assert splits(problem, FEW).bound_s <= fastest_s(problem, single_operators(problem)) + 1e-9


def test_a_scenario_changes_what_a_problem_is_rewritten_to() -> None:
    problem = split_problem(WIDE, s_per_item={"cpu": 3e-6})
    plan = solve("splits", problem, FEW).plan
    before, part = problem.for_plan(plan), ("conv0[channels 8:32]",)
    faster = parse_scenario(["npu.speed=2"]).problem(problem).for_plan(plan)
    assert faster.cost_s("npu", part) == pytest.approx(before.cost_s("npu", part) / 2)
    assert faster.rewrites == plan.rewrites
    # The speed of an operator is that of its parts, and its name that of all of them.
    one = parse_scenario(["npu.speed.op:conv0=4"]).problem(problem).for_plan(plan)
    assert one.cost_s("npu", part) == pytest.approx(before.cost_s("npu", part) / 4)
    assert one.cost_s("npu", ("pool[channels 8:32]",)) == before.cost_s("npu", ("pool[channels 8:32]",))
    assert parse_scenario(["npu.speed=2"]).problem(before).cost_s("npu", part) == faster.cost_s("npu", part)
    # On a machine whose NPU is as fast as the CPU, the boundary moves to the middle.
    equal = parse_scenario(["npu.speed=0.3333333333"]).problem(problem)
    assert [split.at for split in solve("splits", equal, FEW).plan.rewrites] == [(16,)]


def test_a_deadline_ends_with_the_best_so_far() -> None:
    problem = split_problem(WIDE, s_per_item={"cpu": 3e-6})
    calls: list[int] = []

    def stop() -> bool:
        calls.append(1)
        return len(calls) > 40

    solution = solve("splits", problem, Effort(stop=stop))
    assert solution.makespan_s == makespan_s(problem, solution.plan) <= 40_992e-6 + 1e-12
    assert solve("splits", problem, Effort(max_evaluations=0)).plan.rewrites == ()


def test_plans_that_no_problem_fits_are_one_line() -> None:
    problem = split_problem(WIDE)
    plan = solve("splits", problem, FEW).plan
    beyond = replace(plan, rewrites=(Split(("conv0",), "rows", (60,)),))
    with pytest.raises(PlanError, match="ends a part at 60, but it makes 8 rows") as raised:
        simulate(problem, beyond)
    assert "\n" not in str(raised.value)
    tasks = problem_of(graph_of({"conv0": ()}), {"conv0": {"cpu": 1.0}}, platform_of("cpu"))
    with pytest.raises(PlanError, match="has no model that could be rewritten"):
        makespan_s(tasks, beyond)


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["laptop", "phone", "paper-board-4"])
def test_hypothetical_devices_share_where_there_are_two_of_them(platform: str) -> None:
    problem = make_problem(load_model("squeezenet"), load_platform(platform))
    if platform != "paper-board-4":
        problem = parse_scenario(["npu.count=2", "npu.launch_s=0", "handover=0x"]).problem(problem)
    found, base = solve("splits", problem, Effort(max_evaluations=200)), solve("search", problem, FEW)
    assert found.plan.rewrites
    assert found.makespan_s < base.makespan_s
