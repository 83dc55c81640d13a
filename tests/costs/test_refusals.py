"""What engines refused is in no plan: anywhere, or as a segment of its own."""

from __future__ import annotations

from hetsim.core.problem import Latency, Problem
from hetsim.costs.profile import Header, Profile, Unsupported
from hetsim.costs.refusals import Refused, refusal, refused_by, without_refused
from hetsim.scheduler.registry import make_plan
from tests.support.models import fake_platform, fork_join

MODEL = fork_join()
GRAPH = MODEL.graph
OPS = tuple(op.name for op in GRAPH.ops)


def profile(*refused: Unsupported) -> Profile:
    made = Profile(header=Header(model="m", model_hash="", machine="", engines={}, date=""))
    for record in refused:
        made.add(record)
    return made


def problem() -> Problem:
    """The NPU takes 1 s for each operator, the CPU 10 s."""
    return Problem(
        graph=GRAPH,
        platform=fake_platform(),
        latency_function=lambda device, ops: Latency((1.0 if device == "npu" else 10.0) * len(ops)),
    )


def test_a_refusal_holds_for_all_segments_with_the_operators() -> None:
    found = without_refused(problem(), profile(refusal(GRAPH, "npu", ("left",), "no")))
    assert found.latency("npu", ("left",)) is None
    assert found.latency("npu", ("stem", "left")) is None
    assert found.latency("npu", ("stem", "right")) == Latency(2.0)
    assert found.latency("cpu", ("left",)) == Latency(10.0)
    plan = make_plan("search", found)
    assert all("left" not in segment.ops for segment in plan.queues["npu"])


def test_a_refusal_alone_holds_for_that_segment_only() -> None:
    found = without_refused(problem(), profile(Unsupported(device="npu", ops=("left",), reason="no", alone=True)))
    assert found.latency("npu", ("left",)) is None
    assert found.latency("npu", OPS) == Latency(5.0)
    assert make_plan("single:npu", found).num_segments == 1  # the whole is one segment, though "left" alone is refused


def test_only_quantisation_is_refused_alone() -> None:
    assert not refusal(GRAPH, "npu", ("left",), "no").alone
    assert not refusal(GRAPH, "npu", ("a part of a split",), "no").alone
    assert not refusal(GRAPH, "npu", ("stem", "left"), "no").alone
    assert refusal(GRAPH, "npu", ("stem", "left"), "no", groups_alone=True).alone
    assert not refusal(GRAPH, "npu", ("left",), "no", groups_alone=True).alone


def test_nothing_refused_changes_nothing() -> None:
    before = problem()
    assert without_refused(before, None) is before
    assert without_refused(before, profile()) is before


def test_what_a_device_refuses_by_hand() -> None:
    known = profile(
        Unsupported(device="npu", ops=("a", "b"), reason="no"),
        Unsupported(device="npu", ops=("q",), reason="no", alone=True),
        Unsupported(device="cpu", ops=("c",), reason="no"),
    )
    refused = refused_by(known, "npu")
    assert refused == Refused((frozenset("ab"),), frozenset({frozenset("q")}))
    assert [refused.rules_out(ops) for ops in ("ab", "cba", "a", "q", "qa", "c")] == [
        True,
        True,
        False,
        True,
        False,
        False,
    ]
