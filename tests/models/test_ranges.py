"""The values that tensors can have, and random inputs that fit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.errors import ModelError
from hetsim.models.importer import import_model
from hetsim.models.model import Model, random_inputs
from hetsim.models.ranges.interval import Interval, Special
from hetsim.models.ranges.propagation import ValueRanges, check_ranges
from hetsim.models.reference import evaluate
from hetsim.models.values.trust import Trust, parse_trust


def net(text: str) -> Model:
    return import_model(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]> {text}'), name="net")


ARITHMETIC = net(
    "n (int32[6] a, int32[6] b) => (int32[6] add, int32[6] sub, int32[6] mul, int32[6] div, int32[6] mod,"
    " int32[6] fmod, int32[6] least, int32[6] most, int32[6] clip, int32[6] size, int32[6] neg,"
    " int32[1] sum, int64[6] wide)"
    " <int32 lo = {-3}, int32 hi = {4}, int64[1] axis = {0}> {"
    " add = Add(a, b) sub = Sub(a, b) mul = Mul(a, b) div = Div(a, b) mod = Mod(a, b) fmod = Mod<fmod = 1>(a, b)"
    " least = Min(a, b) most = Max(a, b) clip = Clip(a, lo, hi) size = Abs(a) neg = Neg(a)"
    " sum = ReduceSum(a, axis) wide = Cast<to = 7>(a) }"
)
BOUNDS = st.tuples(st.integers(-20, 20), st.integers(0, 30)).map(lambda pair: Interval(pair[0], pair[0] + pair[1]))


@given(BOUNDS, BOUNDS, st.integers(0, 1000))
def test_what_is_computed_lies_in_the_interval(a: Interval, b: Interval, seed: int) -> None:
    if b == Interval(0, 0):
        return
    trust = Trust(ranges={"a": a, "b": b})
    ranges = ValueRanges(ARITHMETIC, trust)
    outputs = evaluate(ARITHMETIC.proto, random_inputs(ARITHMETIC, seed=seed, trust=trust))
    for name, array in outputs.items():
        held = ranges[name]
        assert held is not None
        assert held.low <= array.min(), name
        assert array.max() <= held.high, name


def test_what_overflows_has_all_values_of_its_type() -> None:
    ranges = ValueRanges(ARITHMETIC, Trust(ranges={"a": Interval(0, 2**31 - 1), "b": Interval(1, 1)}))
    assert ranges["add"] == Interval(-(2**31), 2**31 - 1)
    assert ranges["sub"] == Interval(-1, 2**31 - 2)


def test_an_index_is_below_the_size_that_it_indexes() -> None:
    model = net(
        "n (int32[2] ids, int64[3] other) => (float[2, 4] y, int64[3] z) <float[5, 4] table = {1, 2, 3, 4, 5, 6, 7, 8,"
        " 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}> {"
        " wide = Cast<to = 7>(ids) rows = Gather(table, wide) y = Relu(rows) z = Neg(other) }"
    )
    ranges = ValueRanges(model, Trust())
    assert ranges.inputs["ids"] == Interval(-5, 4)
    assert ranges.inputs["other"] == Interval(-(2**63), 2**63 - 1)
    drawn = np.concatenate([random_inputs(model, seed=seed)["ids"] for seed in range(40)])
    assert set(drawn.tolist()) == set(range(-5, 5))
    assert ValueRanges(model, Trust(ranges={"ids": Interval(0, 99)})).inputs["ids"] == Interval(0, 4)


def test_a_divisor_is_not_zero() -> None:
    ranges = ValueRanges(ARITHMETIC, Trust())
    assert ranges.nonzero == {"b"}
    assert all(random_inputs(ARITHMETIC, seed=seed, trust=SMALL)["b"].all() for seed in range(20))


SMALL = Trust(ranges={"b": Interval(-1, 1)})


@pytest.mark.parametrize(
    ("text", "special"),
    [
        ("y = Relu(x)", Special.NONE),
        ("t = Log(x) y = Relu(t)", Special.NAN | Special.POSITIVE),
        ("t = Sqrt(x) y = Neg(t)", Special.NAN | Special.POSITIVE | Special.NEGATIVE),
        ("t = Mul(x, x) y = Sqrt(t)", Special.NONE),
        ("t = Sigmoid(x) u = Add(t, c) y = Log(u)", Special.NONE),
        ("t = Exp(x) y = Relu(t)", Special.POSITIVE),
        ("t = Sigmoid(x) y = Exp(t)", Special.NONE),
        ("y = Div(c, x)", Special.NAN | Special.POSITIVE | Special.NEGATIVE),
    ],
)
def test_what_may_not_be_finite_is_known(text: str, special: Special) -> None:
    model = net(f"n (float[4] x) => (float[4] y) <float c = {{2}}> {{ {text} }}")
    held = ValueRanges(model, Trust())["y"]
    assert held is not None
    assert held.special == special


def test_nothing_is_assumed_if_so_asked() -> None:
    model = net("n (float[4] x) => (float[4] y) { y = Relu(x) }")
    held = ValueRanges(model, Trust(finite=False))["x"]
    assert held is not None
    assert Special.NAN in held.special


def test_masks_are_truth_values_and_sizes_are_small() -> None:
    model = net(
        "n (int64[8] attention_mask, int64[8] flags, int64[8] data) => (float[8] y, bool[8] z, int64[8] d)"
        " { y = Cast<to = 1>(attention_mask) z = Cast<to = 9>(flags) d = Abs(data) }"
    )
    values = random_inputs(model, seed=1)
    assert set(values["attention_mask"].tolist()) <= {0, 1}
    assert set(values["flags"].tolist()) <= {0, 1}
    assert np.abs(values["data"]).max() > 2**40


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"assume": "all"}, r"--assume 'all' must be 'finite' or 'nothing'"),
        ({"accept": ["npu"]}, r"--accept 'npu' must look like DEVICE:KIND"),
        ({"ranges": ["ids=0-4"]}, r"--range 'ids=0-4' must look like NAME=LOW..HIGH"),
        ({"ranges": ["ids=5..4"]}, r"a range from 5 to 4 has no values"),
    ],
)
def test_wrong_options_are_answered(arguments: Mapping[str, object], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        parse_trust(**{"assume": "finite", "accept": [], "ranges": [], **arguments})  # type: ignore[arg-type]


def test_ranges_belong_to_inputs_of_integers() -> None:
    with pytest.raises(ModelError, match=r"a range is declared for 'x', but the model's inputs of integers are a, b"):
        check_ranges(ARITHMETIC.graph, Trust(ranges={"x": Interval(0, 1)}))
    with pytest.raises(ModelError, match=r"has values that int32 lacks"):
        check_ranges(ARITHMETIC.graph, Trust(ranges={"a": Interval(0, 2**40)}))


def test_observed_integers_have_a_range_unless_one_is_declared() -> None:
    trust = SMALL.observing({"a": np.array([3, -4]), "b": np.array([9]), "x": np.ones(3, np.float32)})
    assert dict(trust.ranges) == {"a": Interval(-4, 3), "b": Interval(-1, 1)}


SIZES = [
    "n (float[2, 5] x, int64[1] k) => (float[2, n] y, int64[2, n] i) { y, i = TopK(x, k) }",
    "n (float[2, 5] x, int64[2] n) => (float[a, b] y) { y = Tile(x, n) }",
    "n (int64[3] x, float depth, float[2] pair) => (float[3, n] y) { y = OneHot(x, depth, pair) }",
    'n (float[1, 1, 4, 4] x, float[4] scales) => (float[1, 1, h, w] y) { y = Resize<mode = "linear">(x, "", scales) }',
    "n (float[4] x, float ratio) => (float[4] y) { y = Dropout(x, ratio) }",
    "n (float[4] x, int64[1] axis) => (float[1] y) { y = ReduceSum(x, axis) }",
    "n (int64 n) => (float[m] y) { y = HannWindow(n) }",
    "n (float[3, 5] x, int64[3] labels) => (float y) { y = SoftmaxCrossEntropyLoss(x, labels) }",
]


@pytest.mark.parametrize("text", SIZES)
def test_random_sizes_axes_and_shares_suit_the_operator_that_reads_them(text: str) -> None:
    model = net(text)
    for seed in range(5):
        outputs = evaluate(model.proto, random_inputs(model, seed=seed))
        assert all(array.size <= 1000 for array in outputs.values())
