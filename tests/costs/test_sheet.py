"""Devices with a data sheet: rooflines in closed form, utilisation of lanes, tensors on the chip, folded operators."""

from __future__ import annotations

import math
from dataclasses import replace

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from hetsim.core.graph import Graph, Op, Tensor
from hetsim.core.platform import Device
from hetsim.core.sources import Sheet
from hetsim.costs.hypothetical.kernels import kernels
from hetsim.costs.hypothetical.layers import Layer, layers
from hetsim.costs.hypothetical.sheet import SheetCosts
from hetsim.models.importer import import_model
from tests.support.models import fork_join, model_of, weight

# Two convolutions and a ReLU between them, of 100 numbers each; the weights of a convolution are 250 numbers.
CHAIN = Graph(
    name="chain",
    ops=(
        Op(name="conv", kind="Conv", inputs=("x",), outputs=("a",), weight_bytes=1000, num_macs=50_000),
        Op(name="relu", kind="Relu", inputs=("a",), outputs=("b",)),
        Op(name="next", kind="Conv", inputs=("b",), outputs=("y",), weight_bytes=1000, num_macs=10_000),
    ),
    tensors={name: Tensor(name, (100,)) for name in ("x", "a", "b", "y")},
    inputs=("x",),
    outputs=("y",),
)
SHEET = Sheet(peak_ops_per_s={"f32": 1e6, "i8": 4e6}, memory_bytes_per_s=1e4, elements_per_s=1000.0)


def costs(sheet: Sheet = SHEET, graph: Graph = CHAIN, **settings: object) -> SheetCosts:
    device = Device(
        name="npu", kind="npu", backend="none", nature="hypothetical", launch_s=0.5, sheet=sheet, **settings
    )
    return SheetCosts(device, sheet, graph, {})


def seconds(found: SheetCosts, *ops: str) -> float:
    latency = found.latency(ops)
    assert latency is not None
    assert latency.stated
    assert not latency.measured
    return latency.seconds


@pytest.mark.equation("sheet")
def test_single_operators_by_hand() -> None:
    # conv: 100,000 operations at 1e6 a second are 0.1 s; 400 + 1000 + 400 bytes at 1e4 a second are 0.18 s.
    # relu: 100 elements at 1000 a second are 0.1 s; 800 bytes are 0.08 s.
    assert seconds(costs(), "conv") == pytest.approx(0.5 + 0.18)
    assert seconds(costs(), "relu") == pytest.approx(0.5 + 0.1)
    assert costs().traffic_bytes(("conv",)) == 1800
    # at a fifth of the peak conv's arithmetic takes 0.5 s
    assert seconds(costs(replace(SHEET, efficiency=0.2)), "conv") == pytest.approx(0.5 + 0.5)
    # in i8 a number has one byte: 100 + 250 + 100 bytes are 0.045 s, and 100,000 operations at 4e6 a second 0.025 s
    assert seconds(costs(precision="i8"), "conv") == pytest.approx(0.5 + 0.045)


@pytest.mark.equation("sheet")
def test_a_segment_is_its_kernels_one_after_the_other() -> None:
    assert seconds(costs(), "conv", "relu", "next") == pytest.approx(0.5 + 0.18 + 0.1 + 0.18)


@pytest.mark.equation("sheet")
def test_what_fits_stays_on_the_chip() -> None:
    # Both tensors of 400 bytes stay: conv moves 1400, relu nothing, next 1400 bytes.
    found = costs(replace(SHEET, on_chip_bytes=800))
    assert found.traffic_bytes(("conv", "relu", "next")) == 2800
    assert seconds(found, "conv", "relu", "next") == pytest.approx(0.5 + 0.14 + 0.1 + 0.14)
    # Room for one: a stays until relu has read it, so b does not fit while relu runs and goes to the memory and back.
    found = costs(replace(SHEET, on_chip_bytes=799))
    assert found.traffic_bytes(("conv", "relu", "next")) == 1400 + 400 + 1800
    # Room for none.
    assert costs(replace(SHEET, on_chip_bytes=399)).traffic_bytes(("conv", "relu", "next")) == 1800 + 800 + 1800
    # A segment's own inputs and outputs always move.
    assert costs(replace(SHEET, on_chip_bytes=10**9)).traffic_bytes(("conv",)) == 1800


