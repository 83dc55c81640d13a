"""Simulated annealing over the device and the order of single operators, for graphs that do not fall apart.

S. Kirkpatrick, C. D. Gelatt, M. P. Vecchi, "Optimization by simulated annealing", Science 220(4598), 1983, doi
10.1126/science.220.4598.671. A candidate is a topological order and a device for each operator
(:mod:`hetsim.scheduler.search.moves`), so that every move leads to a valid plan. Moves take an operator to another
place or device, mostly in exchange for another one, since good plans leave no device time for one more. They are
evaluated from the first place that they change, given up as soon as they are sure to be rejected, and cut short where
all is again as it was; what is said of a plan is the makespan of the model to the last bit. Rounds of annealing start
from the best plan so far; they grow longer up to a limit.

Where no hand-over is a copy, access across devices costs nothing and nothing slows anything down, assignments of low
load come first, each with an order made by dispatching (:mod:`hetsim.scheduler.search.ordering`). Up to some hundred
operators, each round of annealing is followed by annealing the order alone for such assignments, and by planning
stretches of the plan anew (:mod:`hetsim.scheduler.search.window`). Few operators leave time to go on from there for as
long as the round took, by iterated local search: shorter rounds, each followed by the same; H. R. Lourenço, O. C.
Martin, T. Stützle, "Iterated local search", in Handbook of Metaheuristics, 2003, doi 10.1007/0-306-48056-5_11.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from hetsim.core.dataflow import resolve
from hetsim.core.errors import ProblemError
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.scheduler.bounds import load_weights
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.solution import ROUNDING
from hetsim.sim.compiled import CompiledSimulator

if TYPE_CHECKING:
    from hetsim.scheduler.search.moves import Costs, State
    from hetsim.scheduler.search.ordering import Ordering
    from hetsim.sim.kernel.arrays import Space, Tables

NAME = "anneal"
MAX_EVALUATIONS = 60_000_000
"""Moves that are tried, and partial plans of windows, unless the effort says otherwise: some ten seconds."""
HOT, COLD = 0.15, 0.01
"""Temperatures at which a round begins and ends, as parts of the mean time of an operator."""
FIRST_ROUND = 1000
"""Moves for each operator in the first round; each round has twice as many as the one before, but no more than ..."""
LAST_ROUND = 20_000
"""... so many."""
MAX_FIRST_ROUND = 400_000
MAX_POLISHED, MAX_ITERATED = 300, 100
"""Operators up to which windows are planned anew and orders are annealed, and up to which windows are iterated."""
KICKS = (40, 40, 40, 40, 40, 1000)
"""Moves for each operator in the rounds of iterated local search, in turn."""
MAX_ASSIGNMENTS = 1000
"""Ways to assign operators to devices of which all are looked at first, if there are no more. Between two of them a few
operators may differ whose hand-overs are worth more than any temperature."""
SLACK = 1.003
"""By what factor each of its plans may be slower than the one before."""
LOAD_WEIGHTS = 8
"""Weightings of devices by which windows are bounded."""
OPS_PER_CALL = 2_000_000
"""How often time, progress and Ctrl-C are looked at: after moves that together may pass so many operators."""

Floats = NDArray[np.float64]
Ints = NDArray[np.uint32]


def anneal(problem: Problem, effort: Effort | None = None, *, start: Plan, bound_s: float = 0.0) -> Plan:
    """The fastest plan of single operators found by the model; the first found among those that tie.

    Never slower than the plan that it starts from.

    Args:
        problem: The problem.
        effort: Evaluations are moves, partial plans of windows, partial assignments and orders dispatched. The same
            seed, start and evaluations give the same plan, unless time runs out.
        start: Where to start; its segments are taken apart into single operators.
        bound_s: No plan is faster; once one is as fast, but for rounding, that is the answer. Progress is told of it.

    Raises:
        PlanError: If ``start`` is not valid.
        ProblemError: If ``start`` puts an operator where it cannot run alone.
    """
    effort = effort or Effort()
    until = effort.until()
    limit = MAX_EVALUATIONS if effort.max_evaluations is None else effort.max_evaluations
    from hetsim.scheduler.search import (
        moves,  # imports numba, which takes a second that other schedulers need not pay
    )
    from hetsim.scheduler.search.ordering import Ordering

    simulator = CompiledSimulator(problem)
    tables, space = simulator.tables, simulator.space(len(problem.graph.ops))
    costs = annealing_costs(problem, simulator)
    order, device = taken_apart(problem, costs, start)
    state = moves.new_state(order, device, len(problem.platform.devices), effort.seed)
    moves.restart(costs, tables, space, state)
    finite_s = costs.seconds[np.isfinite(costs.seconds)]
    mean_s = float(finite_s.mean()) if finite_s.any() else 1.0
    per_call = max(100, OPS_PER_CALL // len(order))
    ordering = Ordering(costs, tables, space, state) if costs.plain else None
    improvers = _improvers(costs, tables, space, state, ordering)
    good_s = bound_s * (1 + ROUNDING)

    def enough() -> bool:
        return bool(state.seconds[1] <= good_s) or until()

    done = 0 if enough() else _look_at_all(costs, tables, space, state, limit // 2)
    if ordering is not None and not enough():
        done += ordering.dispatch(limit - done)
    length = min(FIRST_ROUND * len(order), MAX_FIRST_ROUND)
    while done < limit and not enough():
        moves.restart(costs, tables, space, state)
        # A round that is short for its graph starts colder, lest it spoil more than it can mend.
        hot_s = mean_s * HOT * min(1.0, length / (FIRST_ROUND * len(order)))
        cooling = (COLD / HOT) ** (1 / length)
        tried = 0
        while tried < length and done < limit and not enough():
            count = min(per_call, length - tried, limit - done)
            moves.run_moves(costs, tables, space, state, count, hot_s * cooling**tried, cooling)
            tried, done = tried + count, done + count
            if effort.progress is not None:
                effort.progress(done, limit, float(state.seconds[1]), bound_s)
        for improver in improvers:
            if done < limit and not enough():
                done += improver.go_on(min(length, limit - done), mean_s, enough)
                if effort.progress is not None:
                    effort.progress(min(done, limit), limit, float(state.seconds[1]), bound_s)
        length = min(2 * length, max(length, LAST_ROUND * len(order)))
    names = problem.platform.device_names
    queues: dict[str, list[Segment]] = {name: [] for name in names}
    for op in state.best_order:
        name = names[state.best_device[op]]
        queues[name].append(Segment(name, (problem.graph.ops[op].name,)))
    return problem.plan({name: tuple(queue) for name, queue in queues.items()}, scheduler=NAME)


def _look_at_all(costs: Costs, tables: Tables, space: Space, state: State, budget: int) -> int:
    """Evaluate each assignment in the order of the best candidate, unless they are many; how many evaluations."""
    from hetsim.scheduler.search import moves

    runnable = [np.flatnonzero(np.isfinite(seconds)) for seconds in costs.seconds]
    count = math.prod(map(len, runnable))
    if count > min(MAX_ASSIGNMENTS, budget):
        return 0
    local = moves.beside(state)
    for device in product(*runnable):
        local.best_device[:], local.seconds[:] = device, np.inf
        moves.restart(costs, tables, space, local)
        moves.take_over(state, local)
    return count


class _Improver(Protocol):
    """Continues a local search, for a part of the evaluations."""

    def go_on(self, budget: int, mean_s: float, until: Callable[[], bool]) -> int: ...


def _improvers(costs: Costs, tables: Tables, space: Space, state: State, ordering: Ordering | None) -> list[_Improver]:
    """What follows each round, where the candidates' times are sums of costs and delays."""
    if ordering is None or len(state.order) > MAX_POLISHED:
        return []
    return [ordering, _Windows(costs, tables, space, state)]


