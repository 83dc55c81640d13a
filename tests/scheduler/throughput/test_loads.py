"""Loads by hand, and that no simulation serves requests faster than they allow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetsim.core.load import Load
from hetsim.core.platform import Host, Memory
from hetsim.core.problem import Problem
from hetsim.scheduler.throughput.loads import CHANNEL, HOST, MEMORY, loads, resources
from hetsim.sim.simulate import simulate
from tests.support.problems import (
    graph_of,
    physical_problems,
    plan_of,
    platform_of,
    problem_of,
    random_plan,
    sharing_of,
)


def test_each_receiver_gets_a_copy_once_and_devices_pay_for_shared_tensors() -> None:
    graph = graph_of({"a": (), "b": ("a",), "c": ("a",), "d": ("a",)}, num_bytes={"a": 100})
    costs_s = {op: {"cpu": 1.0, "npu0": 2.0, "npu1": 3.0} for op in "abcd"}
    platform = platform_of("cpu", "npu0", "npu1", setup_s=0.5, copy=True)
    platform = replace(platform, host=Host(submit_setup_s=0.25), memory=Memory(shared_bytes_per_s=1000.0))
    problem = replace(
        problem_of(graph, costs_s, platform),
        sharing=sharing_of({("npu0", "a"): 0.1}, {("cpu", "a"): 0.2}),
        traffic_function=lambda _, ops: 10 * len(ops),
        _known={},
    )
    plan = plan_of(graph, ("cpu", "a"), ("npu0", "b c"), ("npu1", "d"))
    assert resources(problem).names == ("cpu", "npu0", "npu1", CHANNEL, MEMORY, HOST)
    assert loads(problem, plan).tolist() == pytest.approx([1.2, 4.1, 3.0, 1.0, 240.0, 0.25])


def test_a_device_takes_as_long_as_the_memory_lets_it() -> None:
    platform = replace(platform_of("cpu"), memory=Memory(shared_bytes_per_s=10.0))
    problem = problem_of(graph_of({"a": ()}), {"a": {"cpu": 1.0}}, platform)
    problem = replace(problem, traffic_function=lambda _, ops: 30 * len(ops), _known={})
    assert loads(problem, plan_of(problem.graph, ("cpu", "a"))).tolist() == [3.0, 30.0]


@settings(max_examples=60, deadline=None)
@given(physical_problems(), st.data(), st.integers(1, 4), st.integers(1, 3))
def test_no_simulation_serves_faster(problem: Problem, data: st.DataObject, num_requests: int, num_slots: int) -> None:
    plan = random_plan(data, problem)
    least_s = float(np.max(loads(problem, plan) / resources(problem).capacities))
    timeline = simulate(problem, plan, load=Load(num_requests=num_requests, num_slots=num_slots))
    # The timeline ends with the last segment; requests in flight are collected after it.
    collect_s = min(num_slots, num_requests) * problem.platform.host.collect_s(problem.graph.output_bytes)
    assert timeline.makespan_s + collect_s >= num_requests * least_s * (1 - 1e-9)
