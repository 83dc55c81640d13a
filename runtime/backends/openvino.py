"""OpenVINO with any of its devices."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import openvino
from openvino.passes import ConstantFolding, Manager
from openvino.preprocess import PrePostProcessor

from hetsim.core.errors import PlatformError
from hetsim.core.platform import Device
from hetsim.runtime.backends.protocol import Array, DeviceLocal, Place, Refused, arrays_only

_PRECISIONS = {"f32": "f32", "bf16": "bf16", "f16": "f16"}
_OWN_FORMATS = {("CPU", "bf16"): openvino.Type.bf16}
"""By target and precision, the type of device-local tensors; images have their channels last, as convolutions prefer.
Other targets and precisions store device-local tensors in the model's format."""


class OpenVinoBackend:
    """OpenVINO for one device.

    Args:
        device: ``target`` names OpenVINO's device (``"CPU"``, ``"GPU"``, ``"NPU"``); ``options`` are its properties.

    Raises:
        PlatformError: If this machine has no such device, or it lacks the precision.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._target = device.target or "CPU"
        self._core = openvino.Core()
        available = self._core.available_devices
        if not any(name == self._target or name.startswith(f"{self._target}.") for name in available):
            raise PlatformError(
                f"device {device.name!r} asks for OpenVINO's {self._target}, but OpenVINO sees only "
                f"{', '.join(available)} here; install its driver, or change device.{device.name}.target"
            )
        if device.precision not in _PRECISIONS:
            raise PlatformError(
                f"device.{device.name}.precision: OpenVINO takes {', '.join(_PRECISIONS)}, not {device.precision}"
            )
        capabilities = self._core.get_property(self._target, "OPTIMIZATION_CAPABILITIES")
        wanted = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}[device.precision]
        if wanted not in capabilities and device.precision != "f32":
            raise PlatformError(
                f"device {device.name!r} asks for {device.precision}, which this processor's {self._target} device "
                f'lacks (it has {", ".join(capabilities)}); use precision = "f32", such as --platform cpu+npu'
            )
        self._settings: dict[str, str] = {"INFERENCE_PRECISION_HINT": _PRECISIONS[device.precision]}
        if self._target == "CPU":
            self._settings |= {
                "INFERENCE_NUM_THREADS": str(device.threads),
                "NUM_STREAMS": "1",
                "ENABLE_CPU_PINNING": "NO",  # the process itself is pinned
            }
        self._settings |= dict(device.options)
        self._own = _OWN_FORMATS.get((self._target, device.precision))

    def describe(self) -> str:
        device = self._device
        own = "" if self._own is None else ", own tensors likewise"
        return f"openvino {_version()} {self._target} {device.precision} {device.threads} thread(s){own}"

    def compile(self, path: Path, device_local: Collection[DeviceLocal] = ()) -> OpenVinoSegment:
        try:
            formats = {} if self._own is None else {each.tensor: each for each in device_local}
            model = _in_own_format(self._core.read_model(path), formats, self._own) if formats else path
            compiled = self._core.compile_model(model, self._target, self._settings)
        except Exception as error:  # the binding raises RuntimeError and several of its own
            raise Refused(" ".join(str(error).split())) from None
        for port in (*compiled.inputs, *compiled.outputs):
            if port.partial_shape.is_dynamic:
                raise Refused(f"the shape of tensor {port.any_name!r} depends on the data: {port.partial_shape}")
        for result in compiled.get_runtime_model().get_results():
            source = result.input_value(0).get_node()
            if source.get_rt_info()["layerType"].astype(str) == "Input":
                raise Refused(
                    f"output {source.get_friendly_name()!r} is an unchanged input, which OpenVINO does not copy"
                )
        return OpenVinoSegment(compiled)


class OpenVinoSegment:
    """A segment compiled by OpenVINO."""

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        self._compiled = compiled

    def bind(self, inputs: Mapping[str, Place], outputs: Mapping[str, Place]) -> Callable[[], object]:
        inputs, outputs = arrays_only(inputs), arrays_only(outputs)
        request = self._compiled.create_infer_request()
        try:
            # By name, not by position: the engine may have removed an input that has no effect.
            for port in self._compiled.inputs:
                array = inputs[port.node.get_friendly_name()]
                request.set_tensor(port, _tensor(port, array))
            for port, array in zip(self._compiled.outputs, outputs.values(), strict=True):
                request.set_tensor(port, _tensor(port, array))
        except Exception as error:  # as above, and KeyError if an input has lost its name
            raise Refused(" ".join(str(error).split())) from None
        # The synchronous call runs in this thread and so on this core; shared outputs are not copied.
        return partial(request.infer, share_outputs=True)


def _in_own_format(
    model: openvino.Model, formats: Mapping[str, DeviceLocal], element_type: openvino.Type
) -> openvino.Model:
    """The model with some of its inputs and outputs of another type, and images among them with channels last."""
    steps = PrePostProcessor(model)
    ports = [(port, steps.input(i)) for i, port in enumerate(model.inputs)]
    ports += [(port, steps.output(i)) for i, port in enumerate(model.outputs)]
    for port, step in ports:
        device_local = next((formats[name] for name in port.get_names() if name in formats), None)
        if device_local is not None:
            step.tensor().set_element_type(element_type)
            if device_local.is_image:
                step.tensor().set_layout(openvino.Layout("NHWC"))
                step.model().set_layout(openvino.Layout("NCHW"))
    return steps.build()


def _tensor(port: openvino.ConstOutput, array: Array) -> openvino.Tensor:
    """The array's memory as a tensor of the port's type, which is the array's or a smaller one."""
    element_type = port.get_element_type()
    if element_type == openvino.Type(array.dtype):
        return openvino.Tensor(array, shared_memory=True)
    memory = array.reshape(-1).view(np.uint8)[: element_type.size * array.size]
    return openvino.Tensor(memory, port.shape, element_type)


def _version() -> str:
    return str(openvino.__version__).partition("-")[0]


def targets() -> tuple[str, ...]:
    """OpenVINO's devices on this machine."""
    return tuple(openvino.Core().available_devices)


@dataclass(frozen=True, slots=True)
class IrNode:
    """A node of OpenVINO's files.

    Attributes:
        name: Its friendly name.
        kind: Its type.
        tensors: Names of the tensors that it makes.
        readers: Friendly names of the nodes that read these.
    """

    name: str
    kind: str
    tensors: tuple[str, ...]
    readers: tuple[str, ...]


def convert_to_ir(source: Path, path: Path) -> tuple[IrNode, ...]:
    """Convert an ONNX file to OpenVINO's files, in the same precision, and return what they hold, in topological order.

    Nothing but constants is folded and nothing fused, so that each node still belongs to one of the source.

    Raises:
        Refused: If OpenVINO cannot convert it.
    """
    core = openvino.Core()
    try:
        model = core.read_model(source)
        folding = Manager()
        folding.register_pass(ConstantFolding())  # shapes, which the converter computes by nodes of their own
        folding.run_passes(model)
        openvino.save_model(model, path, compress_to_fp16=False)
        nodes = core.read_model(path).get_ordered_ops()
    except Exception as error:  # as above
        raise Refused(" ".join(str(error).split())) from None
    return tuple(
        IrNode(
            name=node.get_friendly_name(),
            kind=node.get_type_name(),
            tensors=tuple(sorted(name for port in node.outputs() for name in port.get_names())),
            readers=tuple(
                reader.get_node().get_friendly_name() for port in node.outputs() for reader in port.get_target_inputs()
            ),
        )
        for node in nodes
    )
