"""Why measured and simulated makespans differ: closed forms by hand, and parts that always add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.analysis.comparison import PARTS, Comparison, Part, compare
from hetsim.analysis.plots.comparison import figure_of_comparison
from hetsim.core.errors import PlanError
from hetsim.core.plan import Plan
from hetsim.core.problem import Latency, Problem
from hetsim.core.timeline import Span, Timeline
from hetsim.scheduler.segments import queues_from_assignment
from hetsim.sim.simulate import simulate
from tests.support.pictures import drawn_axes
from tests.support.problems import assignments, graph_of, plan_of, platform_of, problem_of, problems

DIAMOND = graph_of({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")})
DIAMOND_S = {op: {"cpu": seconds, "npu": seconds} for op, seconds in zip("abcd", (1.0, 2.0, 3.0, 1.0), strict=True)}
PLATFORM = platform_of("cpu", "npu", setup_s=0.25)
PROBLEM = problem_of(DIAMOND, DIAMOND_S, PLATFORM)
PLAN = plan_of(DIAMOND, ("cpu", "a"), ("cpu", "b"), ("npu", "c"), ("cpu", "d"))
SIMULATED = simulate(PROBLEM, PLAN)  # a 0 to 1, b 1 to 3, c 1.25 to 4.25, d 4.5 to 5.5


def measured(runs_s: Mapping[str, tuple[float, float]], *handovers: tuple[str, str, float, float]) -> Timeline:
    """Spans of the diamond by operator, and hand-overs as tensor's maker, consumer, start and end."""
    device = {segment.ops[0]: segment.device for segment in PLAN.segments}
    return Timeline(
        origin="measured",
        spans=(
            *(
                Span(kind="compute", device=device[op], ops=(op,), start_s=start_s, end_s=end_s)
                for op, (start_s, end_s) in runs_s.items()
            ),
            *(
                Span(
                    kind="hand-over",
                    device=device[consumer],
                    source=device[maker],
                    tensor=f"{maker}.out",
                    ops=(consumer,),
                    start_s=start_s,
                    end_s=end_s,
                )
                for maker, consumer, start_s, end_s in handovers
            ),
        ),
    )


SLOWER = measured(
    {"a": (0.1, 1.3), "b": (1.3, 3.5), "c": (1.5, 5.5), "d": (6.0, 7.2)}, ("a", "c", 1.3, 1.5), ("c", "d", 5.5, 6.0)
)


def parts_of(comparison: Comparison) -> dict[Part, float]:
    found = comparison.parts_s
    assert tuple(found) == PARTS
    assert sum(found.values()) == pytest.approx(comparison.difference_s, abs=1e-12)
    return found


@pytest.mark.equation("compare")
def test_parts_by_hand_where_both_wait_for_the_same_chain() -> None:
    # Path a, c, d. Starts 0.1 late; a and d take 0.2 longer each; c takes 1.0 longer and runs beside b for 2 of its 4;
    # hand-overs take 0.2 and 0.5 in place of 0.25 each. b took longer too, but nothing waited for it.
    comparison = compare(DIAMOND, PLAN, SIMULATED, SLOWER, PLATFORM)
    assert comparison.difference_s == pytest.approx(1.7)
    assert parts_of(comparison) == pytest.approx(
        {"compute": 0.2 + 0.5 + 0.2, "contention": 0.5, "hand-over": 0.2, "launch": 0.0, "waiting": 0.1}
    )
    assert [(span.kind, span.label) for span in comparison.path] == [
        *(("wait", "a"), ("compute", "a"), ("hand-over", "c"), ("compute", "c"), ("hand-over", "d"), ("compute", "d"))
    ]
    assert [(span.label, span.part) for span in comparison.worst(2)] == [("c", "compute"), ("d", "hand-over")]
    assert [(span.label, span.difference_s) for span in comparison.others] == [("b", pytest.approx(0.2))]


@pytest.mark.equation("compare")
def test_launches_take_their_share_of_a_segments_difference() -> None:
    # A launch is half of the simulated 1 s of a and d, a quarter of b's 2 s, a sixth of c's 3 s.
    platform = replace(PLATFORM, devices=tuple(replace(device, launch_s=0.5) for device in PLATFORM.devices))
    parts_s = parts_of(compare(DIAMOND, PLAN, SIMULATED, SLOWER, platform))
    assert parts_s["launch"] == pytest.approx(0.1 + 1 / 6 + 0.1)
    assert parts_s["contention"] == pytest.approx(0.5 * 5 / 6)
    assert parts_s["compute"] == pytest.approx(0.1 + 0.5 * 5 / 6 + 0.1)


def test_a_segment_simulated_below_its_launch_is_all_launch() -> None:
    platform = replace(PLATFORM, devices=tuple(replace(device, launch_s=9.0) for device in PLATFORM.devices))
    parts_s = parts_of(compare(DIAMOND, PLAN, SIMULATED, SLOWER, platform))
    assert (parts_s["launch"], parts_s["contention"], parts_s["compute"]) == pytest.approx((1.4, 0.0, 0.0))


