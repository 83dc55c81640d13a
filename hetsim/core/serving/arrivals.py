"""When requests arrive."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hetsim.core.errors import ProblemError


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The requests of a workload.

    Attributes:
        num_requests: How many, at least 1.
        times_s: When each is due, in seconds, ascending from 0 or later; None if another request is always waiting
            (*saturated*), so that one is due whenever a slot is free.

    Raises:
        ProblemError: If there is no request, or times are negative, not finite or do not ascend.
    """

    num_requests: int
    times_s: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.num_requests < 1:
            raise ProblemError(f"{self.num_requests} requests; at least 1 is needed")
        if self.times_s is None:
            return
        if len(self.times_s) != self.num_requests:
            raise ProblemError(f"{self.num_requests} requests have {len(self.times_s)} arrival times")
        before_s = 0.0
        for number, time_s in enumerate(self.times_s):
            if not before_s <= time_s < math.inf:  # NaN fails too
                raise ProblemError(f"arrival {number + 1} is at {time_s} s; times must be finite and ascend from 0")
            before_s = time_s

    @property
    def rate_per_s(self) -> float:
        """Requests per second: those after the first by the time between first and last; infinite if saturated."""
        if self.times_s is None:
            return math.inf
        seconds = self.times_s[-1] - self.times_s[0]
        return (self.num_requests - 1) / seconds if seconds > 0 else math.inf


def saturated(num_requests: int) -> Arrivals:
    """A request is due whenever a slot is free."""
    return Arrivals(num_requests)


def periodic(every_s: float, num_requests: int, *, offset_s: float = 0.0) -> Arrivals:
    """Request ``k`` is due at ``offset_s + k * every_s``.

    >>> periodic(0.5, 3).times_s
    (0.0, 0.5, 1.0)

    Raises:
        ProblemError: If the period is not above 0.
    """
    _check_period(every_s)
    return Arrivals(num_requests, tuple(offset_s + k * every_s for k in range(num_requests)))


def poisson(every_s: float, num_requests: int, *, seed: int) -> Arrivals:
    """Independent arrivals, ``every_s`` apart on average.

    Raises:
        ProblemError: If the mean is not above 0.
    """
    _check_period(every_s)
    return _from_gaps(np.random.default_rng(seed).exponential(every_s, num_requests))


def bursty(every_s: float, num_requests: int, *, burst: int, seed: int) -> Arrivals:
    """Bursts of ``burst`` requests at once; bursts are independent, and requests ``every_s`` apart on average.

    Raises:
        ProblemError: If the mean is not above 0, or a burst has no request.
    """
    _check_period(every_s)
    if burst < 1:
        raise ProblemError(f"bursts of {burst} requests; a burst needs at least 1")
    gaps_s = np.zeros(num_requests)
    gaps_s[::burst] = np.random.default_rng(seed).exponential(every_s * burst, len(gaps_s[::burst]))
    return _from_gaps(gaps_s)


def _from_gaps(gaps_s: NDArray[np.float64]) -> Arrivals:
    gaps_s[0] = 0.0  # time 0 is when the first is due
    return Arrivals(len(gaps_s), tuple(np.cumsum(gaps_s).tolist()))


def _check_period(every_s: float) -> None:
    if not 0 < every_s < math.inf:  # NaN fails too
        raise ProblemError(f"requests every {every_s} s; give a time above 0")
