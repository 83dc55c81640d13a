"""Plans evaluated a second, at tiny size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments import evaluation_speed
from hetsim.core.errors import HetsimError
from tests.support.experiments import table
from tests.support.pictures import Pictures


def test_evaluation_speed_writes_a_line_for_each_evaluator_and_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Pictures
) -> None:
    monkeypatch.setattr(evaluation_speed, "NUM_PLANS", 4)
    monkeypatch.setattr(evaluation_speed, "SIMPY_S", 1e-3)
    evaluation_speed.evaluation_speed(out=tmp_path, sizes="3,6", rounds=1, seed=0)
    lines = table(tmp_path / "evaluation_speed.csv")
    assert list(lines[0])[:3] == ["evaluator", "num_ops", "plans_per_s"]
    assert [(line["evaluator"], line["num_ops"]) for line in lines] == [
        (evaluator, size) for size in ("3", "6") for evaluator in ("simpy", "compiled")
    ]
    assert all(float(line["plans_per_s"]) > 0 for line in lines)
    assert json.loads((tmp_path / "evaluation_speed.json").read_text())["settings"]["sizes"] == "3,6"
    (axes,) = pictures.axes(tmp_path / "evaluation_speed.png")
    assert (axes.x_label, axes.y_label) == ("Operators", "Plans evaluated per second")
    assert (axes.num_lines, axes.num_points) == (2, 4)  # two evaluators at two sizes


@pytest.mark.parametrize("sizes", ["", "3,few", "0"])
def test_sizes_that_are_none_are_refused(sizes: str, tmp_path: Path) -> None:
    with pytest.raises(HetsimError, match="is not a list of whole numbers above 0, such as 20,50,100"):
        evaluation_speed.evaluation_speed(out=tmp_path, sizes=sizes)
