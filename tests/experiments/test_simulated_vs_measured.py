"""Simulated against measured at tiny size, on make-believe devices."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from experiments.npu_speed.command import vary
from experiments.npu_speed.study import Variations
from experiments.shared.plan_errors import PlanLine, summarize_errors
from experiments.simulated_vs_measured import compare, draw_plans, predict_s
from hetsim.core.plan import Plan, Split, whole_plan
from hetsim.costs.profile import Header, Profile, Samples
from hetsim.models.importer import load_model
from hetsim.models.model import Model
from hetsim.models.split.rewrite import rewrite
from hetsim.runtime import RefusedError
from hetsim.tuner.progress import OnScreen, Silent
from tests.support.experiments import NUM_RANDOM, OPTIONS, platform_in, table
from tests.support.models import fake_platform, fork_join
from tests.support.pictures import Pictures
from tests.support.problems import inception_like
from tests.support.split_networks import stack


def test_every_schedulers_plan_and_random_ones_are_simulated_and_measured(results: Path, pictures: Pictures) -> None:
    lines = table(results / "out/plans.csv")
    wanted = "model platform plan_id scheduler num_segments predicted_s simulated_s measured_s measured_iqr_s"
    assert list(lines[0])[:9] == wanted.split()
    schedulers = {line["scheduler"] for line in lines}
    made = {"single:cpu", "single:npu", "type_based", "individual", "partition_tuner", "search"}
    assert {name for name in schedulers if not name.startswith("splits")} == {*made, "random"}
    drawn = {line["plan_id"] for line in lines if line["scheduler"] == "random"}
    assert len(drawn) == NUM_RANDOM
    assert not drawn & {line["plan_id"] for line in lines if line["scheduler"] != "random"}
    for line in lines:
        assert (line["model"], line["platform"]) == ("tiny", "desk")
        # Each device sleeps 1 ms for each of 5 operators, which two devices may share.
        assert all(float(line[name]) > 2e-3 for name in ("predicted_s", "simulated_s", "measured_s"))
        assert float(line["measured_low_s"]) <= float(line["measured_s"]) <= float(line["measured_high_s"])
    (errors,) = table(results / "out/errors.csv")
    assert int(errors["num_plans"]) == len({line["plan_id"] for line in lines})
    assert float(errors["simulated_worst_percent"]) >= float(errors["simulated_mean_percent"]) >= 0
    assert -1 <= float(errors["tau_low"]) <= float(errors["tau_high"]) <= 1
    assert all(-1 <= float(errors[name]) <= 1 for name in ("kendall_tau", "predicted_kendall_tau"))
    upper, lower = pictures.axes(results / "out/scatter.png")
    assert (upper.y_label, lower.x_label, lower.y_label) == (
        "Measured, median (ms)",
        "Simulated (ms)",
        "Simulation error (%)",
    )
    assert upper.num_points == lower.num_points == int(errors["num_plans"])


def test_the_sidecar_says_where_the_rows_come_from(results: Path) -> None:
    sidecar = json.loads((results / "out/plans.json").read_text())
    assert sidecar["command"] == "smoke run"
    assert sidecar["settings"]["seed"] == 0
    assert sidecar["settings"]["random"] == NUM_RANDOM
    assert sidecar["model_hashes"] == {"tiny": load_model(results / "tiny.onnx").hash}
    assert {"hetsim", "onnx", "onnxruntime", "openvino"} <= sidecar["versions"].keys()
    assert {"machine", "date", "commit"} <= sidecar.keys()


def test_what_is_there_is_not_measured_again(
    results: Path, monkeypatch: pytest.MonkeyPatch, pictures: Pictures
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a device was woken")

    monkeypatch.setattr("experiments.shared.profiles.Runtime", refuse)
    before = (results / "out/plans.csv").read_bytes()
    (results / "out/scatter.png").unlink()
    models, platform = [str(results / "tiny.onnx")], platform_in(results)
    lines = compare(models, platform, results / "out", options=OPTIONS, num_random=NUM_RANDOM)
    assert len(lines) == len(table(results / "out/plans.csv"))
    assert (results / "out/plans.csv").read_bytes() == before
    assert pictures.axes(results / "out/scatter.png")[0].num_points > 0
    # The speeds are simulated from the profile that the other experiment left.
    speeds = Variations(device="npu", speeds=(1.0, 4.0))
    folder = results / "again"
    (folder / "tiny").mkdir(parents=True)
    (folder / "tiny/profile.jsonl").write_bytes((results / "out/tiny/profile.jsonl").read_bytes())
    assert vary([str(results / "tiny.onnx")], platform_in(results), folder, speeds, options=OPTIONS)


@pytest.mark.equation("held-out")
def test_a_prediction_knows_nothing_measured_on_the_plan() -> None:
    header = Header(model="m", model_hash="", machine="here", engines={"cpu": "e"}, date="2025-01-01")
    profile = Profile(header=header)
    for context, seconds in (("configuration:operators", 2.0), ("replay:0", 8.0), ("final:0", 9.0), ("final:1", 4.0)):
        profile.add(Samples(device="cpu", ops=("stem",), context=context, samples_s=(seconds,)))
    profile.add(Samples(device="cpu", ops=("stem", "left"), context="final:0", samples_s=(8.0,)))
    kept = profile.without("0")
    assert list(kept.contexts("cpu", ("stem",))) == ["configuration:operators", "final:1"]
    assert kept.measured("cpu") == (("stem",),)
    assert profile.num_segments == 2


def test_a_plan_with_splits_is_predicted_by_what_its_parts_are_of() -> None:
    # Two convolutions and a pooling of a second each, the first in two parts of four rows out of eight: 3 s and what
    # halves and joining them lose.
    model, platform = stack(3, 3), fake_platform("cpu")
    split = Split(("conv0",), "rows", (4,))
    plan = replace(whole_plan(rewrite(model, (split,)).model.graph, "cpu"), rewrites=(split,))
    header = Header(model="m", model_hash="", machine="here", engines={"cpu": "e"}, date="2025-01-01")
    profile = Profile(header=header)
    for op in model.graph.ops:
        profile.add(Samples(device="cpu", ops=(op.name,), context="configuration:operators", samples_s=(1.0,)))
    expected_s = predict_s(model, platform, profile, plan)
    assert expected_s == pytest.approx(3.0, rel=0.1)
    own = Samples(device="cpu", ops=plan.segments[0].ops, context=f"final:{plan.digest}", samples_s=(100.0,))
    profile.add(own)
    assert predict_s(model, platform, profile, plan) == expected_s


def test_a_plan_counts_once_whoever_made_it() -> None:
    def line(plan_id: str, scheduler: str, simulated_s: float, predicted_s: float) -> PlanLine:
        return PlanLine(
            model="m", platform="p", plan_id=plan_id, scheduler=scheduler, num_segments=1, predicted_s=predicted_s,
            simulated_s=simulated_s, measured_s=1.0, measured_iqr_s=0.1, measured_low_s=0.9, measured_high_s=1.1,
            num_samples=5,
        )  # fmt: skip

    (errors,) = summarize_errors([line("0", "x", 0.9, 1.5), line("0", "y", 0.9, 1.5), line("1", "y", 1.2, 1.1)])
    assert errors.num_plans == 2
    assert errors.simulated_mean_percent == pytest.approx(15)
    assert errors.simulated_worst_percent == pytest.approx(20)
    assert errors.simulated_bias_percent == pytest.approx(5)
    assert errors.predicted_bias_percent == pytest.approx(30)
    # Both were measured alike, so there is no order to get right.
    assert (errors.kendall_tau, errors.tau_low, errors.predicted_kendall_tau) == (None, None, None)
    assert errors.spread_over_iqr == 0.0


@pytest.mark.equation("tau")
def test_ranks_are_those_of_distinct_plans() -> None:
    def line(plan_id: int, simulated_s: float, predicted_s: float) -> PlanLine:
        return PlanLine(
            model="m", platform="p", plan_id=str(plan_id), scheduler="x", num_segments=1, predicted_s=predicted_s,
            simulated_s=simulated_s, measured_s=1.0 + plan_id, measured_iqr_s=0.1, measured_low_s=0.9,
            measured_high_s=1.1, num_samples=5,
        )  # fmt: skip

    times_s = [(1.0, 4.0), (3.0, 3.0), (2.0, 2.0), (4.0, 1.0)]
    lines = [line(i, *both_s) for i, both_s in enumerate(times_s)]
    (errors,) = summarize_errors([*lines, *lines])
    # One of six pairs is in the wrong order: (5 - 1) / 6. The predictions have them all wrong.
    assert errors.kendall_tau == 4 / 6
    assert errors.predicted_kendall_tau == -1.0
    assert -1 <= errors.tau_low < 4 / 6 <= errors.tau_high == 1.0
    assert errors.spread_over_iqr == pytest.approx(30)  # from 1 to 4 s, beside 0.1


class Picky:
    """A runtime that refuses the plans of some digests."""

    def __init__(self, refused: set[str]) -> None:
        self._refused = refused

    def load(self, _model: Model, plan: Plan) -> Picky:
        if plan.digest in self._refused:
            raise RefusedError("too odd", device="npu", segment=("stem",))
        return self

    def close(self) -> None:
        pass


def test_a_random_plan_that_is_refused_is_said_and_replaced(capsys: pytest.CaptureFixture) -> None:
    model, problem = fork_join(), inception_like(2)
    drawn = draw_plans(Picky(set()), model, problem, {}, 3, seed=0, stages=Silent())
    assert list(drawn) == ["random:1", "random:2", "random:3"]
    first, second, third = drawn.values()
    stages = OnScreen(Console(width=200))
    kept = draw_plans(Picky({first.digest}), model, problem, {"a": second}, 2, seed=0, stages=stages)
    assert list(kept) == ["random:3", "random:4"]
    assert kept["random:3"] == third
    assert capsys.readouterr().out == "fork_join, random:1: dropped, too odd\n"
    assert draw_plans(Picky(set()), model, problem, {}, 0, seed=0, stages=Silent()) == {}
