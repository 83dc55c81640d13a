"""``tune`` on make-believe devices: the files in the folder, the winner, and that wrong outputs are rejected."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hetsim.analysis.scenario import parse_scenario
from hetsim.core.dataflow import check_plan
from hetsim.core.errors import OutputsError
from hetsim.costs.profile_file import load_profile
from hetsim.io.plan_file import load_plan
from hetsim.io.platform_file import load_platform
from hetsim.models.model import Model
from hetsim.tuner.options import Pace
from hetsim.tuner.pipeline import tune
from hetsim.tuner.report.outcome import Outcome
from hetsim.tuner.steps.expected_outputs import relative_error, tolerance
from hetsim.tuner.steps.final_measurement import Finalist, execute, measure_finalists
from tests.support.models import fork_join, make_plan
from tests.support.split_networks import stack
from tests.support.tuning import CALIBRATION, QUICK, calibrated_platform, tuning_context

MODEL = fork_join()
PLATFORM = calibrated_platform(op_s="0.004")
OPTIONS = replace(QUICK, max_evaluations=200)
ONE_ROUND = replace(OPTIONS, pace=Pace(num_runs=3, stall_budget_s=0.0))
FILES = {
    "plan.json",
    "profile.jsonl",
    "summary.json",
    "timeline.png",
    "plans.png",
    "simulated.trace.json",
    "measured.trace.json",
    "report.html",
    "platform.toml",
    "plans",
}
SCHEDULERS = {"single:cpu", "single:npu", "type_based", "individual", "partition_tuner", "search"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tune")
    tune(MODEL, PLATFORM, out, options=OPTIONS)
    return out


def test_a_changed_machine_is_tuned_by_emulation(tmp_path: Path) -> None:
    scenario = parse_scenario(["npu.speed=4"])
    outcome = tune(MODEL, calibrated_platform(op_s="0.004"), tmp_path, scenario=scenario, options=OPTIONS)
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "emulated.jsonl"}
    assert outcome.platform == "make-believe, hypothetical: npu.speed=4"
    assert outcome.outputs_match
    alone = {plan.name: plan for plan in outcome.plans}
    # Five operators of 4 ms each as measured, which the profile knows; a quarter of it on the emulated device.
    assert 0.004 < alone["single:npu"].simulated_s < 0.6 * alone["single:cpu"].simulated_s
    assert alone["single:npu"].measured_s >= alone["single:npu"].simulated_s - 1e-9
    assert "npu (emulated)" in (tmp_path / "report.html").read_text()
    assert load_profile(tmp_path / "emulated.jsonl").header.engines["npu"].startswith("emulated f32")
    assert load_platform(tmp_path / "platform.toml").device("npu").backend == "fake"  # as it is


def test_a_plan_with_splits_is_executed_beside_an_emulated_device(tmp_path: Path) -> None:
    model = stack(3, 3, rows=32)
    outcome = tune(
        model,
        calibrated_platform(item_s="6e-6"),
        tmp_path,
        scenario=parse_scenario(["npu.speed=2"]),
        options=replace(ONE_ROUND, splits=True),
    )
    assert outcome.outputs_match
    plan = load_plan(tmp_path / "plans" / "splits.json")
    assert plan.rewrites
    assert plan.scheduler == "splits"
    plans = {each.name: each for each in outcome.plans}
    assert plans["splits"].simulated_s == pytest.approx(plans["splits"].measured_s, rel=0.6)  # serial runs may be late
    assert plans["splits"].num_splits == len(plan.rewrites)


def test_everything_that_was_promised_is_there(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == FILES
    for scheduler in SCHEDULERS:
        plan = load_plan(folder / "plans" / f"{scheduler.replace(':', '-')}.json")
        assert plan.scheduler == scheduler
        check_plan(MODEL.graph, plan, device_names=("cpu", "npu"), model_hash=MODEL.hash)


def test_the_summary_has_its_keys_and_they_agree(folder: Path) -> None:
    found = json.loads((folder / "summary.json").read_text())
    assert set(found["plans"]) == SCHEDULERS
    for row in found["plans"].values():
        assert row["measured_s"] > 0
        assert row["simulated_s"] == pytest.approx(row["measured_s"], rel=0.5)
        assert row["measured_iqr_s"] >= 0
        assert row["num_segments"] >= 1
    singles = [found["plans"][name]["measured_s"] for name in ("single:cpu", "single:npu")]
    assert found["best_single_device_s"] <= min(singles)
    assert found["outputs_match"] is True
    assert found["largest_error"] <= found["tolerance"]
    assert load_plan(folder / "plan.json").scheduler == found["winner"]


def test_two_equal_devices_share_the_branches(folder: Path) -> None:
    # Five operators of 10 ms: 50 ms on one device; left beside right, right2 saves one of them: 40 ms.
    found = json.loads((folder / "summary.json").read_text())
    best = found["plans"]["search"]
    assert best["num_devices"] == 2
    assert best["measured_s"] < found["best_single_device_s"]


def test_the_calibrated_platform_can_be_used_again(folder: Path) -> None:
    assert load_platform(folder / "platform.toml").calibration == CALIBRATION


def test_if_all_outputs_are_wrong_nothing_is_recommended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Model.reference_outputs
    monkeypatch.setattr(Model, "reference_outputs", lambda *args: {"y": right(*args)["y"] + 1e-3})
    with pytest.raises(OutputsError, match="no plan computes what the reference engine computes, so none") as caught:
        tune(MODEL, calibrated_platform(), tmp_path, options=ONE_ROUND)
    assert caught.value.exit_code == 1
    assert not (tmp_path / "plan.json").exists()


@pytest.fixture(scope="module")
def again(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A second run into a copy of the first one's folder, in which every plan of two devices gives wrong outputs."""

    def spoilt(*args: Any, **kwargs: Any) -> dict[str, Finalist]:
        return {
            name: one
            if len(one.plan.queues) == 1
            else replace(one, execution=replace(one.execution, largest_error=0.5))
            for name, one in measure_finalists(*args, **kwargs).items()
        }

    out = shutil.copytree(folder, tmp_path_factory.mktemp("tune") / "again")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("hetsim.tuner.pipeline.measure_finalists", spoilt)
        return out, tune(MODEL, PLATFORM, out, options=ONE_ROUND)


