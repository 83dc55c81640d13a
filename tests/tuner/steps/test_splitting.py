"""The search for plans with splits on make-believe devices: what it proposes, and what tune makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hetsim.core.dataflow import check_plan
from hetsim.io.plan_file import load_plan
from hetsim.models.split.planned import planned_model
from hetsim.sim.check import check_timeline
from hetsim.sim.simulate import simulate
from hetsim.tuner.deadline import Deadline
from hetsim.tuner.pipeline import tune
from hetsim.tuner.steps.closed_loop import propose_by_rounds
from hetsim.tuner.steps.profiling import profile_model
from hetsim.tuner.steps.proposals import Proposals
from tests.support.models import fake_platform
from tests.support.split_networks import plan_in_parts, split_problem, stack
from tests.support.tuning import QUICK, QUICK_EFFORT, calibrated_platform, tuning_context

MODEL = stack(3, 3, 1)
PROBLEM = split_problem(MODEL)


def test_splits_are_found_simulated_and_right(tmp_path: Path) -> None:
    # Each operator sleeps as long whatever its size, so no split can gain; what is found must still be a valid plan.
    # No exploring: a plan explored by chance could hold the very parts that must be predicted here.
    options = replace(QUICK, effort=replace(QUICK_EFFORT, explorations=0))
    with tuning_context(MODEL, fake_platform(op_s="0.001"), tmp_path, options=options) as context:
        profile_model(context)
        plan = plan_in_parts(PROBLEM)  # never measured: its parts are predicted from their operators
        problem = context.plan_problem(plan)
        check_timeline(problem.graph, problem.platform, plan, simulate(problem, plan))
        # Rows 0:5 of 8 of one convolution, 0:4 of another, and a slice of 6 rows.
        work = PROBLEM.splitting.parts(plan.rewrites[0])[0] if PROBLEM.splitting is not None else None
        assert work is not None
        assert work.shares == {"conv0": 5 / 8, "conv1": 4 / 8}
        predicted = problem.latency("cpu", plan.queues["cpu"][0].ops)
        assert predicted is not None
        assert not predicted.measured
        found = propose_by_rounds(context, Proposals(), Deadline())
        for plan in found.plans.values():
            problem = context.plan_problem(plan)
            check_timeline(problem.graph, problem.platform, plan, simulate(problem, plan))


def test_the_scheduler_s_splits_are_executed_if_asked_for(tmp_path: Path) -> None:
    model, platform = stack(3, 3, rows=64), calibrated_platform(item_s="3e-6")
    outcome = tune(model, platform, tmp_path, options=replace(QUICK, rounds=1, also=("splits",)))
    assert outcome.outputs_match
    found = {row.name: row for row in outcome.plans}["splits"]
    assert found.num_splits > 0
    assert found.simulated_s < 0.8 * outcome.best_single_device_s


def test_tune_proposes_splits_and_writes_a_plan_that_runs(tmp_path: Path) -> None:
    # Time is by the element, so halves take half as long: twice 64 rows of 20 elements at 3 us each are 7.7 ms, and
    # halves with their halo of one row 3.9 ms.
    model, platform = stack(3, 3, rows=64), calibrated_platform(item_s="3e-6")
    outcome = tune(model, platform, tmp_path, options=replace(QUICK, rounds=1, splits=True))
    assert outcome.outputs_match
    simulated_s = {row.name: row.simulated_s for row in outcome.plans}
    assert simulated_s["splits"] < simulated_s["single:cpu"]
    plan = load_plan(tmp_path / "plans" / "splits.json")
    assert plan.rewrites
    assert set(plan.queues) == {"cpu", "npu"}
    check_plan(planned_model(model, plan).graph, plan, device_names=platform.device_names, model_hash=model.hash)
