"""What rounding explains: amplified differences, quotients on the edge; and what it does not."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hetsim.core.sources import Precision
from hetsim.models import reference
from hetsim.models.values import rounding
from hetsim.models.values.rounding import rounding_spread
from tests.support.models import model_of

BIG = numpy_helper.from_array(np.full(4, 1e4, np.float32), "big")
DIFFERENCE = model_of(
    [helper.make_node("Add", ["x", "big"], ["sum"]), helper.make_node("Sub", ["sum", "big"], ["y"])],
    shape=[4],
    weights=[BIG],
)
X = {"x": np.array([0.5, 1.0, -0.25, 2.0], np.float32)}


def test_a_difference_of_large_numbers_may_be_off_by_the_rounding_of_these() -> None:
    spread = rounding_spread(DIFFERENCE, X, "f32")
    right = spread.expected["y"]
    assert spread.explains("y", right + np.float32(2e-3), tolerance=0.0)  # numbers near 10,000 are 0.001 apart
    assert not spread.explains("y", right + np.float32(0.5), tolerance=0.0)


@pytest.mark.parametrize("precision", ["f32", "f16", "bf16", "i8"])
def test_less_precise_arithmetic_explains_larger_deviations(precision: Precision) -> None:
    half_unit = {"f32": 2.0**-24, "f16": 2.0**-11, "bf16": 2.0**-8, "i8": 2.0**-8}[precision]
    product = model_of([helper.make_node("Mul", ["x", "x"], ["y"])], shape=[4])
    spread = rounding_spread(product, X, precision)
    right = spread.expected["y"]
    assert spread.explains("y", (right * (1 + half_unit)).astype(np.float32), tolerance=0.0)
    assert not spread.explains("y", (right * (1 + 500 * half_unit)).astype(np.float32), tolerance=0.0)
    assert not spread.explains("y", right * np.float32(np.nan), tolerance=1.0)


def test_a_quotient_on_the_edge_may_be_rounded_either_way_and_others_may_not() -> None:
    scale, zero = numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.uint8(8), "z")
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])
    proto = model_of([node], shape=[2], weights=[scale, zero])
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    spread = rounding_spread(proto, {"x": np.array([0.25, 0.2], np.float32)}, "f32")  # 2.5 and 2 steps
    lower, upper = np.array([10, 10], np.uint8), np.array([11, 10], np.uint8)
    assert spread.explains("y", lower, tolerance=0.0)
    assert spread.explains("y", upper, tolerance=0.0)
    assert not spread.explains("y", np.array([10, 11], np.uint8), tolerance=1.0)


def test_other_shapes_types_and_infinities_are_not_explained() -> None:
    spread = rounding_spread(DIFFERENCE, X, "bf16")
    right = spread.expected["y"]
    assert not spread.explains("y", right[:2], tolerance=1.0)
    assert not spread.explains("y", right.astype(np.float64), tolerance=1.0)
    assert not spread.explains("y", np.full_like(right, np.inf), tolerance=1.0)


def test_a_device_may_be_more_exact_than_the_reference() -> None:
    sigmoid = model_of([helper.make_node("Sigmoid", ["x"], ["y"])], shape=[2])
    inputs = {"x": np.array([-16.420486, -6.618825], np.float32)}
    spread = rounding_spread(sigmoid, inputs, "f32")
    exact = (1 / (1 + np.exp(-inputs["x"].astype(np.float64)))).astype(np.float32)
    assert spread.explains("y", exact, tolerance=2e-5)
    assert not spread.explains("y", exact * np.float32(1.001), tolerance=2e-5)


SCALAR = model_of(
    [helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0), helper.make_node("Mul", ["x", "largest"], ["y"])],
    shape=[4],
)


@pytest.mark.parametrize("precision", ["f32", "bf16", "i8"])
@pytest.mark.parametrize("proto", [DIFFERENCE, SCALAR], ids=["difference", "scalar"])
def test_draws_by_one_session_are_those_by_a_session_each(
    proto: onnx.ModelProto, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = rounding_spread(proto, X, precision, seed=3)
    assert (shared.low["y"] < shared.high["y"]).all()
    monkeypatch.setattr(rounding, "_MAX_FACTORS_BYTES", -1)
    monkeypatch.setattr(rounding, "prepare", None)
    apart = rounding_spread(proto, X, precision, seed=3)
    for found, expected in ((shared.low, apart.low), (shared.high, apart.high), (shared.exact, apart.exact)):
        np.testing.assert_array_equal(found["y"], expected["y"], strict=True)


def test_weights_are_loaded_twice_and_not_for_each_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = numpy_helper.from_array(np.ones((1, 64, 6, 6), np.float32), "w")
    proto = model_of([helper.make_node("Conv", ["x", "w"], ["y"])], shape=[1, 64, 8, 8], weights=[weight])
    loaded: list[int] = []
    original = reference.serialized

    def counting(model: onnx.ModelProto) -> bytes:
        content = original(model)
        loaded.append(len(content))
        return content

    monkeypatch.setattr(reference, "serialized", counting)
    spread = rounding_spread(proto, {"x": np.full((1, 64, 8, 8), 0.1, np.float32)}, "f32")
    assert spread.relative("y") > 0
    assert sum(num_bytes > 64 * 36 * 4 for num_bytes in loaded) == 2  # as it is, and noisy
