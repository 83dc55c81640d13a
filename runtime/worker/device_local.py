"""Tensors that never leave a device, which need not lie in a format that others understand.

What two devices share lies in the model's own format: every axis in its place, every number in the model's precision.
An engine that computes in another one converts at each end of a segment, and for a segment of a few layers this costs
as much as the layers do. Where nobody else looks, it need not: neither its own next segment nor it itself wants the
model's format.
"""

from __future__ import annotations

from dataclasses import dataclass

from hetsim.core.dataflow import Dataflow

_BY_POSITION = frozenset({"Reshape", "Transpose", "MatMul", "Softmax"})
"""Operators that take axes by their place: a tensor of four axes beside one of them is hardly an image's channels."""


MODEL_PRECISION = "f32"
"""What models compute in here: a device of that precision has nothing to convert."""


@dataclass(frozen=True, slots=True)
class DeviceLocal:
    """A tensor that only one device's segments touch.

    Attributes:
        tensor: Its name.
        device: The device.
        is_image: Whether its axes are an image's: batch, channels, height and width.
    """

    tensor: str
    device: str
    is_image: bool


def device_local_tensors(flow: Dataflow) -> dict[str, DeviceLocal]:
    """By name, the tensors of floating-point numbers that are made and read on one device, and by nobody else.

    What the caller gives and gets is never among them.
    """
    graph = flow.graph
    devices = {name: {step.segment.device} for step in flow.steps for name in step.outputs}
    for step in flow.steps:
        for name, maker in step.inputs:
            if maker is not None:
                devices[name].add(step.segment.device)
    found: dict[str, DeviceLocal] = {}
    for name, touching in devices.items():
        tensor = graph.tensors[name]
        if len(touching) == 1 and name not in graph.outputs and tensor.dtype == "float32":
            users = (graph.producer[name], *graph.consumers[name])
            is_image = len(tensor.shape) == 4 and all(graph.by_name[op].kind not in _BY_POSITION for op in users)
            found[name] = DeviceLocal(name, next(iter(touching)), is_image)
    return found
