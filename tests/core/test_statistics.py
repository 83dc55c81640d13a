"""Statistics: closed forms, and how often intervals contain the true value."""

from __future__ import annotations

import math
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetsim.core.statistics import Estimate, kendall_interval, kendall_tau, shift, summarize, theil_sen


def test_median_quartiles_and_order_do_not_matter() -> None:
    found = summarize([5.0, 1.0, 4.0, 2.0, 3.0])
    assert (found.median_s, found.iqr_s, found.num_samples) == (3.0, 2.0, 5)
    assert summarize([1.0, 2.0, 3.0, 4.0]).median_s == 2.5


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.equation("interval")
def test_few_samples_give_their_whole_range(count: int) -> None:
    found = summarize([float(i) for i in range(count)])
    assert (found.low_s, found.high_s) == (0.0, count - 1.0)


# Rank from either end, from 1, of the interval: Conover, and any table of the sign test at 5 %, two-sided.
@pytest.mark.parametrize(("count", "rank"), [(6, 1), (8, 1), (9, 2), (12, 3), (15, 4), (20, 6), (25, 8), (50, 18)])
@pytest.mark.equation("interval")
def test_interval_has_the_ranks_of_the_sign_test(count: int, rank: int) -> None:
    found = summarize([float(i + 1) for i in range(count)])
    assert (found.low_s, found.high_s) == (rank, count + 1 - rank)


@pytest.mark.parametrize("count", [6, 7, 10, 31, 100, 501])
@pytest.mark.equation("interval")
def test_interval_holds_the_median_in_95_percent_and_no_closer_one_does(count: int) -> None:
    low = int(summarize([float(i) for i in range(count)]).low_s)

    def coverage(index: int) -> float:
        return 1 - 2 * sum(comb(count, k) for k in range(index + 1)) / 2**count

    assert coverage(low) >= 0.95 > coverage(low + 1)


def test_interval_shrinks_with_more_samples() -> None:
    samples = np.random.default_rng(0).normal(1.0, 0.1, 10_000)
    few, many = summarize(samples[:100].tolist()), summarize(samples.tolist())
    assert many.high_s - many.low_s < (few.high_s - few.low_s) / 3
    assert many.low_s <= many.median_s <= many.high_s


def test_no_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        summarize([])


# Which of the ordered means of pairs the interval begins with, from 1: tables of the signed-rank test, plus 1.
@pytest.mark.parametrize(("count", "rank"), [(6, 1), (7, 3), (8, 4), (10, 9), (12, 14), (20, 53)])
def test_shifts_have_the_intervals_of_tables(count: int, rank: int) -> None:
    differences = [2.0**number for number in range(count)]  # all means of pairs differ
    means = sorted((a + b) / 2 for i, a in enumerate(differences) for b in differences[i:])
    found = shift(differences)
    assert (found.low, found.high) == (means[rank - 1], means[-rank])
    assert found.median == pytest.approx(np.median(means))


def test_few_shifts_have_their_range_and_none_is_refused() -> None:
    assert shift([3.0, 1.0, 2.0, 9.0, 4.0]) == Estimate(3.0, 1.0, 9.0)
    assert shift([-0.5]) == Estimate(-0.5, -0.5, -0.5)
    for bad in ([], [1.0, math.nan], [math.inf]):
        with pytest.raises(ValueError, match="finite"):
            shift(bad)


def test_intervals_of_shifts_hold_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        found = shift(0.3 + rng.standard_t(3, size=10))
        held += found.low <= 0.3 <= found.high
    assert 0.93 <= held / 1000 <= 0.98


# Pairs in the same order, less those in opposite order, over the mean of the pairs that either side tells apart.
@pytest.mark.parametrize(
    ("xs", "ys", "expected"),
    [
        ([1, 2], [5, 9], 1.0),
        ([1, 2], [9, 5], -1.0),
        ([1, 2, 3, 4], [1, 2, 4, 3], 4 / 6),  # 5 same, 1 opposite, of 6
        ([1, 2, 3], [1, 3, 2], 1 / 3),
        ([1, 1, 2], [1, 2, 3], 2 / math.sqrt(2 * 3)),  # x tells 2 pairs apart, y 3
        ([1, 1, 2, 3], [1, 2, 2, 3], 4 / 5),  # 4 same, one tie on either side: 4 / sqrt(5 * 5)
        ([1, 1, 2, 2], [1, 1, 2, 2], 1.0),  # tied on both sides
        ([0, math.inf, 1], [0, 9, 2], 1.0),
    ],
)
@pytest.mark.equation("tau")
def test_tau_by_hand(xs: list[float], ys: list[float], expected: float) -> None:
    assert kendall_tau(xs, ys) == pytest.approx(expected, rel=1e-15)
    assert kendall_tau(ys, xs) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("sides", [([], []), ([1.0], [2.0]), ([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [3.0, 3.0])])
def test_tau_is_nan_where_there_is_nothing_to_rank(sides: tuple[list[float], list[float]]) -> None:
    assert math.isnan(kendall_tau(*sides))
    assert all(math.isnan(end) for end in kendall_interval(*sides))


numbers = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=12)


