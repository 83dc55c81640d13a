"""What segments cost: the statistic of what was measured, and the rule that predicts what was not."""

from __future__ import annotations

import pytest

from hetsim.costs import latency_function
from hetsim.model.graph import Graph, Op, Tensor
from hetsim.profile import Profile, Unsupported
from tests.test_profile import HEADER, names, samples

CHAIN = Graph(
    name="chain",
    ops=tuple(Op(name=f"op{i}", kind="Relu", inputs=(f"t{i}",), outputs=(f"t{i + 1}",)) for i in range(5)),
    tensors={f"t{i}": Tensor(f"t{i}", (4,)) for i in range(6)},
    inputs=("t0",),
    outputs=("t5",),
)


def test_measured_segment_costs_its_median_over_all_contexts() -> None:
    profile = Profile(header=HEADER)
    profile.add(samples("01", 1.0, 5.0))
    profile.add(samples("01", 3.0, context="replay:1"))
    found = latency_function(profile, CHAIN)("cpu", names("01"))
    assert found is not None
    assert (found.seconds, found.measured) == (3.0, True)


def test_prediction_covers_with_the_largest_pieces_and_saves_their_launches() -> None:
    profile = Profile(header=HEADER)
    for i, single_s in enumerate((1.0, 2.0, 3.0, 4.0)):
        profile.add(samples(str(i), single_s))
    profile.add(samples("12", 4.5))
    latency = latency_function(profile, CHAIN, {"cpu": 0.25})
    found = latency("cpu", names("0123"))  # op0, then op1 and op2 as measured together, then op3: two launches saved
    assert found is not None
    assert found.seconds == pytest.approx(1.0 + 4.5 + 4.0 - 2 * 0.25)
    assert not found.measured
    assert latency("cpu", names("34")) is None  # op4 was never measured
    assert latency("npu", names("0")) is None
    assert latency("gpu", names("0")) is None


def test_prediction_breaks_ties_by_place_in_the_graph() -> None:
    profile = Profile(header=HEADER)
    for ops, time_s in (("12", 7.0), ("01", 5.0), ("0", 1.0), ("1", 1.0), ("2", 2.0)):
        profile.add(samples(ops, time_s))
    found = latency_function(profile, CHAIN)("cpu", names("012"))
    assert found is not None
    assert found.seconds == 5.0 + 2.0


def test_prediction_never_falls_below_nothing() -> None:
    profile = Profile(header=HEADER)
    profile.add(samples("0", 0.1))
    profile.add(samples("1", 0.1))
    found = latency_function(profile, CHAIN, {"cpu": 1.0})("cpu", names("01"))
    assert found is not None
    assert found.seconds == 0.0


def test_segment_with_refused_operators_inside_cannot_run() -> None:
    profile = Profile(header=HEADER)
    for i in range(5):
        profile.add(samples(str(i), 1.0, device="npu"))
    profile.add(Unsupported(device="npu", ops=names("12"), reason="too big"))
    latency = latency_function(profile, CHAIN)
    assert latency("npu", names("0123")) is None
    assert latency("npu", names("01")) is not None
    assert latency("npu", names("23")) is not None


def test_a_final_belongs_to_its_own_executions_alone() -> None:
    profile = Profile(header=HEADER)
    profile.add(samples("0", 1.0, 2.0, context="replay:x"))
    profile.add(samples("0", 3.0, context="replay:x"))
    profile.add(samples("0", 4.0, context="final:x"))
    profile.add(samples("0", 5.0, context="final:x"))
    assert profile.samples_s("cpu", names("0"), "replay:x") == (1.0, 2.0, 3.0)
    assert profile.samples_s("cpu", names("0"), "final:x") == (5.0,)


def test_latency_function_is_a_snapshot() -> None:
    profile = Profile(header=HEADER)
    profile.add(samples("0", 1.0))
    latency = latency_function(profile, CHAIN)
    profile.add(samples("0", 9.0, 9.0, 9.0))
    found = latency("cpu", names("0"))
    assert found is not None
    assert found.seconds == 1.0
