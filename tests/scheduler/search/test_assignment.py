"""Assignments of least load, against all assignments; orders for them, against the model and proven optima."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.shared.random_graphs import layered_problem
from hetsim.core.dataflow import check_plan
from hetsim.core.problem import Problem
from hetsim.scheduler.bounds import prices
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.list_scheduling.heft import heft
from hetsim.scheduler.search import moves
from hetsim.scheduler.search.anneal import annealing_costs, taken_apart
from hetsim.scheduler.search.assignment import least_loaded
from hetsim.scheduler.search.dispatch import dispatched, narrowed
from hetsim.scheduler.search.ordering import Ordering
from hetsim.scheduler.search.search import search
from hetsim.sim.compiled import CompiledSimulator
from hetsim.sim.simulate import Simulator, makespan_s, simulate
from tests.support.planning.candidates import planned, topological_orders
from tests.support.problems import graph_of, platform_of, problem_of, problems, zero_copy

TIMES_S = st.sampled_from((0.0, 0.25, 0.5, 1.0, 3.0, float("inf")))


def loads(seconds: np.ndarray) -> list[tuple[float, tuple[int, ...]]]:
    """Every assignment with the load of its busiest device, ascending."""
    num_ops, num_devices = seconds.shape
    found = []
    for device in product(range(num_devices), repeat=num_ops):
        busy = [sum(seconds[op, d] for op, d in enumerate(device) if d == each) for each in range(num_devices)]
        if np.isfinite(busy).all():
            found.append((max(busy), device))
    return sorted(found)


@st.composite
def times(draw: st.DrawFn) -> np.ndarray:
    num_ops, num_devices = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    rows = [[draw(TIMES_S) for _ in range(num_devices)] for _ in range(num_ops)]
    for row in rows:
        if not np.isfinite(row).any():
            row[0] = 1.0
    return np.array(rows)


@given(times(), st.sampled_from((0.5, 2.0, float("inf"))), st.integers(1, 20))
@pytest.mark.equation("least-load")
def test_the_assignments_of_least_load_are_those_of_all(seconds: np.ndarray, below_s: float, count: int) -> None:
    found = least_loaded(seconds, below_s, count)
    everyone = [(load_s, device) for load_s, device in loads(seconds) if load_s < below_s]
    assert found.load_s.tolist() == [load_s for load_s, _ in everyone[:count]]
    for load_s, device in zip(found.load_s, found.device, strict=True):
        assert (load_s, tuple(device)) in everyone
    assert len({device.tobytes() for device in found.device}) == len(found.device)
    assert all(load_s >= found.others_s for load_s, _ in everyone[count:])
    assert found.bound_s <= loads(seconds)[0][0]


@given(times(), st.integers(1, 30))
@pytest.mark.equation("least-load")
def test_an_enumeration_that_is_cut_short_still_bounds_all(seconds: np.ndarray, max_nodes: int) -> None:
    found = least_loaded(seconds, float("inf"), 4, max_nodes)
    assert found.num_nodes <= max_nodes
    assert found.bound_s <= loads(seconds)[0][0] * (1 + 1e-9)


def ordered(problem: Problem, budget: int, seed: int) -> tuple[moves.State, int, float]:
    """The state of a local search after looking for orders, what that took, and what the model says of it."""
    simulator = CompiledSimulator(problem)
    tables, space, costs = (
        simulator.tables,
        simulator.space(len(problem.graph.ops)),
        annealing_costs(problem, simulator),
    )
    state = moves.new_state(*taken_apart(problem, costs, heft(problem)), len(problem.platform.devices), seed)
    moves.restart(costs, tables, space, state)
    done = Ordering(costs, tables, space, state).go_on(budget, 1.0, lambda: False)
    names = [problem.graph.ops[op].name for op in state.best_order]
    devices = [problem.platform.device_names[state.best_device[op]] for op in state.best_order]
    return state, done, Simulator(problem).run(planned(problem, names, devices).queues)


@settings(max_examples=25)
@given(problems().map(zero_copy), st.integers(1, 5000), st.integers(0, 3))
def test_orders_get_no_worse_and_are_the_model_s(problem: Problem, budget: int, seed: int) -> None:
    before_s = ordered(problem, 0, seed)[2]
    state, done, model_s = ordered(problem, budget, seed)
    assert state.seconds[1] == model_s <= before_s
    assert done <= budget
    again, done_again, _ = ordered(problem, budget, seed)
    assert (done_again, again.best_order.tolist()) == (done, state.best_order.tolist())


@given(problems().map(zero_copy))
def test_where_only_one_device_is_left_nothing_moves(problem: Problem) -> None:
    costs = annealing_costs(problem, CompiledSimulator(problem))
    _, device = taken_apart(problem, costs, heft(problem))
    left = narrowed(costs, device)
    assert np.isfinite(left.seconds).sum(axis=1).tolist() == [1] * len(device)
    assert np.isfinite(left.seconds[np.arange(len(device)), device]).all()
    assert (left.tail_s >= costs.tail_s - 1e-12).all()


@given(problems(max_ops=7, max_devices=3).map(zero_copy))
def test_dispatched_no_device_idles_while_there_is_something_to_do(problem: Problem) -> None:
    costs = annealing_costs(problem, CompiledSimulator(problem))
    _, device = taken_apart(problem, costs, heft(problem))
    order = dispatched(narrowed(costs, device), device)
    names = [problem.graph.ops[op].name for op in order]
    devices = [problem.platform.device_names[device[op]] for op in order]
    plan = planned(problem, names, devices)
    check_plan(problem.graph, plan, device_names=problem.platform.device_names)
    spans = {span.ops[0]: span for span in simulate(problem, plan).compute}
    for name, on in zip(names, devices, strict=True):
        there_s = 0.0
        for tensor in problem.graph.ops[problem.graph.position[name]].inputs:
            if tensor in problem.graph.producer:
                maker = spans[problem.graph.producer[tensor]]
                there_s = max(there_s, maker.end_s + problem.transfer_s(maker.device, on, tensor))
        busy_s = [(s.start_s, s.end_s) for s in spans.values() if s.device == on and s.end_s > s.start_s]
        free_s = there_s
        for start_s, end_s in sorted(busy_s):
            if start_s <= free_s + 1e-12:
                free_s = max(free_s, end_s)
        assert spans[name].start_s <= free_s + 1e-12  # from when its inputs are there, the device is busy until it runs


def test_what_most_has_to_wait_for_is_dispatched_first() -> None:
    """All on one device, 1 s each: of a, b and b's reader c, b goes first, as 2 s are left with it, not 1 s."""
    graph = graph_of({"a": (), "b": (), "c": ("b",)})
    problem = problem_of(graph, {op: {"cpu": 1.0} for op in "abc"}, platform_of("cpu"))
    costs = annealing_costs(problem, CompiledSimulator(problem))
    device = np.zeros(3, np.uint32)
    assert dispatched(narrowed(costs, device), device).tolist() == [1, 0, 2]


