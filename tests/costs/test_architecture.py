"""Devices with an architecture: cycles from ZigZag, or from a stand-in for it, cached by the shape of operators."""

from __future__ import annotations

import logging
import multiprocessing
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import msgspec
import onnx
import pytest

from hetsim.core.errors import PlatformError
from hetsim.core.platform import Device
from hetsim.core.sources import Architecture
from hetsim.costs.hypothetical.architecture import ArchitectureCosts
from hetsim.costs.hypothetical.zigzag import Cycles, cache_path
from tests.support.models import images


@pytest.fixture
def architecture(tmp_path: Path) -> Architecture:
    for name in ("hardware", "mapping"):
        (tmp_path / f"{name}.yaml").write_text(name)
    return Architecture(
        hardware=str(tmp_path / "hardware.yaml"),
        mapping=str(tmp_path / "mapping.yaml"),
        clock_hz=1e6,
        cache=str(tmp_path / "cache" / "cycles.json"),
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[onnx.ModelProto]:
    """What a stand-in for ZigZag was asked, which takes 1000 cycles for each weight of a filter."""
    asked: list[onnx.ModelProto] = []

    def performance(model: onnx.ModelProto, *_: str, **__: object) -> tuple[float, float, list[object]]:
        asked.append(model)
        logging.getLogger().addHandler(logging.NullHandler())  # as the real one does
        kernel = next(a.ints for a in model.graph.node[0].attribute if a.name == "kernel_shape")
        return 1.0, 1000.0 * kernel[0] * kernel[1], []

    module = ModuleType("zigzag.api")
    module.get_hardware_performance_zigzag = performance  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "zigzag", ModuleType("zigzag"))
    monkeypatch.setitem(sys.modules, "zigzag.api", module)
    return asked


def npu(architecture: Architecture, **settings: object) -> Device:
    return Device(
        name="npu",
        kind="npu",
        backend="none",
        nature="hypothetical",
        precision="i8",
        architecture=architecture,
        **settings,
    )


def seconds(costs: ArchitectureCosts, *ops: str) -> float:
    found = costs.latency(ops)
    assert found is not None
    assert found.stated
    return found.seconds


@pytest.mark.usefixtures("asked")
@pytest.mark.equation("zigzag")
def test_a_segment_takes_the_cycles_of_its_layers_and_one_launch(architecture: Architecture) -> None:
    bounded = replace(architecture, memory_bytes_per_s=1e6)
    costs = ArchitectureCosts(npu(bounded, launch_s=0.5), bounded, images())
    assert seconds(costs, "first") == pytest.approx(0.5 + 0.009)
    assert seconds(costs, "second", "third") == pytest.approx(0.5 + 0.009 + 0.001)
    # relu reads and writes 4 * 8 * 8 numbers of a byte at 1e6 bytes a second
    assert seconds(costs, "first", "relu") == pytest.approx(0.5 + 0.009 + 512e-6)
    # the filters of first are 144 bytes and its bias 4
    assert costs.traffic_bytes(("first",)) == 256 + 148 + 256
    folded = replace(bounded, folded_ops=("Relu",))
    assert seconds(ArchitectureCosts(npu(folded), folded, images()), "first", "relu") == pytest.approx(0.009)


@pytest.mark.usefixtures("asked")
@pytest.mark.equation("zigzag")
def test_without_a_bandwidth_operators_that_zigzag_does_not_model_are_refused(architecture: Architecture) -> None:
    costs = ArchitectureCosts(npu(architecture), architecture, images())
    assert costs.latency(("pool",)) is None
    assert costs.latency(("third", "pool")) is None
    assert seconds(costs, "third") == pytest.approx(0.001)
    limited = ArchitectureCosts(npu(architecture, supported_ops=("Relu",)), architecture, images())
    assert limited.latency(("third",)) is None


@pytest.mark.equation("zigzag")
def test_each_shape_is_asked_once_and_remembered(architecture: Architecture, asked: list[onnx.ModelProto]) -> None:
    handlers = list(logging.getLogger().handlers)
    cycles = Cycles("npu", architecture, images())
    assert [cycles.cycles(op) for op in ("first", "second", "third")] == [9000.0, 9000.0, 1000.0]
    assert len(asked) == 2  # first and second are alike: a bias, or who says how to pad, makes no difference
    again = Cycles("npu", architecture, images())
    assert [again.cycles(op) for op in ("first", "second", "third")] == [9000.0, 9000.0, 1000.0]
    assert len(asked) == 2
    assert logging.getLogger().handlers == handlers
    Cycles("npu", architecture, images(size=16)).cycles("first")
    assert len(asked) == 3
    Path(architecture.mapping).write_text("another mapping")
    Cycles("npu", architecture, images()).cycles("first")
    assert len(asked) == 4