@pytest.mark.equation("sheet")
def test_a_tensor_with_other_readers_is_written_although_it_stays() -> None:
    graph = replace(CHAIN, outputs=("y", "a"))
    assert costs(replace(SHEET, on_chip_bytes=800), graph).traffic_bytes(("conv", "relu", "next")) == 2800 + 400


@pytest.mark.equation("kernels")
def test_folded_operators_cost_nothing_behind_their_maker() -> None:
    sheet = replace(SHEET, folded_ops=("Relu",))
    # conv with its relu moves 400 + 1000 + 400 bytes, as conv alone does.
    assert seconds(costs(sheet), "conv", "relu") == pytest.approx(0.5 + 0.18)
    assert seconds(costs(sheet), "relu") == pytest.approx(0.5 + 0.1)  # alone it is an operator like any other
    assert kernels(CHAIN, ("conv", "relu", "next"), ("Relu",)) == [("conv", "relu"), ("next",)]
    assert kernels(CHAIN, ("relu", "next"), ("Relu",)) == [("relu",), ("next",)]
    shown = replace(CHAIN, outputs=("y", "a"))  # the caller wants what is between them
    assert kernels(shown, ("conv", "relu"), ("Relu",)) == [("conv",), ("relu",)]


@pytest.mark.equation("kernels")
def test_an_operator_folds_into_one_of_its_makers_and_runs_where_it_stands() -> None:
    graph = Graph(
        name="residual",
        ops=(
            Op(name="main", kind="Conv", inputs=("x",), outputs=("m",), num_macs=1),
            Op(name="short", kind="Conv", inputs=("x",), outputs=("s",), num_macs=1),
            Op(name="add", kind="Add", inputs=("m", "s"), outputs=("y",)),
        ),
        tensors={name: Tensor(name, (100,)) for name in ("x", "m", "s", "y")},
        inputs=("x",),
        outputs=("y",),
    )
    assert kernels(graph, ("main", "short", "add"), ("Add",)) == [("short",), ("main", "add")]
    # short reads x and writes s; main with add reads x and s, and writes y.
    sheet = Sheet(peak_ops_per_s={"f32": 1e9}, memory_bytes_per_s=1e4, folded_ops=("Add",))
    assert costs(sheet, graph).traffic_bytes(("main", "short", "add")) == 800 + 1200


def test_an_operator_that_is_not_supported_has_no_time() -> None:
    found = costs(supported_ops=("Conv",))
    assert found.latency(("conv",)) is not None
    assert found.latency(("conv", "relu")) is None


@pytest.mark.parametrize(
    ("layer", "lanes", "used"),
    [
        (Layer(groups=1, in_channels=64, out_channels=64), (16, 16), 1.0),
        (Layer(groups=1, in_channels=3, out_channels=64), (16, 16), 3 / 16),
        (Layer(groups=1, in_channels=17, out_channels=16), (16, 16), 17 / 32),
        (Layer(groups=1, in_channels=3, out_channels=5), (1, 1), 1.0),
        (Layer(groups=32, in_channels=1, out_channels=1), (16, 16), 1 / 16),  # depthwise: 16 groups along a diagonal
        (Layer(groups=17, in_channels=1, out_channels=1), (16, 16), 17 / 512),  # two tiles, one for the last group
        (Layer(groups=2, in_channels=16, out_channels=16), (16, 16), 1.0),  # groups that fill a tile each
        (Layer(groups=4, in_channels=8, out_channels=8), (16, 16), 1 / 2),  # two a tile, half of it off the diagonal
    ],
)
@pytest.mark.equation("lanes")
def test_lanes_that_are_left_over_are_lost(layer: Layer, lanes: tuple[int, int], used: float) -> None:
    assert layer.utilisation(*lanes) == pytest.approx(used)


@given(
    groups=st.integers(1, 40),
    channels=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    lanes=st.tuples(st.integers(1, 32), st.integers(1, 32)),
)
@pytest.mark.equation("lanes")
def test_no_array_is_more_than_full(groups: int, channels: tuple[int, int], lanes: tuple[int, int]) -> None:
    used = Layer(groups=groups, in_channels=channels[0], out_channels=channels[1]).utilisation(*lanes)
    assert 1 / (lanes[0] * lanes[1]) <= used * (1 + 1e-12)
    assert used <= 1 + 1e-12


