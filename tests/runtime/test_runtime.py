"""Worker processes with the fake engine: right outputs, order, several requests, failures, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from hetsim.core.errors import DeviceError, ModelError, PlanError, PlatformError
from hetsim.core.plan import Plan
from hetsim.core.platform import Device, Platform
from hetsim.models.model import random_inputs
from hetsim.models.reference import evaluate
from hetsim.runtime import RefusedError, Runtime
from hetsim.sim.check import check_timeline
from tests.support.models import fake_platform, fork_join, make_plan

MODEL = fork_join()
PLAN = make_plan(MODEL, cpu=["stem", "left", "join"], npu=["right right2"])
PLATFORM = fake_platform()


def inputs(seed: int) -> dict[str, np.ndarray]:
    return random_inputs(MODEL, seed=seed)


def right(seed: int) -> np.ndarray:
    return evaluate(MODEL.proto, inputs(seed))["y"]


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def worker_pids() -> list[int]:
    return [int(p) for p in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def test_outputs_are_right_and_the_timeline_obeys_the_physics(runtime: Runtime) -> None:
    with runtime.load(MODEL, PLAN) as session:
        for seed in range(5):
            result = session.run(inputs(seed))
            assert np.allclose(result.outputs["y"], right(seed), atol=1e-6)
            check_timeline(MODEL.graph, PLATFORM, PLAN, result.timeline)
            assert result.timeline.makespan_s == pytest.approx(result.latency_s)


@pytest.mark.parametrize("serial", [False, True])
@pytest.mark.equation("held-out")
def test_a_serial_request_never_has_two_devices_at_work(serial: bool) -> None:
    # Two equal branches of 30 ms each, one on each device: side by side or one after the other.
    slow = fake_platform(op_s="0.03")
    plan = make_plan(MODEL, cpu=["stem", "left", "join"], npu=["right", "right2"])
    with Runtime(slow) as own, own.load(MODEL, plan) as session:
        spans = session.run(inputs(0), serial=serial).timeline.compute
    together = any(a.device != b.device and a.start_s < b.end_s and b.start_s < a.end_s for a in spans for b in spans)
    assert together is not serial


def test_several_sessions_alternate(runtime: Runtime) -> None:
    whole = make_plan(MODEL, npu=["stem left right right2 join"])
    with runtime.load(MODEL, PLAN) as first, runtime.load(MODEL, whole) as second:
        for seed in range(6):
            session = (first, second)[seed % 2]
            assert np.allclose(session.run(inputs(seed)).outputs["y"], right(seed), atol=1e-6)


def test_requests_in_flight_get_their_own_answers(runtime: Runtime) -> None:
    async def ask() -> list[np.ndarray]:
        with runtime.load(MODEL, PLAN, num_slots=3) as session:
            results = await asyncio.gather(*(session.infer(inputs(seed)) for seed in range(10)))
        return [result.outputs["y"] for result in results]

    for seed, output in enumerate(asyncio.run(ask())):
        assert np.allclose(output, right(seed), atol=1e-6)


def test_a_cancelled_request_leaves_the_others_alone(runtime: Runtime) -> None:
    async def ask() -> np.ndarray:
        with runtime.load(MODEL, PLAN, num_slots=2) as session:
            abandoned = asyncio.ensure_future(session.infer(inputs(1)))
            await asyncio.sleep(0)
            other = asyncio.ensure_future(session.infer(inputs(2)))
            await asyncio.sleep(0)
            abandoned.cancel()
            output = (await other).outputs["y"]
            assert np.allclose((await session.infer(inputs(3))).outputs["y"], right(3), atol=1e-6)
            return output

    assert np.allclose(asyncio.run(ask()), right(2), atol=1e-6)


def test_no_room_is_an_error_and_not_a_wait(runtime: Runtime) -> None:
    with runtime.load(MODEL, PLAN) as session:
        session.submit(inputs(0))
        with pytest.raises(DeviceError, match=r"1 requests are in flight .* 1 slot"):
            session.submit(inputs(1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"inputs are x; got none"),
        ({"x": np.zeros((4, 8), np.float32), "z": np.zeros(1)}, r"inputs are x; got x, z"),
        ({"x": np.zeros((4, 9), np.float32)}, r"'x' must be float32 of shape \[4, 8\], got float32 \[4, 9\]"),
        ({"x": np.zeros((4, 8))}, r"got float64 \[4, 8\]"),
    ],
)
def test_wrong_inputs_are_refused(runtime: Runtime, given: dict[str, np.ndarray], message: str) -> None:
    with runtime.load(MODEL, PLAN) as session, pytest.raises(ModelError, match=message):
        session.run(given)


def test_a_plan_for_another_model_or_device_is_refused(runtime: Runtime) -> None:
    from dataclasses import replace

    with pytest.raises(PlanError, match="was made for model"):
        runtime.load(MODEL, replace(PLAN, model_hash="0" * 64))
    with pytest.raises(PlanError, match=r"uses device 'tpu', but the platform has cpu, npu"):
        runtime.load(MODEL, make_plan(MODEL, tpu=["stem left right right2 join"]))


def test_a_segment_that_an_engine_refuses_is_named() -> None:
    with Runtime(fake_platform(refuse="Sigmoid")) as own:
        with pytest.raises(
            RefusedError, match=r"'npu' \(fake engine\) refuses segment 'right' of 2: Sigmoid"
        ) as caught:
            own.load(MODEL, PLAN)
        assert caught.value.segment == ("right", "right2")
        half = make_plan(MODEL, cpu=["stem", "left"], npu=["right"])
        with pytest.raises(PlanError, match="leaves out 2 of 5 operators"):
            own.load(MODEL, half)


def test_a_segment_that_raises_names_device_and_segment_and_the_workers_live_on() -> None:
    with Runtime(fake_platform(fail="right2")) as own:
        with own.load(MODEL, PLAN) as session:
            with pytest.raises(
                DeviceError, match=r"'npu' failed in segment 'right' of 2: RuntimeError: told to fail"
            ) as caught:
                session.run(inputs(0))
            assert caught.value.device == "npu"
            with pytest.raises(DeviceError, match="failed earlier"):
                session.run(inputs(0))
        with (
            own.load(
                MODEL,
                Plan(model="fork_join", queues=PLAN.queues),
            ) as again,
            pytest.raises(DeviceError, match="told to fail"),
        ):
            again.run(inputs(0))


def test_a_killed_worker_is_noticed_at_once_and_named() -> None:
    with Runtime(fake_platform(op_s="30")) as own:
        session = own.load(MODEL, PLAN)
        session.submit(inputs(0))
        while not session.running_on("cpu"):
            time.sleep(0.001)
        os.kill(own.pids["cpu"], signal.SIGKILL)
        with pytest.raises(DeviceError, match=r"device 'cpu' was ended by signal 9 while running segment 'stem'"):
            session.poll(60.0)  # it ends before that, as its connection does
        session.close()


def test_a_segment_that_never_ends_is_given_up() -> None:
    with Runtime(fake_platform(op_s="30"), stall_s=0.5) as own, own.load(MODEL, PLAN) as session:
        with pytest.raises(DeviceError, match=r"'cpu' has not finished segment 'stem' of 1 within 0.5 s"):
            session.run(inputs(0))
        with pytest.raises(DeviceError, match="failed earlier"):
            session.run(inputs(0))


def test_nothing_is_left_behind() -> None:
    before, descriptors = set(worker_pids()), open_descriptors()
    for _ in range(3):
        with Runtime(PLATFORM) as own, own.load(MODEL, PLAN) as session:
            session.run(inputs(0))
            assert len(set(worker_pids()) - before) == 2
    assert set(worker_pids()) == before
    assert open_descriptors() == descriptors
    assert not [path for path in Path("/dev/shm").iterdir() if "hetsim" in path.name]


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (Device(name="d", kind="cpu", backend="tvm"), "'d' asks for backend 'tvm'; there are onnxruntime, openvino"),
        (Device(name="d", kind="cpu", backend="fake", cores=(4096,)), "'d' is pinned to core 4096, but this process"),
        (
            Device(name="d", kind="gpu", backend="onnxruntime", target="WarpExecutionProvider"),
            "'d' asks for ONNX Runtime's WarpExecutionProvider, but this installation has only",
        ),
        (Device(name="d", kind="npu", backend="openvino", target="NPU7"), "'d' asks for OpenVINO's NPU7, but"),
        (Device(name="d", kind="npu", backend="openvino", precision="i8"), "OpenVINO takes f32, bf16, f16, not i8"),
        (
            Device(name="d", kind="cpu", backend="onnxruntime", precision="bf16"),
            "'d' asks for bf16, but ONNX Runtime's",
        ),
    ],
)
def test_hardware_that_is_not_here_is_said_in_one_line(device: Device, message: str) -> None:
    before = set(worker_pids())
    with pytest.raises(PlatformError, match=message) as caught:
        Runtime(Platform(name="p", devices=(device,)))
    assert "\n" not in str(caught.value)
    assert set(worker_pids()) == before
