"""What a plan is asked to serve: how many requests, how often, and how many at once."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Requests for inferences.

    Attributes:
        num_requests: How many, at least 1.
        every_s: Request ``k``, from 0, is due ``k * every_s`` after the first. 0: whenever there is room for one.
        num_slots: How many may be in flight at once, at least 1. A request that is due while none is free waits.

    Raises:
        ValueError: If a field is out of range.
    """

    num_requests: int = 1
    every_s: float = 0.0
    num_slots: int = 1

    def __post_init__(self) -> None:
        if self.num_requests < 1:
            raise ValueError(f"num_requests must be >= 1, got {self.num_requests}")
        if not 0 <= self.every_s < math.inf:  # NaN fails too
            raise ValueError(f"every_s must be finite and >= 0, got {self.every_s}")
        if self.num_slots < 1:
            raise ValueError(f"num_slots must be >= 1, got {self.num_slots}")
