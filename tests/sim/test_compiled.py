"""The compiled simulator against the SimPy reference: equal to the last bit, whatever the rules have to deal with.

``--hypothesis-profile=thorough`` tries 10,000 problems instead of a hundred.
"""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.shared.random_graphs import layered_problem
from hetsim.core.dataflow import resolve
from hetsim.core.errors import PlanError
from hetsim.core.load import Load
from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.core.timeline import Timeline
from hetsim.sim.compiled import CompiledSimulator
from hetsim.sim.segments import DurationFunction, Queues, Record
from hetsim.sim.simulate import Simulator, makespan_s
from tests.support.problems import (
    LOADS,
    assignments,
    graph_of,
    physical_problems,
    plan_of,
    platform_of,
    problem_of,
    random_plan,
)

DURATIONS_S = st.one_of(st.just(0.0), st.just(0.25), st.floats(1e-3, 3.0))


@pytest.fixture(scope="module", autouse=True)
def compiled_before_anybody_is_timed() -> None:
    """The first call compiles, unless an earlier run left what it compiled; no example should have to wait for it."""
    problem = layered_problem(4, seed=0)
    CompiledSimulator(problem).run(in_one_row(problem))
    CompiledSimulator(problem).makespans_s(np.array([[0, 4, 4]]), np.array([[0, 1, 2, 3]]))


def in_one_row(problem: Problem) -> Queues:
    return {"cpu": tuple(Segment("cpu", (op.name,)) for op in problem.graph.ops)}


def outcome(
    simulator: Simulator | CompiledSimulator, queues: Queues, load: Load | None, duration_s: DurationFunction | None
) -> tuple[float, Timeline]:
    record = Record()
    end_s = simulator.run(queues, record, load=load, duration_s=duration_s)
    return end_s, Timeline(origin="simulated", spans=tuple(record.spans), arrivals_s=tuple(record.arrivals_s))


@given(problem=physical_problems(), load=st.none() | LOADS, own_durations=st.booleans(), data=st.data())
@pytest.mark.equation("compiled")
def test_the_compiled_simulator_agrees_bit_for_bit(
    problem: Problem, load: Load | None, own_durations: bool, data: st.DataObject
) -> None:
    queues = random_plan(data, problem).queues
    duration_s = None
    if own_durations:
        segments = [segment for queue in queues.values() for segment in queue]
        table = {
            (request, segment): data.draw(DURATIONS_S)
            for request in range(load.num_requests if load else 1)
            for segment in segments
        }

        def duration_s(request: int, segment: Segment) -> float:
            return table[request, segment]

    expected, found = (
        outcome(simulator, queues, load, duration_s) for simulator in (Simulator(problem), CompiledSimulator(problem))
    )
    assert found == expected


@pytest.mark.slow
@given(problem=physical_problems(max_ops=14, max_devices=3), data=st.data())
def test_a_simulator_that_has_seen_other_plans_still_agrees(problem: Problem, data: st.DataObject) -> None:
    simulator = CompiledSimulator(problem)
    for _ in range(3):
        plan = random_plan(data, problem)
        assert simulator.run(plan.queues) == makespan_s(problem, plan)
        load = data.draw(LOADS)
        assert outcome(simulator, plan.queues, load, None) == outcome(Simulator(problem), plan.queues, load, None)


def single_operators(data: st.DataObject, problem: Problem) -> Plan:
    """A plan whose segments have one operator each, in an order that may differ from the graph's."""
    device_of, level_of = data.draw(assignments(problem))
    steps = resolve(problem.graph, random_order(problem, device_of, level_of)).steps
    queues: dict[str, tuple[Segment, ...]] = {}
    for step in steps:
        for op in step.segment.ops:
            queues[step.segment.device] = (*queues.get(step.segment.device, ()), Segment(step.segment.device, (op,)))
    return Plan(model=problem.graph.name, queues=queues)


def random_order(problem: Problem, device_of: dict[str, str], level_of: dict[str, int]) -> Plan:
    from hetsim.scheduler.segments import queues_from_assignment

    return Plan(model=problem.graph.name, queues=queues_from_assignment(problem.graph, device_of, level_of))


