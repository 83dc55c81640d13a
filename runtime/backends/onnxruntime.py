"""ONNX Runtime with any of its execution providers, built in or brought by a plugin."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import onnxruntime

from hetsim.core.errors import PlatformError
from hetsim.core.platform import Device
from hetsim.models.segments.custom_ops import custom_ops_of
from hetsim.runtime.backends.box import Box
from hetsim.runtime.backends.plugins import plugin_devices, version_of
from hetsim.runtime.backends.protocol import DeviceLocal, Place, Refused, arrays_only

_CPU = "CPUExecutionProvider"


class OnnxRuntimeBackend:
    """ONNX Runtime for one device.

    Args:
        device: ``target`` names the execution provider (default: the CPU's); ``options`` are passed to it.

    Raises:
        PlatformError: If this installation lacks the provider, or the device's plugin or its hardware are not here, or
            the device asks the CPU provider for another precision than f32.
    """

    def __init__(self, device: Device) -> None:
        self._provider = device.target or _CPU
        self._device = device
        self._offered: tuple[Any, ...] = ()
        if device.plugin is not None:
            self._offered = plugin_devices(device, device.plugin)
            return
        available = onnxruntime.get_available_providers()
        if self._provider not in available:
            raise PlatformError(
                f"device {device.name!r} asks for ONNX Runtime's {self._provider}, but this installation has only "
                f"{', '.join(available)}; install the onnxruntime package that has it, or change "
                f"device.{device.name}.target"
            )
        if self._provider == _CPU and device.precision != "f32":
            raise PlatformError(
                f"device {device.name!r} asks for {device.precision}, but ONNX Runtime's CPU provider computes in the "
                'model\'s own precision; use precision = "f32"'
            )

    def describe(self) -> str:
        device, provider = self._device, self._provider
        if device.plugin is not None:
            provider += f" {version_of(device.plugin, self._offered)}"
        return f"onnxruntime {onnxruntime.__version__} {provider} {device.precision} {device.threads} thread(s)"

    def compile(self, path: Path, device_local: Collection[DeviceLocal] = ()) -> OnnxRuntimeSegment:  # noqa: ARG002  (in the model's format)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._device.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors are raised
        for library in custom_ops_of(path):
            options.register_custom_ops_library(library)
        if self._provider != _CPU:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            session = self._session(path, options)
        except Exception as error:  # the binding's exceptions have no common base class
            raise Refused(" ".join(str(error).split())) from None
        if session.get_providers()[0] != self._provider:
            raise Refused(f"ONNX Runtime fell back from {self._provider} to {session.get_providers()[0]}")
        return OnnxRuntimeSegment(session)

    def _session(self, path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
        """A session with the device's provider; its exceptions are the binding's."""
        settings = dict(self._device.options)
        if not self._offered:
            return onnxruntime.InferenceSession(path, options, providers=[self._provider], provider_options=[settings])
        options.add_provider_for_devices(list(self._offered[:1]), settings)
        with _silenced():
            return onnxruntime.InferenceSession(path, options)


class OnnxRuntimeSegment:
    """A segment compiled by ONNX Runtime."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def bind(self, inputs: Mapping[str, Place], outputs: Mapping[str, Place]) -> Callable[[], object]:
        if any(isinstance(place, Box) for place in (*inputs.values(), *outputs.values())):
            return partial(self._run, inputs, outputs)
        inputs, outputs = arrays_only(inputs), arrays_only(outputs)
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        # Without run options: passing any takes about 30 microseconds a call.
        return partial(self._session.run_with_iobinding, binding)

    def _run(self, inputs: Mapping[str, Place], outputs: Mapping[str, Place]) -> None:
        """Run with values that cannot be bound."""
        feed = {name: place.get() if isinstance(place, Box) else place for name, place in inputs.items()}
        for place, value in zip(outputs.values(), self._session.run(list(outputs), feed), strict=True):
            if isinstance(place, Box):
                place.put(value)
            elif place.shape == value.shape:
                place[...] = value
            else:
                raise ValueError(f"an output has shape {list(value.shape)} instead of {list(place.shape)}")


@contextmanager
def _silenced() -> Iterator[None]:
    """Nothing that a vendor's library prints to the standard output gets there, where results of commands go."""
    sys.stdout.flush()
    stdout_fd, null_fd = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null_fd, 1)
        yield
    finally:
        os.dup2(stdout_fd, 1)
        os.close(stdout_fd)
        os.close(null_fd)


def targets() -> tuple[str, ...]:
    """Execution providers of this installation."""
    return tuple(onnxruntime.get_available_providers())


def graph_before_placement(path: Path) -> onnx.GraphProto:
    """What ONNX Runtime's first optimizations leave of a model, before it gives nodes to execution providers.

    Raises:
        Refused: If it cannot load the model.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with TemporaryDirectory() as folder:
        optimized = Path(folder) / "model.onnx"
        options.optimized_model_filepath = str(optimized)
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights.bin")
        try:
            onnxruntime.InferenceSession(path, options, providers=[_CPU])
        except Exception as error:  # as above
            raise Refused(" ".join(str(error).split())) from None
        return onnx.load(optimized, load_external_data=False).graph
