"""The closed loop on make-believe devices: what it measures, when it ends, and that it always has an answer."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hetsim.core.errors import PlanError, ProblemError
from hetsim.core.plan import Plan, Segment
from hetsim.costs.problems import make_problem, plan_error_s, shifted
from hetsim.costs.profile_file import ProfileFile
from hetsim.runtime import Runtime
from hetsim.runtime.measure.profiler import Effort, make_header, measure_configurations
from hetsim.tuner.progress import Silent
from hetsim.tuner.steps.budget import Budget
from hetsim.tuner.steps.rounds import NUM_SIGMAS, Found, Propose, Round, Rounds, Try, no_more, round_description
from hetsim.tuner.tune import Options
from tests.support.models import fake_platform, fork_join
from tests.support.problems import inception_like

MODEL = fork_join()
QUICK = Effort(repeats=3, warm_ups=1, stall_budget_s=0.0)


@pytest.fixture(scope="module")
def covered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile of the model's covers."""
    path = tmp_path_factory.mktemp("rounds") / "profile.jsonl"
    with Runtime(fake_platform(op_s="0.004")) as runtime, ProfileFile(path, make_header(runtime, MODEL)) as file:
        measure_configurations(runtime, MODEL, file, effort=QUICK)
    return path


def go_round(
    covered: Path, tmp_path: Path, num_rounds: int, budget: Budget | None = None, propose: Propose = no_more
) -> tuple[Found, ProfileFile]:
    copied = tmp_path / "profile.jsonl"
    copied.write_bytes(covered.read_bytes())
    platform = fake_platform(op_s="0.004")
    with Runtime(platform) as runtime, ProfileFile(copied, make_header(runtime, MODEL)) as file:
        rounds = Rounds(
            runtime,
            MODEL,
            platform,
            file,
            num_rounds=num_rounds,
            seed=0,
            max_evaluations=50,
            effort=QUICK,
            stages=Silent(),
            propose=propose,
        )
        return rounds.run({}, budget or Budget(), lambda _done, _description: None), file


def test_what_the_search_proposes_is_measured_until_nothing_better_is_in_sight(covered: Path, tmp_path: Path) -> None:
    found, file = go_round(covered, tmp_path, 6)
    assert found.rounds
    for plan in found.plans.values():
        assert all(file.profile.samples_s(s.device, s.ops, f"replay:{plan.digest}") for s in plan.segments)
    best = [one.best_s for one in found.rounds]
    assert best == sorted(best, reverse=True)  # each round is at least as good as the one before
    assert best[-1] == min(tried.replayed_s for one in found.rounds for tried in one.tries)
    replayed = {tried.name: tried.replayed_s for one in found.rounds for tried in one.tries}
    assert [replayed[name] for name in found.plans] == sorted(replayed.values())[: len(found.plans)]


def test_further_plans_are_measured_as_well(covered: Path, tmp_path: Path) -> None:
    ops = tuple(op.name for op in MODEL.graph.ops)
    whole = Plan(model=MODEL.graph.name, model_hash=MODEL.hash, queues={"npu": (Segment("npu", ops),)})
    found, _ = go_round(covered, tmp_path, 1, propose=lambda _problem, number: {f"mine {number}": whole})
    tries = {tried.name: tried for tried in found.rounds[0].tries}
    assert "mine 1" in tries or any(plan.digest == whole.digest for plan in found.plans.values())
    assert found.ended == "that was the last of 1 rounds"


@pytest.mark.parametrize(
    ("budget", "why"),
    [
        (Budget(until_s=time.monotonic() - 1), "the time limit was reached"),
        (Budget(interrupted=lambda: True), "interrupted"),
    ],
)
def test_without_time_there_is_one_measured_plan(covered: Path, tmp_path: Path, budget: Budget, why: str) -> None:
    found, _ = go_round(covered, tmp_path, 5, budget)
    assert len(found.plans) == len(found.rounds) == len(found.rounds[0].tries) == 1
    assert found.ended == why


def test_leaning_moves_predictions_alone(covered: Path, tmp_path: Path) -> None:
    _, file = go_round(covered, tmp_path, 1)
    problem = make_problem(MODEL, fake_platform(), file.profile)
    low, high = (shifted(problem, by) for by in (-1.0, 1.0))
    assert shifted(problem, 0.0) is problem
    ops = tuple(op.name for op in MODEL.graph.ops)
    guessed = next(
        (name, ops[start:end])
        for name in ("cpu", "npu")
        for start in range(len(ops))
        for end in range(start + 2, len(ops) + 1)
        if not problem.latency(name, ops[start:end]).measured  # type: ignore[union-attr]
    )
    assert low.cost_s(*guessed) <= problem.cost_s(*guessed) <= high.cost_s(*guessed)
    assert low.cost_s("cpu", ops[:1]) == problem.cost_s("cpu", ops[:1]) == high.cost_s("cpu", ops[:1])
    known = Plan(model="m", queues={"cpu": (Segment("cpu", ops),)})
    assert plan_error_s(problem, known) == 0.0
    device, part = guessed
    rest = tuple(Segment("cpu", (op,)) for op in ops if op not in part)
    plan = Plan(model="m", queues={device: (Segment(device, part),), "cpu" if device == "npu" else "npu": rest})
    assert plan_error_s(problem, plan) == pytest.approx(problem.error_s(device, part))


def test_costs_that_are_simply_given_cannot_be_leant_on() -> None:
    with pytest.raises(ProblemError, match="only costs that come from a profile"):
        shifted(inception_like(1), 1.0)


def test_a_round_in_description() -> None:
    tried = Try(
        name="search round 1", predicted_s=0.004, error_s=0.0002, replayed_s=0.0045, num_segments=9, num_predicted=2
    )
    description = round_description(Round(number=1, optimistic_bound_s=0.0036, tries=(tried,), best_s=0.0045))
    assert description == (
        "search round 1: predicted 4.00 \N{PLUS-MINUS SIGN} 0.20 ms, 4.50 ms once measured (2 of 9 segments were "
        "predictions)\nround 1: best so far 4.50 ms; hoped for 3.60 ms"
    )
    assert Round(number=1, optimistic_bound_s=0.0036, tries=(), best_s=0.0045).left == pytest.approx(0.2)
    assert Round(number=1, optimistic_bound_s=math.inf, tries=(), best_s=0.0045).left == 0.0
    assert list(NUM_SIGMAS.values()) == [0.0, -1.0, 1.0]
    known = round_description(
        Round(number=2, optimistic_bound_s=1.0, tries=(replace(tried, num_predicted=0),), best_s=1.0)
    )
    assert "4.00 ms, 4.50 ms once measured (0 of 9" in known


@pytest.mark.parametrize("limit_s", [0.0, -1.0, math.nan, math.inf])
def test_a_time_limit_allows_something(limit_s: float) -> None:
    with pytest.raises(PlanError, match="allows nothing"):
        Options(time_limit_s=limit_s)
