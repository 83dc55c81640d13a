"""The paper's board as an experiment: tables, pictures, what is published, and that everything says hypothetical."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import onnx
import pytest

from experiments import paper_board
from experiments.paper_board import BOARDS, PUBLISHED, compare, with_relu
from experiments.shared.board_assumptions import ASSUMPTIONS
from hetsim.costs.problems import make_problem
from hetsim.io.platform_file import load_platform
from hetsim.models.zoo import zoo_names
from tests.support.models import images
from tests.support.pictures import Pictures


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def test_plans_are_compared_on_both_boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Pictures) -> None:
    onnx.save(images(size=64, channels=16).proto, tmp_path / "tiny.onnx")
    monkeypatch.setitem(PUBLISHED, ("tiny", "individual"), 0.25)
    models = [str(tmp_path / "tiny.onnx")]
    rows = compare(models, tmp_path / "out", max_evaluations=30)
    lines = table(tmp_path / "out/paper_board.csv")
    assert len(lines) == len(rows) == 2 * 6
    takes_s = {(line["platform"], line["scheduler"]): float(line["simulated_s"]) for line in lines}
    for line in lines:
        own_s, board = float(line["simulated_s"]), line["platform"]
        assert float(line["tuner_gain"]) == pytest.approx(1 - takes_s[board, "partition_tuner"] / own_s)
        assert float(line["search_gain"]) == pytest.approx(1 - takes_s[board, "search"] / own_s)
        assert float(line["splits_gain"]) == pytest.approx(1 - takes_s[board, "splits"] / own_s)
        assert float(line["splits_gain"]) >= float(line["search_gain"]) > -1e-12 or line["scheduler"] == "splits"
        assert line["published_gain"] == ("0.25" if line["scheduler"] == "individual" else "")
        assert int(line["num_npus"]) == BOARDS[board]
    varied = table(tmp_path / "out/paper_board_assumptions.csv")
    assert len(varied) == 2 * len(ASSUMPTIONS) * 2 * 3
    assert {line["factor"] for line in varied} == {"0.5", "2.0"}
    for name in ("paper_board_1.png", "paper_board_4.png"):
        (axes,) = pictures.axes(tmp_path / "out" / name)
        assert axes.x_label
        assert axes.num_bars == 6  # gains over three baselines, a published one, and two over PartitionTuner
        assert "Hypothetical board, simulated" in pictures.texts(tmp_path / "out" / name)
    assert json.loads((tmp_path / "out/paper_board.json").read_text())["settings"]["max_evaluations"] == 30
    assert compare(models, tmp_path / "out", max_evaluations=30) == rows  # nothing anew


def test_a_relu_goes_with_the_convolution_before_it() -> None:
    plan = with_relu(make_problem(images(), load_platform("paper-board")))
    assert plan.queues["npu"][0].ops == ("first", "relu", "second", "third")
    assert plan.queues["cpu"][0].ops == ("pool",)


@pytest.mark.parametrize("assumption", ASSUMPTIONS)
def test_each_assumption_changes_the_board(assumption: str) -> None:
    for board in BOARDS:
        platform = load_platform(board)
        assert ASSUMPTIONS[assumption](platform, 1.0) == platform
        assert ASSUMPTIONS[assumption](platform, 2.0) != platform


def test_what_is_published_is_of_networks_that_are_planned() -> None:
    assert {model for model, _ in PUBLISHED} <= set(paper_board.MODELS) <= set(zoo_names())
    assert len(paper_board.MODELS) == 7
