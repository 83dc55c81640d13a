"""What rounding explains: amplified differences, quotients on the edge; and what it does not."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from hetsim.core.sources import Precision
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
