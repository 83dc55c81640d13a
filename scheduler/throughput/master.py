"""The linear program of a mixture, solved by the simplex method as its columns come in.

``max sum over p of x[p]`` such that ``sum over p of x[p] * load[p, r] <= 1`` for each resource ``r``, with loads
relative to capacities. A basis has a column for each resource, so no more plans have a rate than there are resources,
and a solution is a system of some five equations. Its dual solution prices the resources: a plan pays for its place if
its load costs less than 1 by these prices. G. B. Dantzig, P. Wolfe, "Decomposition principle for linear programs",
Operations Research 8(1), 1960, doi 10.1287/opre.8.1.101; the bound is from A. A. Farley, "A note on bounding a class of
linear programming problems", Operations Research 38(5), 1990, doi 10.1287/opre.38.5.922.
"""

from __future__ import annotations

import numpy as np

from hetsim.scheduler.throughput.loads import Floats

TOLERANCE = 1e-9
"""What costs less than 1 by no more than this costs 1."""
_MAX_PIVOTS = 10_000
_FIRST_AFTER = 100  # pivots, from which on the first column that pays enters, so that none can cycle


class Master:
    """The best mixture of the plans added so far.

    Args:
        num_resources: How many resources there are, at least 1.
    """

    def __init__(self, num_resources: int) -> None:
        self._columns = np.eye(num_resources)  # by column its load; the first are slack
        self._gains = np.zeros(num_resources)
        self._basis = list(range(num_resources))
        self._num_resources = num_resources
        self._scale = 0.0

    def add(self, load: Floats) -> None:
        """Add a plan.

        Args:
            load: By resource, the fraction of its capacity per second that one request takes; finite, at least 0, and
                more than 0 somewhere.
        """
        self._scale = self._scale or 1.0 / float(load.max())  # so that slack and plans are of one size
        self._columns = np.vstack((self._columns, load * self._scale))
        self._gains = np.append(self._gains, 1.0)

    def solve(self) -> tuple[Floats, Floats]:
        """The best rates of all plans, in the order in which they were added, and the prices of the resources.

        By these prices every plan's load costs 1 or more, and all capacities together cost the sum of the rates.
        """
        for pivot in range(_MAX_PIVOTS):
            basis: Floats = self._columns[self._basis]
            amounts = np.asarray(np.linalg.solve(basis.T, np.ones(self._num_resources)), np.float64)
            prices = np.linalg.solve(basis, self._gains[self._basis])
            gains = self._gains - self._columns @ prices
            gains[self._basis] = 0.0
            better = np.flatnonzero(gains > TOLERANCE)
            if not len(better):
                break
            enters = int(better[0] if pivot > _FIRST_AFTER else better[gains[better].argmax()])
            self._exchange(enters, basis, amounts)
        rates = np.zeros(len(self._gains))
        rates[self._basis] = np.maximum(amounts, 0.0)
        return rates[self._num_resources :] * self._scale, np.maximum(prices, 0.0) * self._scale

    def _exchange(self, enters: int, basis: Floats, amounts: Floats) -> None:
        """Put a column into the basis, in the place of the one that runs out first; ties go to the lower number."""
        step = np.linalg.solve(basis.T, self._columns[enters])
        ratios = np.full(len(step), np.inf)
        positive = step > TOLERANCE
        ratios[positive] = np.maximum(amounts[positive], 0.0) / step[positive]
        ties = np.flatnonzero(ratios <= ratios.min() * (1 + 1e-12))
        self._basis[min(ties, key=lambda place: self._basis[place])] = enters
