"""Summaries of noisy samples: the median, its confidence interval, and the spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a set of samples says.

    Attributes:
        median_s: The statistic used everywhere (the minimum is biased low: no executed plan reaches it).
        low_s: Lower end of the median's 95 % confidence interval.
        high_s: Upper end of it.
        iqr_s: Distance between the quartiles.
        num_samples: How many samples.
    """

    median_s: float
    low_s: float
    high_s: float
    iqr_s: float
    num_samples: int


def summarize(samples_s: Sequence[float]) -> Summary:
    """Median, interval and spread of at least one sample, in seconds.

    The interval is distribution-free: the closest pair of order statistics, as far from one end as from the other,
    that covers the median with at least 95 % by the binomial distribution (Conover, *Practical Nonparametric
    Statistics*, 3.2). Below six samples no pair does, and it is their whole range.

    >>> summarize([1.0, 2.0, 9.0]).median_s
    2.0

    Raises:
        ValueError: If there is no sample.
    """
    if not len(samples_s):
        raise ValueError("a summary needs at least one sample")
    ordered = np.sort(np.asarray(samples_s, dtype=float))
    count = len(ordered)
    low = _rank_from_end(count)
    first_quartile, median, third_quartile = np.percentile(ordered, [25, 50, 75])
    return Summary(
        median_s=float(median),
        low_s=float(ordered[low]),
        high_s=float(ordered[count - 1 - low]),
        iqr_s=float(third_quartile - first_quartile),
        num_samples=count,
    )


@cache
def _rank_from_end(count: int) -> int:
    """The largest index ``low`` such that at most ``low`` of ``count`` samples fall below the median in 2.5 % of cases.

    In whole numbers: the sum of ``comb(count, k)`` for ``k <= low`` is at most ``2**count / 40``.
    """
    low, term, cumulated = -1, 1, 1
    while 40 * cumulated <= 1 << count:
        low += 1
        term = term * (count - low) // (low + 1)
        cumulated += term
    return max(low, 0)
