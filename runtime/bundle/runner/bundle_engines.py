"""The engines that run a bundle's segments, each bound to the tensors in shared memory."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
from bundle_files import Bundle, BundleError, Json


def compile_onnxruntime(bundle: Bundle, device: Json, step: Json, memory: mmap.mmap) -> Callable[[], object]:
    """A step of ONNX Runtime's, bound to its tensors."""
    import onnxruntime

    if device["target"] not in onnxruntime.get_available_providers():
        raise BundleError(f"device {device['name']!r} needs {device['target']}, which this onnxruntime does not have")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = device["threads"]
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if device["target"] != "CPUExecutionProvider":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    session = onnxruntime.InferenceSession(
        str(bundle.folder / step["file"]), options, providers=[device["target"]], provider_options=[device["options"]]
    )
    binding = session.io_binding()
    for names, bind in ((step["reads"], binding.bind_input), (step["writes"], binding.bind_output)):
        for name in names:
            array = bundle.array(memory, name)
            bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
    return lambda: session.run_with_iobinding(binding)


def compile_openvino(bundle: Bundle, device: Json, step: Json, memory: mmap.mmap) -> Callable[[], object]:
    """A step of OpenVINO's, bound to its tensors."""
    import openvino

    core = openvino.Core()
    if not any(name == device["target"] or name.startswith(device["target"] + ".") for name in core.available_devices):
        raise BundleError(f"device {device['name']!r} needs OpenVINO's {device['target']}, which is not here")
    settings = {"INFERENCE_PRECISION_HINT": device["precision"]}
    if device["target"] == "CPU":
        settings.update(INFERENCE_NUM_THREADS=str(device["threads"]), NUM_STREAMS="1", ENABLE_CPU_PINNING="NO")
    settings.update(device["options"])
    model = _in_own_format(core.read_model(bundle.folder / step["file"]), bundle)
    compiled = core.compile_model(model, device["target"], settings)
    request = compiled.create_infer_request()
    for port in compiled.inputs:  # by name: the engine may have removed an input that has no effect
        name = port.node.get_friendly_name()
        request.set_tensor(port, _tensor(port, bundle.array(memory, name)))
    for port, name in zip(compiled.outputs, step["writes"]):  # noqa: B905  (Python 3.9)
        request.set_tensor(port, _tensor(port, bundle.array(memory, name)))
    return lambda: request.infer(share_outputs=True)


def _in_own_format(model: Any, bundle: Bundle) -> Any:
    """The model with the tensors that the device stores in bf16, images among them with their channels last."""
    import openvino
    from openvino.preprocess import PrePostProcessor

    steps, changed = PrePostProcessor(model), False
    ports = [(port, steps.input(i)) for i, port in enumerate(model.inputs)]
    ports += [(port, steps.output(i)) for i, port in enumerate(model.outputs)]
    for port, change in ports:
        tensor: Json = next((bundle.tensors[name] for name in port.get_names() if name in bundle.tensors), {})
        if tensor.get("stored_as"):
            changed = True
            change.tensor().set_element_type(getattr(openvino.Type, tensor["stored_as"]))
            if tensor.get("is_image"):
                change.tensor().set_layout(openvino.Layout("NHWC"))
                change.model().set_layout(openvino.Layout("NCHW"))
    return steps.build() if changed else model


def _tensor(port: Any, array: Any) -> Any:
    import openvino

    element_type = port.get_element_type()
    if element_type == openvino.Type(array.dtype):
        return openvino.Tensor(array, shared_memory=True)
    memory = array.reshape(-1).view(np.uint8)[: element_type.size * array.size]
    return openvino.Tensor(memory, port.shape, element_type)


def compile_fake(bundle: Bundle, device: Json, step: Json, memory: mmap.mmap) -> Callable[[], object]:
    """A step of the make-believe engine of tests: element k of an output is half the sum of all inputs' means + k % 7.

    The C++ runner has the same, so that both are tested without an engine.
    """
    reads = [bundle.array(memory, name) for name in step["reads"]]
    writes = [bundle.array(memory, name) for name in step["writes"]]

    def run() -> None:
        if device["options"].get("fail") in step["ops"]:
            raise RuntimeError("told to fail")
        half = 0.5 * sum(float(np.mean(array, dtype=np.float64)) for array in reads)
        for array in writes:
            array.reshape(-1)[...] = half + np.arange(array.size) % 7

    return run


ENGINES: dict[str, Callable[[Bundle, Json, Json, mmap.mmap], Callable[[], object]]] = {
    "onnxruntime": compile_onnxruntime,
    "openvino": compile_openvino,
    "fake": compile_fake,
}
