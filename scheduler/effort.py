"""How hard a scheduler may try, and whom it tells how far it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hetsim.core.errors import PlanError


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
class Effort:
    """How hard an algorithm that searches may try. It stops at whichever limit it meets first.

    Attributes:
        seed: Of its random choices.
        max_evaluations: Candidates that it may evaluate, at least 0; what one candidate is, the algorithm says. None
            stands for the algorithm's own limit.
        time_limit_s: Seconds that it may take, more than 0. None stands for no limit. Results then depend on the
            machine's speed; with evaluations alone as the limit, they do not.
        progress: Told now and then how far it is, or None.
        stop: Asked now and then; once it says yes, the best found so far is the answer.

    Raises:
        PlanError: If a limit is out of range.
    """

    seed: int = 0
    max_evaluations: int | None = None
    time_limit_s: float | None = None
    progress: Progress | None = None
    stop: Callable[[], bool] = _never

    def __post_init__(self) -> None:
        if self.max_evaluations is not None and self.max_evaluations < 0:
            raise PlanError(f"a search cannot evaluate {self.max_evaluations} candidates; give 0 or more")
        if self.time_limit_s is not None and not 0 < self.time_limit_s < math.inf:  # NaN fails too
            raise PlanError(f"a search cannot take {self.time_limit_s} s; give more than 0, or no limit")

    def until(self) -> Callable[[], bool]:
        """A function that says whether to stop, by the time from now on and by :attr:`stop`."""
        deadline_s = math.inf if self.time_limit_s is None else time.monotonic() + self.time_limit_s
        return lambda: self.stop() or time.monotonic() > deadline_s
