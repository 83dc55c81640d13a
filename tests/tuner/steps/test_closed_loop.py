"""The closed loop on make-believe devices: what it measures, when it ends, and that it always proposes a plan."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from statistics import median, stdev

import pytest

from hetsim.core.errors import PlanError
from hetsim.core.plan import Plan
from hetsim.costs.cost_model import CostModel
from hetsim.costs.profile import Profile
from hetsim.tuner.deadline import Deadline
from hetsim.tuner.options import Options
from hetsim.tuner.steps.closed_loop import Candidate, propose_by_rounds, round_description
from hetsim.tuner.steps.profiling import profile_model
from hetsim.tuner.steps.proposals import Proposals, Round, Try
from tests.support.models import fake_platform, fork_join
from tests.support.tuning import QUICK, tuning_context

MODEL = fork_join()
PLATFORM = fake_platform(op_s="0.004")


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete profile of the model."""
    folder = tmp_path_factory.mktemp("rounds")
    with tuning_context(MODEL, PLATFORM, folder) as context:
        profile_model(context)
    return folder / "profile.jsonl"


def propose_rounds(
    profile: Path, folder: Path, num_rounds: int, deadline: Deadline | None = None
) -> tuple[Proposals, Profile]:
    """What the closed loop proposes, and the profile after it."""
    (folder / "profile.jsonl").write_bytes(profile.read_bytes())
    with tuning_context(MODEL, PLATFORM, folder, options=replace(QUICK, rounds=num_rounds)) as context:
        return propose_by_rounds(context, Proposals(), deadline or Deadline()), context.file.profile


def test_what_the_search_proposes_is_measured_until_nothing_better_is_in_sight(profile: Path, tmp_path: Path) -> None:
    found, after = propose_rounds(profile, tmp_path, 6)
    assert found.rounds
    for plan in found.plans.values():
        assert all(after.samples_s(s.device, s.ops, f"replay:{plan.digest}") for s in plan.segments)
    best = [one.best_s for one in found.rounds]
    assert best == sorted(best, reverse=True)  # each round is at least as good as the one before
    assert best[-1] == min(tried.replayed_s for one in found.rounds for tried in one.tries)
    replayed = {tried.name: tried.replayed_s for one in found.rounds for tried in one.tries}
    assert [replayed[name] for name in found.plans] == sorted(replayed.values())[: len(found.plans)]


@pytest.mark.parametrize(
    ("deadline", "why"),
    [
        (Deadline(until_s=time.monotonic() - 1), "the time limit was reached"),
        (Deadline(interrupted=lambda: True), "interrupted"),
    ],
)
def test_after_the_deadline_there_is_one_measured_plan(
    profile: Path, tmp_path: Path, deadline: Deadline, why: str
) -> None:
    found, _ = propose_rounds(profile, tmp_path, 5, deadline)
    assert len(found.plans) == len(found.rounds) == len(found.rounds[0].tries) == 1
    assert found.ended == why


def test_each_round_searches_with_expected_costs_and_with_sampled_ones_if_that_finds_nothing_new(
    profile: Path, tmp_path: Path
) -> None:
    found, _ = propose_rounds(profile, tmp_path, 6)
    for one in found.rounds:
        (name,) = (tried.name for tried in one.tries)
        assert name in {f"search round {one.number}", f"search round {one.number}, sampled"}
        assert one.optimistic_bound_s < max(tried.predicted_s for tried in one.tries)
        assert all(tried.error_s > 0 for tried in one.tries)
    assert len({name for one in found.rounds for name in (tried.name for tried in one.tries)}) == sum(
        len(one.tries) for one in found.rounds
    )


@pytest.mark.parametrize(
    ("predicted_s", "error_s", "expected_s"),
    [
        (0.9, 0.0, 0.1),  # surely better
        (1.1, 0.0, 0.0),  # surely worse
        (1.0, 0.1, 0.1 / math.sqrt(2 * math.pi)),  # half the time better, by 0.08 on average
        (1.5, 0.1, 0.0),  # five standard errors worse
    ],
)
def test_what_a_plan_is_expected_to_gain(predicted_s: float, error_s: float, expected_s: float) -> None:
    candidate = Candidate(
        name="c",
        scheduler="search",
        plan=Plan(model="m", queues={}),
        predicted_s=predicted_s,
        error_s=error_s,
        num_predicted=1,
    )
    assert candidate.expected_improvement_s(1.0) == pytest.approx(expected_s, abs=1e-6)
    assert candidate.expected_improvement_s(math.inf) == math.inf


def test_sampled_costs_differ_where_little_is_known(profile: Path, tmp_path: Path) -> None:
    _, after = propose_rounds(profile, tmp_path, 1)
    costs = CostModel(MODEL, fake_platform(), after)
    ops = tuple(op.name for op in MODEL.graph.ops)
    expected, drawn = costs.problem(), [costs.sampled(seed).problem() for seed in range(8)]
    parts = [ops[start:end] for start in range(len(ops)) for end in range(start + 1, len(ops) + 1)]

    def spread(part: tuple[str, ...]) -> float:
        times_s = [problem.cost_s("cpu", part) for problem in drawn]
        return stdev(times_s) / expected.cost_s("cpu", part)

    unknown = [spread(part) for part in parts if not expected.latency("cpu", part).measured]  # type: ignore[union-attr]
    known = [spread(part) for part in parts if expected.latency("cpu", part).measured]  # type: ignore[union-attr]
    assert 0 < median(known) < median(unknown)
    assert costs.sampled(3).problem().cost_s("cpu", ops) == drawn[3].cost_s("cpu", ops)


def test_a_round_is_described() -> None:
    tried = Try(
        name="search round 1", predicted_s=0.004, error_s=0.0002, replayed_s=0.0045, num_segments=9, num_predicted=2
    )
    description = round_description(Round(number=1, optimistic_bound_s=0.0036, tries=(tried,), best_s=0.0045))
    assert description == (
        "search round 1: predicted 4.00 \N{PLUS-MINUS SIGN} 0.20 ms, 4.50 ms once measured (2 of 9 segments were "
        "predictions)\nround 1: best so far 4.50 ms; optimistic bound 3.60 ms"
    )
    assert Round(number=1, optimistic_bound_s=0.0036, tries=(), best_s=0.0045).left == pytest.approx(0.2)
    assert Round(number=1, optimistic_bound_s=math.inf, tries=(), best_s=0.0045).left == 0.0
    known = round_description(
        Round(number=2, optimistic_bound_s=1.0, tries=(replace(tried, num_predicted=0),), best_s=1.0)
    )
    assert "4.00 ms, 4.50 ms once measured (0 of 9" in known


@pytest.mark.parametrize("limit_s", [0.0, -1.0, math.nan, math.inf])
def test_a_time_limit_allows_something(limit_s: float) -> None:
    with pytest.raises(PlanError, match="allows nothing"):
        Options(time_limit_s=limit_s)