@pytest.mark.parametrize(("num_ops", "seed"), [(200, 3), (200, 5), (1000, 1)])
def test_large_graphs_are_proven_by_dispatching_alone(num_ops: int, seed: int) -> None:
    found = search(layered_problem(num_ops, seed=seed), Effort(max_evaluations=10_000))
    assert found.proven


@pytest.mark.parametrize(
    ("seed", "optimum_s"),  # as CP-SAT proves them, to within its ticks of 0.4 microseconds
    [(0, 0.104982), (2, 0.091161), (8, 0.102476), (9, 0.083902), (14, 0.094630)],
)
def test_fifty_operators_are_planned_best_and_proven_so(seed: int, optimum_s: float) -> None:
    problem = layered_problem(50, seed=seed)
    found = search(problem, Effort(max_evaluations=3_000_000))
    assert optimum_s < found.makespan_s < optimum_s + 1e-6
    assert found.proven
    assert found.makespan_s == makespan_s(problem, found.plan)
    assert found.plan == search(problem, Effort(max_evaluations=3_000_000)).plan


@settings(max_examples=40)
@given(problems(max_ops=5, max_devices=3).map(zero_copy))
@pytest.mark.equation("least-load")
def test_no_plan_takes_less_than_the_assignment_of_least_load(problem: Problem) -> None:
    best_s = min(
        Simulator(problem).run(planned(problem, order, devices).queues)
        for order in topological_orders(problem)[:20]
        for devices in product(*(problem.devices_for((op,)) for op in order))
    )
    assert least_loaded(prices(problem), float("inf"), 1).bound_s <= best_s * (1 + 1e-9)
