"""How hard a scheduler may try, when it must end, and whom it tells how far it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from hetsim.core.errors import PlanError

MAX_EVALUATIONS = 10_000
"""Candidates of a local search, where an effort gives no other number."""


class Progress(Protocol):
    """Told how far a scheduler is."""

    def __call__(self, done: int, total: int, best_s: float, bound_s: float = 0.0, /) -> None:
        """Called now and then.

        Args:
            done: Candidates evaluated so far.
            total: Their largest number.
            best_s: The best time so far, in seconds.
            bound_s: No plan in the space searched is faster, as far as is known by now; 0 if nothing is.
        """


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    """Says whether to be content with the best so far.

    Attributes:
        until_s: When to be, by ``clock``; infinite for never.
        stop: Whether somebody asks for it earlier.
        clock: The time in seconds.
    """

    until_s: float = math.inf
    stop: Callable[[], bool] = _never
    clock: Callable[[], float] = time.monotonic

    def __call__(self) -> bool:
        return self.stop() or (self.until_s < math.inf and self.clock() >= self.until_s)

    @property
    def left_s(self) -> float:
        """Seconds that are left, 0 or more; infinite without a limit."""
        return math.inf if self.until_s == math.inf else max(0.0, self.until_s - self.clock())

    def part(self, fraction: float) -> Until:
        """The same, but after this fraction, from 0 to 1, of the time that is left."""
        return self if self.until_s == math.inf else replace(self, until_s=self.clock() + fraction * self.left_s)


FOREVER = Until()
"""No limit, and nobody who stops anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How hard an algorithm may try. It stops at whichever limit it meets first, with the best plan so far.

    Attributes:
        seed: Of its random choices.
        max_evaluations: Candidates that it may evaluate, at least 0; what one candidate is, the algorithm says. None
            stands for the algorithm's own limit.
        time_limit_s: Seconds that it may take, more than 0. None stands for no limit. Results then depend on the
            machine's speed; with evaluations alone as the limit, they do not.
        progress: Told now and then how far it is, or None.
        stop: Asked now and then; once it says yes, the best found so far is the answer. The time limit of an
            :class:`Until` holds too.
        clock: The time in seconds, for the time limit.

    Raises:
        PlanError: If a limit is out of range.
    """

    seed: int = 0
    max_evaluations: int | None = None
    time_limit_s: float | None = None
    progress: Progress | None = None
    stop: Callable[[], bool] = _never
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        if self.max_evaluations is not None and self.max_evaluations < 0:
            raise PlanError(f"a search cannot evaluate {self.max_evaluations} candidates; give 0 or more")
        if self.time_limit_s is not None and not 0 < self.time_limit_s < math.inf:  # NaN fails too
            raise PlanError(f"a search cannot take {self.time_limit_s} s; give more than 0, or no limit")

    def until(self) -> Until:
        """Whether to stop, by the time from now on and by :attr:`stop`."""
        until_s = math.inf if self.time_limit_s is None else self.clock() + self.time_limit_s
        if isinstance(self.stop, Until):
            return replace(self.stop, until_s=min(self.stop.until_s, until_s))
        return Until(until_s=until_s, stop=self.stop, clock=self.clock)

    def started(self) -> Effort:
        """The same effort whose time runs from now on, however often :meth:`until` is asked for."""
        return replace(self, time_limit_s=None, stop=self.until())
