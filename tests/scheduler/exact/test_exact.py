"""Exact plans are as fast as brute force finds, take what they say, and prove no more than is true."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetsim.core.errors import PlanError
from hetsim.core.graph import Graph, Op, Tensor
from hetsim.core.platform import Link, Memory
from hetsim.core.problem import Latency, Problem
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.exact import lattice
from hetsim.scheduler.exact.candidates import parts, pieces
from hetsim.scheduler.exact.decomposition import Decomposition
from hetsim.scheduler.exact.exact import exact, exact_with_family
from hetsim.scheduler.search.search import search
from hetsim.scheduler.solution import Solution
from hetsim.sim.check import check_timeline
from hetsim.sim.simulate import makespan_s, simulate
from tests.support.planning.brute_force import fastest_s, single_operators
from tests.support.planning.task_graphs import delay_problem
from tests.support.problems import (
    charged,
    graph_of,
    inception_like,
    ladders,
    platform_of,
    problem_of,
    problems,
    sharing_of,
    zero_copy,
)


def check(problem: Problem, solution: Solution) -> None:
    """A solution takes what it says, by the simulator and by the checker that shares no code with it."""
    timeline = simulate(problem, solution.plan)
    check_timeline(
        problem.graph,
        problem.platform,
        solution.plan,
        timeline,
        duration_s=problem.cost_s,
        sharing=problem.sharing,
    )
    assert solution.makespan_s == timeline.makespan_s == makespan_s(problem, solution.plan)


@given(problem=problems(max_ops=6).map(zero_copy))
@settings(max_examples=80, deadline=None)
@pytest.mark.equation("exact")
def test_single_operators_are_planned_as_fast_as_brute_force_finds(problem: Problem) -> None:
    solution = exact(problem, fused=False)
    check(problem, solution)
    assert solution.proven
    assert solution.makespan_s == pytest.approx(fastest_s(problem, single_operators(problem)), abs=1e-9)


@given(problem=ladders())
@settings(max_examples=80, deadline=None)
@pytest.mark.equation("exact")
def test_blocks_in_a_row_are_planned_as_fast_as_brute_force_finds(problem: Problem) -> None:
    solution = exact(problem, fused=False)
    assert solution.proven
    assert solution.makespan_s == pytest.approx(fastest_s(problem, single_operators(problem)), abs=1e-9)


@st.composite
def fusing(draw: st.DrawFn) -> Problem:
    """Random problems in which any segment may cost less or more than its operators, or be refused."""
    problem = draw(st.one_of(ladders(), problems(max_ops=5, max_devices=2).map(zero_copy)))
    quirks = draw(st.lists(st.sampled_from((None, 0.0, 0.25, 0.5, 1.0, 1.5)), min_size=1, max_size=7))

    def latency(device: str, ops: tuple[str, ...]) -> Latency | None:
        alone = problem.latency(device, ops)
        if alone is None or len(ops) == 1:
            return alone
        quirk = quirks[sum(map(problem.graph.position.__getitem__, ops)) % len(quirks)]
        return None if quirk is None else Latency(alone.seconds * quirk)

    return replace(problem, latency_function=latency, _known={})


@given(problem=fusing())
@settings(max_examples=80, deadline=None)
@pytest.mark.equation("exact")
def test_segments_of_the_family_are_planned_as_fast_as_brute_force_finds(problem: Problem) -> None:
    solution = exact(problem)
    check(problem, solution)
    family = Decomposition(problem, fused=True).segments()
    assert solution.proven
    assert solution.space == f"segments from {len({segment.ops for segment in family})} candidates"
    assert solution.makespan_s == pytest.approx(fastest_s(problem, family), abs=1e-9)


@given(problem=charged(problems(max_ops=5)), traffic_bytes=st.integers(0, 2000))
@settings(max_examples=60, deadline=None)
@pytest.mark.equation("bound")
def test_with_copies_and_contention_the_bound_still_holds(problem: Problem, traffic_bytes: int) -> None:
    problem = replace(
        problem,
        traffic_function=lambda _device, _ops: traffic_bytes,
        platform=replace(problem.platform, memory=Memory(shared_bytes_per_s=2000.0)),
    )
    solution = exact(problem, fused=False)
    assert solution.makespan_s == makespan_s(problem, solution.plan)
    assert solution.bound_s <= fastest_s(problem, single_operators(problem)) + 1e-9 <= solution.makespan_s + 2e-9


@given(problem=charged(fusing()))
@settings(max_examples=60, deadline=None)
@pytest.mark.equation("bound")
def test_where_access_costs_something_the_bound_still_holds_for_fused_segments(problem: Problem) -> None:
    solution = exact(problem, fused=True)
    check(problem, solution)
    fastest = fastest_s(problem, Decomposition(problem, fused=True).segments())
    assert solution.bound_s <= fastest + 1e-9 <= solution.makespan_s + 2e-9


@given(problem=problems(max_ops=8), max_evaluations=st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_little_effort_gives_a_valid_plan_and_a_valid_bound(problem: Problem, max_evaluations: int) -> None:
    little = exact(problem, Effort(max_evaluations=max_evaluations), fused=False)
    full = exact(problem, fused=False)
    check(problem, little)
    assert little.bound_s <= full.makespan_s + 1e-9
    assert full.makespan_s <= little.makespan_s
    assert little.plan == exact(problem, Effort(max_evaluations=max_evaluations), fused=False).plan


@given(problem=problems(max_ops=5).map(zero_copy))
@settings(max_examples=40, deadline=None)
def test_blocks_that_are_too_large_get_one_way_and_a_bound(problem: Problem) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lattice, "MAX_DOWNSETS", 1)
        solution = exact(problem, fused=False)
    check(problem, solution)
    assert solution.bound_s <= fastest_s(problem, single_operators(problem)) + 1e-9


def test_a_fork_by_hand() -> None:
    # a 1, then b 4 on the npu beside c 3 on the cpu, then d 1; hand-overs take 0.25 each way. On the npu:
    # a until 1, b until 5; c on the cpu from 1.25 until 4.25, arrives at 4.5; d until 6.
    problem = problem_of(
        graph_of({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}),
        {
            "a": {"cpu": 1.0, "npu": 1.0},
            "b": {"cpu": 9.0, "npu": 4.0},
            "c": {"cpu": 3.0, "npu": 9.0},
            "d": {"cpu": 1.0, "npu": 1.0},
        },
        platform_of("cpu", "npu", setup_s=0.25),
    )
    solution = exact(problem, fused=False)
    assert (solution.makespan_s, solution.bound_s, solution.gap, solution.proven) == (6.0, 6.0, 0.0, True)
    assert solution.space == "single operators"
    assert {d: [s.ops[0] for s in queue] for d, queue in solution.plan.queues.items()} == {
        "cpu": ["c"],
        "npu": ["a", "b", "d"],
    }


def test_what_arrives_later_elsewhere_is_not_dropped_for_what_is_free_as_soon() -> None:
    # All but d is best on the cpu, which then has 2 + 2 + 1 + 3 s to do; 8 s are enough if d ends by then on the npu.
    # a b and b a leave the cpu free at 4 alike, but what d reads is on the npu at 7 or at 5: only b a lets d end, at 7.
    # With a on the npu, what c and e read of it is back at 5, and they end at 9.
    problem = problem_of(
        graph_of({"a": (), "b": (), "c": ("a", "b"), "d": ("b",), "e": ("a",)}),
        {
            "a": {"cpu": 2.0, "npu": 2.0},
            "b": {"cpu": 2.0},
            "c": {"cpu": 1.0},
            "d": {"cpu": 4.0, "npu": 2.0},
            "e": {"cpu": 3.0},
        },
        platform_of("cpu", "npu", setup_s=3.0),
    )
    solution = exact(problem, fused=False)
    assert (solution.makespan_s, solution.bound_s) == (8.0, 8.0)


def test_an_articulation_operator_stays_open_for_the_blocks_after_it() -> None:
    # b and c side by side, 4 s each; d e f take a second each, alone or together: d is best begun once b and c ended
    reads = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ("d",), "f": ("e",)}
    costs_s = {op: {"cpu": 1.0, "npu": 1.0} for op in reads} | {op: {"cpu": 4.0, "npu": 4.0} for op in "bc"}
    groups_s = {(d, ("d", "e", "f")): 1.0 for d in ("cpu", "npu")}
    problem = problem_of(graph_of(reads), costs_s, platform_of("cpu", "npu"), groups_s=groups_s)
    solution = exact(problem)
    assert ("d", "e", "f") in {segment.ops for segment in solution.plan.segments}
    assert (solution.makespan_s, solution.proven) == (1.0 + 4.0 + 1.0, True)
    assert exact(problem, fused=False).makespan_s == 1.0 + 4.0 + 3.0


def test_where_fusing_gains_nothing_the_proof_is_of_all_plans() -> None:
    problem = replace(inception_like(2, launch_s=0.0), additive=True)
    solution = exact(problem)
    assert solution.proven
    assert solution.space == "segments of any operators, as fusing gains nothing here"
    assert solution.plan.num_segments == len(problem.graph.ops)


def test_where_access_costs_something_fusing_gains_although_latencies_add_up() -> None:
    # b and c on the npu, one by one, read what a makes for 1 s each; as one segment they read it once
    reads = {"a": (), "b": ("a",), "c": ("b", "a")}
    costs_s = {"a": {"cpu": 1.0}, "b": {"npu": 1.0}, "c": {"npu": 1.0}}
    problem = problem_of(graph_of(reads), costs_s, platform_of("cpu", "npu"))
    problem = replace(problem, additive=True, sharing=sharing_of({("npu", "a"): 1.0}))
    assert not problem.fusing_gains_nothing
    assert exact(problem, fused=False).makespan_s == 1.0 + 2.0 + 2.0
    solution = exact(problem)
    assert (solution.makespan_s, solution.proven) == (1.0 + 1.0 + 2.0, True)
    assert search(problem).plan.queues == solution.plan.queues


def test_pieces_by_hand() -> None:
    # between a and f: the chain b c d, and e beside it
    graph = graph_of({"a": (), "b": ("a",), "c": ("b",), "d": ("c",), "e": ("a",), "f": ("d", "e")})
    part = parts(graph)[1]
    assert (part.before, part.inside, part.join) == ("a", ("b", "c", "d", "e"), "f")
    assert pieces(graph, part.inside, fused=False) == ((0,), (1,), (2,), (3,))
    assert pieces(graph, part.inside, fused=True) == ((0,), (1,), (2,), (3,), (0, 1), (1, 2), (0, 1, 2))


def test_a_graph_with_two_ends_has_a_last_part_without_a_join() -> None:
    problem = problem_of(
        graph_of({"a": (), "b": ("a",), "c": ("a",)}),
        {op: {"cpu": 2.0, "npu": 3.0} for op in "abc"},
        platform_of("cpu", "npu", setup_s=0.5),
    )
    assert [(part.before, part.inside, part.join) for part in parts(problem.graph)] == [
        ("", (), "a"),
        ("a", ("b", "c"), ""),
    ]
    assert exact(problem, fused=False).makespan_s == 2.0 + 0.5 + 3.0


@pytest.mark.parametrize("num_npus", [1, 2])
def test_an_inception_is_planned_to_the_optimum_and_equal_blocks_are_solved_once(num_npus: int) -> None:
    problem = inception_like(3, num_npus=num_npus)
    solution = exact(problem, fused=False)
    check(problem, solution)
    assert solution.proven
    # blocks repeat every third, so twice as many blocks take no more states
    assert exact(inception_like(6, num_npus=num_npus), fused=False).num_evaluations <= 2 * solution.num_evaluations
    assert exact(problem).makespan_s <= solution.makespan_s


def test_one_that_is_told_to_stop_returns_what_it_has() -> None:
    problem = inception_like(4)
    calls: list[tuple[float, ...]] = []
    effort = Effort(stop=lambda: True, progress=lambda *call: calls.append(call))
    stopped = exact(problem, effort, fused=False)
    check(problem, stopped)
    assert len(calls) == 1
    assert 0 < stopped.bound_s <= exact(problem, fused=False).makespan_s <= stopped.makespan_s
    assert exact(problem, Effort(time_limit_s=1e-9), fused=False).plan == stopped.plan


def test_progress_narrows_from_both_sides() -> None:
    calls: list[tuple[float, ...]] = []
    problem = inception_like(4)
    solution = exact(problem, Effort(progress=lambda *call: calls.append(call)), fused=False)
    bests, bounds = [call[2] for call in calls], [call[3] for call in calls]
    assert bests == sorted(bests, reverse=True)
    assert bounds == sorted(bounds)
    assert (bests[-1], bounds[-1]) == pytest.approx((solution.makespan_s, solution.bound_s))


def test_links_may_differ_by_direction() -> None:
    # b is only worth the npu if the way back is not the dear one
    graph = graph_of({"a": (), "b": ("a",), "c": ("b",)})
    costs_s = {"a": {"cpu": 1.0}, "b": {"cpu": 3.0, "npu": 1.0}, "c": {"cpu": 1.0}}
    platform = replace(
        platform_of("cpu", "npu"), links={("cpu", "npu"): Link(setup_s=0.5), ("npu", "cpu"): Link(setup_s=1.0)}
    )
    assert exact(problem_of(graph, costs_s, platform)).makespan_s == 1.0 + 0.5 + 1.0 + 1.0 + 1.0
    dear = replace(platform, links={("cpu", "npu"): Link(setup_s=0.5), ("npu", "cpu"): Link(setup_s=2.0)})
    assert exact(problem_of(graph, costs_s, dear)).makespan_s == 1.0 + 3.0 + 1.0


def test_limits_out_of_range_are_refused() -> None:
    with pytest.raises(PlanError, match=r"cannot take 0 s; give more than 0"):
        Effort(time_limit_s=0)
    with pytest.raises(PlanError, match=r"cannot take nan s"):
        Effort(time_limit_s=float("nan"))
    with pytest.raises(PlanError, match=r"cannot evaluate -1 candidates; give 0 or more"):
        Effort(max_evaluations=-1)


def test_tensors_of_one_operator_travel_in_their_own_time() -> None:
    # a ends at 1 on the cpu; b follows there; c, on the npu alone, reads 3000 bytes, which take 3 s: from 4 until 5;
    # its 1000 bytes are back at 6, and d ends at 7
    graph = Graph(
        name="two outputs",
        ops=(
            Op(name="a", kind="Split", inputs=("x",), outputs=("small", "large")),
            Op(name="b", kind="Relu", inputs=("small",), outputs=("b.out",)),
            Op(name="c", kind="Relu", inputs=("large",), outputs=("c.out",)),
            Op(name="d", kind="Add", inputs=("b.out", "c.out"), outputs=("d.out",)),
        ),
        tensors={
            name: Tensor(name, (size,), "uint8")
            for name, size in (
                ("x", 1),
                ("small", 1000),
                ("large", 3000),
                ("b.out", 1000),
                ("c.out", 1000),
                ("d.out", 1),
            )
        },
        inputs=("x",),
        outputs=("d.out",),
    )
    platform = platform_of("cpu", "npu", bandwidth_bytes_per_s=1000.0, copy=True)
    costs_s = {op: {"npu" if op == "c" else "cpu": 1.0} for op in "abcd"}
    solution = exact(problem_of(graph, costs_s, platform), fused=False)
    assert (solution.makespan_s, solution.bound_s) == (7.0, 7.0)


def test_where_blocks_have_too_many_downsets_annealing_goes_on_until_whole_times_prove_the_plan() -> None:
    """Tasks of whole seconds on three processors: none can end before the whole second after a third of them all."""
    seconds = [17, 13, 13, 11, 11, 11, 7, 7, 7, 7, 5, 5, 5, 3, 3, 3, 3, 2, 2, 2, 2, 2]
    tasks = {f"t{i}": [one] * 3 for i, one in enumerate(seconds)}
    problem = delay_problem({"start": [1, 1, 1], **tasks}, {("start", task): 0 for task in tasks})
    listed = exact_with_family(problem)
    solution = exact(problem)
    assert listed.has_listed
    assert listed.solution.makespan_s > solution.makespan_s == 1 + math.ceil(sum(seconds) / 3)
    assert solution.proven
    assert solution.makespan_s == makespan_s(problem, solution.plan)
