"""The plans of a mixture's linear program: each once, charged by its true loads, and none that takes too long."""

from __future__ import annotations

import math

import numpy as np

from hetsim.core.errors import ProblemError
from hetsim.core.plan import Plan, Split
from hetsim.core.problem import Problem
from hetsim.scheduler.throughput.loads import Floats, loads, resources
from hetsim.scheduler.throughput.master import TOLERANCE, Master
from hetsim.sim.compiled import CompiledSimulator

_MAX_SIMULATORS = 8


class Columns:
    """Plans that may have a rate.

    Args:
        problem: The problem.
        max_latency_s: Plans of which one inference alone takes longer are not added.
    """

    def __init__(self, problem: Problem, max_latency_s: float = math.inf) -> None:
        self._problem = problem
        self._max_latency_s = max_latency_s
        self._capacities = resources(problem).capacities
        self._master = Master(len(self._capacities))
        self._loads: dict[str, Floats] = {}
        self._latencies_s: dict[str, float] = {}
        self._simulators: dict[tuple[Split, ...], CompiledSimulator] = {}
        self._known: set[str] = set()
        self._prices = np.zeros(len(self._capacities))
        self.plans: list[Plan] = []
        self.gained = False
        """Whether a plan that costs less than 1 was added since the last :meth:`solve`."""

    @property
    def fastest_s(self) -> float:
        """The least latency of all plans looked at, infinite if there is none."""
        return min(self._latencies_s.values(), default=math.inf)

    def relative_loads(self, plan: Plan) -> Floats:
        """The part of each capacity that one request per second by a plan takes; remembered."""
        key = plan.digest
        if key not in self._loads:
            self._loads[key] = loads(self._problem, plan) / self._capacities
        return self._loads[key]

    def in_time(self, plan: Plan) -> bool:
        """Whether one inference by a plan alone takes no longer than allowed."""
        if self._max_latency_s == math.inf:
            return True
        key = plan.digest
        if key not in self._latencies_s:
            self._latencies_s[key] = self._simulator(plan).run(plan.queues)
        return self._latencies_s[key] <= self._max_latency_s

    def _simulator(self, plan: Plan) -> CompiledSimulator:
        """The simulator of the problem rewritten for a plan; the last few are remembered."""
        found = self._simulators.pop(plan.rewrites, None) or CompiledSimulator(self._problem.for_plan(plan))
        self._simulators[plan.rewrites] = found  # the last one used is the last one forgotten
        while len(self._simulators) > _MAX_SIMULATORS:
            del self._simulators[next(iter(self._simulators))]
        return found

    def cost(self, plan: Plan, prices: Floats) -> float:
        """What a plan's load costs by prices of the capacities; infinite if a device cannot run it."""
        load = self.relative_loads(plan)
        return float(load @ prices) if np.isfinite(load).all() else math.inf

    def add(self, plan: Plan) -> None:
        """Add a plan, unless it is known, cannot run or takes too long.

        Raises:
            ProblemError: If it takes nothing of any resource.
        """
        load = self.relative_loads(plan)
        if plan.digest in self._known or not np.isfinite(load).all() or not self.in_time(plan):
            return
        if not load.max() > 0:
            raise ProblemError(
                f"a request of {self._problem.graph.name!r} takes nothing of any resource, so nothing limits how many "
                "are served; give costs above 0"
            )
        self._known.add(plan.digest)
        self.plans.append(plan)
        self._master.add(load)
        self.gained |= self.cost(plan, self._prices) < 1 - 10 * TOLERANCE

    def solve(self) -> tuple[Floats, Floats]:
        """The best rates of :attr:`plans`, and the prices of capacities, which cost the sum of the rates together."""
        rates, self._prices = self._master.solve()
        self.gained = False
        return rates, self._prices
