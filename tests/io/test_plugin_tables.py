"""Plugins and paced devices in platform files: read back equal, and every contradiction is one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hetsim.core.errors import PlatformError
from hetsim.core.sources import Plugin
from hetsim.io.platform_file import format_platform, load_platform, parse_platform

PACED = """
name = "phone"
[device.npu]
kind = "npu"
nature = "emulated"
backend = "onnxruntime"
target = "QNNExecutionProvider"
options = { backend_path = "libQnnHtp.so" }
[device.npu.plugin]
package = "onnxruntime_qnn"
hardware = "cpu"
[device.npu.sheet]
peak_ops_per_s = { f32 = 1e12 }
memory_bytes_per_s = 1e10
"""


def test_a_plugin_is_read_and_written() -> None:
    platform = parse_platform(PACED, source="phone")
    npu = platform.device("npu")
    assert npu.plugin == Plugin(package="onnxruntime_qnn", hardware="cpu")
    assert (npu.is_paced, npu.is_measured, npu.label) == (True, False, "npu (emulated)")
    assert parse_platform(format_platform(platform), source="again") == platform


def test_a_library_lies_beside_the_platform_file(tmp_path: Path) -> None:
    text = PACED.replace('package = "onnxruntime_qnn"', 'library = "lib/qnn.so"')
    (tmp_path / "phone.toml").write_text(text)
    plugin = load_platform(tmp_path / "phone.toml").device("npu").plugin
    assert plugin is not None
    assert plugin.library == str(tmp_path / "lib/qnn.so")


@pytest.mark.parametrize("name", ["cpu+qnn-htp", "cpu+qnn-htp-i8"])
def test_the_built_in_platforms_say_that_times_are_emulated(name: str) -> None:
    platform = load_platform(name)
    assert [device.name for device in platform.paced_devices] == ["npu"]
    assert "times emulated" in platform.description
    assert platform.device("npu").label == "npu (emulated)"


@pytest.mark.parametrize("name", ["cpu+qnn-htp", "cpu+qnn-htp-i8"])
def test_the_htp_s_emulated_times_are_those_of_the_traced_phone(name: str) -> None:
    platform, phone = load_platform(name), load_platform("phone-htp")
    mine, traced = platform.device("npu"), phone.device("npu")
    assert mine.launch_s == traced.launch_s
    assert mine.sheet is not None
    assert traced.sheet is not None
    assert mine.sheet.peak_ops_per_s["i8"] == traced.sheet.peak_ops_per_s["i8"]
    same = ("origin", "efficiency", "efficiency_by_class", "memory_bytes_per_s", "on_chip_bytes", "elements_per_s")
    assert [getattr(mine.sheet, each) for each in same] == [getattr(traced.sheet, each) for each in same]
    assert platform.links == phone.links


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('package = "onnxruntime_qnn"', "", "device.npu.plugin names neither package nor library; give one of the two"),
        (
            'package = "onnxruntime_qnn"',
            'package = "a"\nlibrary = "b.so"',
            "device.npu.plugin names package and library",
        ),
        ('package = "onnxruntime_qnn"', 'packages = "a"', "device.npu.plugin has unknown field 'packages'"),
        ('hardware = "cpu"', 'hardware = "tpu"', "device.npu.plugin.hardware: Invalid enum value 'tpu'"),
        ('hardware = "cpu"', "vendor = 7", "device.npu.plugin.vendor: Expected `str`, got `int`"),
        ('backend = "onnxruntime"', 'backend = "openvino"', "device.npu.plugin brings an execution provider of ONNX"),
        ('target = "QNNExecutionProvider"', "", "device.npu.plugin brings an execution provider of ONNX"),
        ('nature = "emulated"', "", "device.npu.backend is 'onnxruntime', but .*set nature = \"emulated\""),
        ('nature = "emulated"', 'nature = "real"', "device.npu.backend is 'onnxruntime', but"),
    ],
)
def test_what_contradicts_itself_is_one_line(before: str, after: str, message: str) -> None:
    assert before in PACED
    with pytest.raises(PlatformError) as caught:
        parse_platform(PACED.replace(before, after), source="phone")
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
