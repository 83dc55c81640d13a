"""The critical path: by hand, as long as the makespan, and independent of spans beside it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.analysis.critical_path import critical_path
from hetsim.core.errors import PlanError
from hetsim.core.load import Load
from hetsim.core.plan import Plan
from hetsim.core.problem import Latency, Problem
from hetsim.core.timeline import Span, Timeline
from hetsim.scheduler.segments import plan_from_assignment
from hetsim.sim.simulate import makespan_s, simulate
from tests.support.problems import assignments, graph_of, physical_problems, plan_of, platform_of, problem_of, problems


def names(spans: tuple[Span, ...]) -> list[str]:
    """Segments by their operators, hand-overs by their tensor."""
    return [span.tensor if span.kind == "hand-over" else " ".join(span.ops) for span in spans]


def path_of(problem: Problem, plan: Plan) -> tuple[Span, ...]:
    """The critical path of the plan's simulation."""
    return critical_path(problem.graph, plan, simulate(problem, plan), problem.platform).spans


FORK = graph_of({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}, num_bytes={"a": 1000, "c": 2000})
FORK_COSTS = {"a": {"cpu": 1.0}, "b": {"cpu": 2.0}, "c": {"npu": 2.0}, "d": {"cpu": 1.0}}
FORK_PLAN = plan_of(FORK, ("cpu", "a"), ("cpu", "b"), ("cpu", "d"), ("npu", "c"))


@pytest.mark.equation("path")
def test_the_path_goes_over_the_hand_over_where_that_is_longer() -> None:
    # a 0..1, its tensor 0.25 + 1 s later on the npu at 2.25, c until 4.25, back 0.25 + 2 s later at 6.5, d until 7.5;
    # b is done at 3.
    problem = problem_of(FORK, FORK_COSTS, platform_of("cpu", "npu", setup_s=0.25, bandwidth_bytes_per_s=1000))
    path = path_of(problem, FORK_PLAN)
    assert names(path) == ["a", "a.out", "c", "c.out", "d"]
    assert [(span.start_s, span.end_s) for span in path] == [(0, 1), (1, 2.25), (2.25, 4.25), (4.25, 6.5), (6.5, 7.5)]


@pytest.mark.equation("path")
def test_a_tie_goes_to_the_device_s_own_queue() -> None:
    # Hand-overs take nothing, so b and c both end at 3 and d could thank either.
    problem = problem_of(FORK, FORK_COSTS, platform_of("cpu", "npu"))
    assert names(path_of(problem, FORK_PLAN)) == ["a", "b", "d"]


@pytest.mark.equation("path")
def test_a_copy_that_waits_for_the_channel_follows_the_copy_that_holds_it() -> None:
    # a and b end at 1 and 1.5; copies take 2 s each: a's from 1 to 3, b's from 3 to 5; c needs both: 5..6.
    graph = graph_of({"a": (), "b": (), "c": ("a", "b")})
    platform = platform_of("cpu", "gpu", "npu", setup_s=2.0, copy=True)
    problem = problem_of(graph, {"a": {"cpu": 1.0}, "b": {"gpu": 1.5}, "c": {"npu": 1.0}}, platform)
    plan = plan_of(graph, ("cpu", "a"), ("gpu", "b"), ("npu", "c"))
    assert names(path_of(problem, plan)) == ["a", "a.out", "b.out", "c"]


