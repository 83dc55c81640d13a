"""The ablation at tiny size, on make-believe devices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.ablation.study import NUM_ERRORS, PredictionLine, compare, summarize
from experiments.ablation.variants import FULL, VARIANTS, ablated
from hetsim.costs.fitting import device_model
from tests.support.experiments import OPTIONS, platform_in, table
from tests.support.pictures import Pictures


def line(
    predicted_s: float, *, scheduler: str = "search", error_s: float = 0.1, num_devices: int = 2
) -> PredictionLine:
    return PredictionLine(
        model="m",
        platform="desk",
        scheduler=scheduler,
        plan_id="p",
        variant=FULL,
        num_devices=num_devices,
        num_segments=3,
        predicted_s=predicted_s,
        error_s=error_s,
        replayed_s=1.0,
    )


def test_errors_are_summed_up_by_variant_and_kind_of_plan() -> None:
    rows = [line(0.9), line(1.3), line(1.0, scheduler="splits"), line(1.02, scheduler="random")]
    picked, drawn = summarize([*rows, line(3.0, num_devices=1)])
    assert (picked.plans, picked.num_plans) == ("picked", 3)
    assert picked.mean_percent == pytest.approx((10 + 30 + 0) / 3)
    assert picked.bias_percent == pytest.approx((-10 + 30 + 0) / 3)
    assert picked.worst_percent == pytest.approx(30)
    assert picked.inside_percent == pytest.approx(200 / 3)  # 0.3 is more than 1.96 standard errors of 0.1
    assert picked.low_percent <= picked.mean_percent <= picked.high_percent
    assert (drawn.plans, drawn.num_plans, drawn.mean_percent) == ("random", 1, pytest.approx(2))
    assert NUM_ERRORS * 0.1 < 0.3


def test_variants_replace_the_regression_only_while_they_are_asked_for() -> None:
    before = device_model.Regression
    with ablated("no own effect of segments"):
        assert device_model.Regression is not before
    assert device_model.Regression is before


@pytest.mark.processes
def test_each_variant_predicts_each_plan(results: Path, tmp_path: Path, pictures: Pictures) -> None:
    out = tmp_path / "ablation"
    options = replace(OPTIONS, command=("smoke", "run"))
    lines = compare([str(results / "tiny.onnx")], platform_in(results), out, options=options, num_random=2)
    assert {one.variant for one in lines} == set(VARIANTS)
    rows = table(out / "predictions.csv")
    plans = {row["plan_id"] for row in rows}
    assert len(rows) == len(plans) * len(VARIANTS)
    assert all(
        float(row["replayed_s"]) > 2e-3 for row in rows
    )  # 1 ms for each of 5 operators, which two devices may share
    assert len(table(out / "ablation.csv")) == len(lines)
    assert pictures.axes(out / "ablation.png")
    again = compare([str(results / "tiny.onnx")], platform_in(results), out, options=options, num_random=2)
    assert again == lines
