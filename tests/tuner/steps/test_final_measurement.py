"""Ties, the number of rounds, and which of several plans of a scheduler represents it."""

from __future__ import annotations

import pytest

from hetsim.core.plan import Plan
from hetsim.core.statistics import summarize
from hetsim.core.timeline import Timeline
from hetsim.tuner.options import Pace
from hetsim.tuner.steps.final_measurement import Execution, Finalist
from hetsim.tuner.steps.judging import by_scheduler, ties_with
from hetsim.tuner.steps.proposals import SEARCH_ROUND

NOTHING = Timeline(origin="measured", spans=())


def execution(*round_medians_s: float) -> Execution:
    return Execution(
        plan=Plan(model="m", queues={}),
        latency=summarize(round_medians_s),
        round_medians_s=round_medians_s,
        median_run=NOTHING,
        largest_error=0.0,
        hand_over_s=(),
    )


def test_drift_that_hits_both_alike_hides_no_difference() -> None:
    # The machine is twice as slow in every other round; in each round the second plan takes 3 % longer.
    fast = execution(*(1.0, 2.0) * 5)
    slow = execution(*(1.03, 2.06) * 5)
    assert not ties_with(slow, fast)
    assert ties_with(fast, fast)


@pytest.mark.parametrize(
    ("faster_rounds", "tie"),
    [(0, False), (1, False), (2, True), (5, True)],  # of ten, all equally far apart: 1 + 10 of 1024 cases are 1.1 %
)
def test_a_plan_that_wins_some_rounds_ties(faster_rounds: int, tie: bool) -> None:
    fast = execution(*[1.0] * 10)
    other = execution(*[1 / 1.01] * faster_rounds, *[1.01] * (10 - faster_rounds))
    assert ties_with(other, fast) is tie


@pytest.mark.parametrize("num_rounds", [1, 2, 5])
def test_few_rounds_tie_unless_all_are_slower(num_rounds: int) -> None:
    fast = execution(*[1.0] * num_rounds)
    assert not ties_with(execution(*[1.01] * num_rounds), fast)
    assert ties_with(execution(*[1.5] * (num_rounds - 1), 1.0), fast)
    assert ties_with(execution(*[1.5] * (num_rounds - 1), 0.99), fast)


def test_rounds_far_apart_count_for_more_than_rounds_close_by() -> None:
    # A sign test sees 7 of 10 rounds slower, both times.
    fast = execution(*[1.0] * 10)
    assert not ties_with(execution(0.999, 0.998, 0.997, *[1.1 + i / 100 for i in range(7)]), fast)
    assert ties_with(execution(0.7, 0.8, 0.9, *[1.001 + i / 1000 for i in range(7)]), fast)


def test_a_disturbed_round_in_a_short_comparison_hides_no_difference() -> None:
    # 36 runs, as few as experiments make of a plan; something else takes a core for one round of the faster plan.
    num_rounds = Pace(num_runs=36).rounds(0.01)
    fast = execution(*[8.2] * (num_rounds - 1), 12.0)
    assert not ties_with(execution(*[11.3] * num_rounds), fast)


@pytest.mark.parametrize(("latency_s", "rounds"), [(0.001, 20), (0.1, 20), (0.2, 10), (10.0, 6)])
def test_slow_plans_run_less_often_but_not_too_rarely(latency_s: float, rounds: int) -> None:
    assert Pace(num_runs=60, budget_s=6.0).rounds(latency_s) == rounds


def test_the_best_measured_round_represents_the_search() -> None:
    finalists = {
        name: Finalist(plan=Plan(model="m", queues={}), simulated=NOTHING, execution=execution(seconds))
        for name, seconds in (("single:cpu", 3.0), (f"{SEARCH_ROUND}1", 2.0), (f"{SEARCH_ROUND}2", 1.0))
    }
    found = by_scheduler(finalists)
    assert list(found) == ["single:cpu", "search"]
    assert found["search"] is finalists[f"{SEARCH_ROUND}2"]


def test_the_best_measured_plan_represents_all_with_splits() -> None:
    finalists = {
        name: Finalist(plan=Plan(model="m", queues={}), simulated=NOTHING, execution=execution(seconds))
        for name, seconds in (("splits", 2.0), ("splits 2", 1.0), ("single:cpu", 3.0))
    }
    found = by_scheduler(finalists)
    assert list(found) == ["single:cpu", "splits"]
    assert found["splits"] is finalists["splits 2"]
