"""Where an engine runs a platform's devices: execution providers of ONNX Runtime, plugins of OpenVINO."""

from __future__ import annotations

import re

from hetsim.core.errors import PlatformError
from hetsim.core.platform import Device
from hetsim.runtime.placement.files import ProviderEntry

CPU_PROVIDER = "CPUExecutionProvider"
_PROVIDERS = {"openvino": "OpenVINOExecutionProvider"}
"""By engine, the execution provider that brings it to ONNX Runtime."""
_PACKAGES = {
    "OpenVINOExecutionProvider": "onnxruntime_ep_openvino",
    "QNNExecutionProvider": "onnxruntime_qnn",
    "WebGpuExecutionProvider": "onnxruntime_ep_webgpu",
}
"""By provider, the Python package that brings it as a plugin."""
_CPU_PLUGIN = "openvino_intel_cpu_plugin"


def provider_entry(device: Device) -> ProviderEntry:
    """ONNX Runtime's provider of a device.

    Raises:
        PlatformError: If no provider is known for it.
    """
    if device.backend == "onnxruntime":
        provider = device.target or CPU_PROVIDER
        options = dict(device.options)
    elif device.backend in _PROVIDERS:
        provider = _PROVIDERS[device.backend]
        options = {"device_type": device.target or "CPU"}
    else:
        raise PlatformError(
            f"device {device.name!r} {_what(device)}, for which ONNX Runtime has no execution provider; there are "
            f"providers for the engines onnxruntime and {', '.join(_PROVIDERS)}"
        )
    return ProviderEntry(
        device=device.name,
        provider=provider,
        package=_PACKAGES.get(provider, ""),
        hardware=(device.target or "CPU") if device.backend in _PROVIDERS else "",
        options=options,
    )


def annotation(device: Device, number: int) -> str:
    """What marks a device's nodes: its name, unless ONNX Runtime's settings give a character in it a meaning."""
    return device.name if re.fullmatch(r"[\w.-]+", device.name) else f"device{number}"


def openvino_targets(devices: tuple[Device, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """OpenVINO's name of each device, and by name the library of plugins that have to be registered under it.

    Several devices on OpenVINO's CPU need a name each, or OpenVINO would not divide the model between them: the first
    is its CPU, others are its CPU plugin under a second name.

    Raises:
        PlatformError: If OpenVINO has no plugin for a device, or two devices are the same hardware beside the CPU.
    """
    targets: dict[str, str] = {}
    plugins: dict[str, str] = {}
    for number, device in enumerate(devices):
        target = _openvino_target(device)
        if target == "CPU" and "CPU" in targets.values():
            target = f"CPU_{re.sub(r'[^A-Za-z0-9]', '', device.name).upper() or number}"
            plugins[target] = _CPU_PLUGIN
        if target in targets.values():
            raise PlatformError(f"device {device.name!r} is OpenVINO's {target}, as another device of the plan is")
        targets[device.name] = target
    return targets, plugins


def _openvino_target(device: Device) -> str:
    if device.backend == "openvino":
        return device.target or "CPU"
    if device.backend == "onnxruntime" and device.target in ("", CPU_PROVIDER):
        return "CPU"
    raise PlatformError(
        f"device {device.name!r} {_what(device)}, for which OpenVINO has no plugin; there are plugins for the engine "
        f"openvino, and its CPU plugin for ONNX Runtime's {CPU_PROVIDER}"
    )


def _what(device: Device) -> str:
    if device.nature in ("hypothetical", "emulated"):
        return f"is {device.nature}"
    return f"has engine {device.backend!r}" + (f" with target {device.target!r}" if device.target else "")