def test_the_operator_s_graph_has_all_settings(architecture: Architecture, asked: list[onnx.ModelProto]) -> None:
    Cycles("npu", architecture, images()).cycles("second")
    (node,) = asked[0].graph.node
    settings = {attribute.name: attribute.i or list(attribute.ints) for attribute in node.attribute}
    assert settings == {
        "kernel_shape": [3, 3],
        "strides": [1, 1],
        "dilations": [1, 1],
        "pads": [1, 1, 1, 1],
        "group": 1,
    }


def _fill(architecture: Architecture, size: int) -> None:
    module = ModuleType("zigzag.api")
    module.get_hardware_performance_zigzag = lambda *_, **__: (0.0, float(size), [])  # type: ignore[attr-defined]
    sys.modules["zigzag"], sys.modules["zigzag.api"] = ModuleType("zigzag"), module
    Cycles("npu", architecture, images(size=size)).cycles("first")


def test_two_processes_keep_each_other_s_cycles(architecture: Architecture) -> None:
    context = multiprocessing.get_context("fork")
    sizes = range(4, 12)
    workers = [context.Process(target=_fill, args=(architecture, size)) for size in sizes]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * len(sizes)
    kept = msgspec.json.decode(Path(architecture.cache).read_bytes(), type=dict[str, float])
    assert sorted(kept.values()) == [float(size) for size in sizes]


def test_without_zigzag_its_absence_is_one_line(architecture: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zigzag", None)
    monkeypatch.setitem(sys.modules, "zigzag.api", None)
    cycles = Cycles("npu", architecture, images())  # what is remembered needs no ZigZag
    with pytest.raises(PlatformError, match=r"'npu' needs ZigZag, which is not installed .*hetsim\[zigzag\]"):
        cycles.cycles("first")
    monkeypatch.setattr("hetsim.costs.hypothetical.zigzag.find_spec", lambda _: None)
    with pytest.raises(PlatformError, match=r"device.npu.architecture.hardware 'tpu_like' is one of ZigZag's own, wh"):
        Cycles("npu", replace(architecture, hardware="tpu_like"), images())


@pytest.mark.usefixtures("asked")
def test_wrong_files_are_named(architecture: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        PlatformError, match=r"architecture.mapping 'nowhere.yaml' is not a file; give a file in ZigZag's"
    ):
        Cycles("npu", replace(architecture, mapping="nowhere.yaml"), images())
    Path(architecture.cache).parent.mkdir()
    Path(architecture.cache).write_text('{"a": "b"}')
    with pytest.raises(PlatformError, match=r"the cache of cycles .*cycles.json is malformed: .*; remove the file"):
        Cycles("npu", architecture, images())
    Path(architecture.cache).unlink()

    def fails(*_: object, **__: object) -> None:
        raise ValueError("no such dimension\nand more")

    monkeypatch.setattr(sys.modules["zigzag.api"], "get_hardware_performance_zigzag", fails)
    with pytest.raises(
        PlatformError, match=r"ZigZag cannot map operator 'first' \(Conv\) onto device 'npu': ValueErro"
    ):
        Cycles("npu", architecture, images()).cycles("first")
    assert not Path(architecture.cache).exists()


def test_the_cache_is_where_the_user_s_setting_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_path() == tmp_path / "hetsim" / "zigzag.json"


@pytest.mark.filterwarnings("ignore")
def test_zigzag_itself_answers(tmp_path: Path) -> None:
    pytest.importorskip("zigzag.api")
    architecture = Architecture(
        hardware="edge_tpu_like", mapping="edge_tpu_like", clock_hz=1e9, cache=str(tmp_path / "cycles.json")
    )
    model = images(size=16, channels=8)
    found = Cycles("npu", architecture, model).cycles("first")
    # 8 * 8 * 9 * 256 multiply-accumulates on an array of 1024, and at least 2048 bytes out at 8 a cycle
    assert found >= max(8 * 8 * 9 * 256 / 1024, 2048 / 8)
    assert found < 8 * 8 * 9 * 256
    with pytest.raises(
        PlatformError, match=r"hardware 'tpu' is not a name that ZigZag ships; it ships .*edge_tpu_like"
    ):
        Cycles("npu", replace(architecture, hardware="tpu"), model)
