"""Problems: costs are asked for once, and what cannot be is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from hetsim.core.errors import ProblemError
from hetsim.core.plan import Segment
from hetsim.core.problem import Latency, Problem
from tests.support.problems import graph_of, platform_of, problem_of, sharing_of

CHAIN = graph_of({"a": (), "b": ("a",)}, num_bytes={"a": 500})
CHAIN_S = {"a": {"cpu": 1.0, "npu": 2.0}, "b": {"npu": 3.0}}


@pytest.mark.parametrize("seconds", [-1e-9, math.nan, math.inf, -math.inf])
def test_impossible_costs_are_refused(seconds: float) -> None:
    with pytest.raises(ProblemError, match=f"cannot take {seconds} s"):
        Latency(seconds)


def test_an_operator_that_no_device_can_run_is_named() -> None:
    with pytest.raises(ProblemError, match="no device can run operator 'b' \\(Relu\\); the platform has cpu"):
        problem_of(CHAIN, CHAIN_S, platform_of("cpu"))


def test_costs_by_device_and_operators() -> None:
    problem = problem_of(CHAIN, CHAIN_S, platform_of("cpu", "npu"))
    assert problem.cost_s("npu", ("a", "b")) == 5.0
    assert problem.cost_s("cpu", ("a", "b")) == math.inf
    assert problem.devices_for(("a",)) == ("cpu", "npu")
    assert problem.devices_for(("a", "b")) == ("npu",)


def test_each_cost_is_asked_for_once() -> None:
    asked: list[tuple[str, tuple[str, ...]]] = []

    def latency(device: str, ops: tuple[str, ...]) -> Latency:
        asked.append((device, ops))
        return Latency(1.0)

    problem = Problem(graph=CHAIN, platform=platform_of("cpu", "npu"), latency_function=latency)
    for _ in range(2):
        problem.cost_s("npu", ("a", "b"))
    assert len(asked) == len(set(asked))
    assert asked.count(("npu", ("a", "b"))) == 1


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.equation("transfer")
def test_transfers_between_devices(copy: bool) -> None:
    platform = platform_of("cpu", "npu", setup_s=0.25, bandwidth_bytes_per_s=1000.0, copy=copy)
    problem = problem_of(CHAIN, CHAIN_S, platform)
    assert problem.transfer_s("cpu", "npu", "a.out") == 0.25 + 500 / 1000
    assert problem.transfer_s("cpu", "cpu", "a.out") == 0.0


@pytest.mark.equation("access")
def test_segments_take_longer_that_access_shared_tensors() -> None:
    # a takes 1 s longer to write for another device, b 2 s to read
    sharing = sharing_of({("npu", "a"): 2.0}, {("cpu", "a"): 1.0})
    problem = replace(problem_of(CHAIN, CHAIN_S, platform_of("cpu", "npu")), sharing=sharing)
    a, b = Segment("cpu", ("a",)), Segment("npu", ("b",))
    assert problem.segment_times_s([a, b]) == {a: 2.0, b: 5.0}
    assert problem.segment_times_s([Segment("npu", ("a", "b"))]) == {Segment("npu", ("a", "b")): 5.0}
    assert problem.segment_times_s([Segment("cpu", ("b",))])[Segment("cpu", ("b",))] == math.inf
    assert problem.hand_over_s("cpu", "npu", "a.out") == 3.0
    assert problem.hand_over_s("npu", "npu", "a.out") == problem.hand_over_s("npu", "cpu", "a.out") == 0.0


def test_fusing_gains_nothing_where_latencies_add_up_and_sharing_costs_nothing() -> None:
    problem = problem_of(CHAIN, CHAIN_S, platform_of("cpu", "npu"))
    additive = replace(problem, additive=True)
    assert [one.fusing_gains_nothing for one in (problem, additive, replace(additive, sharing=sharing_of({})))] == [
        False,
        True,
        False,
    ]
