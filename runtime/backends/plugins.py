"""Execution providers that ONNX Runtime was not built with: plugins, each a library of a vendor.

A plugin is registered with ONNX Runtime once in a process. It then offers devices: a provider together with hardware of
this machine. A platform's device names the provider and may narrow the hardware down by vendor and type.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import onnxruntime

from hetsim.core.errors import PlatformError
from hetsim.core.platform import Device
from hetsim.core.sources import Plugin
from hetsim.models.reference import one_line

KNOWN_PACKAGES = ("onnxruntime_qnn", "onnxruntime_ep_openvino", "onnxruntime_ep_webgpu")
"""Python packages with plugins that are looked for; platform files may name others."""

_registered: dict[str, str] = {}
"""By provider, the library that was registered for it in this process."""


def plugin_devices(device: Device, plugin: Plugin) -> tuple[Any, ...]:
    """What the plugin of a platform's device offers for it on this machine: at least one of ONNX Runtime's devices.

    Raises:
        PlatformError: If the plugin is not installed, cannot be loaded, does not bring the provider, or offers no such
            hardware here.
    """
    offered = _offered(device.target, library_of(plugin, device))
    found = tuple(one for one in offered if _is_meant(one, plugin))
    if not found:
        wanted = " ".join(text for text in (plugin.hardware, plugin.vendor and f"of {plugin.vendor}") if text) or "any"
        here = ", ".join(map(_hardware, offered)) or "no device"
        raise PlatformError(
            f"device {device.name!r} asks for {device.target} of the plugin {plugin.origin} on hardware {wanted!r}, "
            f"but on this machine the plugin offers {here}; change device.{device.name}.plugin"
        )
    return found


def library_of(plugin: Plugin, device: Device) -> str:
    """The path of the plugin's library.

    Raises:
        PlatformError: If the package is not installed, says nothing of its library, or the file does not exist.
    """
    path = plugin.library
    if plugin.package:
        try:
            path = str(_package(plugin.package).get_library_path())
        except ImportError as error:
            raise PlatformError(
                f"device {device.name!r} needs the plugin {plugin.package}, which is not installed ({error}); install "
                f"it with: pip install {_distribution(plugin.package)}"
            ) from None
        except AttributeError:
            raise PlatformError(
                f"device {device.name!r} names the package {plugin.package} as a plugin, but it has no "
                f"get_library_path(); give the library's path as device.{device.name}.plugin.library"
            ) from None
    if not Path(path).is_file():
        raise PlatformError(f"device {device.name!r} needs the plugin's library {path}, and there is no such file")
    return path


def version_of(plugin: Plugin, offered: Sequence[Any]) -> str:
    """The version of a plugin: that of its package, or else what the library says."""
    if plugin.package:
        try:
            return metadata.version(_distribution(plugin.package))
        except metadata.PackageNotFoundError:
            pass
    return str(dict(offered[0].ep_metadata).get("version", "of unknown version"))


def offers() -> dict[str, str]:
    """By known package, in words, the providers that it registers and the hardware that they offer here."""
    return {package: _offer(package) for package in KNOWN_PACKAGES}


def _offer(package: str) -> str:
    try:
        module = _package(package)
        version, library = metadata.version(_distribution(package)), str(module.get_library_path())
        found = []
        for provider in module.get_ep_names():
            hardware = ", ".join(map(_hardware, _offered(provider, library))) or "no device on this machine"
            found.append(f"{provider} {version}: {hardware}")
    except (ImportError, metadata.PackageNotFoundError) as error:
        return f"not installed ({error}); pip install {_distribution(package)}"
    except (PlatformError, AttributeError, OSError) as error:
        return f"cannot be used: {one_line(error)}"
    return "; ".join(found)


def _package(name: str) -> ModuleType:
    return import_module(name)


def _distribution(package: str) -> str:
    """The name that a package is installed by."""
    return package.replace("_", "-")


def _offered(provider: str, library: str) -> list[Any]:
    """ONNX Runtime's devices with the provider, whose library is registered first.

    Raises:
        PlatformError: If the library cannot be loaded, or another one was registered for the provider.
    """
    known = _registered.setdefault(provider, library)
    if known != library:
        raise PlatformError(
            f"{provider} is registered from {known} already, so {library} cannot be; use one of the two"
        )
    offered = _devices_of(provider)
    if offered:
        return offered
    try:
        onnxruntime.register_execution_provider_library(provider, library)
    except Exception as error:  # the binding's exceptions have no common base class
        if "already registered" not in str(error):
            del _registered[provider]
            raise PlatformError(f"ONNX Runtime cannot load the plugin {library}: {one_line(error)}") from None
    return _devices_of(provider)


def _devices_of(provider: str) -> list[Any]:
    return [one for one in onnxruntime.get_ep_devices() if one.ep_name == provider]


def _is_meant(offered: Any, plugin: Plugin) -> bool:
    return plugin.hardware in ("", _type(offered)) and plugin.vendor.lower() in ("", offered.device.vendor.lower())


def _hardware(offered: Any) -> str:
    return f"{_type(offered)} of {offered.device.vendor}"


def _type(offered: Any) -> str:
    """The type of the hardware as platform files name it."""
    return str(offered.device.type).rpartition(".")[2].lower()
