"""Plans: what resolve and check_plan accept and refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hetsim.core.dataflow import check_plan, resolve
from hetsim.core.errors import PlanError
from hetsim.core.graph import Graph
from hetsim.core.plan import Segment
from tests.support.problems import graph_of, plan_of

DIAMOND = graph_of({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")})
PAIRS = graph_of({"a": (), "b": (), "c": ("a",), "d": ("b",)})


def test_steps_come_in_model_order_with_who_feeds_whom() -> None:
    plan = plan_of(DIAMOND, ("npu", "c"), ("cpu", "a"), ("cpu", "b"), ("cpu", "d"))
    a, b, c, d = resolve(DIAMOND, plan).steps
    assert [step.segment.ops for step in (a, b, c, d)] == [("a",), ("b",), ("c",), ("d",)]
    assert a.inputs == (("x", None),)
    assert d.inputs == (("b.out", 1), ("c.out", 2))
    assert (a.before, b.before, c.before, d.before) == (None, 0, None, 1)
    assert d.waits_for == (1, 2)
    assert d.outputs == ("d.out",)


def test_segments_show_only_what_others_read() -> None:
    (first, second) = resolve(DIAMOND, plan_of(DIAMOND, ("cpu", "a b"), ("npu", "c d"))).steps
    assert first.outputs == ("a.out", "b.out")
    assert second.inputs == (("a.out", 0), ("b.out", 0))


@pytest.mark.parametrize(
    ("graph", "segments", "message"),
    [
        (DIAMOND, [("cpu", "a b c d e")], "places 'e', which model 'tiny' does not have; was the plan made for it"),
        (DIAMOND, [("cpu", "a b c d"), ("npu", "b")], "places 'b' twice, on 'cpu' and on 'npu'; keep one"),
        (DIAMOND, [("cpu", "a b b c d")], "places 'b' twice, on 'cpu' and on 'cpu'"),
        (DIAMOND, [("cpu", "a b d")], "leaves out 1 of 4 operators of 'tiny', the first 'c'"),
        (DIAMOND, [], "leaves out 4 of 4 operators of 'tiny', the first 'a'"),
        (DIAMOND, [("cpu", "a b d"), ("npu", "c")], "segment 'a \\+2' on 'cpu' is not convex.*split it"),
        (DIAMOND, [("cpu", "d"), ("cpu", "a b c")], "never finish: 'd' on 'cpu' waits for 'a \\+2' on 'cpu' waits for"),
        (
            PAIRS,
            [("cpu", "d"), ("cpu", "a"), ("npu", "c"), ("npu", "b")],
            "never finish: 'd' on 'cpu' waits for 'b' on 'npu' waits for 'c' on 'npu' waits for 'a' on 'cpu' waits "
            "for 'd' on 'cpu'; change the order",
        ),
        (PAIRS, [("cpu", "a d"), ("npu", "b c")], "never finish: 'a \\+1' on 'cpu' waits for 'b \\+1' on 'npu'"),
    ],
)
@pytest.mark.equation("valid")
def test_invalid_plans_are_refused(graph: Graph, segments: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        resolve(graph, plan_of(graph, *segments))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_hash": "b" * 64}, "made for model 'tiny' \\(hash bbbbbbbbbbbb\\), but this is 'tiny' \\(hash aaaaaa"),
        ({"queues": {"tpu": (Segment("tpu", ("a", "b", "c", "d")),)}}, "uses device 'tpu', but.* has cpu, npu"),
    ],
)
def test_plans_for_something_else_are_refused(change: dict[str, object], message: str) -> None:
    plan = replace(plan_of(DIAMOND, ("cpu", "a b c d")), **change)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match=message):
        check_plan(DIAMOND, plan, device_names=("cpu", "npu"), model_hash="a" * 64)


def test_a_plan_without_a_hash_is_held_against_the_graph_alone() -> None:
    plan = plan_of(DIAMOND, ("cpu", "a b c d"))
    assert len(check_plan(DIAMOND, plan, device_names=("cpu",), model_hash="a" * 64).steps) == 1


def test_empty_queues_do_not_count() -> None:
    plan = plan_of(DIAMOND, ("cpu", "a b c d"))
    assert replace(plan, queues={**plan.queues, "npu": ()}) == plan
    assert plan.num_segments == 1
    assert plan.digest == replace(plan, scheduler="someone else").digest
