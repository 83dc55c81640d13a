"""Deadlines hold: work grows with n log n, schedulers look at their budget, and say what they looked at."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest

from hetsim.core.dataflow import resolve
from hetsim.core.problem import Problem
from hetsim.costs.problems import make_problem
from hetsim.io.platform_file import load_platform
from hetsim.models.importer import import_model
from hetsim.scheduler.effort import Effort, Until
from hetsim.scheduler.exact import block
from hetsim.scheduler.exact.exact import exact, exact_with_family
from hetsim.scheduler.exact.lattice import Shape, lattice
from hetsim.scheduler.registry import scheduler_names, solve
from hetsim.scheduler.search import blockwise
from hetsim.scheduler.solution import ROUNDING
from hetsim.scheduler.stretches import MAX_WORK, stretch_ends, work_of_all
from hetsim.sim.simulate import makespan_s, simulate
from tests.support.large_graphs import SHAPES, large_problem, num_calls, onnx_chain, with_costs_seen

NAMES = [name for name in scheduler_names(large_problem(SHAPES["chain"](10)), referees=True) if name != "cp_sat"]
"""CP-SAT is a program of others, which looks at a clock of its own."""
FEW = 4
"""Evaluations with which schedulers that search are run, as each of them looks at the whole graph."""
SMALL, LARGE = 300, 1200
SLACK = 1.3


class Clock:
    """Time that passes as costs are looked up, one second for each operator of a segment."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def work(self, count: int) -> None:
        self.now_s += count


def n_log_n(count: int) -> float:
    return count * math.log2(count)


def check(problem: Problem, name: str, effort: Effort) -> None:
    """The plan is valid, and the bound is one."""
    solution = solve(name, problem, effort)
    resolve(problem.graph, solution.plan)
    assert makespan_s(problem, solution.plan) == solution.makespan_s
    assert 0 < solution.bound_s <= solution.makespan_s


def test_all_stretches_of_a_short_row_and_n_log_n_of_a_long_one() -> None:
    assert [list(ends) for ends in stretch_ends([3] * 60)] == [list(range(i + 1, 61)) for i in range(60)]
    work = {}
    for count in (200, 800, 3200, 12800):
        ends = stretch_ends([1] * count)
        assert work_of_all([1] * count) == count * (count + 1) * (count + 2) // 6 > MAX_WORK
        assert all(list(some) == sorted(set(some)) and start + 1 in some for start, some in enumerate(ends))
        assert count in ends[0]
        assert max(max(some) for some in ends) == count
        work[count] = sum(end - start for start, some in enumerate(ends) for end in some)
    for few, many in ((200, 800), (800, 3200), (3200, 12800)):
        assert work[many] / work[few] <= n_log_n(many) / n_log_n(few) * 1.05


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["chain", "wide", "layered"])
@pytest.mark.parametrize("name", NAMES)
def test_costs_that_are_looked_up_grow_with_n_log_n(name: str, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockwise, "MAX_CHANGES", FEW)  # as many as evaluations: each looks at the whole graph
    seen = []
    sizes = (80, 320) if name == "ios" else (SMALL, LARGE)  # its stages are many where operators are side by side
    for count in sizes:
        lengths: list[int] = []
        problem = with_costs_seen(large_problem(SHAPES[shape](count)), lengths.append)
        solve(name, problem, Effort(max_evaluations=FEW))
        seen.append(sum(lengths))
    assert seen[1] / seen[0] <= n_log_n(sizes[1]) / n_log_n(sizes[0]) * SLACK


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_work_on_a_chain_grows_with_n_log_n(name: str) -> None:
    def calls(count: int) -> int:
        problem = large_problem(SHAPES["chain"](count))
        return num_calls(lambda: solve(name, problem, Effort(max_evaluations=FEW)))

    calls(8)  # imports and compiled functions
    assert calls(LARGE) / calls(SMALL) <= n_log_n(LARGE) / n_log_n(SMALL) * SLACK


