"""Memory traffic of segments by hand, and co-runs on fake and on real engines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hetsim.core.platform import Memory, Platform
from hetsim.costs.problems import make_problem
from hetsim.costs.profile import CoRun, Header, Profile, Samples
from hetsim.costs.touched import touched_bytes
from hetsim.costs.traffic import memory_bound_ops
from hetsim.models.importer import load_model
from hetsim.runtime import Runtime
from hetsim.runtime.measure.corun import co_run_speeds, run_side_by_side
from tests.support.models import fake_platform, fork_join
from tests.support.problems import platform_of

MODEL = fork_join()  # tensors of 4 x 8 floats: 128 bytes; right has 8 x 8 floats of weights: 256 bytes
SHARED = 1000.0


def platform() -> Platform:
    return replace(platform_of("cpu", "npu"), memory=Memory(shared_bytes_per_s=SHARED))


def profile_of(seconds: dict[str, float], *co_runs: CoRun) -> Profile:
    header = Header(
        model="m", model_hash=MODEL.hash, machine="here", engines={"cpu": "e", "npu": "e"}, date="2026-01-01"
    )
    profile = Profile(header=header)
    for device in ("cpu", "npu"):
        for op in MODEL.graph.ops:
            samples_s = (seconds.get(op.name, 1.0),)
            profile.add(Samples(device=device, ops=(op.name,), context="configuration:operators", samples_s=samples_s))
    for co_run in co_runs:
        profile.add(co_run)
    return profile


@pytest.mark.equation("traffic")
def test_a_segment_touches_its_weights_and_what_crosses_its_border() -> None:
    assert touched_bytes(MODEL.graph, ("right",)) == 256 + 128 + 128
    assert touched_bytes(MODEL.graph, ("right", "right2")) == 256 + 128 + 128  # the product stays inside
    assert touched_bytes(MODEL.graph, ("join",)) == 3 * 128


@pytest.mark.equation("traffic")
def test_operators_that_touch_more_than_their_share_may_be_memory_bound() -> None:
    # Each of two devices has a share of 500 bytes/s. right touches 512: in 1 s more than 0.8 of it, in 2 s less. join
    # touches 384, in 0.9 s more than 0.8 of it as well, but not in 1 s. left would in 0.01 s, too short to matter.
    assert memory_bound_ops(profile_of({}), MODEL.graph, platform()) == ("right",)
    assert memory_bound_ops(profile_of({"right": 2.0, "join": 0.9}), MODEL.graph, platform()) == ("join",)
    assert memory_bound_ops(profile_of({"right": 2.0, "left": 0.01}), MODEL.graph, platform()) == ()
    assert memory_bound_ops(profile_of({}), MODEL.graph, platform_of("cpu", "npu")) == ()


@pytest.mark.equation("traffic")
def test_traffic_by_hand() -> None:
    slowed = CoRun(device="cpu", ops=("right",), num_devices=2, speeds=(0.5, 0.8, 0.9))
    unmoved = CoRun(device="npu", ops=("right",), num_devices=2, speeds=(1.0, 0.97, 0.99))
    problem = make_problem(MODEL, platform(), profile_of({"right": 2.0}, slowed, unmoved))
    assert problem.traffic_bytes("cpu", ("right",)) == 1250  # 500 bytes/s * 2 s / 0.8
    assert problem.traffic_bytes("npu", ("right",)) == 512  # what it touches
    assert problem.traffic_bytes("cpu", ("right", "right2")) == 1250  # what is inside moves as much
    assert problem.traffic_bytes("cpu", ("join",)) == 384
    quick = make_problem(MODEL, platform(), profile_of({"join": 0.5}))
    assert (
        quick.traffic_bytes("cpu", ("join",)) == 250
    )  # 500 bytes/s * 0.5 s: never seen to be slowed, it keeps to that


@pytest.mark.processes
@pytest.mark.equation("traffic")
def test_speeds_are_those_of_the_time_together() -> None:
    # Make-believe devices do not slow each other down, whatever runs beside them.
    with Runtime(fake_platform(op_s="0.05")) as runtime:
        found = run_side_by_side(runtime, MODEL, {"cpu": ("right",), "npu": ("right", "right2")}, num_runs=3)
    speeds = co_run_speeds(found)
    assert set(speeds) == {"cpu", "npu"}
    assert all(0.7 < speed <= 1.0 for found in speeds.values() for speed in found)


@pytest.mark.engines
def test_real_operators_are_co_run() -> None:
    from hetsim.io.platform_file import load_platform

    model = load_model("squeezenet")
    with Runtime(load_platform()) as runtime:
        found = run_side_by_side(runtime, model, dict.fromkeys(("cpu", "npu"), ("conv10",)), num_runs=3)
    assert {op.name for op in found.model.graph.ops} == {"0/conv10", "1/conv10"}
    assert all(0 < speed <= 1 for found in co_run_speeds(found).values() for speed in found)
