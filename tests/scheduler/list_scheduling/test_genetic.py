"""The genetic algorithm: decoding, budget, determinism, and that evolution helps."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.shared.random_graphs import layered_problem
from hetsim.core.dataflow import resolve
from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.scheduler.baselines.single_device import single_device
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.list_scheduling.genetic import _Breeder, genetic
from hetsim.scheduler.segments import Queues
from hetsim.sim.simulate import Simulator, makespan_s
from tests.support.problems import inception_like, problems


@given(problem=problems(), data=st.data())
def test_any_genes_make_a_valid_plan(problem: Problem, data: st.DataObject) -> None:
    breeder = _Breeder(problem, data.draw(st.randoms(use_true_random=False)), lambda _: 0.0)
    devices = tuple(data.draw(st.sampled_from(problem.devices_for((op.name,)))) for op in problem.graph.ops)
    priorities = tuple(data.draw(st.floats(0, 1)) for _ in problem.graph.ops)
    orders = breeder.orders(devices, priorities)
    assert {op: device for device, ops in orders.items() for op in ops} == dict(
        zip((op.name for op in problem.graph.ops), devices, strict=True)
    )
    queues = {device: tuple(Segment(device, (op,)) for op in ops) for device, ops in orders.items()}
    resolve(problem.graph, Plan(model="tiny", queues=queues))


@pytest.mark.parametrize("budget", [0, 1, 5, 97, 400])
def test_the_budget_is_kept_and_progress_is_told(budget: int) -> None:
    problem = inception_like(2)
    simulator, calls, progress = Simulator(problem), [], []

    def evaluate(queues: Queues) -> float:
        calls.append(queues)
        return simulator.run(queues)

    genetic(problem, Effort(max_evaluations=budget, progress=lambda *call: progress.append(call)), evaluate=evaluate)
    assert len(calls) == budget + 3  # two whole devices, and each operator on its fastest
    assert progress[-1][:2] == (budget, budget)
    assert all(later[2] <= earlier[2] and later[0] >= earlier[0] for earlier, later in pairwise(progress))


@given(problem=problems(), seed=st.integers(0, 3))
@settings(max_examples=20)
def test_never_slower_than_a_single_device(problem: Problem, seed: int) -> None:
    # A whole device as one segment is among the founders, unless it refuses that.
    found_s = makespan_s(problem, genetic(problem, Effort(seed=seed, max_evaluations=20)))
    for name in problem.platform.device_names:
        if problem.latency(name, tuple(op.name for op in problem.graph.ops)) is not None:
            assert found_s <= makespan_s(problem, single_device(problem, name)) + 1e-12


def test_evolution_betters_random_individuals() -> None:
    problem = layered_problem(40, seed=0)
    start_s = makespan_s(problem, genetic(problem, Effort(max_evaluations=0)))
    few_s = makespan_s(problem, genetic(problem, Effort(max_evaluations=100)))
    many_s = makespan_s(problem, genetic(problem, Effort(max_evaluations=1500)))
    assert many_s < few_s <= start_s
    assert genetic(problem, Effort(max_evaluations=300, seed=1)) == genetic(
        problem, Effort(max_evaluations=300, seed=1)
    )
