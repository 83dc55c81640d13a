"""The number of rounds, and which of several plans of a scheduler represents it."""

from __future__ import annotations

import pytest

from hetsim.core.plan import Plan
from hetsim.core.statistics import summarize
from hetsim.core.timeline import Timeline
from hetsim.tuner.options import Pace
from hetsim.tuner.steps.final_measurement import Execution, Finalist
from hetsim.tuner.steps.judging import by_scheduler
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
