"""Drawn races: what is decided from rounds whose true differences are known, and a tiny recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.race.study import ALL, RACE, RoundLine, conclude, decide, record_rounds
from hetsim.tuner.options import Pace
from tests.support.experiments import OPTIONS, platform_in, table
from tests.support.pictures import Pictures


def rounds(noise: float, num_plans: int = 6, num_rounds: int = 40) -> list[RoundLine]:
    """Rounds of plans with drift that hits all of them alike, and noise of their own."""
    generator = np.random.default_rng(0)
    drift = 1 + 0.2 * (np.arange(num_rounds) % 5 == 0)
    return [
        RoundLine(
            model="m",
            platform="desk",
            plan=f"plan {plan}",
            number=number,
            median_s=(1 + plan) * drift[number] * float(np.exp(noise * generator.standard_normal())),
        )
        for plan in range(num_plans)
        for number in range(num_rounds)
    ]


def test_quiet_races_recommend_the_best_with_a_fraction_of_the_executions() -> None:
    lines = decide(rounds(0.003), count=100, num_plans=6, seed=0)
    by_way = {way: [line for line in lines if line.way == way] for way in (RACE, ALL)}
    assert {line.num_plans for line in lines} == {6}
    assert sum(line.excess <= 0.01 for line in by_way[RACE]) >= 99
    executions = {way: sum(line.num_rounds for line in found) for way, found in by_way.items()}
    assert executions[RACE] < 0.35 * executions[ALL]


def test_noisy_races_run_longer_and_say_what_is_undecided() -> None:
    quiet, noisy = (
        [line for line in decide(rounds(noise), count=50, num_plans=6, seed=0) if line.way == RACE]
        for noise in (0.003, 0.1)
    )
    assert sum(line.num_rounds for line in noisy) > 1.5 * sum(line.num_rounds for line in quiet)
    assert sum(line.num_undecided for line in noisy) > sum(line.num_undecided for line in quiet)


@pytest.mark.processes
def test_rounds_are_recorded_once_and_races_drawn_from_them(results: Path, tmp_path: Path, pictures: Pictures) -> None:
    out = tmp_path / "race"
    options = replace(OPTIONS, pace=Pace(num_runs=18, stall_budget_s=0.0))
    for _ in range(2):
        record_rounds([str(results / "tiny.onnx")], platform_in(results), out, options=options)
    rows = table(out / "rounds.csv")
    plans = {row["plan"] for row in rows}
    assert {"single:cpu", "single:npu", "search"} <= plans
    assert len(rows) == 6 * len(plans)
    said = conclude(out, count=20, num_plans=4, seed=0)
    assert [text.partition(":")[0] for text in said] == [RACE, ALL]
    assert len(table(out / "races.csv")) == 40
    assert pictures.axes(out / "races.png")
