"""Statistics of noisy samples: medians with confidence intervals, paired shifts, robust slopes, rank correlation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Median, confidence interval and spread of a set of samples.

    Attributes:
        median_s: The median. (The minimum is biased: executed plans do not reach it.)
        low_s: Lower end of the median's 95 % confidence interval.
        high_s: Upper end of it.
        iqr_s: Interquartile range.
        num_samples: Number of samples.
    """

    median_s: float
    low_s: float
    high_s: float
    iqr_s: float
    num_samples: int


def summarize(samples_s: Sequence[float]) -> Summary:
    """Median, interval and spread of at least one sample, in seconds.

    The interval is distribution-free: the closest pair of order statistics, as far from one end as from the other,
    that contains the median with a probability of at least 95 % by the binomial distribution (Conover, *Practical
    Nonparametric Statistics*, 3.2). With fewer than six samples no pair does, and the interval is their range.

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


@dataclass(frozen=True, slots=True)
class Estimate:
    """A quantity that was estimated from samples.

    Attributes:
        median: The estimate.
        low: Lower end of its 95 % confidence interval.
        high: Upper end of it.
    """

    median: float
    low: float
    high: float


def shift(differences: Sequence[float]) -> Estimate:
    """By how much one of two paired quantities exceeds the other, robust to a few outliers.

    The estimate is that of J. L. Hodges, E. L. Lehmann, "Estimates of location based on rank tests", Annals of
    Mathematical Statistics 34(2), 1963: the median of the means of all pairs of differences, each paired with itself,
    too. The interval has all shifts that the signed-rank test of F. Wilcoxon, "Individual comparisons by ranking
    methods", Biometrics Bulletin 1(6), 1945, does not reject. With fewer than six differences it rejects none, and the
    interval is their range.

    >>> shift([1.0, 2.0, 3.0])
    Estimate(median=2.0, low=1.0, high=3.0)

    Raises:
        ValueError: If there is no difference, or one is not finite.
    """
    found = np.asarray(differences, dtype=float)
    if not found.size or not np.isfinite(found).all():
        raise ValueError(f"a shift needs finite differences, got {len(found)}")
    first, second = np.triu_indices(len(found))
    means = np.sort((found[first] + found[second]) / 2)
    outside = _signed_rank_from_end(len(found))
    return Estimate(float(np.median(means)), float(means[outside]), float(means[-1 - outside]))


@cache
def _signed_rank_from_end(count: int) -> int:
    """The largest sum of ranks that is reached or undercut in at most 2.5 % of cases; 0 if there is none."""
    cases = [1]  # by sum of the ranks of positive differences
    for rank in range(1, count + 1):
        cases = [a + b for a, b in zip(cases + [0] * rank, [0] * rank + cases, strict=True)]
    cumulated = np.cumsum(np.array(cases, dtype=float)) / 2.0**count
    return max(int(np.searchsorted(cumulated, 1 / 40, side="right")) - 1, 0)


def theil_sen(xs: Sequence[float], ys: Sequence[float]) -> Estimate:
    """The median of the slopes between all pairs of points; it is robust to a few outliers.

    The interval is that of P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", Journal of the
    American Statistical Association 63, 1968, with its normal approximation: it assumes that points are independent.
    With four points or fewer, the interval is the range of all slopes.

    >>> theil_sen([0.0, 1.0, 2.0], [1.0, 3.0, 5.0]).median
    2.0

    Raises:
        ValueError: If the sides differ in length, fewer than two points are given, or an x is repeated.
    """
    count = len(xs)
    if len(ys) != count or count < 2 or len(set(xs)) < count:
        raise ValueError(f"a slope needs two points or more at different places, got {len(set(xs))} and {len(ys)}")
    first, second = np.triu_indices(count, 1)
    x, y = np.asarray(xs, dtype=float), np.asarray(ys, dtype=float)
    slopes = np.sort((y[second] - y[first]) / (x[second] - x[first]))
    spread = 1.96 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    outside = max(math.floor((len(slopes) - spread) / 2) - 1, 0)
    return Estimate(float(np.median(slopes)), float(slopes[outside]), float(slopes[-1 - outside]))


def kendall_tau(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Rank correlation tau-b of paired numbers, from -1 (order reversed) to 1 (same order).

    Pairs of points in the same order on both sides, less those in opposite order, over the geometric mean of the
    pairs that ``xs`` distinguishes and those that ``ys`` distinguishes (M. G. Kendall, "The treatment of ties in
    ranking problems", Biometrika 33(3), 1945). It is NaN if there is nothing to rank: fewer than two points, or one
    side all equal.

    >>> kendall_tau([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 4.0, 3.0]) == 4 / 6
    True

    Raises:
        ValueError: If the sides differ in length or hold a NaN.
    """
    agreement = _agreement(xs, ys)
    return float(_weighted_taus(agreement, np.ones((1, len(xs))))[0])


def kendall_interval(
    xs: Sequence[float], ys: Sequence[float], *, seed: int = 0, num_resamples: int = 2000
) -> tuple[float, float]:
    """Lower and upper end of the 95 % bootstrap interval of :func:`kendall_tau`.

    Points are drawn with replacement; the ends are the 2.5th and 97.5th percentile of the taus (Efron and Tibshirani,
    *An Introduction to the Bootstrap*, 13.3). Draws with nothing to rank are left out; both ends are NaN if all are.

    Args:
        xs: One side.
        ys: The other.
        seed: Seed of the draws.
        num_resamples: Number of draws, at least 1.

    Raises:
        ValueError: As :func:`kendall_tau` does, and if ``num_resamples`` is below 1.
    """
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be >= 1, got {num_resamples}")
    agreement, count = _agreement(xs, ys), len(xs)
    if not count:
        return math.nan, math.nan
    # The number of times that each point is drawn determines tau.
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=num_resamples)
    taus = _weighted_taus(agreement, weights.astype(float))
    taus = taus[~np.isnan(taus)]
    if not taus.size:
        return math.nan, math.nan
    low, high = np.percentile(taus, [2.5, 97.5])
    return float(low), float(high)


def _agreement(xs: Sequence[float], ys: Sequence[float]) -> tuple[Floats, Floats]:
    """For every pair of points, its order on each side: 1, -1, or 0 for a tie."""
    if len(xs) != len(ys):
        raise ValueError(f"a rank correlation needs pairs, got {len(xs)} and {len(ys)} numbers")
    sides = [np.asarray(side, dtype=float) for side in (xs, ys)]
    if any(np.isnan(side).any() for side in sides):
        raise ValueError("a rank correlation needs numbers that can be ordered, got NaN")
    x, y = (np.greater.outer(side, side).astype(float) - np.less.outer(side, side) for side in sides)
    return x, y


def _weighted_taus(agreement: tuple[Floats, Floats], weights: Floats) -> Floats:
    """Tau-b for each row of weights. A weight is how often a point occurs; copies of a point do not form pairs."""
    x, y = agreement
    concordant, told_by_x, told_by_y = (((weights @ pairs) * weights).sum(axis=1) for pairs in (x * y, x * x, y * y))
    told: Floats = np.sqrt(told_by_x * told_by_y)
    taus = np.full_like(told, np.nan)
    np.divide(concordant, told, out=taus, where=told > 0)
    return taus