class _Windows:
    """Iterated local search that continues another one.

    Args:
        costs: The problem.
        tables: The same.
        space: Work space of the compiled simulator.
        state: The local search, whose best candidate and random numbers are shared.
    """

    def __init__(self, costs: Costs, tables: Tables, space: Space, state: State) -> None:
        from hetsim.scheduler.search import moves
        from hetsim.scheduler.search.window import load_of

        self._load = load_of(costs, load_weights(costs.seconds, LOAD_WEIGHTS))
        self._costs, self._tables, self._space, self._state = costs, tables, space, state
        self._local = moves.beside(state)
        self._num_rounds = 0

    def go_on(self, budget: int, mean_s: float, until: Callable[[], bool]) -> int:
        """Improve on the current candidate, and on its best one; how many evaluations that took, at most ``budget``."""
        from hetsim.scheduler.search import moves

        local, num_ops = self._local, len(self._state.order)
        order, device = self._state.order.copy(), self._state.device.copy()
        now_s, done = self._polish(order, device, budget)
        while num_ops <= MAX_ITERATED and done < budget and not until():
            local.best_order[:], local.best_device[:], local.seconds[:] = order, device, np.inf
            moves.restart(self._costs, self._tables, self._space, local)
            count = min(KICKS[self._num_rounds % len(KICKS)] * num_ops, budget - done)
            moves.run_moves(
                self._costs, self._tables, self._space, local, count, mean_s * HOT, (COLD / HOT) ** (1 / count)
            )
            self._num_rounds += 1
            self._keep(local.best_order, local.best_device, float(local.seconds[1]))
            trial_s, num_nodes = self._polish(local.order, local.device, budget - done - count)
            done += count + num_nodes
            if trial_s <= now_s * SLACK:
                order[:], device[:], now_s = local.order, local.device, trial_s
        return done

    def _polish(self, order: Ints, device: Ints, budget: int) -> tuple[float, int]:
        from hetsim.scheduler.search import window

        makespan_s, num_nodes = window.polish(self._costs, self._load, order, device, budget)
        self._keep(order, device, makespan_s)
        return makespan_s, num_nodes

    def _keep(self, order: Ints, device: Ints, makespan_s: float) -> None:
        """Make it the search's best candidate, if it is."""
        if makespan_s < self._state.seconds[1]:
            self._state.best_order[:], self._state.best_device[:], self._state.seconds[1] = order, device, makespan_s


