"""Annealing of the order alone, for one assignment of low load after the other (:mod:`scheduler.assignment`).

To find the devices and the order of a good plan at once is hard where hardly any plan is good: all operators but a few
have to be where they are in the best one, and those few are scattered over it. But assignments of low load can be
listed without any order, and an order for one of them is soon found if there is one. What is tried, from the best plan
so far: short rounds for each assignment whose load is less than the makespan, the least loaded first; longer ones once
none of those led on, which start hotter, as an order that hardly leaves its devices idle is far from all others. What
each round ends with is polished (:mod:`scheduler.window`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hetsim.kernel import Ints, Space, Tables
from scheduler import walk, window
from scheduler.assignment import least_loaded, narrowed

FIRST, LAST = 50, 20_000
"""Moves for each operator in the first rounds, and in the longest; twice as many each time that all were in vain."""
HOT, COLD = 0.15, 0.01
"""Temperatures at which a round begins and ends, as parts of the mean time of an operator."""
LONG, HOTTER = 2000, 0.5
"""From so many moves for each operator on, a round begins at this temperature."""
MOVES_PER_CALL = 50_000
"""How often time and Ctrl-C are looked at."""
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
        self._walker = walk.beside(state)
        self._weights = np.eye(costs.seconds.shape[1])  # where nothing may move, each device has a load of its own
        self._moves_per_op = FIRST
        self._tried: set[bytes] = set()
        """Assignments that were tried in rounds of this length."""

    def go_on(self, budget: int, mean_s: float, until: Callable[[], bool]) -> int:
        """Improve on the walk's best candidate; how many evaluations that took, at most ``budget``.

        Args:
            budget: Evaluations: moves, and partial assignments and plans looked at.
            mean_s: The mean time of an operator.
            until: Whether to stop.
        """
        state, done = self._state, 0
        while done < budget and not until():
            found = least_loaded(self._costs.seconds, float(state.seconds[1]) * _LESS, max_nodes=budget - done)
            done += found.num_nodes
            if not len(found.load_s):
                break
            untried = [device for device in found.device if device.tobytes() not in self._tried]
            if not untried:
                self._moves_per_op = min(2 * self._moves_per_op, LAST)
                self._tried.clear()
            before_s = float(state.seconds[1])
            for device in untried:
                if done >= budget or until() or state.seconds[1] < before_s:
                    break
                self._tried.add(device.tobytes())
                done += self._round(device, budget - done, mean_s, until)
        return done

    def _round(self, device: Ints, budget: int, mean_s: float, until: Callable[[], bool]) -> int:
        """Anneal the order for one assignment; how many moves and partial plans that took, at most ``budget``."""
        walker, state = self._walker, self._state
        count = min(self._moves_per_op * len(device), budget)
        hot = HOTTER if count >= LONG * len(device) else HOT
        walker.best_order[:], walker.best_device[:], walker.seconds[:] = state.best_order, device, np.inf
        costs = narrowed(self._costs, device)
        walk.restart(costs, self._tables, self._space, walker)
        cooling = (COLD / hot) ** (1 / count)
        tried = 0
        while tried < count and not until():
            some = min(MOVES_PER_CALL, count - tried)
            walk.walk(costs, self._tables, self._space, walker, some, mean_s * hot * cooling**tried, cooling)
            tried += some
        load = window.load_of(costs, self._weights)
        order, on = walker.best_order, walker.best_device
        makespan_s, num_nodes = window.polish(costs, load, order, on, budget - tried)
        if makespan_s < state.seconds[1]:
            state.best_order[:], state.best_device[:], state.seconds[1] = order, on, makespan_s
        return tried + num_nodes
