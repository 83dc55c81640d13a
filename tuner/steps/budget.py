"""How long a search may go on: until a moment, or until somebody presses Ctrl-C."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """When a search must end.

    Attributes:
        until_s: Nothing new begins when :func:`time.monotonic` has come this far.
        interrupted: Says whether somebody wants it to end now.
    """

    until_s: float = math.inf
    interrupted: Callable[[], bool] = lambda: False

    def spent(self) -> bool:
        """Whether to end before all is done."""
        return self.interrupted() or time.monotonic() >= self.until_s

    @property
    def reason(self) -> str:
        """Why that is."""
        return "interrupted" if self.interrupted() else "the time limit was reached"

    def part(self, fraction: float) -> Budget:
        """A budget of this fraction, from 0 to 1, of the time that is left now; without a limit it has none either."""
        now_s = time.monotonic()
        return replace(self, until_s=now_s + fraction * max(0.0, self.until_s - now_s))

    def at_most(self, seconds: float) -> Budget:
        """The same budget, ending after so many seconds at the latest."""
        return replace(self, until_s=min(self.until_s, time.monotonic() + seconds))