@pytest.mark.equation("compare")
def test_time_to_spare_in_the_simulation_counts_as_waiting() -> None:
    # Path a, b, d: b takes 3 longer, 3 of its 5 beside c. In the simulation d comes 1.5 after b, since c is later.
    late = measured({"a": (0, 1), "b": (1, 6), "c": (1.25, 4.25), "d": (6, 7)}, ("a", "c", 1, 1.25))
    comparison = compare(DIAMOND, PLAN, SIMULATED, late, PLATFORM)
    assert parts_of(comparison) == pytest.approx(
        {"compute": 1.2, "contention": 1.8, "hand-over": 0.0, "launch": 0.0, "waiting": -1.5}
    )
    assert [span.part for span in comparison.worst()] == ["contention", "waiting"]


@pytest.mark.equation("compare")
def test_what_the_simulation_ends_with_counts_as_waiting_if_the_measurement_ended_otherwise() -> None:
    # b ends last where measured; simulated it ends at 3, and c at 4.25.
    graph = graph_of({"a": (), "b": ("a",), "c": ("a",)})
    plan = plan_of(graph, ("cpu", "a"), ("cpu", "b"), ("npu", "c"))
    simulated = simulate(problem_of(graph, DIAMOND_S, PLATFORM), plan)
    clock = measured({"a": (0, 1), "b": (1, 5), "c": (1.25, 4.25)}, ("a", "c", 1, 1.25))
    comparison = compare(graph, plan, simulated, clock, PLATFORM)
    assert comparison.difference_s == 0.75
    assert parts_of(comparison) == pytest.approx(
        {"compute": 2 - 1.5, "contention": 1.5, "hand-over": 0.0, "launch": 0.0, "waiting": -1.25}
    )
    assert comparison.path[-1].label == "c"


def test_a_timeline_compared_with_itself_differs_in_nothing() -> None:
    comparison = compare(DIAMOND, PLAN, SIMULATED, SIMULATED, PLATFORM)
    assert set(parts_of(comparison).values()) == {0.0}
    assert comparison.worst() == ()


def test_a_timeline_of_something_else_is_refused() -> None:
    part = measured({"a": (0, 1), "b": (1, 2)})
    with pytest.raises(PlanError, match=r"the measured timeline has 2 compute spans.* the plan 4 segments"):
        compare(DIAMOND, PLAN, SIMULATED, part, PLATFORM)


def perturbed(data: st.DataObject, problem: Problem, plan: Plan) -> Timeline:
    """What a clock might have said: the same plan with other durations and hand-overs."""
    factor = st.floats(0.5, 2.0)
    factors = {(segment.device, segment.ops): data.draw(factor) for segment in plan.segments}

    def latency(device: str, ops: tuple[str, ...]) -> Latency | None:
        known = problem.latency(device, ops)
        return known and Latency(known.seconds * factors.get((device, ops), 1.0))

    platform = problem.platform
    links = {pair: replace(link, setup_s=link.setup_s * data.draw(factor)) for pair, link in platform.links.items()}
    other = replace(problem, platform=replace(platform, links=links), latency_function=latency, _known={})
    return Timeline(origin="measured", spans=simulate(other, plan).spans)


@given(data=st.data(), problem=problems(), launch_s=st.sampled_from((0.0, 0.1, 1.0)))
@pytest.mark.equation("compare")
def test_parts_always_add_up_to_the_difference(data: st.DataObject, problem: Problem, launch_s: float) -> None:
    device_of, raised = data.draw(assignments(problem))
    plan = Plan(model=problem.graph.name, queues=queues_from_assignment(problem.graph, device_of, raised))
    platform = replace(
        problem.platform, devices=tuple(replace(device, launch_s=launch_s) for device in problem.platform.devices)
    )
    simulated, clock = simulate(problem, plan), perturbed(data, problem, plan)
    comparison = compare(problem.graph, plan, simulated, clock, platform)
    parts_of(comparison)
    for one, timeline in (("simulated_s", simulated), ("measured_s", clock)):  # nothing on the path is counted twice
        lengths_s = [getattr(span, one) for span in comparison.path]
        assert sum(lengths_s) == pytest.approx(timeline.makespan_s, abs=1e-12)
        assert min(lengths_s) >= -1e-12
    ran = [span for span in comparison.path if span.kind == "compute"]
    assert len(ran) + len(comparison.others) == plan.num_segments


@pytest.mark.parametrize("clock", [SLOWER, SIMULATED])
def test_a_comparison_is_drawn_whatever_differs(clock: Timeline) -> None:
    comparison = compare(DIAMOND, PLAN, SIMULATED, clock, PLATFORM)
    figure = figure_of_comparison(comparison, platform=PLATFORM, title="a $b")
    parts, spans = drawn_axes(figure)
    assert parts.y_label.startswith("Time (ms)")
    assert spans.x_label == "Measured minus simulated (ms)"
    assert parts.num_bars == len(PARTS) + 2
    assert {"simulated", "measured", *PARTS, "a $b"} <= set(parts.texts)
    assert spans.num_bars == len(comparison.worst())
    heading = f"The {spans.num_bars} spans that contribute most" if spans.num_bars else "No span differs"
    assert heading in spans.texts
