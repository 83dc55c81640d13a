"""Plugins of ONNX Runtime: what they offer is filtered, and what is missing is said in one line."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hetsim.core.errors import PlatformError
from hetsim.core.platform import Device
from hetsim.core.sources import Plugin
from hetsim.io.platform_file import load_platform
from hetsim.models.model import random_inputs
from hetsim.models.reference import evaluate
from hetsim.models.segments.files import SegmentStore
from hetsim.runtime.backends import make_backend, plugins
from hetsim.runtime.backends.protocol import Refused
from tests.support.models import fork_join

PROVIDER = "MadeUpExecutionProvider"
LIBRARY = "libmade_up.so"


def offered(kind: str, vendor: str) -> Any:
    """A device as ONNX Runtime would list it."""
    hardware = SimpleNamespace(type=f"OrtHardwareDeviceType.{kind}", vendor=vendor)
    return SimpleNamespace(ep_name=PROVIDER, device=hardware, ep_metadata={"version": "7.1"})


NPU, GPU = offered("NPU", "Qualcomm"), offered("GPU", "AMD")


def device(plugin: Plugin, target: str = PROVIDER) -> Device:
    return Device(name="npu", kind="npu", backend="onnxruntime", target=target, plugin=plugin)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file that a registration that does nothing takes for a plugin with two devices."""
    path = tmp_path / LIBRARY
    path.write_bytes(b"")
    found: list[Any] = []
    monkeypatch.setattr(plugins, "_registered", {})
    monkeypatch.setattr(
        plugins,
        "onnxruntime",
        SimpleNamespace(
            get_ep_devices=lambda: found,
            register_execution_provider_library=lambda _name, _path: found.extend((NPU, GPU)),
        ),
    )
    return str(path)


@pytest.mark.parametrize(
    ("vendor", "hardware", "expected"),
    [("", "", (NPU, GPU)), ("qualcomm", "", (NPU,)), ("", "gpu", (GPU,)), ("AMD", "gpu", (GPU,))],
)
def test_devices_are_chosen_by_vendor_and_type(
    library: str, vendor: str, hardware: Any, expected: tuple[Any, ...]
) -> None:
    plugin = Plugin(library=library, vendor=vendor, hardware=hardware)
    assert plugins.plugin_devices(device(plugin), plugin) == expected
    assert plugins.version_of(plugin, expected) == "7.1"


def test_hardware_that_is_not_here_is_named_beside_what_is(library: str) -> None:
    plugin = Plugin(library=library, vendor="AMD", hardware="npu")
    with pytest.raises(PlatformError, match=r"on hardware 'npu of AMD', but .* offers npu of Qualcomm, gpu of AMD"):
        plugins.plugin_devices(device(plugin), plugin)


def test_a_provider_comes_from_one_library_alone(library: str, tmp_path: Path) -> None:
    plugin = Plugin(library=library)
    plugins.plugin_devices(device(plugin), plugin)
    other = tmp_path / "other.so"
    other.write_bytes(b"")
    with pytest.raises(PlatformError, match=f"{PROVIDER} is registered from .*{LIBRARY} already"):
        plugins.plugin_devices(device(plugin), Plugin(library=str(other)))


def module(name: str, **content: Callable[[], object]) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(content)
    return made


def test_what_is_not_installed_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mute_plugin", module("mute_plugin"))
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    for plugin, message in (
        (Plugin(package="absent_plugin"), r"not installed \(.*\); install it with: pip install absent-plugin"),
        (Plugin(package="mute_plugin"), r"has no get_library_path\(\); give the library's path"),
        (Plugin(library="/absent/lib.so"), "library /absent/lib.so, and there is no such file"),
        (Plugin(library=str(broken)), f"ONNX Runtime cannot load the plugin {re.escape(str(broken))}"),
    ):
        with pytest.raises(PlatformError, match=message) as caught:
            make_backend(device(plugin, target="AbsentExecutionProvider"))
        assert "\n" not in str(caught.value)


def test_known_packages_are_listed_with_what_they_offer(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    brings = module("made_up", get_library_path=lambda: library, get_ep_names=lambda: [PROVIDER])
    monkeypatch.setitem(sys.modules, "made_up", brings)
    monkeypatch.setattr(plugins, "KNOWN_PACKAGES", ("made_up", "absent_plugin"))
    monkeypatch.setattr(plugins.metadata, "version", lambda _name: "7.1")
    found = plugins.offers()
    assert found["made_up"] == f"{PROVIDER} 7.1: npu of Qualcomm, gpu of AMD"
    assert found["absent_plugin"].endswith("pip install absent-plugin")


@pytest.mark.engines
@pytest.mark.skipif(importlib.util.find_spec("onnxruntime_qnn") is None, reason="onnxruntime-qnn is not installed")
def test_the_vendors_emulator_computes_a_network(tmp_path: Path) -> None:
    npu = load_platform("cpu+qnn-htp").device("npu")
    backend = make_backend(npu)
    assert re.match(r"onnxruntime \S+ QNNExecutionProvider \d+\.\d+", backend.describe())
    model = fork_join()
    inputs = random_inputs(model)
    output = np.zeros(model.graph.tensors["y"].shape, np.float32)
    compiled = backend.compile(SegmentStore(model, tmp_path).path(model, tuple(op.name for op in model.graph.ops)))
    compiled.bind(inputs, {"y": output})()
    right = evaluate(model.proto, inputs)["y"]
    assert np.abs(output - right).max() < 1e-4 * np.abs(right).max()
    with pytest.raises(PlatformError, match="on hardware 'gpu', but on this machine the plugin offers cpu of"):
        make_backend(replace(npu, plugin=Plugin(package="onnxruntime_qnn", hardware="gpu")))
    absent = replace(npu, options={"backend_path": "libabsent.so"})
    with pytest.raises(Refused):
        make_backend(absent).compile(SegmentStore(model, tmp_path).path(model, ("stem",)))
