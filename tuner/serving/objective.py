"""What a deployment is tuned for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from hetsim.core.errors import ProblemError

Goal = Literal["throughput", "p99"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What counts as better.

    Attributes:
        goal: ``"throughput"``: the most requests per second. ``"p99"``: the smallest 99th percentile of latencies, at
            the rate that ``every_s`` gives.
        every_s: Time between requests; 0 if a request is always waiting, or the largest rate is sought.
        max_latency_s: The 99th percentile of latencies may not be larger; infinite if it may.

    Raises:
        ProblemError: If the goal is ``"p99"`` and no rate is given, or both a rate and the largest are asked for.
    """

    goal: Goal = "throughput"
    every_s: float = 0.0
    max_latency_s: float = math.inf

    def __post_init__(self) -> None:
        if self.goal == "p99" and not self.every_s:
            raise ProblemError("--objective p99 needs the time between requests; give --every, such as 33ms")
        if self.goal == "throughput" and self.every_s:
            raise ProblemError("--objective throughput finds the rate itself; leave --every out, or use p99")
        if not self.max_latency_s > 0:  # NaN fails too
            raise ProblemError(f"a latency of at most {self.max_latency_s} s; give a time above 0")
