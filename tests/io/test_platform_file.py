"""Platform files: what is written is read back equal, and every wrong field is named with its path."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hetsim.core.errors import PlatformError
from hetsim.core.platform import Calibration, Device, Link, Memory, Platform
from hetsim.io.platform_file import builtin_platforms, format_platform, load_platform, parse_platform

TWO_DEVICES = """
name = "pair"
[device.cpu]
kind = "cpu"
backend = "onnxruntime"
[device.npu]
kind = "npu"
backend = "openvino"
nature = "stand-in"
"""

FULL = Platform(
    name="full",
    description="every field has a value of its own",
    devices=(
        Device(name="cpu", kind="cpu", backend="onnxruntime", cores=(0, 1), threads=2, launch_s=1.5e-6),
        Device(
            name="npu",
            kind="npu",
            backend="openvino",
            target="NPU",
            nature="hypothetical",
            precision="bf16",
            supported_ops=("Conv", "Relu"),
            options={"NPU_TURBO": "YES"},
        ),
    ),
    links={
        ("cpu", "npu"): Link(setup_s=2e-6, bandwidth_bytes_per_s=1e9, mode="copy"),
        ("npu", "cpu"): Link(setup_s=1e-6, read_s_per_byte=5e-11, written_s_per_byte=2e-11),
    },
    memory=Memory(alone_bytes_per_s={"cpu": 1e10, "npu": math.inf}, shared_bytes_per_s=4.2e10),
    calibration=Calibration(date="2026-11-22T10:00:00Z", machine="Some processor, 2 cores", num_samples=50),
)


@pytest.mark.parametrize("name", builtin_platforms())
def test_built_in_platforms_survive_a_round_trip(name: str) -> None:
    platform = load_platform(name)
    assert platform.name == name
    assert parse_platform(format_platform(platform), source="again") == platform


def test_every_field_survives_a_round_trip_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / "full.toml"
    path.write_text(format_platform(FULL), "utf-8")
    assert load_platform(path) == FULL
    assert load_platform(str(path)) == FULL


def test_stand_ins_and_hypothetical_devices_say_so() -> None:
    assert load_platform().device("npu").label == "npu (stand-in)"
    assert FULL.device("npu").label == "npu (hypothetical)"
    assert FULL.device("cpu").label == "cpu"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("[device.x]\nkind = 'cpu'", r"device\.x: Object missing required field `backend`"),
        ("[device.x]\nkind = 'tpu'\nbackend = 'b'", r"device\.x\.kind: Invalid enum value 'tpu'"),
        ("[device.x]\nkind = 'cpu'\nbackend = 'b'\nthreads = 'two'", r"device\.x\.threads: Expected `int`, got `str`"),
        ("[device.x]\nkind = 'cpu'\nbackend = 'b'\nthreads = true", r"device\.x\.threads: Expected `int`, got `bool`"),
        ("[device.x]\nkind = 'cpu'\nbackend = 'b'\nthreads = 0", r"device\.x\.threads must be at least 1, got 0"),
        ("[device.x]\nkind = 'cpu'\nbackend = 'b'\ncores = [-1]", r"device\.x\.cores must be 0 or more"),
        ("[device.x]\nkind = 'cpu'\nbackend = 'b'\ncoers = [1]", r"device\.x: .*unknown field `coers`"),
        ("[device.x]\nkind = 'cpu'\nbackend = 'b'\nlaunch_s = nan", r"device\.x\.launch_s must be a finite .* got nan"),
        ("[device.x]\nkind = 'cpu'\nbackend = 'b'\nlaunch_s = -1e-6", r"device\.x\.launch_s must be .* got -1e-06"),
        ("[device.x]\nkind = 'cpu'\nbackend = 'b'\nlaunch_s = inf", r"device\.x\.launch_s must be a finite"),
        ("[device.x]\nkind = 'cpu'\nbackend = 'b'\ncount = 0", r"device\.x\.count must be at least 1, got 0"),
        ("[device.x]\nkind = 'cpu'\nbackend = 'b'\ncount = 3\ncores = [1]", "must name one core for each of 3"),
        ("[device.np]\nkind = 'npu'\nbackend = 'b'\ncount = 2\n[device.np0]\nkind = 'npu'\nbackend = 'b'", "twice"),
        ("[device]\nx = 3", r"device\.x: Expected `object`, got `int`"),
        ('[link."cpu->npu"]\nsetup_s = -1.0', r'link\."cpu->npu"\.setup_s must be a finite number, 0 or more, got -1'),
        ('[link."cpu->npu"]\nsetup_s = nan', r"setup_s must be a finite number, 0 or more, got nan"),
        ('[link."cpu->npu"]\nsetup_s = "2us"', r'link\."cpu->npu"\.setup_s: Expected `float`, got `str`'),
        ('[link."cpu->npu"]\nbandwidth_bytes_per_s = 0.0', r"bandwidth_bytes_per_s must be more than 0, got 0"),
        ('[link."cpu->npu"]\nbandwidth_bytes_per_s = nan', r"bandwidth_bytes_per_s must be more than 0, got nan"),
        ('[link."cpu->npu"]\nread_s_per_byte = -1e-9', r"read_s_per_byte must be .*, 0 or more, got -1e-09"),
        ('[link."cpu->npu"]\nread_s_per_byte = inf', r"read_s_per_byte must be a finite number, 0 or more, got inf"),
        ('[link."cpu->npu"]\nwritten_s_per_byte = nan', r"written_s_per_byte must be a finite number, .* got nan"),
        (
            '[link."cpu->npu"]\nmode = "copy"\nwritten_s_per_byte = 1e-9',
            r"link\.\"cpu->npu\" has mode 'copy', whose copies cost neither end anything; remove read_s_per_byte and",
        ),
        ('[link."cpu->npu"]\nbandwith = 1.0', r'link\."cpu->npu" has unknown field \'bandwith\'; it may have setup_s'),
        ('[link."cpu->npu"]\nmode = "teleport"', r'link\."cpu->npu"\.mode: Invalid enum value'),
        ('[link."cpu->gpu"]', r'link\."cpu->gpu" names device \'gpu\'; the platform has cpu, npu'),
        ('[link."cpu->cpu"]', r'link\."cpu->cpu" leads back to the same device'),
        ("[link.cpu]", r'link\."cpu" must be named FROM->TO'),
        ("[memory]\nshared_bytes_per_s = 0.0", r"memory\.shared_bytes_per_s must be more than 0"),
        ("[memory]\nspeed = 1.0", r"memory has unknown field 'speed'"),
        ("[memory.alone_bytes_per_s]\ncpu = nan", r"memory\.alone_bytes_per_s\.cpu must be more than 0, got nan"),
        ("[memory.alone_bytes_per_s]\ngpu = 1e9", r"memory\.alone_bytes_per_s names device 'gpu'"),
        ("[calibration]\ndate = 'today'", r"calibration: Object missing required field `machine`"),
        ("[calibratoin]\ndate = 'today'", r"the file: .*unknown field `calibratoin`"),
        ("not toml", "Expected '='"),
    ],
)
def test_wrong_field_is_named(extra: str, message: str) -> None:
    with pytest.raises(PlatformError, match=message) as caught:
        parse_platform(TWO_DEVICES + extra, source="bad.toml")
    assert str(caught.value).startswith("platform bad.toml: ")
    assert "\n" not in str(caught.value)


def test_platform_needs_a_device() -> None:
    with pytest.raises(PlatformError, match=r"has no device; add a \[device.NAME\] table"):
        parse_platform('name = "empty"\n[device]', source="empty.toml")


def test_count_stands_for_that_many_devices_with_a_core_each() -> None:
    text = TWO_DEVICES.replace("[device.npu]", "[device.npu]\ncount = 3\ncores = [1, 2, 5]\nlaunch_s = 1e-6")
    platform = parse_platform(text, source="four")
    assert platform.device_names == ("cpu", "npu0", "npu1", "npu2")
    assert [device.cores for device in platform.devices[1:]] == [(1,), (2,), (5,)]
    assert {device.launch_s for device in platform.devices[1:]} == {1e-6}
    assert parse_platform(format_platform(platform), source="again") == platform


def test_missing_file_lists_what_is_built_in(tmp_path: Path) -> None:
    listed = re.escape(", ".join(builtin_platforms()))
    with pytest.raises(PlatformError, match=f"no platform 'cpu.gpu' .*built in are {listed}"):
        load_platform("cpu+gpu")
    with pytest.raises(PlatformError, match="directory"):
        load_platform(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlatformError, match="not UTF-8 text"):
        load_platform(tmp_path / "binary.toml")


@pytest.mark.equation("transfer")
def test_absent_link_is_free_and_present_ones_follow_their_mode() -> None:
    assert load_platform().link("cpu", "npu").transfer_s(2**30) == 0.0
    assert FULL.link("cpu", "npu").transfer_s(1_000_000) == pytest.approx(2e-6 + 1e-3)
    assert FULL.link("npu", "cpu").transfer_s(1_000_000) == 1e-6  # no bandwidth given: bytes cost nothing


def test_unknown_device_lists_those_there_are() -> None:
    with pytest.raises(PlatformError, match="no device 'gpu' on platform 'full'; it has cpu, npu"):
        FULL.device("gpu")


def test_with_devices_replaces_by_name_and_keeps_the_order() -> None:
    changed = FULL.with_devices(Device(name="cpu", kind="cpu", backend="fake"))
    assert [device.backend for device in changed.devices] == ["fake", "openvino"]


def test_a_device_alone_keeps_what_the_platform_says_of_it_and_of_no_other() -> None:
    platform = replace(
        parse_platform(TWO_DEVICES, source="pair"),
        links={("cpu", "npu"): Link(setup_s=1e-6)},
        memory=Memory(alone_bytes_per_s={"cpu": 1e9, "npu": 2e9}, shared_bytes_per_s=2.5e9),
    )
    alone = platform.only("cpu")
    assert (alone.devices, alone.links) == ((platform.device("cpu"),), {})
    assert alone.memory == Memory(alone_bytes_per_s={"cpu": 1e9}, shared_bytes_per_s=2.5e9)
    with pytest.raises(PlatformError, match="no device 'gpu'"):
        platform.only("gpu")
