"""Plans as engines execute them that run one part after the other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hetsim.core.errors import PlanError
from hetsim.core.platform import Link
from hetsim.costs.profile import Header, Profile, Samples, Unsupported
from hetsim.models.model import Model
from hetsim.runtime.placement.serial import Part, serial_parts, serial_timeline
from tests.support.models import chain, fake_platform, fork_join, make_plan

CROSSED = {"stem": "A", "left": "A", "right": "B", "right2": "B", "join": "A"}


def test_parts_are_as_long_as_their_place_allows() -> None:
    assert serial_parts(fork_join().graph, CROSSED) == (
        Part(place="A", ops=("stem", "left")),
        Part(place="B", ops=("right", "right2")),
        Part(place="A", ops=("join",)),
    )


def test_one_place_is_one_part() -> None:
    graph = fork_join().graph
    assert serial_parts(graph, dict.fromkeys(CROSSED, "A")) == (
        Part(place="A", ops=tuple(op.name for op in graph.ops)),
    )


def _profile(model: Model) -> Profile:
    """Both devices of a chain: each operator takes half a second."""
    profile = Profile(
        header=Header(model="chain", model_hash=model.hash, machine="here", engines={}, date="2026-11-30T10:00:00Z")
    )
    for device in ("cpu", "npu"):
        for op in model.graph.ops:
            context = "configuration:operators"
            profile.add(Samples(device=device, ops=(op.name,), context=context, samples_s=(0.5,) * 6))
    return profile


def test_a_part_that_its_device_refuses_has_no_latency() -> None:
    model = chain(2)
    profile = _profile(model)
    profile.add(Unsupported(device="npu", ops=("op0", "op1"), reason="told to"))
    plan = make_plan(model, cpu=["op0 op1"])
    parts = serial_parts(model.graph, {"op0": "A", "op1": "A"})
    with pytest.raises(PlanError, match=r"device 'npu' cannot run 'op0.*' as one segment, by its profile"):
        serial_timeline(model, fake_platform(), profile, plan, parts, {"A": "npu"})


def test_the_latency_is_the_sum_of_measured_parts_and_of_the_links_between_them() -> None:
    model = chain(3)
    platform = replace(fake_platform(), links={("cpu", "npu"): Link(setup_s=1e-4), ("npu", "cpu"): Link(setup_s=2e-4)})
    profile = _profile(model)
    plan = make_plan(model, cpu=["op0", "op2"], npu=["op1"])
    for device, op, seconds in (("cpu", "op0", 0.001), ("npu", "op1", 0.002), ("cpu", "op2", 0.004)):
        context = f"replay:{plan.digest}"
        profile.add(Samples(device=device, ops=(op,), context=context, samples_s=(seconds,) * 6))
    parts = serial_parts(model.graph, {"op0": "A", "op1": "B", "op2": "A"})
    timeline = serial_timeline(model, platform, profile, plan, parts, {"A": "cpu", "B": "npu"})
    assert timeline.makespan_s == pytest.approx(0.001 + 1e-4 + 0.002 + 2e-4 + 0.004)
    assert [span.ops for span in timeline.compute] == [("op0",), ("op1",), ("op2",)]
