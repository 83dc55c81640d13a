"""The engines: one file each, the only one that imports the engine's library, and only when a device needs it."""

from __future__ import annotations

from importlib import import_module

from hetsim.core.errors import PlatformError
from hetsim.core.platform import Device
from hetsim.runtime.backends.protocol import Backend

BACKENDS = ("onnxruntime", "openvino", "emulated", "fake")


def make_backend(device: Device) -> Backend:
    """Set up the engine of a device.

    Raises:
        PlatformError: If the engine is unknown or not installed, or lacks what the device asks for.
    """
    try:
        if device.backend == "onnxruntime":
            from hetsim.runtime.backends.onnxruntime import OnnxRuntimeBackend

            return OnnxRuntimeBackend(device)
        if device.backend == "openvino":
            from hetsim.runtime.backends.openvino import OpenVinoBackend

            return OpenVinoBackend(device)
        if device.backend == "emulated":
            from hetsim.runtime.backends.emulated import EmulatedBackend

            return EmulatedBackend(device)
        if device.backend == "fake":
            from hetsim.runtime.backends.fake import FakeBackend

            return FakeBackend(device, make_backend=make_backend)
    except ImportError as error:
        raise PlatformError(
            f"device {device.name!r} needs the engine {device.backend!r}, which is not installed ({error}); "
            f"install it with: pip install {device.backend}"
        ) from None
    if device.source is not None:
        raise PlatformError(
            f"device {device.name!r} is hypothetical, so nothing can be executed or measured on it; plan and simulate "
            "with it, or give it an engine"
        )
    raise PlatformError(f"device {device.name!r} asks for backend {device.backend!r}; there are {', '.join(BACKENDS)}")


def available_engines() -> dict[str, str]:
    """By real engine, a text with the hardware that it can use on this machine, or why it cannot be imported."""
    return {name: _targets(name) for name in BACKENDS if name not in ("emulated", "fake")}


def plugin_offers() -> dict[str, str]:
    """By package of a known plugin of ONNX Runtime, what it offers on this machine, or why it cannot be used."""
    from hetsim.runtime.backends.plugins import offers

    return offers()


def _targets(name: str) -> str:
    try:
        targets: tuple[str, ...] = import_module(f"hetsim.runtime.backends.{name}").targets()
    except ImportError as error:
        return f"not installed ({error}); pip install {name}"
    return ", ".join(targets)