def annealing_costs(problem: Problem, simulator: CompiledSimulator) -> Costs:
    """The problem of single operators as the local search takes it."""
    from hetsim.scheduler.search.moves import Costs

    graph, tables = problem.graph, simulator.tables
    num_ops = len(graph.ops)
    seconds = tables.seconds[:num_ops].copy()
    before_start, before = _neighbours(graph, [graph.predecessors[op.name] for op in graph.ops])
    after_start, after = _neighbours(graph, [graph.successors[op.name] for op in graph.ops])
    least_s = seconds.min(axis=1)
    tail_s = np.zeros(num_ops)
    for op in reversed(range(num_ops)):
        readers = after[after_start[op] : after_start[op + 1]]
        tail_s[op] = max((tail_s[reader] + least_s[reader] for reader in readers), default=0.0)
    return Costs(
        seconds=seconds,
        delay_s=_delays_s(problem, simulator),
        before_start=before_start,
        before=before,
        after_start=after_start,
        after=after,
        tail_s=tail_s,
        plain=not tables.any_copies and not tables.any_access and not tables.demand[:num_ops].any(),
    )


def _delays_s(problem: Problem, simulator: CompiledSimulator) -> Floats:
    """By operator and predecessor, source and target: until the last tensor that passes between the two is there."""
    graph, transfer_s = problem.graph, simulator.tables.transfer_s[:, :-1]
    number = {tensor: i for i, tensor in enumerate(graph.producer)}
    delays = [
        np.max([transfer_s[number[t]] for t in graph.tensors_between[before, op.name]], axis=0)
        for op in graph.ops
        for before in graph.predecessors[op.name]
    ]
    return np.array(delays).reshape(-1, *transfer_s.shape[1:])


def _neighbours(graph: Graph, names: list[tuple[str, ...]]) -> tuple[Ints, Ints]:
    starts = np.cumsum([0, *map(len, names)], dtype=np.uint32)
    return starts, np.array([graph.position[name] for each in names for name in each], np.uint32)


def taken_apart(problem: Problem, costs: Costs, plan: Plan) -> tuple[Ints, Ints]:
    """The operators of a plan in an order that could run serially, and the device of each."""
    number = {name: i for i, name in enumerate(problem.platform.device_names)}
    order: list[int] = []
    device = np.zeros(len(problem.graph.ops), np.uint32)
    for step in resolve(problem.graph, plan).steps:
        for name in step.segment.ops:
            op = problem.graph.position[name]
            order.append(op)
            device[op] = number[step.segment.device]
            if costs.seconds[op, device[op]] == np.inf:
                raise ProblemError(
                    f"operator {name!r} was put on {step.segment.device!r}, which cannot run it alone; "
                    f"these can: {', '.join(problem.devices_for((name,)))}"
                )
    return np.array(order, np.uint32), device