def encoded(problem: Problem, plan: Plan) -> tuple[list[int], list[int]]:
    lists = [plan.queues.get(name, ()) for name in problem.platform.device_names]
    starts = [sum(map(len, lists[:i])) for i in range(len(lists) + 1)]
    return starts, [problem.graph.position[segment.ops[0]] for segments in lists for segment in segments]


@pytest.mark.slow
@given(problem=physical_problems(), data=st.data())
@pytest.mark.equation("compiled")
def test_many_plans_at_once_agree_with_one_at_a_time(problem: Problem, data: st.DataObject) -> None:
    plans = [single_operators(data, problem) for _ in range(3)]
    starts, rows = zip(*(encoded(problem, plan) for plan in plans), strict=True)
    found = CompiledSimulator(problem).makespans_s(np.array(starts), np.array(rows))
    assert found.tolist() == [makespan_s(problem, plan) for plan in plans]


@pytest.mark.parametrize("num_devices", [2, 5])
def test_large_contended_plans_agree_bit_for_bit(num_devices: int) -> None:
    problem = layered_problem(300, seed=1, num_devices=num_devices, contention=1.5)
    names = problem.platform.device_names
    queues = {
        name: tuple(Segment(name, (op.name,)) for op in problem.graph.ops[i::num_devices])
        for i, name in enumerate(names)
    }
    load = Load(num_requests=3, num_slots=2)
    assert outcome(CompiledSimulator(problem), queues, load, None) == outcome(Simulator(problem), queues, load, None)
    alone = Simulator(problem).run(queues)
    free = layered_problem(300, seed=1, num_devices=num_devices)
    assert alone > 1.05 * Simulator(free).run(queues)  # so that rule 3 was really put to the test


def test_many_large_contended_plans_agree_bit_for_bit() -> None:
    problem = layered_problem(150, seed=3, contention=1.5)
    names, ops = problem.platform.device_names, problem.graph.ops
    generator = random.Random(0)
    starts, rows, expected = [], [], []
    for _ in range(20):
        parts: list[list[int]] = [[], []]
        for op in range(len(ops)):
            parts[generator.randrange(2)].append(op)
        starts.append([0, len(parts[0]), len(ops)])
        rows.append(parts[0] + parts[1])
        queues = {
            name: tuple(Segment(name, (ops[op].name,)) for op in part) for name, part in zip(names, parts, strict=True)
        }
        expected.append(Simulator(problem).run(queues))
    assert CompiledSimulator(problem).makespans_s(np.array(starts), np.array(rows)).tolist() == expected


def test_part_of_a_graph_runs_as_if_what_it_reads_were_there() -> None:
    graph = graph_of({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")})
    costs_s = {op: {"cpu": 1.0, "npu": 1.0} for op in "abcd"}
    problem = problem_of(graph, costs_s, platform_of("cpu", "npu", setup_s=0.25))
    queues = {"cpu": (Segment("cpu", ("b",)), Segment("cpu", ("d",))), "npu": (Segment("npu", ("c",)),)}
    assert CompiledSimulator(problem).run(queues) == 1 + 0.25 + 1
    assert CompiledSimulator(problem).run({"cpu": ()}, load=Load(num_requests=2)) == 0.0


def test_the_compiled_simulator_refuses_what_the_reference_refuses() -> None:
    graph = graph_of({"a": (), "b": (), "c": ("a",), "d": ("b",)})
    costs_s = {"a": {"cpu": 1.0}, "b": {"npu": 1.0}, "c": {"npu": 1.0}, "d": {"cpu": 1.0}}
    problem = problem_of(graph, costs_s, platform_of("cpu", "npu"))
    plan = plan_of(graph, ("cpu", "d"), ("cpu", "a"), ("npu", "c"), ("npu", "b"))
    with pytest.raises(PlanError, match="4 segments wait for each other"):
        CompiledSimulator(problem).run(plan.queues)
    starts, row = encoded(problem, plan)
    assert CompiledSimulator(problem).makespans_s(np.array([starts]), np.array([row])).tolist() == [np.inf]
    with pytest.raises(PlanError, match="'npu' cannot run segment 'a' as one; these can: cpu"):
        CompiledSimulator(problem).run({"npu": (Segment("npu", ("a",)),)})


def test_numba_is_left_alone_until_a_simulator_is_made() -> None:
    check = "import sys, hetsim.sim.compiled, hetsim.scheduler, hetsim.tuner.cli.app; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)
