"""Compiled assignments: the segments and the makespan of the plain functions, to the last bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.shared.random_graphs import layered_problem
from hetsim.core.problem import Latency, Problem
from hetsim.scheduler.search.assigned_plans import Assigned, AssignedPlans
from hetsim.scheduler.segments import queues_from_assignment
from hetsim.sim.compiled import CompiledSimulator
from hetsim.sim.simulate import Simulator
from tests.support.problems import graph_of, platform_of, problem_of

CHAIN = problem_of(
    graph_of({"a": (), "b": ("a",), "c": ("b",)}),
    {op: {"cpu": 1.0, "npu": 2.0} for op in "abc"},
    platform_of("cpu", "npu"),
)


def simulated(problem: Problem, device: list[int], extra_levels: list[int]) -> Assigned | None:
    """One assignment, by a new simulator."""
    plans = AssignedPlans(problem, CompiledSimulator(problem))
    return plans.simulate(np.array(device, np.uint32), np.array(extra_levels, np.uint32))


@given(data=st.data(), seed=st.integers(0, 100), num_devices=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_makespans_are_those_of_the_queues_that_an_assignment_makes(
    data: st.DataObject, seed: int, num_devices: int
) -> None:
    problem = replace(layered_problem(12, seed=seed, num_devices=num_devices), additive=False)
    names, devices = [op.name for op in problem.graph.ops], problem.platform.device_names
    plans = AssignedPlans(problem, CompiledSimulator(problem))
    numbers = st.lists(st.integers(0, num_devices - 1), min_size=len(names), max_size=len(names))
    levels = st.lists(st.integers(0, 30), min_size=len(names), max_size=len(names))  # deep
    for _ in range(3):
        device, extra_levels = data.draw(numbers), data.draw(levels)
        found = plans.simulate(np.array(device, np.uint32), np.array(extra_levels, np.uint32))
        queues = queues_from_assignment(
            problem.graph,
            {op: devices[number] for op, number in zip(names, device, strict=True)},
            dict(zip(names, extra_levels, strict=True)),
        )
        assert found is not None
        assert found.makespan_s == Simulator(problem).run(queues)
        lengths = [len(queues.get(name, ())) for name in devices]
        assert np.diff(found.queue_start).tolist() == lengths
        assert plans.simulate(found.device, found.extra_levels, found) is None  # nothing new


def test_a_refused_segment_has_no_makespan_and_the_same_operators_apart_have_one() -> None:
    def latency(_device: str, ops: tuple[str, ...]) -> Latency | None:
        return None if len(ops) > 1 else Latency(1.0)

    problem = replace(CHAIN, latency_function=latency, additive=False, _known={})
    assert simulated(problem, [0, 0, 0], [0, 0, 0]) is None
    apart = simulated(problem, [0, 0, 0], [0, 1, 1])
    assert apart is not None
    assert apart.makespan_s == 3.0


def test_equal_queues_of_other_devices_are_other_queues() -> None:
    plans = AssignedPlans(CHAIN, CompiledSimulator(CHAIN))
    on = [plans.simulate(np.full(3, number, np.uint32), np.zeros(3, np.uint32)) for number in (0, 1)]
    assert [found.makespan_s for found in on if found is not None] == [3.0, 6.0]
    assert plans.simulate(np.full(3, 1, np.uint32), np.zeros(3, np.uint32), on[0]) is not None


def test_a_table_that_grows_still_knows_its_segments() -> None:
    problem = layered_problem(60, seed=1)
    rng = np.random.default_rng(0)
    num_ops, num_devices = len(problem.graph.ops), len(problem.platform.devices)
    simulator = CompiledSimulator(problem)
    plans = AssignedPlans(problem, simulator)
    drawn = [
        (rng.integers(0, num_devices, num_ops, np.uint32), rng.integers(0, 3, num_ops, np.uint32)) for _ in range(2000)
    ]
    first = [plans.simulate(*each) for each in drawn]
    assert len(simulator.tables.seconds) > 2048  # the table of keys began with room for half of 4096
    again = [plans.simulate(*each) for each in drawn]
    for one, other in zip(first, again, strict=True):
        assert (one is None) == (other is None)
        assert one is None or other is None or one.makespan_s == other.makespan_s
