"""What a device has to itself, and that it computes the same with it in a format of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest

from hetsim.core.dataflow import resolve
from hetsim.core.platform import Device
from hetsim.models.segments.files import SegmentStore
from hetsim.runtime.backends.openvino import OpenVinoBackend
from hetsim.runtime.backends.protocol import DeviceLocal
from hetsim.runtime.worker.arena import plan_layout
from hetsim.runtime.worker.device_local import device_local_tensors
from hetsim.runtime.worker.program import build_programs
from tests.support.models import fork_join, make_plan
from tests.support.split_networks import stack

CHAINED = ["conv0", "conv1 pool"]


def test_kept_is_what_one_device_makes_and_reads() -> None:
    model = fork_join()
    plan = make_plan(model, cpu=["stem", "left", "join"], npu=["right right2"])
    # s goes to both, r2 from one to the other, x comes from the caller and y goes there.
    assert device_local_tensors(resolve(model.graph, plan)) == {"l": DeviceLocal("l", "cpu", is_image=False)}


def test_images_are_told_from_other_tensors_of_four_axes() -> None:
    model = stack(3, 3)
    assert device_local_tensors(resolve(model.graph, make_plan(model, npu=CHAINED))) == {
        "t1": DeviceLocal("t1", "npu", is_image=True)
    }


@pytest.mark.parametrize(("keeping", "device_local"), [((), set()), (("npu",), {"t1"}), (("cpu",), set())])
def test_only_devices_that_may_are_told_what_to_keep(
    tmp_path: Path, keeping: tuple[str, ...], device_local: set[str]
) -> None:
    model = stack(3, 3)
    flow = resolve(model.graph, make_plan(model, npu=CHAINED))
    layout = plan_layout(flow, num_devices=2, num_slots=1)
    store = SegmentStore(model, tmp_path)
    tasks = build_programs(flow, layout, model, store, ("cpu", "npu"), own_format_devices=keeping)["npu"].tasks
    assert [{each.tensor for each in task.device_local} for task in tasks] == [device_local, device_local]


@pytest.mark.skipif(
    "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"), reason="no bf16 on this processor"
)
def test_openvino_keeps_images_in_bf16_with_channels_last(tmp_path: Path) -> None:
    model = stack(3, 3)
    store = SegmentStore(model, tmp_path)
    backend = OpenVinoBackend(Device(name="npu", kind="npu", backend="openvino", precision="bf16"))
    first, second = (store.path(model, ops) for ops in (("conv0",), ("conv1", "pool")))
    image = np.random.default_rng(0).standard_normal((1, 4, 8, 5)).astype(np.float32)
    found = {}
    for device_local in ((), (DeviceLocal("t1", "npu", is_image=True),)):
        between, out = np.zeros((1, 4, 8, 5), np.float32), np.zeros((1, 4, 1, 1), np.float32)
        backend.compile(first, device_local).bind({"t0": image}, {"t1": between})()
        backend.compile(second, device_local).bind({"t1": between}, {"y": out})()
        found[device_local] = between, out
    (plain, plain_out), (own, own_out) = found.values()
    # A bf16 is the upper half of a float32; 160 of them take half the array.
    numbers = (own.reshape(-1).view(np.uint16)[:160].astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_allclose(numbers.reshape(1, 8, 5, 4).transpose(0, 3, 1, 2), plain, rtol=2**-8)
    assert not own.reshape(-1)[80:].any()
    np.testing.assert_allclose(own_out, plain_out, atol=2**-8 * np.abs(plain).max())
