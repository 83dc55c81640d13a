"""Summaries of noisy samples: the median, its confidence interval, and the spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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

    The interval is distribution-free: two order statistics, whose ranks come from the normal approximation of the
    binomial (Conover, *Practical Nonparametric Statistics*, 3.2). Below six samples it is their whole range.

    >>> summarize([1.0, 2.0, 9.0]).median_s
    2.0

    Raises:
        ValueError: If there is no sample.
    """
    if not len(samples_s):
        raise ValueError("a summary needs at least one sample")
    ordered = np.sort(np.asarray(samples_s, dtype=float))
    count = len(ordered)
    half_width = 1.96 * math.sqrt(count) / 2
    low = max(0, math.floor(count / 2 - half_width)) if count >= 6 else 0
    high = min(count - 1, math.ceil(count / 2 + half_width)) if count >= 6 else count - 1
    first_quartile, median, third_quartile = np.percentile(ordered, [25, 50, 75])
    return Summary(
        median_s=float(median),
        low_s=float(ordered[low]),
        high_s=float(ordered[high]),
        iqr_s=float(third_quartile - first_quartile),
        num_samples=count,
    )
