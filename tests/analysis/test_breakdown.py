"""How devices spend the makespan, by hand."""

from __future__ import annotations

import pytest

from hetsim.analysis.breakdown import DeviceTime, breakdown, device_assignments
from hetsim.core.graph import Graph, Op, Tensor
from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import Device, Platform
from hetsim.core.timeline import Span, Timeline

PLATFORM = Platform(
    name="pair",
    devices=(
        Device(name="cpu", kind="cpu", backend="fake", launch_s=0.1),
        Device(name="npu", kind="npu", backend="fake", nature="stand-in", launch_s=0.25),
        Device(name="spare", kind="gpu", backend="fake"),
    ),
)


def compute(device: str, op: str, start_s: float, end_s: float) -> Span:
    return Span(kind="compute", device=device, ops=(op,), start_s=start_s, end_s=end_s)


def handover(op: str, start_s: float, end_s: float) -> Span:
    return Span(
        kind="hand-over", device="npu", ops=(op,), start_s=start_s, end_s=end_s, tensor=f"{start_s}", source="cpu"
    )


def npu(*spans: Span) -> DeviceTime:
    return breakdown(Timeline(origin="simulated", spans=spans), PLATFORM).devices[1]


def test_parts_add_up_to_the_makespan_on_every_device() -> None:
    # cpu runs a from 0 to 2 and c from 2 to 6; a's tensor takes 0.5 to reach npu, which runs b from 2.5 to 4.
    timeline = Timeline(
        origin="simulated",
        spans=(
            compute("cpu", "a", 0.0, 2.0), handover("b", 2.0, 2.5), compute("npu", "b", 2.5, 4.0),
            compute("cpu", "c", 2.0, 6.0),
        ),
    )  # fmt: skip
    found = breakdown(timeline, PLATFORM)
    cpu, stand_in, spare = found.devices
    assert found.makespan_s == 6.0
    assert (cpu.compute_s, cpu.launch_s, cpu.hand_over_s, cpu.waiting_s) == pytest.approx((5.8, 0.2, 0.0, 0.0))
    assert (stand_in.compute_s, stand_in.launch_s) == pytest.approx((1.25, 0.25))
    assert (stand_in.hand_over_s, stand_in.waiting_s) == pytest.approx((0.5, 4.0))
    assert (spare.num_segments, spare.waiting_s, spare.busy_share) == (0, 6.0, 0.0)
    assert stand_in.busy_share == pytest.approx(0.25)
    assert [part.total_s for part in found.devices] == pytest.approx([6.0] * 3)


def test_overlapping_handovers_of_one_segment_count_once() -> None:
    found = npu(
        handover("b", 1.0, 2.0), handover("b", 1.5, 3.0), handover("b", 1.6, 1.7), compute("npu", "b", 3.0, 4.0)
    )
    assert (found.hand_over_s, found.waiting_s) == pytest.approx((2.0, 1.0))


def test_handover_while_the_device_works_costs_nothing() -> None:
    found = npu(compute("npu", "a", 0.0, 3.0), handover("b", 1.0, 3.5), compute("npu", "b", 3.5, 4.0))
    assert (found.hand_over_s, found.waiting_s) == pytest.approx((0.5, 0.0))


def test_handover_for_a_later_segment_is_not_what_the_device_waits_for() -> None:
    found = npu(handover("later", 0.0, 1.0), compute("npu", "b", 1.0, 2.0), compute("npu", "later", 2.0, 3.0))
    assert (found.hand_over_s, found.waiting_s) == pytest.approx((0.0, 1.0))


def test_launch_is_never_more_than_the_time_it_is_part_of() -> None:
    found = npu(compute("npu", "a", 0.0, 0.1))
    assert (found.compute_s, found.launch_s) == (0.0, 0.1)


def test_empty_timeline_has_no_time_and_no_shares() -> None:
    found = breakdown(Timeline(origin="measured", spans=()), PLATFORM)
    assert found.makespan_s == 0.0
    assert [part.busy_share for part in found.devices] == [0.0] * 3


def test_assignments_count_operators_and_busy_time() -> None:
    names = ("a", "b", "c")
    ops = tuple(Op(name=n, kind="Relu", inputs=(f"t{i}",), outputs=(f"t{i + 1}",)) for i, n in enumerate(names))
    graph = Graph(
        name="chain",
        ops=ops,
        tensors={f"t{i}": Tensor(f"t{i}", (1,)) for i in range(4)},
        inputs=("t0",),
        outputs=("t3",),
    )
    plan = Plan(model="chain", queues={"cpu": (Segment("cpu", ("a",)),), "npu": (Segment("npu", ("b", "c")),)})
    timeline = Timeline(
        origin="measured",
        spans=(
            compute("cpu", "a", 0.0, 0.29),
            Span(kind="compute", device="npu", ops=("b", "c"), start_s=0.29, end_s=1.0),
        ),
    )
    assert [str(line) for line in device_assignments(graph, plan, timeline, PLATFORM)] == [
        "cpu: 1 of 3 operators, 29 % of the time",
        "npu (stand-in): 2 of 3 operators, 71 % of the time",
        "spare: 0 of 3 operators, 0 % of the time",
    ]
