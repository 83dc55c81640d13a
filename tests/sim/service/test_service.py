"""Services: against closed forms, against the simulator of one plan, and compiled against SimPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.errors import ProblemError
from hetsim.core.load import Load
from hetsim.core.plan import Plan
from hetsim.core.platform import Host
from hetsim.core.problem import Problem
from hetsim.core.serving.arrivals import Arrivals, bursty, periodic, poisson, saturated
from hetsim.core.serving.deployment import DISPATCHES, Deployment, Instance
from hetsim.core.serving.outcome import Outcome
from hetsim.core.serving.service import POLICIES, Service, Workload
from hetsim.sim.service.simulate import ServiceSimulator
from hetsim.sim.simulate import simulate
from tests.support.problems import (
    LOADS,
    charged,
    graph_of,
    physical_problems,
    plan_of,
    platform_of,
    problem_of,
    problems,
    random_plan,
)

ONE = graph_of({"a": ()})
ON_TWO = problem_of(ONE, {"a": {"cpu": 2.0, "npu": 3.0}}, platform_of("cpu", "npu"))
ON_CPU, ON_NPU = plan_of(ONE, ("cpu", "a")), plan_of(ONE, ("npu", "a"))


def served(problem: Problem, *workloads: Workload, policy: str = "fcfs") -> Outcome:
    """By the compiled simulator, after a comparison with the reference."""
    service = Service(workloads=workloads, policy=policy)  # type: ignore[arg-type]
    simulator = ServiceSimulator(service, {one.name: problem for one in workloads})
    outcome = simulator.run(with_runs=True)
    check_equal(outcome, simulator.run_reference())
    return outcome


def check_equal(one: Outcome, other: Outcome) -> None:
    assert one.runs == other.runs
    assert one.makespan_s == other.makespan_s
    assert one.busy_s == pytest.approx(other.busy_s, rel=1e-12)
    for own, others in zip(one.workloads, other.workloads, strict=True):
        np.testing.assert_array_equal(own.due_s, others.due_s)
        np.testing.assert_array_equal(own.ends_s, others.ends_s)
        np.testing.assert_array_equal(own.instances, others.instances)


def workload(arrivals: Arrivals, *plans: Plan, name: str = "w", **settings: object) -> Workload:
    dispatch = settings.pop("dispatch", "first_free")
    cycle = settings.pop("cycle", ())
    deployment = Deployment(instances=tuple(Instance(plan=plan) for plan in plans), dispatch=dispatch, cycle=cycle)  # type: ignore[arg-type]
    return Workload(name=name, deployment=deployment, arrivals=arrivals, **settings)  # type: ignore[arg-type]


def test_whole_models_side_by_side_add_their_rates() -> None:
    outcome = served(ON_TWO, workload(saturated(60), ON_CPU, ON_NPU))
    assert outcome.workloads[0].throughput_per_s == pytest.approx(1 / 2 + 1 / 3, rel=0.03)
    assert outcome.utilisation == pytest.approx({"cpu": 1.0, "npu": 1.0}, rel=0.03)
    assert outcome.workloads[0].instances.tolist()[:3] == [0, 1, 0]


@pytest.mark.parametrize(("num_slots", "latency_s"), [(1, 2.0), (2, 2.5)])
def test_a_host_without_a_core_delays_devices_only_while_they_work(num_slots: int, latency_s: float) -> None:
    # Both devices work for each request. With a single slot the host submits and collects while they are idle.
    graph = graph_of({"a": (), "b": ()})
    problem = problem_of(
        graph, {"a": {"cpu": 2.0, "npu": 9.0}, "b": {"cpu": 9.0, "npu": 1.0}}, platform_of("cpu", "npu")
    )
    host = Host(submit_setup_s=0.25, collect_setup_s=0.25, shares_cores=True)
    problem = replace(problem, platform=replace(problem.platform, host=host))
    instance = Instance(plan=plan_of(graph, ("cpu", "a"), ("npu", "b")), num_slots=num_slots)
    far_apart = Workload(name="w", deployment=Deployment(instances=(instance,)), arrivals=periodic(50.0, 3))
    assert served(problem, far_apart).workloads[0].latencies_s == pytest.approx([0.25 + latency_s] * 3)


def test_round_robin_waits_for_the_next_instance_of_its_cycle() -> None:
    outcome = served(ON_TWO, workload(saturated(6), ON_CPU, ON_NPU, dispatch="round_robin", cycle=(1, 0, 0)))
    assert outcome.workloads[0].instances.tolist() == [1, 0, 0, 1, 0, 0]
    assert outcome.workloads[0].ends_s.tolist() == [3.0, 2.0, 4.0, 6.0, 6.0, 8.0]  # the fourth is due at 3


def test_the_earliest_finish_waits_for_a_fast_device() -> None:
    # At 0.5 the NPU would end at 3.5 and the CPU, after the first request, at 4.
    problem = problem_of(ONE, {"a": {"cpu": 2.0, "npu": 5.0}}, platform_of("cpu", "npu"))
    arrivals = Arrivals(2, (0.0, 0.5))
    first_free = served(problem, workload(arrivals, ON_CPU, ON_NPU))
    earliest = served(problem, workload(arrivals, ON_CPU, ON_NPU, dispatch="earliest_finish"))
    assert first_free.workloads[0].ends_s.tolist() == [2.0, 5.5]
    assert earliest.workloads[0].ends_s.tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("policy", "ends_s"),
    [
        ("fcfs", {"slow": [2.0, 6.0], "fast": [4.0, 8.0]}),
        ("edf", {"slow": [2.0, 8.0], "fast": [4.0, 6.0]}),
        ("rate_monotonic", {"slow": [2.0, 8.0], "fast": [4.0, 6.0]}),
        ("priority", {"slow": [2.0, 6.0], "fast": [4.0, 8.0]}),
    ],
)
def test_policies_choose_between_ready_segments(policy: str, ends_s: dict[str, list[float]]) -> None:
    # The CPU is busy with the first request until 2; then "slow" has waited since 0.5 and "fast" since 1.
    slow = workload(Arrivals(2, (0.0, 1.1)), ON_CPU, name="slow", deadline_s=100.0, priority=1)
    fast = workload(Arrivals(2, (1.0, 1.2)), ON_CPU, name="fast", deadline_s=5.0, priority=2)
    fast = replace(fast, deployment=Deployment(instances=(Instance(plan=ON_CPU, num_slots=2),)))
    slow = replace(slow, deployment=Deployment(instances=(Instance(plan=ON_CPU, num_slots=2),)))
    if policy == "priority":
        fast, slow = replace(fast, priority=5), replace(slow, priority=1)
        ends_s = {"slow": [2.0, 4.0], "fast": [6.0, 8.0]}
    if policy == "rate_monotonic":
        ends_s = {"slow": [2.0, 8.0], "fast": [4.0, 6.0]}
    outcome = served(ON_TWO, slow, fast, policy=policy)
    assert {one.name: one.ends_s.tolist() for one in outcome.workloads} == ends_s


def test_the_newest_request_is_dropped_when_too_many_wait() -> None:
    arrivals = Arrivals(5, (0.0, 0.1, 0.2, 0.3, 2.5))
    one = served(ON_TWO, workload(arrivals, ON_CPU, max_waiting=1, deadline_s=3.0)).workloads[0]
    assert one.instances.tolist() == [0, 0, -1, -1, 0]
    assert one.num_dropped == 2
    assert one.miss_rate == pytest.approx(4 / 5)  # two dropped, two late: 3.9 s and 3.5 s
    assert one.tardiness_s == pytest.approx((0.9 + 0.5) / 3)


def test_late_requests_can_be_dropped() -> None:
    arrivals = Arrivals(4, (0.0, 0.1, 0.2, 3.5))
    one = served(ON_TWO, workload(arrivals, ON_CPU, drop_late=True, deadline_s=3.0)).workloads[0]
    assert one.instances.tolist() == [0, 0, -1, 0]


def test_a_pipeline_overlaps_requests() -> None:
    chain = graph_of({"a": (), "b": ("a",)})
    problem = problem_of(chain, {"a": {"cpu": 2.0}, "b": {"npu": 3.0}}, platform_of("cpu", "npu"))
    plan = plan_of(chain, ("cpu", "a"), ("npu", "b"))
    deployment = Deployment(instances=(Instance(plan=plan, num_slots=3),))
    outcome = served(problem, Workload(name="w", deployment=deployment, arrivals=saturated(20)))
    assert outcome.workloads[0].throughput_per_s == pytest.approx(1 / 3)


@given(st.data(), physical_problems(), LOADS)
def test_one_stream_is_the_simulation_of_its_plan(data: st.DataObject, problem: Problem, load: Load) -> None:
    plan = random_plan(data, problem)
    expected = simulate(problem, plan, load=load)
    arrivals = periodic(load.every_s, load.num_requests) if load.every_s else saturated(load.num_requests)
    deployment = Deployment(instances=(Instance(plan=plan, num_slots=load.num_slots),))
    outcome = served(problem, Workload(name="w", deployment=deployment, arrivals=arrivals, max_waiting=10_000))
    assert outcome.workloads[0].due_s.tolist() == list(expected.arrivals_s)
    found = sorted((run.start_s, run.end_s, run.device, run.request, run.ops) for run in outcome.runs)
    assert found == sorted((one.start_s, one.end_s, one.device, one.request, one.ops) for one in expected.compute)


ARRIVALS = st.one_of(
    st.builds(saturated, st.integers(1, 6)),
    st.builds(periodic, st.floats(0.5, 20), st.integers(1, 6)),
    st.builds(poisson, st.floats(0.5, 20), st.integers(1, 6), seed=st.integers(0, 99)),
    st.builds(bursty, st.floats(0.5, 20), st.integers(1, 6), burst=st.integers(1, 3), seed=st.integers(0, 99)),
)


@given(st.data(), charged(problems()) | physical_problems())
def test_compiled_equals_simpy(data: st.DataObject, problem: Problem) -> None:
    draw = data.draw
    problem = replace(
        problem, platform=replace(problem.platform, host=Host(submit_setup_s=draw(st.sampled_from([0.0, 0.25, 0.7]))))
    )
    workloads = [
        Workload(
            name=f"w{i}",
            deployment=Deployment(
                instances=tuple(
                    Instance(plan=random_plan(data, problem), num_slots=draw(st.integers(1, 3)))
                    for _ in range(draw(st.integers(1, 3)))
                ),
                dispatch=draw(st.sampled_from(DISPATCHES)),  # type: ignore[arg-type]
            ),
            arrivals=draw(ARRIVALS),
            deadline_s=draw(st.sampled_from([1.0, 10.0, 100.0, float("inf")])),
            priority=draw(st.integers(0, 2)),
            max_waiting=draw(st.integers(0, 4)),
            drop_late=draw(st.booleans()),
        )
        for i in range(draw(st.integers(1, 3)))
    ]
    service = Service(workloads=tuple(workloads), policy=draw(st.sampled_from(POLICIES)))  # type: ignore[arg-type]
    simulator = ServiceSimulator(service, {one.name: problem for one in workloads})
    durations = [_rows(draw, len(stream.steps)) if draw(st.booleans()) else None for stream in simulator.streams]
    check_equal(simulator.run(durations, with_runs=True), simulator.run_reference(durations))


def _rows(draw: st.DrawFn, num_steps: int) -> np.ndarray:
    rows: Sequence[Sequence[float]] = draw(
        st.lists(st.lists(st.floats(0, 9), min_size=num_steps, max_size=num_steps), min_size=1, max_size=3)
    )
    return np.array(rows)


@pytest.mark.parametrize("every_s", [0.0, -1.0, float("nan"), float("inf")])
def test_periods_must_be_above_0(every_s: float) -> None:
    with pytest.raises(ProblemError, match="give a time above 0"):
        periodic(every_s, 3)


def test_two_workloads_of_one_name_are_refused() -> None:
    one = workload(saturated(1), ON_CPU)
    with pytest.raises(ProblemError, match="two workloads are named 'w'"):
        Service(workloads=(one, one))
