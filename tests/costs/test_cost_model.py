"""Costs of segments from a profile: measured or predicted."""

from __future__ import annotations

import pytest
from hetsim.costs.fitting.transfer_costs import TransferCosts
from hetsim.costs.segment_costs import SegmentCosts

from hetsim.core.graph import Graph, Op, Tensor
from hetsim.core.problem import Latency
from hetsim.costs.profile import Profile, Samples, Unsupported
from tests.support.profiles import HEADER, names, samples

CHAIN = Graph(
    name="chain",
    ops=tuple(Op(name=f"op{i}", kind="Relu", inputs=(f"t{i}",), outputs=(f"t{i + 1}",)) for i in range(5)),
    tensors={f"t{i}": Tensor(f"t{i}", (4,)) for i in range(6)},
    inputs=("t0",),
    outputs=("t5",),
)


@pytest.mark.equation("additive")
def test_measured_segment_costs_its_median_over_all_contexts() -> None:
    profile = Profile(header=HEADER)
    profile.add(samples("01", 1.0, 5.0))
    profile.add(samples("01", 3.0, context="replay:1"))
    found = SegmentCosts(profile, CHAIN)("cpu", names("01"))
    assert found is not None
    assert (found.seconds, found.measured) == (3.0, True)


@pytest.mark.equation("additive")
def test_serial_runs_beside_executions_count_before_all_others() -> None:
    profile = Profile(header=HEADER)
    profile.add(samples("01", 9.0))
    profile.add(samples("01", 3.0, context="final:1"))
    profile.add(samples("01", 5.0, context="final:2"))
    assert SegmentCosts(profile, CHAIN)("cpu", names("01")) == Latency(4.0, measured=True)
    assert SegmentCosts(profile.without("2"), CHAIN)("cpu", names("01")) == Latency(3.0, measured=True)


@pytest.mark.equation("cross")
def test_transfer_cost_never_explains_all_that_a_segment_took() -> None:
    profile = Profile(header=HEADER)
    for op in "01234":
        profile.add(samples(op, 1e-6))
    profile.add(
        Samples(device="cpu", ops=names("12"), context="replay:1", samples_s=(2e-6,), read_bytes=16, written_bytes=16)
    )
    costly = TransferCosts(read_s_per_byte=1e-6, written_s_per_byte=1e-6)  # 32 microseconds in all
    costs = SegmentCosts(profile, CHAIN, transfer_costs={"cpu": costly})
    assert costs("cpu", names("12")) == Latency(2e-7, measured=True)
    predicted = costs.shifted(1.0)("cpu", names("123"))  # sigma is relative to measured times
    assert predicted is not None
    assert predicted.seconds > 0.0


def test_a_segment_that_was_not_measured_is_predicted() -> None:
    profile = Profile(header=HEADER)
    for i, single_s in enumerate((1.0, 2.0, 3.0, 4.0)):
        profile.add(samples(str(i), single_s))
    costs = SegmentCosts(profile, CHAIN, {"cpu": 0.25})
    found = costs("cpu", names("012"))  # neighbours on one side, on both, on one; see test_predictor.py
    assert found is not None
    assert found.seconds == pytest.approx(0.25 + 0.85 * 1.0 + 0.75 * 2.0 + 0.85 * 3.0)
    assert not found.measured
    assert costs.error_s("cpu", names("012")) > 0.0
    assert costs.error_s("cpu", names("0")) == 0.0  # measured
    assert costs("cpu", names("34")) is None  # op4 was never measured
    assert costs.error_s("cpu", names("34")) == 0.0
    assert costs("npu", names("0")) is None
    assert costs("gpu", names("0")) is None


@pytest.mark.equation("unable")
def test_segment_with_refused_operators_inside_cannot_run() -> None:
    profile = Profile(header=HEADER)
    for i in range(5):
        profile.add(samples(str(i), 1.0, device="npu"))
    profile.add(Unsupported(device="npu", ops=names("12"), reason="too big"))
    latency = SegmentCosts(profile, CHAIN)
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


def test_costs_are_a_snapshot() -> None:
    profile = Profile(header=HEADER)
    profile.add(samples("0", 1.0))
    latency = SegmentCosts(profile, CHAIN)
    profile.add(samples("0", 9.0, 9.0, 9.0))
    found = latency("cpu", names("0"))
    assert found is not None
    assert found.seconds == 1.0