def test_a_second_run_goes_on_from_the_profile(folder: Path, again: tuple[Path, Outcome]) -> None:
    before, after = (load_profile(out / "profile.jsonl") for out in (folder, again[0]))
    for ops in before.measured("cpu"):
        if len(ops) == 1 and ops[0] in MODEL.graph.by_name:  # others are parts, in explored plans
            covered = before.samples_s("cpu", ops, "configuration:operators")
            assert covered
            assert after.samples_s("cpu", ops, "configuration:operators") == covered


def test_a_plan_with_wrong_outputs_does_not_win_however_fast(again: tuple[Path, Outcome]) -> None:
    outcome = again[1]
    assert outcome.winner.startswith("single:")  # 50 ms, where two devices take 40
    assert outcome.rejected["search"] == 0.5
    assert not outcome.outputs_match


def test_plans_that_do_not_fit_into_memory_together_have_as_many_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "hetsim.tuner.steps.final_measurement._LOADED_WEIGHTS_BYTES", 1
    )  # so each plan is loaded alone, twice
    rounds = iter(range(2, 50, 2))
    monkeypatch.setattr(Pace, "rounds", lambda *_: next(rounds))
    plans = [make_plan(MODEL, **{device: ["stem left right right2 join"]}) for device in ("cpu", "npu")]
    with tuning_context(MODEL, calibrated_platform(), tmp_path) as context:
        executions = execute(context, plans, lambda *_: None)
    assert [len(one.round_medians_s) for one in executions] == [2, 2]  # two passes of one round


@pytest.mark.parametrize(
    ("errors_alone", "allowed"),
    [
        ([], 1e-5),  # no device runs the whole model alone
        ([0.0, 3e-6], 1e-5),  # engines that agree excuse nothing
        ([0.0, 2e-5], 4e-5),  # a network that multiplies rounding
        ([0.0, 0.5], 1e-4),  # an engine with wrong outputs excuses no plan, its own included
        ([float("inf")], 1e-4),
    ],
)
def test_a_plan_may_be_as_far_off_as_engines_alone(errors_alone: list[float], allowed: float) -> None:
    assert tolerance(calibrated_platform(), errors_alone) == pytest.approx(allowed)


@pytest.mark.parametrize(
    ("outputs", "expected", "error"),
    [
        ([1.0, -4.0], [1.0, -4.0], 0.0),
        ([1.0, -4.4], [1.0, -4.0], 0.1),  # relative to the largest magnitude, not to the element's own
        ([1.4, -4.0], [1.0, -4.0], 0.1),
        ([0.5], [0.0], 0.5),  # nothing to be relative to
        ([float("nan"), 1.0], [1.0, 1.0], float("inf")),
        ([float("inf")], [1.0], float("inf")),
    ],
)
def test_relative_error(outputs: list[float], expected: list[float], error: float) -> None:
    assert relative_error({"y": np.array(outputs)}, {"y": np.array(expected)}) == pytest.approx(error)
