"""Pricing: proposals of plans whose load costs little by given prices, and what all plans of a space cost at least."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hetsim.core.dataflow import check_plan
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.scheduler.baselines.single_device import single_device, whole_model_devices
from hetsim.scheduler.effort import Effort, Until
from hetsim.scheduler.segments import plan_from_assignment
from hetsim.scheduler.throughput.assignments import assignment_loads
from hetsim.scheduler.throughput.columns import Columns
from hetsim.scheduler.throughput.exact_assignment import least_assignment
from hetsim.scheduler.throughput.improving import improvements
from hetsim.scheduler.throughput.loads import HOST, Floats, resources
from hetsim.scheduler.throughput.master import TOLERANCE
from hetsim.scheduler.throughput.sequences import Sequences
from hetsim.scheduler.throughput.split_proposals import SplitProposals

NUM_MOVES = 200
"""Moves of each local search."""
MAX_SEARCHES = 20
"""Local searches in all."""
SEARCH_EVALUATIONS = 500
"""Candidates of the schedulers that look for fast plans, where latency is limited."""
_WEIGHTS = 8  # weights of latency that are tried for each pricing, where latency is limited


class Pricing:
    """Proposes plans for a mixture.

    Args:
        problem: The problem.
        columns: Where proposals go.
        max_latency_s: How long one inference may take.
        seed: Of random choices.
        until: When to end.
    """

    def __init__(self, problem: Problem, columns: Columns, *, max_latency_s: float, seed: int, until: Until) -> None:
        self._problem = problem
        self._columns = columns
        self._max_latency_s = max_latency_s
        self._seed = seed
        self._until = until
        self._num_searches = 0
        self._splits: SplitProposals | None = None
        self._assignments = assignment_loads(problem)
        self._sequences = None if problem.fusing_gains_nothing else Sequences(problem, until.part(0.5))
        host, graph = problem.platform.host, problem.graph
        self._host_load = np.zeros(len(resources(problem).names))
        seconds = host.submit_s(graph.input_bytes) + host.collect_s(graph.output_bytes)
        resources(problem).add(self._host_load, HOST, seconds)

    @property
    def space(self) -> str:
        """The plans of which :meth:`propose` says what they cost at least, in words."""
        tried = len(self._columns.plans)
        within = "" if self._max_latency_s == math.inf else f" within {self._max_latency_s * 1e3:.4g} ms"
        if self._problem.additive:
            return f"segments of any operators, whose costs add up, and {tried} plans tried{within}"
        assert self._sequences is not None
        return f"sequences of {self._sequences.num_stretches} stretches, and {tried} plans tried{within}"

    @property
    def is_closed(self) -> bool:
        """Whether no plan that is tried can be outside the space that pricing is exact for."""
        return self._problem.additive and self._problem.splitting is None

    def least(self, prices: Floats) -> float:
        """What every plan of the space costs at least, 1 at most, as far as that is known at once."""
        host = float(self._host_load @ prices)
        if self._problem.additive:
            priced = self._assignments.priced(prices)
            if len(self._problem.platform.devices) > 2:
                return min(1.0, priced.least_of_ops() + host)
            return min(1.0, (priced.cost(priced.cheapest()) + host) * (1 - TOLERANCE))
        assert self._sequences is not None
        found = self._sequences.cheapest(prices)
        return 1.0 if found is None else min(1.0, found.cost + host)

    def start(self, extra_plans: Sequence[Plan]) -> None:
        """Add the plans that mixtures begin with: whole models, those given, and fast ones if latency is limited.

        Raises:
            PlanError: If an extra plan is not valid.
        """
        problem = self._problem
        for plan in extra_plans:
            rewritten = problem.for_plan(plan)
            check_plan(
                rewritten.graph,
                plan,
                device_names=problem.platform.device_names,
                model_hash=problem.model_hash and rewritten.model_hash,
            )
        for plan in (*(single_device(problem, name) for name in whole_model_devices(problem)), *extra_plans):
            self._columns.add(plan)
        ones = np.ones(len(self._host_load))
        self._assigned(ones)
        if self._sequences is not None and (found := self._sequences.cheapest(ones, self._heaviest())):
            self._columns.add(found.plan)
        if self._max_latency_s < math.inf:
            for name in ("search", "splits") if not extra_plans and problem.splitting is not None else ("search",):
                self._columns.add(self._fast(name))
                if self._until():
                    break

    def propose(self, rates: Floats, prices: Floats) -> float:
        """Add plans that cost less than 1, if some are found; also returns what every plan of the space costs at least.

        Args:
            rates: By plan of the columns, its rate.
            prices: By resource, the price of its capacity, at which all known plans cost 1 or more.
        """
        least = self._assigned(prices)
        if self._sequences is not None:
            sequenced = self._sequenced(prices)
            least = least if self._problem.additive else sequenced
        if not self._columns.gained and self._max_latency_s < math.inf and not self._until():
            self._split(prices)
        if not self._columns.gained and self._is_open and not self._until():
            self._improve(rates, prices)
        return min(least, 1.0)

    @property
    def _is_open(self) -> bool:
        """Whether a local search may find what exact pricing does not know."""
        exact = self._problem.fusing_gains_nothing and self._max_latency_s == math.inf
        return not exact and self._num_searches < MAX_SEARCHES

    def _heaviest(self) -> float:
        """A weight of latency beside which prices of 1 hardly matter, or 0 where latency is not limited."""
        return 1e3 if self._max_latency_s < math.inf else 0.0

    def _assigned(self, prices: Floats) -> float:
        """Propose assignments; the return value is what all cost at least, if costs add up, else infinite."""
        problem, weights = self._problem, [0.0]
        if self._until() and not problem.additive:
            return math.inf
        if self._max_latency_s < math.inf and problem.additive:
            weights += [float(prices.max()) * 4.0**power for power in range(-2, 3)]
        for weight in weights:
            self._add_assigned(self._assignments.priced(prices, weight).cheapest())
        if not problem.additive:
            return math.inf
        priced, host = self._assignments.priced(prices), float(self._host_load @ prices)
        if len(problem.platform.devices) <= 2 or self._columns.gained:
            return self.least(prices)  # the exact answer is only asked for when cheap ones give nothing
        found = least_assignment(priced, priced.cheapest(), self._until)
        self._add_assigned(found.device)
        return found.bound * (1 - TOLERANCE) + host

    def _add_assigned(self, device: Mapping[str, int]) -> None:
        names = self._problem.platform.device_names
        device_of = {op: names[number] for op, number in device.items()}
        for connected in (False, True):
            self._columns.add(plan_from_assignment(self._problem, "mixture", device_of, connected=connected))

    def _sequenced(self, prices: Floats) -> float:
        """Propose sequences; the return value is what all of them cost at least that take no longer than allowed.

        Where latency is limited, the weight of a second is found by bisection: with more of it sequences are faster.
        """
        assert self._sequences is not None
        host, cap_s = float(self._host_load @ prices), self._max_latency_s
        found = self._sequences.cheapest(prices)
        if found is None:
            return math.inf
        self._columns.add(found.plan)
        least, low, high = found.cost + host, 0.0, math.inf
        weight = float(prices.max())
        for _ in range(_WEIGHTS if found.latency_s > cap_s else 0):
            found = self._sequences.cheapest(prices, weight)
            assert found is not None
            self._columns.add(found.plan)
            least = max(least, found.cost - weight * cap_s + host)
            if found.latency_s > cap_s:
                low = weight
            else:
                high = weight
            weight = 4 * weight if high == math.inf else (low + high) / 2
        return least

    def _split(self, prices: Floats) -> None:
        """Propose plans with splits, where operators can be split."""
        problem = self._problem
        names = problem.platform.device_names
        if problem.splitting is None or problem.rewrites or len(names) < 2:
            return
        if self._splits is None:
            self._splits = SplitProposals(problem, self._until)
        for plan in self._splits.plans(dict(zip(names, prices.tolist(), strict=False)), self._cost_of(prices)):
            self._columns.add(plan)

    def _cost_of(self, prices: Floats) -> Callable[[Plan], float]:
        """What a plan costs; infinite if it cannot run or takes too long."""

        def cost_of(plan: Plan) -> float:
            cost = self._columns.cost(plan, prices)
            return cost if math.isinf(cost) or self._columns.in_time(plan) else math.inf

        return cost_of

    def _improve(self, rates: Floats, prices: Floats) -> None:
        """Local searches from the plans that have a rate, the highest first, until one finds something."""
        columns = self._columns
        cost_of = self._cost_of(prices)
        for number in sorted(np.flatnonzero(rates > 0), key=lambda number: -rates[number]):
            self._num_searches += 1
            seed = self._seed + 1000 * self._num_searches
            start = columns.plans[int(number)]
            for plan in improvements(self._problem, start, cost_of, num_moves=NUM_MOVES, seed=seed, until=self._until):
                columns.add(plan)
            if columns.gained or not self._is_open:
                break

    def _fast(self, scheduler: str) -> Plan:
        """A plan of a scheduler for latency."""
        from hetsim.scheduler.registry import solve  # which lists this package's neighbours

        effort = Effort(seed=self._seed, max_evaluations=SEARCH_EVALUATIONS, stop=self._until.part(0.3))
        return solve(scheduler, self._problem, effort).plan