@given(points=numbers)
def test_tau_is_the_definition_and_only_order_counts(points: list[tuple[int, int]]) -> None:
    xs, ys = zip(*points, strict=True)
    found = kendall_tau(xs, ys)
    pairs = list(combinations(points, 2))
    same = sum((a - c) * (b - d) > 0 for (a, b), (c, d) in pairs)
    opposite = sum((a - c) * (b - d) < 0 for (a, b), (c, d) in pairs)
    told = sum(a != c for (a, _), (c, _) in pairs) * sum(b != d for (_, b), (_, d) in pairs)
    assert found == pytest.approx((same - opposite) / math.sqrt(told) if told else math.nan, nan_ok=True)
    monotone = kendall_tau([x**3 + 5 for x in xs], [math.exp(y) for y in ys])
    assert monotone == pytest.approx(found, nan_ok=True)
    assert kendall_tau([-x for x in xs], ys) == pytest.approx(-found, nan_ok=True)


@given(points=numbers)
@settings(max_examples=30)
def test_tau_interval_is_within_bounds_and_the_same_again(points: list[tuple[int, int]]) -> None:
    xs, ys = zip(*points, strict=True)
    low, high = kendall_interval(xs, ys, num_resamples=50)
    assert math.isnan(low) or -1 <= low <= high <= 1
    assert kendall_interval(xs, ys, num_resamples=50) == pytest.approx((low, high), nan_ok=True)


def test_tau_interval_closes_in_on_what_is_certain() -> None:
    assert kendall_interval([1, 2, 3], [4, 5, 6]) == (1.0, 1.0)
    assert kendall_interval([1, 2, 3], [6, 5, 4]) == (-1.0, -1.0)
    generator = np.random.default_rng(0)
    xs = generator.normal(size=100)
    ys = xs + generator.normal(size=100)
    few, many = kendall_interval(xs[:12], ys[:12]), kendall_interval(xs, ys)
    assert few[0] <= kendall_tau(xs[:12], ys[:12]) <= few[1]
    # Correlated normal numbers have tau = 2 / pi * arcsin(rho), here with rho = sqrt(1/2): one half.
    assert many[0] <= 0.5 <= many[1]
    assert many[1] - many[0] < (few[1] - few[0]) / 2
    assert kendall_interval(xs, ys, seed=1) != many


def test_tau_refuses_what_has_no_order() -> None:
    for function in (kendall_tau, kendall_interval):
        with pytest.raises(ValueError, match="needs pairs, got 2 and 1 numbers"):
            function([1.0, 2.0], [1.0])
        with pytest.raises(ValueError, match="can be ordered, got NaN"):
            function([1.0, math.nan], [1.0, 2.0])
    with pytest.raises(ValueError, match="num_resamples must be >= 1, got 0"):
        kendall_interval([1.0, 2.0], [1.0, 2.0], num_resamples=0)


def test_a_slope_by_hand() -> None:
    # Slopes of the pairs (0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3): 1, 2, 10, 3, 14.5, 26; their median is 6.5.
    # The spread is 1.96 * sqrt(4 * 3 * 13 / 18) = 5.8, so that the interval is the range of all six.
    assert theil_sen([0, 1, 2, 3], [0, 1, 4, 30]) == Estimate(6.5, 1, 26)


def test_the_interval_of_a_slope_is_sens() -> None:
    # Ten points: 45 slopes and a spread of 1.96 * sqrt(10 * 9 * 25 / 18) = 21.9, so the lower end is the 11th slope,
    # (45 - 21.9) / 2 rounded down, and the upper end the 11th from above.
    rng = np.random.default_rng(0)
    xs, ys = list(range(10)), rng.normal(size=10).tolist()
    slopes = sorted((ys[j] - ys[i]) / (j - i) for i in range(10) for j in range(i + 1, 10))
    found = theil_sen(xs, ys)
    assert (found.low, found.median, found.high) == pytest.approx((slopes[10], slopes[22], slopes[34]))


def test_the_interval_of_a_slope_holds_the_truth_in_95_percent() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        slope = theil_sen(range(20), 0.3 * np.arange(20) + rng.standard_t(3, size=20))
        covered += slope.low <= 0.3 <= slope.high
    assert covered >= 0.93 * 400


@pytest.mark.parametrize(("xs", "ys"), [([1], [1]), ([1, 1], [1, 2]), ([1, 2], [1])])
def test_a_slope_needs_two_places(xs: list[float], ys: list[float]) -> None:
    with pytest.raises(ValueError, match="two points or more at different places"):
        theil_sen(xs, ys)
