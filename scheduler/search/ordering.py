"""Orders for one assignment of low load after the other (:mod:`hetsim.scheduler.search.assignment`).

To find the devices and the order of a good plan at once is hard where hardly any plan is good: all operators but a few
have to be where they are in the best one, and those few are scattered over it. But assignments of low load can be
listed without any order, and an order for one of them is soon found if there is one. In large graphs dispatching finds
it (:mod:`hetsim.scheduler.search.dispatch`). In small ones the order alone is annealed, from the best plan so far:
short rounds for each assignment whose load is less than the makespan, the least loaded first; longer ones once none of
those led on, which start hotter, as an order that hardly leaves its devices idle is far from all others. What each
round ends with is polished (:mod:`hetsim.scheduler.search.window`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hetsim.scheduler.search import moves, window
from hetsim.scheduler.search.assignment import MAX_NODES, Assignments, least_loaded
from hetsim.scheduler.search.dispatch import dispatched, narrowed
from hetsim.sim.kernel.arrays import Ints, Space, Tables

FIRST, LAST = 50, 20_000
"""Moves for each operator in the first rounds, and in the longest; twice as many each time that all were in vain."""
HOT, COLD = 0.15, 0.01
"""Temperatures at which a round begins and ends, as parts of the mean time of an operator."""
LONG, HOTTER = 2000, 0.5
"""From so many moves for each operator on, a round begins at this temperature."""
LEAST_SHARE = 1 / 8
"""Graphs whose paths are long, rather than their devices busy, have nothing to gain from orders."""
MOVES_PER_CALL = 50_000
"""How often time and Ctrl-C are looked at."""
_LESS = 1 - 1e-9
"""By so much a load has to be less than a makespan, as sums are taken in another order than times are."""


class Ordering:
    """Continues a local search.

    Args:
        costs: The problem.
        tables: The same.
        space: Work space of the compiled simulator.
        state: The local search, whose best candidate and random numbers are shared.
    """

    def __init__(self, costs: moves.Costs, tables: Tables, space: Space, state: moves.State) -> None:
        self._costs, self._tables, self._space, self._state = costs, tables, space, state
        self._local = moves.beside(state)
        self._weights = np.eye(costs.seconds.shape[1])  # where nothing may move, each device has a load of its own
        self._share = 1.0
        """Of a budget, as long as orders lead on to something."""
        self._moves_per_op = FIRST
        self._tried: set[bytes] = set()
        """Assignments that were tried in rounds of this length."""

    def dispatch(self, budget: int) -> int:
        """Make an order for each assignment of low load; how many evaluations that took, at most ``budget``.

        A better plan than the search's best candidate takes its place, and the local search has to be restarted.

        Args:
            budget: Evaluations: orders made, and partial assignments looked at.
        """
        local, state = self._local, self._state
        found = self._below(budget)
        done = found.num_nodes
        for load_s, device in zip(found.load_s, found.device, strict=True):
            if done >= budget or load_s >= state.seconds[1] * _LESS:
                break
            costs = narrowed(self._costs, device)
            local.best_order[:], local.best_device[:], local.seconds[:] = dispatched(costs, device), device, np.inf
            moves.restart(costs, self._tables, self._space, local)
            moves.take_over(state, local)
            done += 1
        return done

    def go_on(self, budget: int, mean_s: float, until: Callable[[], bool]) -> int:
        """Improve on the search's best candidate; how many evaluations that took, at most ``budget``.

        What led to nothing takes half as much of the next budget, as far as :data:`LEAST_SHARE`.

        Args:
            budget: Evaluations: moves, and partial assignments and plans looked at.
            mean_s: The mean time of an operator.
            until: Whether to stop.
        """
        state, done = self._state, 0
        first_s, budget = float(state.seconds[1]), math.ceil(self._share * budget)
        while done < budget and not until():
            found = self._below(budget - done)
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
        self._share = 1.0 if state.seconds[1] < first_s else max(self._share / 2, LEAST_SHARE)
        return done

    def _below(self, budget: int) -> Assignments:
        """Assignments that have less to do than the best candidate takes, found with half of the budget at most."""
        below_s = float(self._state.seconds[1]) * _LESS
        return least_loaded(self._costs.seconds, below_s, max_nodes=min(MAX_NODES, budget // 2))

    def _round(self, device: Ints, budget: int, mean_s: float, until: Callable[[], bool]) -> int:
        """Anneal the order for one assignment; how many moves and partial plans that took, at most ``budget``."""
        local, state = self._local, self._state
        count = min(self._moves_per_op * len(device), budget)
        hot = HOTTER if count >= LONG * len(device) else HOT
        local.best_order[:], local.best_device[:], local.seconds[:] = state.best_order, device, np.inf
        costs = narrowed(self._costs, device)
        moves.restart(costs, self._tables, self._space, local)
        cooling = (COLD / hot) ** (1 / count)
        tried = 0
        while tried < count and not until():
            some = min(MOVES_PER_CALL, count - tried)
            moves.run_moves(costs, self._tables, self._space, local, some, mean_s * hot * cooling**tried, cooling)
            tried += some
        load = window.load_of(costs, self._weights)
        local.seconds[1], num_nodes = window.polish(costs, load, local.best_order, local.best_device, budget - tried)
        moves.take_over(state, local)
        return tried + num_nodes
