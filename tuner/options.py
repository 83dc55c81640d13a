"""How thorough a tune run is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hetsim.core.errors import PlanError
from hetsim.runtime.measure.interleaved import RUNS_PER_ROUND
from hetsim.runtime.measure.profiler import Effort
from hetsim.scheduler.registry import algorithm_names

_MIN_ROUNDS = 6  # the signed-rank test of judging.py needs this many to tell two plans apart with 95 % confidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often plans are executed in the final measurement.

    Attributes:
        num_runs: Counted executions of each plan, at least 3, and as many serial replays.
        budget_s: Plans so slow that their executions would take longer than this are executed less often, but at least
            18 times; in seconds.
        stall_budget_s: Total time for which executions are put off while something slows the cores down, in seconds.
    """

    num_runs: int = 60
    budget_s: float = 2.5
    stall_budget_s: float = 6.0

    def rounds(self, latency_s: float) -> int:
        """The number of rounds, of a few runs each, for plans of that latency."""
        runs = min(self.num_runs, max(_MIN_ROUNDS * RUNS_PER_ROUND, round(self.budget_s / latency_s)))
        return -(-runs // RUNS_PER_ROUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How thorough a tune run is.

    Attributes:
        seed: Seed of everything random: inputs and searches.
        also: Schedulers whose plans are executed besides single devices, a few baselines and the search.
        rounds: The number of times that the search may learn what the segments of its plans take when measured.
        time_limit_s: The closed loop ends when the run has taken this long, in seconds; the final measurement comes
            after that. None stands for no limit.
        max_evaluations: Candidates that each search may simulate.
        effort: How often segments are measured.
        pace: How often plans are executed.
        splits: Whether to look for plans in which several devices work on one operator.
        recalibrate: Whether to measure the platform's numbers although there are some, in its file or cached.
        command: The command line that repeats the run, for the report.

    Raises:
        PlanError: If the time limit is not a positive number, or a scheduler does not exist.
    """

    seed: int = 0
    also: tuple[str, ...] = ()
    rounds: int = 3
    time_limit_s: float | None = None
    max_evaluations: int = 3000
    effort: Effort = field(default_factory=Effort)
    pace: Pace = field(default_factory=Pace)
    splits: bool = True
    recalibrate: bool = False
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.time_limit_s is not None and not 0 < self.time_limit_s < math.inf:  # NaN fails too
            raise PlanError(f"a time limit of {self.time_limit_s} s allows nothing; give more than 0, or none")
        for name in self.also:
            if name not in algorithm_names():
                raise PlanError(f"no scheduler {name!r}; choose from {', '.join(algorithm_names())}")
