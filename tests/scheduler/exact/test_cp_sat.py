"""The referee: another solver finds the same optimum."""

from __future__ import annotations

import builtins
import importlib.util
from collections.abc import Mapping

import pytest
from hypothesis import given, settings

from hetsim.core.errors import PlanError
from hetsim.core.problem import Problem
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.exact.cp_sat import cp_sat
from hetsim.scheduler.exact.exact import exact
from hetsim.scheduler.registry import solve
from hetsim.sim.check import check_timeline
from hetsim.sim.simulate import simulate
from tests.support.problems import LATTICE_S, charged, inception_like, ladders, problems, zero_copy

needs_solver = pytest.mark.skipif(importlib.util.find_spec("ortools") is None, reason="OR-Tools is not installed")


def agree(problem: Problem) -> None:
    """Costs are multiples of a power of two, so ticks are exact and both prove the same optimum."""
    referee, solution = cp_sat(problem, shares=False, num_workers=1), exact(problem, fused=False)
    check_timeline(problem.graph, problem.platform, referee.plan, simulate(problem, referee.plan))
    assert referee.proven
    assert solution.proven
    assert referee.makespan_s == pytest.approx(solution.makespan_s, abs=1e-9)


@needs_solver
@given(problem=problems().map(zero_copy))
@settings(max_examples=25, deadline=None)
@pytest.mark.equation("exact")
def test_random_problems_have_the_same_optimum(problem: Problem) -> None:
    agree(problem)


@needs_solver
@given(problem=ladders(max_devices=3))
@settings(max_examples=25, deadline=None)
@pytest.mark.equation("exact")
def test_blocks_in_a_row_have_the_same_optimum(problem: Problem) -> None:
    agree(problem)


@needs_solver
@pytest.mark.parametrize("num_blocks", [1, 2])
@pytest.mark.equation("exact")
def test_an_inception_has_the_same_optimum_but_for_ticks(num_blocks: int) -> None:
    problem = inception_like(num_blocks)
    referee, solution = cp_sat(problem), exact(problem, fused=False)
    check_timeline(problem.graph, problem.platform, referee.plan, simulate(problem, referee.plan))
    # rounding down loses less than a tick for each operator and hand-over, of at least 2^23 in all
    rounding_s = len(problem.graph.ops) * 2 * sum(problem.cost_s("npu", (op.name,)) for op in problem.graph.ops) / 2**22
    assert referee.bound_s <= solution.makespan_s <= referee.makespan_s
    assert referee.makespan_s - referee.bound_s <= rounding_s < LATTICE_S / 1000


@needs_solver
@given(problem=charged(problems(max_ops=6)))
@settings(max_examples=10, deadline=None)
def test_with_copies_and_shared_tensors_the_bound_holds(problem: Problem) -> None:
    referee, solution = cp_sat(problem), exact(problem, fused=False)
    assert referee.bound_s <= solution.makespan_s + 1e-9
    assert solution.bound_s <= referee.makespan_s + 1e-9


@needs_solver
def test_a_time_limit_ends_the_search_with_a_plan_and_a_bound() -> None:
    solution = solve("cp_sat", inception_like(4), Effort(time_limit_s=0.05))
    assert 0 <= solution.bound_s <= solution.makespan_s
    assert solution.plan.scheduler == "cp_sat"


def test_without_the_extra_one_line_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(
        name: str,
        globals_: Mapping[str, object] | None = None,
        locals_: Mapping[str, object] | None = None,
        fromlist: tuple[str, ...] = (),
        level: int = 0,
    ) -> object:
        if name.startswith("ortools"):
            raise ImportError(name)
        return real(name, globals_, locals_, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PlanError, match=r"'cp_sat' needs OR-Tools.*install it with: pip install 'hetsim\[cp-sat\]'"):
        solve("cp_sat", inception_like(1))
