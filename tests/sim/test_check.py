"""The independent checker rejects impossible timelines, each with a message of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.errors import PlanError
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.core.timeline import Span, Timeline
from hetsim.scheduler.segments import queues_from_assignment
from hetsim.sim.check import check_timeline
from hetsim.sim.simulate import simulate
from tests.support.problems import assignments, graph_of, plan_of, platform_of, problem_of, problems

GRAPH = graph_of({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")})
PROBLEM = problem_of(GRAPH, {op: {"cpu": 1.0, "npu": 1.5} for op in "abcd"}, platform_of("cpu", "npu", setup_s=0.25))
PLAN = plan_of(GRAPH, ("cpu", "a"), ("cpu", "b"), ("npu", "c"), ("cpu", "d"))
TIMELINE = simulate(PROBLEM, PLAN)  # a 0-1, b 1-2, c 1.25-2.75, d 3-4


def check(timeline: Timeline) -> None:
    check_timeline(GRAPH, PROBLEM.platform, PLAN, timeline, duration_s=PROBLEM.cost_s)


def edited(op: str, edit: Callable[[Span], Span | None]) -> Timeline:
    """The timeline with the compute span of one operator changed, or removed."""
    spans = [edit(span) if span.kind == "compute" and span.ops == (op,) else span for span in TIMELINE.spans]
    return replace(TIMELINE, spans=tuple(span for span in spans if span is not None))


def shifted(by_s: float) -> Callable[[Span], Span]:
    return lambda span: replace(span, start_s=span.start_s + by_s, end_s=span.end_s + by_s)


def test_the_untouched_timeline_passes() -> None:
    check(TIMELINE)


@pytest.mark.parametrize(
    ("corrupted", "message"),
    [
        (edited("b", lambda _: None), "of 'cpu' does not run the plan's 3 segments once each"),
        (edited("b", lambda span: replace(span, ops=("c",))), "of 'cpu' does not run the plan's 3 segments"),
        (edited("b", shifted(5.0)), "of 'cpu' does not run the plan's 3 segments once each in its order"),
        (edited("c", lambda span: replace(span, device="cpu")), "of 'cpu' does not run the plan's 3 segments"),
        (edited("c", lambda span: replace(span, device="tpu")), "runs 'c' on 'tpu', to which the plan assigns nothing"),
        (edited("b", shifted(-0.5)), "of 'cpu' starts 'b' before 'a' ended"),
        (edited("a", shifted(-0.5)), "has 'a' from -0.5 s to 0.5 s"),
        (edited("a", lambda span: replace(span, end_s=-1.0)), "has 'a' from 0.0 s to -1.0 s"),
        (edited("c", shifted(-0.125)), "starts 'c' on 'npu' before 'a.out' arrived"),
        (edited("d", shifted(-0.5)), "starts 'd' on 'cpu' before 'c.out' arrived"),
        (edited("d", lambda span: replace(span, end_s=4.5)), "gives 'd' 1.5 s, not 1.0 s"),
        (replace(TIMELINE, spans=(*TIMELINE.spans, TIMELINE.compute[-1])), "does not run the plan's 3 segments"),
        (replace(TIMELINE, spans=()), "does not run the plan's 3 segments"),
    ],
)
@pytest.mark.equation("checker")
def test_corrupted_timelines_are_rejected(corrupted: Timeline, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        check(corrupted)


def test_a_measured_timeline_need_not_respect_the_platforms_hand_overs_but_causality() -> None:
    early = replace(edited("c", shifted(-0.125)), origin="measured")
    check(early)
    with pytest.raises(PlanError, match=r"before 'a\.out' arrived"):
        check(replace(edited("c", shifted(-0.5)), origin="measured"))


@given(problem=problems(), data=st.data())
@pytest.mark.equation("start")
@pytest.mark.equation("checker")
def test_starting_any_segment_earlier_is_noticed(problem: Problem, data: st.DataObject) -> None:
    queues = queues_from_assignment(problem.graph, *data.draw(assignments(problem)))
    plan = Plan(model="tiny", queues=queues)
    timeline = simulate(problem, plan)
    # a copy that queued leaves slack that the checker, which knows of no queue, cannot see
    if any(link.mode == "copy" for link in problem.platform.links.values()):
        return
    i = data.draw(st.integers(0, len(timeline.compute) - 1))
    victim = timeline.compute[i]
    sooner = replace(victim, start_s=victim.start_s - 0.125, end_s=victim.end_s - 0.125)
    spans = tuple(sooner if span is victim else span for span in timeline.spans)
    with pytest.raises(PlanError):
        check_timeline(problem.graph, problem.platform, plan, replace(timeline, spans=spans), duration_s=problem.cost_s)