@pytest.mark.equation("lanes")
def test_lanes_slow_down_arithmetic_alone() -> None:
    # 3 of 16 input channels: conv's 0.1 s of arithmetic become 0.1 * 16 / 3 = 0.533 s
    sheet = replace(SHEET, input_lanes=16)
    device = Device(name="npu", kind="npu", backend="none", nature="hypothetical", sheet=sheet)
    found = SheetCosts(device, sheet, CHAIN, {"conv": Layer(groups=1, in_channels=3, out_channels=8)})
    assert seconds(found, "conv") == pytest.approx(0.1 * 16 / 3)
    assert found.traffic_bytes(("conv",)) == 1800


def test_a_class_of_layers_has_an_efficiency_of_its_own() -> None:
    sheet = replace(SHEET, efficiency=0.5, efficiency_by_class={"strided": 0.1})
    device = Device(name="npu", kind="npu", backend="none", nature="hypothetical", sheet=sheet)
    strided = Layer(groups=1, in_channels=8, out_channels=8, shape="strided")
    found = SheetCosts(device, sheet, CHAIN, {"conv": strided, "next": replace(strided, shape="pointwise")})
    assert seconds(found, "conv") == pytest.approx(0.1 / 0.1)
    assert seconds(found, "next") == pytest.approx(0.18)  # its memory, as 0.02 s at half the peak are less


@pytest.mark.parametrize(
    ("channels", "kernel", "attributes", "shape"),
    [
        (8, 3, {}, "spatial"),
        (8, 1, {}, "pointwise"),
        (8, 1, {"strides": [1, 2]}, "strided"),
        (4, 1, {"strides": [2, 2]}, "shallow"),
        (8, 3, {"group": 8, "strides": [2, 2]}, "depthwise"),
        (8, 3, {"group": 2}, "shallow"),  # four channels in each group
    ],
)
def test_classes_of_convolutions(channels: int, kernel: int, attributes: dict[str, object], shape: str) -> None:
    own = channels // int(str(attributes.get("group", 1)))
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv", **attributes)
    proto = model_of([node], shape=(1, channels, 8, 8), weights=[weight("w", 8, own, kernel, kernel)])
    assert layers(import_model(proto, name="g"))["conv"].shape == shape


def test_layers_of_a_model() -> None:
    def value(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return helper.make_tensor(name, TensorProto.FLOAT, shape, [0.5] * math.prod(shape))

    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="grouped", group=2),
        helper.make_node("ConvTranspose", ["a", "w2"], ["b"], name="up", group=2),
        helper.make_node("Flatten", ["b"], ["c"], name="flat"),
        helper.make_node("Gemm", ["c", "w3"], ["y"], name="last", transB=1),
    ]
    constants = [weights("w1", 6, 2, 1, 1), weights("w2", 6, 4, 1, 1), weights("w3", 5, 32)]
    graph = helper.make_graph(nodes, "g", [value("x", 1, 4, 2, 2)], [value("y", 1, 5)], constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert layers(import_model(proto, name="g")) == {
        "grouped": Layer(groups=2, in_channels=2, out_channels=3, shape="shallow"),
        "up": Layer(groups=2, in_channels=3, out_channels=4, shape="shallow"),
        "last": Layer(groups=1, in_channels=32, out_channels=5, shape="product"),
    }
    assert layers(fork_join()) == {"right": Layer(groups=1, in_channels=8, out_channels=8, shape="product")}


@given(on_chip_bytes=st.integers(0, 2000), bandwidth=st.floats(1e3, 1e6), folded=st.booleans())
@pytest.mark.equation("sheet")
def test_one_segment_is_never_slower_than_its_operators_nor_faster_than_the_roofline(
    on_chip_bytes: int, bandwidth: float, folded: bool
) -> None:
    sheet = Sheet(
        peak_ops_per_s={"f32": 1e6},
        memory_bytes_per_s=bandwidth,
        elements_per_s=1000.0,
        on_chip_bytes=on_chip_bytes,
        folded_ops=("Relu",) if folded else (),
    )
    found, ops = costs(sheet), ("conv", "relu", "next")
    together_s = seconds(found, *ops)
    assert together_s <= sum(seconds(found, op) for op in ops) - 2 * 0.5 + 1e-9
    arithmetic_s = 2 * 60_000 / 1e6 + (0 if folded else 0.1)
    assert together_s >= 0.5 + max(arithmetic_s, found.traffic_bytes(ops) / bandwidth) - 1e-9