def test_a_copy_that_takes_no_time_still_waits_for_the_copy_that_holds_the_channel() -> None:
    # a ends at 1; its copy to the gpu holds the channel from 1 to 3, that to the npu takes nothing, and comes after:
    # c 3..4 behind a copy that has no span.
    graph = graph_of({"a": (), "b": ("a",), "c": ("a",)}, num_bytes={"a": 0})
    platform = platform_of("cpu", "gpu", "npu", setup_s=2.0, copy=True)
    links = dict(platform.links) | {("cpu", "npu"): replace(platform.link("cpu", "npu"), setup_s=0.0)}
    problem = problem_of(
        graph, {"a": {"cpu": 1.0}, "b": {"gpu": 0.5}, "c": {"npu": 1.0}}, replace(platform, links=links)
    )
    plan = plan_of(graph, ("cpu", "a"), ("gpu", "b"), ("npu", "c"))
    path = path_of(problem, plan)
    assert names(path) == ["a", "a.out", "c"]
    assert [(span.start_s, span.end_s) for span in path] == [(0, 1), (1, 3), (3, 4)]


def test_a_path_is_that_of_one_simulated_inference_by_this_plan() -> None:
    problem = problem_of(FORK, FORK_COSTS, platform_of("cpu", "npu"))
    timeline = simulate(problem, FORK_PLAN)
    for other in (replace(timeline, origin="measured"), simulate(problem, FORK_PLAN, load=Load(num_requests=2))):
        with pytest.raises(PlanError, match="only a simulated timeline of one inference has"):
            critical_path(FORK, FORK_PLAN, other, problem.platform)
    later = [replace(span, start_s=span.start_s + 1, end_s=span.end_s + 1) for span in timeline.spans]
    with pytest.raises(PlanError, match="nothing ends when segment 'a' starts"):
        critical_path(FORK, FORK_PLAN, Timeline(origin="simulated", spans=tuple(later)), problem.platform)
    fused = plan_of(FORK, ("cpu", "a b"), ("cpu", "d"), ("npu", "c"))
    with pytest.raises(PlanError, match="does not run segment"):
        critical_path(FORK, fused, timeline, problem.platform)


@given(st.data())
@pytest.mark.equation("path")
def test_the_path_has_no_gaps_and_is_as_long_as_the_makespan(data: st.DataObject) -> None:
    problem = data.draw(physical_problems())
    device_of, raised = data.draw(assignments(problem))
    plan = plan_from_assignment(problem, "test", device_of, raised)
    timeline = simulate(problem, plan)
    path = critical_path(problem.graph, plan, timeline, problem.platform)
    assert path.spans[0].start_s == 0
    assert path.spans[-1].end_s == path.length_s == timeline.makespan_s
    assert all(earlier.end_s == later.start_s for earlier, later in pairwise(path.spans))
    assert set(path.spans) <= set(timeline.spans)
    assert sum(span.duration_s for span in path.spans) == pytest.approx(timeline.makespan_s)


@given(st.data())
@pytest.mark.equation("sensitivity")
def test_without_copies_and_contention_nothing_off_the_path_matters_and_all_on_it_does(data: st.DataObject) -> None:
    problem = data.draw(problems().filter(lambda p: all(link.mode != "copy" for link in p.platform.links.values())))
    device_of, raised = data.draw(assignments(problem))
    plan = plan_from_assignment(problem, "test", device_of, raised)
    path = critical_path(problem.graph, plan, simulate(problem, plan), problem.platform)
    on_path = {(span.device, span.ops) for span in path.spans}
    left = data.draw(st.sampled_from((0.0, 0.5, 0.999)))

    def latency(device: str, ops: tuple[str, ...]) -> Latency | None:
        found = problem.latency(device, ops)
        if found is None or (device, ops) in on_path:
            return found
        return Latency(found.seconds * left)

    assert makespan_s(replace(problem, latency_function=latency, _known={}), plan) == path.length_s
    longer = data.draw(st.sampled_from([span for span in path.spans if span.kind == "compute"]))

    def lengthened(device: str, ops: tuple[str, ...]) -> Latency | None:
        found = problem.latency(device, ops)
        if found is None or (device, ops) != (longer.device, longer.ops):
            return found
        return Latency(found.seconds + 0.25)

    slower_s = makespan_s(replace(problem, latency_function=lengthened, _known={}), plan)
    assert slower_s == path.length_s + 0.25
