"""Plans with splits between the fastest and the least load: for mixtures in which latency is limited.

The scheduler ``splits`` finds a shortest path over stages by time alone. Here each second of a device's work costs
something as well, by the prices of the mixture, and more of it in each path. Such paths are corners of the trade-off.
What lies between them is found from the cheapest plan in time, by computing one stage after the other whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.scheduler.effort import Until
from hetsim.scheduler.splits.refinement import Candidate
from hetsim.scheduler.splits.splits import path_and_candidates
from hetsim.scheduler.stages import Stage

MAX_CANDIDATES = 80
"""Rewritten problems in all."""
MAX_CALLS = 2
"""How often prices are answered, as paths hardly change later."""
_WEIGHTS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
"""What the mean device's second of work costs, relative to a second of the request."""


class SplitProposals:
    """Proposes plans with splits.

    Args:
        problem: A problem whose operators can be split.
        until: When to end.
    """

    def __init__(self, problem: Problem, until: Until) -> None:
        self._until = until
        self._path, self._candidates = path_and_candidates(problem, MAX_CANDIDATES, until)
        self._seen: dict[tuple[Stage, ...], Candidate | None] = {}
        self._num_calls = 0

    def plans(self, prices: Mapping[str, float], cost_of: Callable[[Plan], float]) -> Iterator[Plan]:
        """Plans from fast ones to such whose load costs little.

        Args:
            prices: By device, the price of a second of its work.
            cost_of: What a plan costs; infinite if it takes too long.
        """
        mean = sum(prices.values()) / len(prices)
        self._num_calls += 1
        if not mean > 0 or self._num_calls > MAX_CALLS:
            return
        found: list[Candidate] = []
        for weight in _WEIGHTS:
            weighted = {name: weight * price / mean for name, price in prices.items()}
            found += self._of(self._path.stages(self._until, weighted))
        found.sort(key=lambda candidate: cost_of(candidate.plan))
        yield from (candidate.plan for candidate in found)
        while found and cost_of(found[0].plan) < math.inf:
            best = found[0]
            found = [whole for stages in self._candidates.without_one(best) for whole in self._of(stages)]
            found.sort(key=lambda candidate: cost_of(candidate.plan))
            if not found or not cost_of(found[0].plan) < cost_of(best.plan):
                return
            yield found[0].plan

    def _of(self, stages: tuple[Stage, ...]) -> Iterator[Candidate]:
        """The candidate of stages, if there is one and it may still be made."""
        if stages and stages not in self._seen and not self._candidates.ended:
            self._seen[stages] = self._candidates.candidate(stages)
        candidate = self._seen.get(stages)
        if candidate is not None:
            yield candidate