@pytest.mark.slow
def test_an_onnx_chain_is_imported_planned_and_simulated_with_work_of_n_log_n() -> None:
    platform = load_platform("phone")

    def plan(count: int) -> Callable[[], object]:
        proto = onnx_chain(count)

        def planned() -> None:
            problem = make_problem(import_model(proto, name="chain"), platform)
            simulate(problem, solve("partition_tuner", problem).plan)

        return planned

    plan(8)()
    assert num_calls(plan(LARGE)) / num_calls(plan(SMALL)) <= n_log_n(LARGE) / n_log_n(SMALL) * SLACK


@pytest.mark.slow
@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_without_time_every_scheduler_still_makes_a_valid_plan(name: str, shape: str, additive: bool) -> None:
    problem = large_problem(SHAPES[shape](120), additive=additive)
    clock = Clock()
    clock.now_s = 1e9

    def late() -> float:
        clock.now_s += 1.0  # whoever looks finds that time is up
        return clock.now_s

    check(problem, name, Effort(time_limit_s=0.5, clock=late))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_after_the_deadline_only_what_a_plan_needs_is_looked_up(name: str) -> None:
    count = 600
    clock = Clock()
    problem = with_costs_seen(large_problem(SHAPES["chain"](count)), clock.work)
    limit_s = 20.0 * count
    started_s = clock.now_s
    check(problem, name, Effort(max_evaluations=FEW, time_limit_s=limit_s, clock=clock))
    # Single operators, and the segments of a few plans.
    assert clock.now_s - started_s <= limit_s + 20 * count


def test_exact_planning_says_which_candidates_it_had_time_for() -> None:
    problem = large_problem(SHAPES["series_parallel"](120))
    whole = exact(problem)
    clock = Clock()
    hurried = exact(with_costs_seen(problem, clock.work), Effort(time_limit_s=1000.0, clock=clock))
    num_candidates = [int(re.findall(r"segments from (\d+) candidates", one.space)[0]) for one in (hurried, whole)]
    assert num_candidates[0] < num_candidates[1]
    assert whole.proven
    assert hurried.makespan_s >= whole.makespan_s


def test_looking_for_downsets_ends_with_the_time() -> None:
    count = 10
    shape = Shape(
        makers=(),
        reads=((),) * count,
        enters=(False,) * count,
        is_read_outside=(True,) * count,
        pieces=tuple((i,) for i in range(count)),
    )
    looks: list[bool] = []

    def late() -> bool:
        looks.append(True)
        return True

    assert lattice(shape, late) is None
    assert len(looks) == 1
    assert lattice(shape) is not None


def test_an_attempt_at_a_block_that_would_take_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = large_problem(SHAPES["parallel"](12, 3), additive=True)
    best = exact(problem)
    assert best.proven
    monkeypatch.setattr(block, "WORK_PER_S", 1)
    monkeypatch.setattr(block, "MIN_WORK", 1)
    listed = exact_with_family(problem, Effort(time_limit_s=5.0, clock=Clock())).solution
    resolve(problem.graph, listed.plan)
    assert listed.bound_s <= best.makespan_s * (1 + ROUNDING) <= listed.makespan_s * (1 + ROUNDING)
    assert listed.num_evaluations < best.num_evaluations


def test_a_part_of_the_time_that_is_left() -> None:
    clock = Clock()
    until = Until(until_s=10.0, clock=clock)
    clock.now_s = 2.0
    half = until.part(0.5)
    assert (until.left_s, half.left_s, half.until_s) == (8.0, 4.0, 6.0)
    clock.now_s = 6.0
    assert (until(), half(), half.left_s) == (False, True, 0.0)
    assert Until().part(0.5) == Until()
    assert Until().left_s == math.inf


def test_an_effort_within_another_ends_with_it() -> None:
    clock = Clock()
    outer = Effort(time_limit_s=4.0, clock=clock).started()
    clock.now_s = 3.0
    assert outer.until().left_s == 1.0
    inner = Effort(time_limit_s=2.0, stop=outer.until(), clock=clock)
    assert inner.until().left_s == 1.0
    assert Effort(time_limit_s=0.25, stop=outer.until(), clock=clock).until().left_s == 0.25
    clock.now_s = 4.0
    assert inner.until()()


def test_somebody_else_may_stop_it_first() -> None:
    pressed: list[bool] = []
    until = Effort(time_limit_s=100.0, stop=lambda: bool(pressed)).until()
    assert not until()
    pressed.append(True)
    assert until()
