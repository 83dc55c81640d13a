"""Find the tensors that never leave a device, which may be stored in the engine's own format.

A tensor that two devices share has the model's format: its order of axes and its precision. An engine that computes in
another precision converts at each end of a segment, and for a segment of a few layers this takes as long as the layers.
A device-local tensor needs no conversion, as only segments of the same engine access it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hetsim.runtime.backends.protocol import DeviceLocal

if TYPE_CHECKING:  # a worker starts without what it imports
    from hetsim.core.dataflow import Dataflow

_BY_POSITION = frozenset({"Reshape", "Transpose", "MatMul", "Softmax"})
"""Operators that address axes by position: a tensor of four axes that one of them accesses is likely no image."""


MODEL_PRECISION = "f32"
"""The precision of models: a device of this precision has nothing to convert."""


def device_local_tensors(flow: Dataflow) -> dict[str, DeviceLocal]:
    """By name, the float32 tensors that are produced and consumed on one device alone.

    The model's inputs and outputs are never among them.
    """
    graph = flow.graph
    found: dict[str, DeviceLocal] = {}
    for step in flow.steps:
        for name in step.outputs:
            tensor = graph.tensors[name]
            if name not in flow.shared and name not in graph.outputs and tensor.dtype == "float32":
                users = (graph.producer[name], *graph.consumers[name])
                is_image = len(tensor.shape) == 4 and all(graph.by_name[op].kind not in _BY_POSITION for op in users)
                found[name] = DeviceLocal(name, step.segment.device, is_image)
    return found
