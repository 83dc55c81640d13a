"""Summaries: closed forms, and the coverage that the interval promises."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from hetsim.statistics import summarize


def test_median_quartiles_and_order_do_not_matter() -> None:
    found = summarize([5.0, 1.0, 4.0, 2.0, 3.0])
    assert (found.median_s, found.iqr_s, found.num_samples) == (3.0, 2.0, 5)
    assert summarize([1.0, 2.0, 3.0, 4.0]).median_s == 2.5


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_samples_give_their_whole_range(count: int) -> None:
    found = summarize([float(i) for i in range(count)])
    assert (found.low_s, found.high_s) == (0.0, count - 1.0)


# Rank from either end, from 1, of the interval: Conover, and any table of the sign test at 5 %, two-sided.
@pytest.mark.parametrize(("count", "rank"), [(6, 1), (8, 1), (9, 2), (12, 3), (15, 4), (20, 6), (25, 8), (50, 18)])
def test_interval_has_the_ranks_of_the_sign_test(count: int, rank: int) -> None:
    found = summarize([float(i + 1) for i in range(count)])
    assert (found.low_s, found.high_s) == (rank, count + 1 - rank)


@pytest.mark.parametrize("count", [6, 7, 10, 31, 100, 501])
def test_interval_covers_95_percent_and_no_closer_one_does(count: int) -> None:
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
