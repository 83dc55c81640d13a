"""Annealing of the order alone, for one assignment of low load after the other (:mod:`scheduler.assignment`).

To find the devices and the order of a good plan at once is hard where hardly any plan is good: all operators but a few
have to be where they are in the best one, and those few are scattered over it. But assignments of low load can be
listed without any order, and an order for one of them is soon found if there is one. What is tried, from the best plan
so far: short rounds for each assignment whose load is less than the makespan, the least loaded first; and longer ones
once none of those led on.
"""

from __future__ import annotations

from collections.abc import Callable

from hetsim.kernel import Space, Tables
from scheduler import walk
from scheduler.assignment import least_loaded, narrowed

FIRST, LAST = 50, 1000
"""Moves for each operator in the first rounds, and in the longest ones; twice as many each time that all were in vain."""
HOT, COLD = 0.15, 0.01
"""Temperatures at which a round begins and ends, as parts of the mean time of an operator."""
_LESS = 1 - 1e-9
"""By so much a load has to be less than a makespan, as sums are taken in another order than times are."""


class Ordering:
    """Goes on from where a walk is.

    Args:
        costs: The problem.
        tables: The same.
        space: Room for the twin.
        state: The walk, whose best candidate and random numbers are shared.
    """

    def __init__(self, costs: walk.Costs, tables: Tables, space: Space, state: walk.State) -> None:
        self._costs, self._tables, self._space, self._state = costs, tables, space, state
        # A walk of its own, as those begin from their best candidate.
        fresh = walk.new_state(state.order, state.device, costs.seconds.shape[1], 0)
        self._walker = fresh._replace(random=state.random)
        self._moves_per_op = FIRST
        self._tried: set[bytes] = set()
        """Assignments that were tried in rounds of this length."""

    def go_on(self, budget: int, mean_s: float, until: Callable[[], bool]) -> int:
        """Improve on the walk's best candidate; how many evaluations that took, at most ``budget``.

        Args:
            budget: Evaluations: moves, and partial assignments looked at.
            mean_s: The mean time of an operator.
            until: Whether to stop.
        """
        state, done = self._state, 0
        while done < budget and not until():
            found = least_loaded(self._costs.seconds, float(state.seconds[1]) * _LESS, max_nodes=budget - done)
            done += found.num_nodes
            untried = [device for device in found.device if device.tobytes() not in self._tried]
            if not len(found.load_s):
                break
            if not untried:
                if self._moves_per_op >= LAST:
                    break
                self._moves_per_op *= 2
                self._tried.clear()
            for device in untried:
                count = min(self._moves_per_op * len(device), budget - done)
                if count <= 0 or until():
                    break
                self._tried.add(device.tobytes())
                before_s = float(state.seconds[1])
                self._walk(device, count, mean_s)
                done += count
                if state.seconds[1] < before_s:
                    break
        return done

    def _walk(self, device: walk.Ints, count: int, mean_s: float) -> None:
        walker, state = self._walker, self._state
        walker.best_order[:], walker.best_device[:], walker.seconds[:] = state.best_order, device, float("inf")
        costs = narrowed(self._costs, device)
        walk.restart(costs, self._tables, self._space, walker)
        walk.walk(costs, self._tables, self._space, walker, count, mean_s * HOT, (COLD / HOT) ** (1 / count))
        if walker.seconds[1] < state.seconds[1]:
            state.best_order[:], state.best_device[:] = walker.best_order, walker.best_device
            state.seconds[1] = walker.seconds[1]
