"""Ranges of what functions of floats make: activations, normalisations, sums of products, quantisation."""

from __future__ import annotations

import math

from hetsim.models.ranges.facts import Facts, Rule, kinds
from hetsim.models.ranges.interval import (
    ALL_SPECIAL,
    ANY_FINITE,
    ANYTHING,
    Interval,
    Number,
    Special,
    is_float,
    type_interval,
)

_EXP_MOST = 88.0
"""The exponential of more exceeds what float32 can hold."""


def _bounded(low: Number, high: Number) -> Rule:
    def rule(facts: Facts) -> Interval:
        return Interval(low, high, Special.NAN if facts.interval(0).special else Special.NONE)

    return rule


def _relu(facts: Facts) -> Interval:
    a = facts.interval(0)
    return Interval(max(a.low, 0), max(a.high, 0), a.special & ~Special.NEGATIVE)


def _leaky(facts: Facts) -> Interval:
    a = facts.interval(0)
    return Interval(-math.inf if a.low < 0 else a.low, max(a.high, 0), a.special)


def _exp(facts: Facts) -> Interval:
    a = facts.interval(0)
    overflow = Special.POSITIVE if a.high > _EXP_MOST else Special.NONE
    if overflow:
        return Interval(0.0, math.inf, overflow | a.special & ~Special.NEGATIVE)
    return Interval(0.0, math.exp(a.high), a.special & ~Special.NEGATIVE)


def _domain(low: float, high: float, result: Interval, at_border: Special = Special.NONE) -> Rule:
    """Of a function that gives NaN outside an interval, and infinities at its border."""

    def rule(facts: Facts) -> Interval:
        a = facts.interval(0)
        special = ALL_SPECIAL if a.special or a.low < low or a.high > high else Special.NONE
        if low in a or (high in a and math.isfinite(high)):
            special |= at_border
        return Interval(result.low, result.high, special)

    return rule


def _reciprocal(facts: Facts) -> Interval:
    a = facts.interval(0)
    if a.special or 0 in a:
        return Interval(0.0 if a.low >= 0 else -math.inf, math.inf, ALL_SPECIAL)
    return Interval(min(1 / a.low, 1 / a.high), max(1 / a.low, 1 / a.high))


def _softmax(facts: Facts) -> Interval:
    """NaN also where a row consists of minus infinity alone, since it is masked altogether."""
    return Interval(0.0, 1.0, Special.NAN if facts.interval(0).special else Special.NONE)


def _non_negative(facts: Facts) -> Interval:
    return Interval(0.0, math.inf, _any_special(facts))


def _log_sum(facts: Facts) -> Interval:
    return ANYTHING if facts.node.op_type == "ReduceLogSum" else Interval(-math.inf, math.inf, _any_special(facts))


def _finite(facts: Facts) -> Interval:
    return Interval(-math.inf, math.inf, _any_special(facts))


def _pooled(facts: Facts) -> Interval:
    a = facts.interval(0)
    return Interval(min(a.low, 0), max(a.high, 0), ALL_SPECIAL if a.special else Special.NONE)


def _quantized(facts: Facts) -> Interval:
    """All values of the zero point's type."""
    position = {"QuantizeLinear": 2, "QLinearMatMul": 7, "QLinearConv": 7}.get(facts.node.op_type, 2)
    return type_interval(facts.dtype(position)) or Interval(0, 255) if facts.given(position) else Interval(0, 255)


def _dynamically_quantized(_: Facts) -> tuple[Interval, ...]:
    return Interval(0, 255), Interval(0.0, math.inf), Interval(0, 255)


def _dequantized(facts: Facts) -> Interval:
    a, scale = facts.interval(0), facts.interval(1)
    if facts.array(1) is None:
        return ANY_FINITE
    most = (a.max_abs + (facts.interval(2).max_abs if facts.given(2) else 0)) * scale.max_abs
    return Interval(-most, most)


def _any_special(facts: Facts) -> Special:
    special = any(one is not None and one.special for one in facts.intervals)
    return ALL_SPECIAL if special else Special.NONE


def _sign(facts: Facts) -> Interval:
    a = facts.interval(0)
    return Interval(-1 if a.low < 0 else 0, 1 if a.high > 0 else 0, a.special & Special.NAN)


def _rounded(facts: Facts) -> Interval:
    a = facts.interval(0)
    if not is_float(facts.dtype(0)) or math.isinf(a.low) or math.isinf(a.high):
        return a
    return Interval(math.floor(a.low), math.ceil(a.high), a.special)


_FINITE = kinds(
    "Conv ConvTranspose Gemm MatMul Einsum BatchNormalization InstanceNormalization LayerNormalization "
    "RMSNormalization GroupNormalization LpNormalization MeanVarianceNormalization LRN GlobalLpPool LpPool Resize "
    "GridSample RoiAlign AffineGrid Selu Elu Celu Gelu Mish HardSwish Swish Softsign PRelu ThresholdedRelu Shrink "
    "Sinh Asinh LogSoftmax RNN GRU LSTM Attention RotaryEmbedding DFT STFT HannWindow HammingWindow BlackmanWindow "
    "MelWeightMatrix Det MaxRoiPool Col2Im DeformConv ReduceProd Tan Range RandomNormal RandomNormalLike "
    "RandomUniform RandomUniformLike"
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(_FINITE, _finite),
    **dict.fromkeys(("Sigmoid", "HardSigmoid"), _bounded(0.0, 1.0)),
    **dict.fromkeys(("Tanh", "Erf", "Sin", "Cos"), _bounded(-1.0, 1.0)),
    **dict.fromkeys(("Cosh", "Softplus", "ReduceL2"), _non_negative),
    **dict.fromkeys(("Asin", "Acos"), _domain(-1.0, 1.0, Interval(-2.0, 4.0))),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool"), _pooled),
    **dict.fromkeys(("QuantizeLinear", "QLinearConv", "QLinearMatMul"), _quantized),
    **dict.fromkeys(("ReduceLogSum", "ReduceLogSumExp"), _log_sum),
    **dict.fromkeys(("Floor", "Ceil", "Round"), _rounded),
    "Relu": _relu,
    "LeakyRelu": _leaky,
    "Exp": _exp,
    "Log": _domain(0.0, math.inf, ANY_FINITE, Special.NEGATIVE),
    "Sqrt": _domain(0.0, math.inf, Interval(0.0, math.inf)),
    "Atanh": _domain(-1.0, 1.0, ANY_FINITE, Special.POSITIVE | Special.NEGATIVE),
    "Acosh": _domain(1.0, math.inf, Interval(0.0, math.inf)),
    "Atan": _bounded(-2.0, 2.0),
    "Reciprocal": _reciprocal,
    "Softmax": _softmax,
    "Sign": _sign,
    "DynamicQuantizeLinear": _dynamically_quantized,
    "DequantizeLinear": _dequantized,
}
"""By operator kind. Of sums and products of finite floats it is left out that they can exceed the type's range."""
