"""Which plans leave a race, when it ends, and what it shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from hetsim.core.statistics import Estimate
from hetsim.tuner.steps.race import MIN_ROUNDS, Race, find_fastest, find_ratio, find_relation, find_standings


def rounds_until_the_end(medians_s: Sequence[Sequence[float]]) -> tuple[Race, list[int]]:
    """The race of plans with these medians, and how many rounds each of them ran."""
    race = Race(range(len(medians_s)))
    for number in range(len(medians_s[0])):
        if not race.after_round({plan: medians_s[plan][number] for plan in race.running}):
            break
    return race, [len(race.medians_s[plan]) for plan in range(len(medians_s))]


def test_drift_that_hits_both_alike_hides_no_difference() -> None:
    # The machine is twice as slow in every other round; in each round the second plan takes 3 % longer.
    fast, slow = [1.0, 2.0] * 5, [1.03, 2.06] * 5
    assert find_relation(find_ratio(slow, fast), 10) == "slower"
    assert find_relation(find_ratio(fast, fast), 10) == "tie"


@pytest.mark.parametrize(
    ("found", "relation"),
    [
        (Estimate(1.0, 0.995, 1.005), "tie"),
        (Estimate(1.005, 1.001, 1.009), "tie"),  # surely slower, and surely by less than matters
        (Estimate(1.02, 1.001, 1.03), "slower"),
        (Estimate(1.005, 0.995, 1.015), "undecided"),
        (Estimate(0.98, 0.97, 1.005), "undecided"),
    ],
)
def test_a_tie_is_shown_and_not_what_is_left_over(found: Estimate, relation: str) -> None:
    assert find_relation(found, MIN_ROUNDS) == relation


@pytest.mark.parametrize("num_rounds", [1, 2, 5])
def test_few_rounds_show_no_tie_and_a_difference_only_if_all_are_slower(num_rounds: int) -> None:
    def shown(medians_s: list[float]) -> str:
        return find_relation(find_ratio(medians_s, [1.0] * num_rounds), num_rounds)

    assert shown([1.01] * num_rounds) == "slower"
    assert shown([1.5] * (num_rounds - 1) + [1.0]) == "undecided"
    assert shown([1.0] * num_rounds) == "undecided"


def test_a_disturbed_round_hides_no_difference() -> None:
    # Something else takes a core for one of seven rounds of the faster plan.
    assert find_relation(find_ratio([11.3] * 7, [8.2] * 6 + [12.0]), 7) == "slower"


def test_far_slower_plans_leave_first_and_the_race_ends_once_the_fastest_is_known() -> None:
    steady = [1.0 + 0.001 * (number % 3) for number in range(20)]
    race, ran = rounds_until_the_end([steady, [1.3 * one for one in steady], [1.03 * one for one in steady]])
    assert ran == [6, 3, 6]
    assert not race.running


def test_plans_that_may_be_faster_run_until_the_last_round() -> None:
    generator = np.random.default_rng(1)
    noisy = np.exp(0.05 * generator.standard_normal((2, 20))).tolist()
    race, ran = rounds_until_the_end(noisy)
    assert ran == [20, 20]
    assert race.running == {0, 1}


def test_a_plan_alone_is_run_as_often_as_a_comparison_needs() -> None:
    assert rounds_until_the_end([[1.0] * 20])[1] == [MIN_ROUNDS]


def test_a_plan_that_left_while_the_machine_was_fast_does_not_win() -> None:
    assert find_fastest({"left": [0.5, 0.5, 0.5], "stayed": [1.0, 0.4, 1.0, 1.0], "slower": [1.1] * 4}) == "stayed"


def test_a_plan_that_lost_to_another_is_slower_than_the_fastest_though_that_began_badly() -> None:
    # Both fast plans were disturbed in turn; after six rounds the third left, as it was slower than the second.
    fastest, second, left = [2.0, 2.0, 0.9, 0.9, 0.9, 2.0, *[0.9] * 14], [1.0] * 20, [1.3] * 6
    assert find_relation(find_ratio(left, fastest), 6) == "undecided"
    for standings in (
        find_standings({"fastest": fastest, "second": second, "left": left}),
        find_standings({"fastest": fastest, "left": left}, [second]),
    ):
        assert standings[0] == "fastest"
        assert standings[1]["left"] == "slower"


def test_plans_in_groups_are_compared_over_the_rounds_that_both_have() -> None:
    race = Race(range(2))
    for _ in range(8):
        race.after_round({0: 1.0})
        assert race.running == {0, 1}  # whether the other is faster is not known
    for _ in range(3):
        running = race.after_round({1: 1.2})
    assert running == set()  # the second left, and the first has run often enough
