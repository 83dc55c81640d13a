"""What the engines of paced devices compute for a plan, found out before the plan is executed at emulated times.

A vendor's emulator may take seconds for what the hardware does in a millisecond. So a plan is executed once, ahead and
serially, with all engines at their own pace, and the tensors that its segments make are stored. Each engine reads what
the others really made, so the outputs are those of the whole plan, with the rounding of every device on the way.

The engines run in processes of their own, which end with the execution: a compiler that crashes or never returns is a
refusal of the segment that it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hetsim.core.dataflow import Dataflow
from hetsim.core.errors import DeviceError
from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import Device, Platform
from hetsim.models.model import Model
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.devices import Devices
from hetsim.runtime.session import Session
from hetsim.runtime.worker_pool import RefusedError

ANSWER_S = 600.0
"""The longest that an engine may take to compile or to compute one plan, in seconds."""


@dataclass(frozen=True)
class EngineOutputs:
    """Computes the outputs of plans' segments by the engines of a platform.

    Attributes:
        platform: The devices with their engines; one without an engine is replaced by ONNX Runtime on the CPU.
    """

    platform: Platform

    def __call__(
        self, model: Model, flow: Dataflow, inputs: Mapping[str, Array], names: tuple[str, ...]
    ) -> Mapping[str, Array]:
        """As :data:`~hetsim.runtime.emulation.OutputsAhead`.

        Raises:
            RefusedError: If an engine does not support a segment, or fails at it.
            DeviceError: If an engine does not start.
        """
        wider = _with_outputs(model, names)
        plan = _plan_of(flow)
        with engines(self.platform, plan) as devices, load_or_refuse(devices, wider, plan) as session:
            try:
                outputs = session.run(inputs, serial=True).outputs
            except DeviceError as error:
                raise _refusal(error, error.segment) from None
        return {name: outputs[name].copy() for name in names}


def engines(platform: Platform, plan: Plan | None = None) -> Devices:
    """The running engines of a platform, at their own pace; those of the plan's devices alone if it is given.

    Raises:
        PlatformError: If an engine or a core is not on this machine.
        DeviceError: If an engine does not start.
    """
    used = tuple(_with_engine(device) for device in platform.devices if plan is None or plan.queues.get(device.name))
    return Devices(
        Platform(name=platform.name, devices=used, description=platform.description),
        stall_s=ANSWER_S,
        slow_s=ANSWER_S,
    )


def load_or_refuse(devices: Devices, model: Model, plan: Plan) -> Session:
    """The plan, loaded; that an engine's process dies of a segment is a refusal of that segment.

    Raises:
        RefusedError: If an engine does not support a segment, or dies of it.
        DeviceError: If it is not known of which.
    """
    compiled: list[tuple[str, ...]] = []
    try:
        return devices.load(model, plan, on_compiled=compiled.append)
    except RefusedError:
        raise
    except DeviceError as error:
        left = [segment.ops for segment in plan.queues.get(error.device, ()) if segment.ops not in compiled]
        if not left:
            raise
        raise _refusal(error, left[0]) from None


def _refusal(error: DeviceError, segment: tuple[str, ...]) -> DeviceError:
    """A failure of an engine at a segment as a refusal of that; the failure itself if the segment is not known."""
    if not segment:
        return error
    return RefusedError(
        f"device {error.device!r} refuses segment {segment[0]!r} of {len(segment)}: {error}",
        device=error.device,
        segment=segment,
    )


def _with_engine(device: Device) -> Device:
    if device.is_measured or device.is_paced:
        return device
    return Device(name=device.name, kind="cpu", nature="stand-in", backend="onnxruntime")


def _plan_of(flow: Dataflow) -> Plan:
    queues: dict[str, tuple[Segment, ...]] = {}
    for step in flow.steps:
        queues[step.segment.device] = (*queues.get(step.segment.device, ()), step.segment)
    return Plan(model=flow.graph.name, queues=queues)


def _with_outputs(model: Model, names: tuple[str, ...]) -> Model:
    """The model as one of its own that also hands out inner tensors."""
    outputs = tuple(dict.fromkeys((*model.graph.outputs, *names)))
    graph = replace(model.graph, outputs=outputs)
    if model.base is None:
        return replace(model, graph=graph, rewrites={}, split_rules={}, part_works={})
    return replace(
        model,
        graph=graph,
        proto=model.standalone_proto(),
        base=None,
        weight_slices={},
        origins={},
        splits=(),
        rewrites={},
        split_rules={},
        part_works={},
    )
