"""The mixture of plans that serves the most requests per second, found by column generation, with a certificate.

A mixture gives a rate to each plan, such that no resource is loaded above its capacity. The master problem
(:mod:`hetsim.scheduler.throughput.master`) mixes the plans known so far and prices the resources; pricing proposes the
plan whose load costs least by these prices; and so on, until no plan costs less than 1. By any prices, if every plan of
a space costs ``c`` or more and the capacities cost ``C`` together, no mixture of them serves more than ``C / c``.

Which space that is depends on the problem. Where costs add up, pricing is over all assignments of operators
(:mod:`hetsim.scheduler.throughput.assignments`), and no fusing can take less. Elsewhere it is over sequences of
stretches (:mod:`hetsim.scheduler.throughput.sequences`); assignments are proposed by estimates, a local search improves
plans by their true loads, and whatever was tried belongs to the space as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hetsim.core.errors import PlanError
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.scheduler.effort import FOREVER, Until
from hetsim.scheduler.throughput.columns import Columns
from hetsim.scheduler.throughput.loads import Floats
from hetsim.scheduler.throughput.pricing import Pricing

MAX_ROUNDS = 100
"""How often plans are mixed and priced at most."""
ROUNDING = 1e-9
"""A gap up to this is rounding."""


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Plans with the rates at which requests go to them.

    Attributes:
        plans: Plans with a rate above 0, the highest rate first; at most as many as there are resources.
        rates_per_s: By plan, requests per second.
        bound_per_s: No mixture of plans in ``space`` serves more requests per second.
        space: Which plans the bound speaks of, in words.
    """

    plans: tuple[Plan, ...]
    rates_per_s: tuple[float, ...]
    bound_per_s: float
    space: str

    @property
    def throughput_per_s(self) -> float:
        """Requests per second of all plans together."""
        return sum(self.rates_per_s)

    @property
    def gap(self) -> float:
        """By which part of the bound the mixture may serve too little: 0 for the best mixture of the space."""
        return max(0.0, 1 - self.throughput_per_s / self.bound_per_s)

    @property
    def proven(self) -> bool:
        """Whether no mixture of the space serves more, but for rounding."""
        return self.gap <= ROUNDING

    def __repr__(self) -> str:
        return (
            f"<Mixture of {len(self.plans)} plans: {self.throughput_per_s:.4g} requests/s, bound "
            f"{self.bound_per_s:.4g}, gap {self.gap:.1%} among {self.space}>"
        )


def best_mixture(
    problem: Problem,
    *,
    extra_plans: Sequence[Plan] = (),
    max_latency_s: float = math.inf,
    seed: int = 0,
    deadline: Until | None = None,
) -> Mixture:
    """The mixture of plans that serves the most requests per second, as far as found by the deadline.

    At least as good as any mixture of the devices' whole-model plans and ``extra_plans``. The same arguments give the
    same mixture as long as no deadline is met.

    Args:
        problem: The problem.
        extra_plans: Further valid plans, with or without splits.
        max_latency_s: Plans of which one inference alone takes longer are left out, more than 0.
        seed: Of random choices.
        deadline: When to end; None stands for when nothing better is found.

    Raises:
        PlanError: If an extra plan is not valid, or no plan is found that takes no longer than ``max_latency_s``.
    """
    if not max_latency_s > 0:
        raise PlanError(f"a latency of at most {max_latency_s} s is impossible; give more than 0")
    until = deadline or FOREVER
    columns = Columns(problem, max_latency_s)
    pricing = Pricing(problem, columns, max_latency_s=max_latency_s, seed=seed, until=until)
    pricing.start(extra_plans)
    if not columns.plans:
        raise PlanError(
            f"no plan of {problem.graph.name!r} is known whose inference takes at most {max_latency_s * 1e3:.3f} ms; "
            f"the fastest one found takes {columns.fastest_s * 1e3:.3f} ms"
        )
    bound_per_s = math.inf
    for _ in range(MAX_ROUNDS):
        rates, prices = columns.solve()
        least = pricing.propose(rates, prices)
        # A bound holds for plans tried later only if these are of the space anyway.
        if not columns.gained or pricing.is_closed:
            bound_per_s = min(bound_per_s, _bound_per_s(rates, least))
        if not columns.gained or until():
            break
    if columns.gained:
        rates, prices = columns.solve()
        bound_per_s = min(bound_per_s, _bound_per_s(rates, pricing.least(prices)))
    return _mixture(columns, rates, bound_per_s, pricing.space)


def _bound_per_s(rates: Floats, least: float) -> float:
    """What mixtures serve at most if no plan costs less than ``least`` by prices at which capacities cost all rates."""
    return float(rates.sum()) / least if least > 0 else math.inf


def _mixture(columns: Columns, rates: Floats, bound_per_s: float, space: str) -> Mixture:
    least = ROUNDING * float(rates.sum())
    used = sorted((number for number, rate in enumerate(rates) if rate > least), key=lambda number: -rates[number])
    throughput_per_s = float(sum(float(rates[number]) for number in used))
    return Mixture(
        plans=tuple(columns.plans[number] for number in used),
        rates_per_s=tuple(float(rates[number]) for number in used),
        bound_per_s=max(bound_per_s, throughput_per_s),
        space=space,
    )
