"""Sharing of the memory's bandwidth against closed forms worked out by hand, and against what any sharing must keep."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.platform import Memory
from hetsim.core.problem import Problem
from hetsim.sim.fluid import FluidMemory, fair_shares
from hetsim.sim.simulate import makespan_s, simulate
from tests.support.problems import graph_of, plan_of, platform_of, problem_of, problems, random_plan

CAPACITY = 100.0


def ends_s(*work: tuple[float, float, float], capacity: float = CAPACITY) -> list[float]:
    """When each ends, of work that starts at, takes seconds alone, and demands bytes per second."""
    env = simpy.Environment(initial_time=0.0)
    memory = FluidMemory(env, capacity)
    found = [float("nan")] * len(work)

    def one(i: int, start_s: float, seconds: float, demand: float) -> Generator[simpy.Event, None, None]:
        yield env.timeout(start_s)
        yield memory.run(seconds, round(seconds * demand))
        found[i] = env.now

    for i, (start_s, seconds, demand) in enumerate(work):
        env.process(one(i, start_s, seconds, demand))
    env.run()
    return found


@pytest.mark.parametrize(
    ("work", "expected_s"),
    [
        ([(0, 3, 75)], [3.0]),  # alone at full speed
        ([(0, 3, 50), (1, 3, 50)], [3.0, 4.0]),  # together they just fit
        ([(0, 3, 75), (0, 3, 75)], [4.5, 4.5]),  # each gets 50 of 75: two thirds of its speed
        # The second, modest one keeps its 50. The first has 3 s left at 1, proceeds by half until 3, then 2 s more.
        ([(0, 4, 100), (1, 2, 50)], [5.0, 3.0]),
        # 10 gets its 10; the two 90s share the other 90. At 2 the small one ends and they get 50 each:
        # after 2 s at 45/90 they have 3 s left at 50/90: 5.4 s.
        ([(0, 2, 10), (0, 4, 90), (0, 4, 90)], [2.0, 7.4, 7.4]),
        ([(0, 2, 0), (0, 2, 100)], [2.0, 2.0]),  # what moves nothing takes part in nothing
        ([(0, 0, 100), (0, 1, 100)], [0.0, 1.0]),
        ([(0, 1, 250)], [2.5]),  # more than the memory sustains, even alone
    ],
)
@pytest.mark.equation("fluid")
def test_shares_by_hand(work: list[tuple[float, float, float]], expected_s: list[float]) -> None:
    assert ends_s(*work) == pytest.approx(expected_s)


@given(st.lists(st.floats(0, 1e3), max_size=6), st.floats(1.0, 1e3))
@pytest.mark.equation("fluid")
def test_shares_are_max_min_fair(demands: list[float], capacity: float) -> None:
    shares = fair_shares(demands, capacity)
    assert all(0 <= share <= demand for share, demand in zip(shares, demands, strict=True))
    assert sum(shares) <= capacity * (1 + 1e-9)
    hungry = [share for share, demand in zip(shares, demands, strict=True) if share < demand]
    if hungry:  # nothing is left over, and nobody has more than one who wants more
        assert sum(shares) == pytest.approx(capacity)
        assert max(shares) <= min(hungry) * (1 + 1e-9)


WORK = st.lists(
    st.tuples(st.integers(0, 5), st.integers(1, 6), st.sampled_from([0, 10, 40, 80, 100])), min_size=1, max_size=5
)


@given(WORK)
@pytest.mark.equation("fluid")
def test_bytes_are_conserved(work: list[tuple[int, int, int]]) -> None:
    """While anything is slowed down the memory is busy to the full, so no end lies beyond all traffic in a row."""
    found = ends_s(*work)
    for (start_s, seconds, _), end_s in zip(work, found, strict=True):
        assert end_s >= start_s + seconds - 1e-9
    last_s = max(start_s for start_s, *_ in work) + sum(seconds for _, seconds, _ in work)
    assert max(found) <= last_s + 1e-9


@given(WORK, st.sampled_from([60.0, 100.0, 200.0]))
@pytest.mark.equation("fluid")
def test_more_bandwidth_is_never_slower(work: list[tuple[int, int, int]], more: float) -> None:
    slow, fast = ends_s(*work, capacity=50.0), ends_s(*work, capacity=more)
    assert all(after <= before + 1e-9 for before, after in zip(slow, fast, strict=True))


def contended(problem: Problem, shared_bytes_per_s: float, bytes_of: dict[str, int]) -> Problem:
    platform = replace(problem.platform, memory=Memory(shared_bytes_per_s=shared_bytes_per_s))
    return replace(
        problem, platform=platform, traffic_function=lambda _, ops: sum(bytes_of.get(op, 0) for op in ops), _known={}
    )


@pytest.mark.equation("fluid")
def test_two_segments_side_by_side_slow_each_other_down() -> None:
    # b and c move 300 bytes in 2 and 3 s: 150 and 100 bytes/s, 160 in all are there. 80 each: b needs 300/80 = 3.75 s.
    # By then c has got 300 bytes at 80 = 3.75 s, too: both end at 1 + 3.75, d at 5.75 (and the links cost nothing).
    graph = graph_of({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")})
    costs_s = {"a": {"cpu": 1.0}, "b": {"cpu": 2.0}, "c": {"npu": 3.0}, "d": {"cpu": 1.0}}
    problem = contended(problem_of(graph, costs_s, platform_of("cpu", "npu")), 160.0, {"b": 300, "c": 300})
    plan = plan_of(graph, ("cpu", "a"), ("cpu", "b"), ("npu", "c"), ("cpu", "d"))
    assert makespan_s(problem, plan) == pytest.approx(5.75)
    assert makespan_s(replace(problem, traffic_function=None, _known={}), plan) == 5.0


@pytest.mark.equation("fluid")
def test_a_copy_takes_its_share_from_the_segments() -> None:
    # The copy of 1000 bytes demands 1000 bytes/s for 1 s, c demands 1000 bytes/s for 2 s; 1000 are there. From 1 to 3
    # both run by half: the copy is through at 3, c has 1 s left and ends at 4; b runs from 3 to 4.
    graph = graph_of({"a": (), "c": ("a",), "b": ("a",)})
    costs_s = {"a": {"cpu": 1.0}, "b": {"npu": 1.0}, "c": {"cpu": 2.0}}
    platform = platform_of("cpu", "npu", bandwidth_bytes_per_s=1000.0, copy=True)
    problem = contended(problem_of(graph, costs_s, platform), 1000.0, {"c": 2000})
    timeline = simulate(problem, plan_of(graph, ("cpu", "a"), ("cpu", "c"), ("npu", "b")))
    assert {span.ops[0]: span.end_s for span in timeline.compute} == pytest.approx({"a": 1.0, "c": 4.0, "b": 4.0})
    assert [span.duration_s for span in timeline.spans if span.kind == "hand-over"] == pytest.approx([2.0])


@given(problem=problems(), data=st.data())
@pytest.mark.equation("fluid")
def test_a_memory_that_is_never_short_changes_nothing(problem: Problem, data: st.DataObject) -> None:
    plan = random_plan(data, problem)
    plenty = contended(problem, float("inf"), {op.name: 1000 for op in problem.graph.ops})
    assert simulate(plenty, plan).spans == simulate(problem, plan).spans


@given(problem=problems(), data=st.data())
def test_contention_never_speeds_up_zero_copy_plans(problem: Problem, data: st.DataObject) -> None:
    plan = random_plan(data, problem)
    short = contended(problem, 2000.0, {op.name: 1000 for op in problem.graph.ops})
    if not any(link.mode == "copy" for link in problem.platform.links.values()):
        assert makespan_s(short, plan) >= makespan_s(problem, plan) - 1e-9
