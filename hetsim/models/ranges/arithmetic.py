"""Ranges of what arithmetic makes, by interval arithmetic; what overflows is widened by the caller."""

from __future__ import annotations

import math
from itertools import product

import onnx

from hetsim.models.ranges.facts import Facts, Rule
from hetsim.models.ranges.interval import (
    ALL_SPECIAL,
    ANY_FINITE,
    ANYTHING,
    BOOLEAN,
    Interval,
    Number,
    Special,
    is_float,
    union,
)

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)


def _times(a: Number, b: Number) -> Number:
    return 0 if a == 0 or b == 0 else a * b


def _spread(special: Special) -> Special:
    """The special values that arithmetic makes of special values: any, as infinities can cancel."""
    return ALL_SPECIAL if special else Special.NONE


def _add(facts: Facts) -> Interval:
    total = facts.interval(0)
    for i in range(1, len(facts.node.input)):
        other = facts.interval(i)
        low, high = total.low + other.low, total.high + other.high
        total = Interval(_number(low, -math.inf), _number(high, math.inf), _sum_special(total, other))
    return total


def _sum_special(a: Interval, b: Interval) -> Special:
    both = a.special | b.special
    cancels = Special.POSITIVE in both and Special.NEGATIVE in both
    return both | Special.NAN if cancels else both


def _sub(facts: Facts) -> Interval:
    a, b = facts.interval(0), facts.interval(1)
    return Interval(
        _number(a.low - b.high, -math.inf), _number(a.high - b.low, math.inf), _spread(a.special | b.special)
    )


def _mul(facts: Facts) -> Interval:
    a, b = facts.interval(0), facts.interval(1)
    ends = [_times(x, y) for x, y in product((a.low, a.high), (b.low, b.high))]
    low: Number = min(ends)
    if facts.node.input[0] == facts.node.input[1]:
        low = max(low, 0)
    return Interval(low, max(ends), _spread(a.special | b.special))


def _div(facts: Facts) -> Interval:
    a, b = facts.interval(0), facts.interval(1)
    if is_float(facts.dtype(0)):
        if a.special or b.special or 0 in b:
            sign = 0.0 if a.low >= 0 and b.low >= 0 else -math.inf
            return Interval(sign, math.inf, ALL_SPECIAL)
        ends = [x / y for x, y in product((a.low, a.high), (b.low, b.high)) if not math.isinf(y)]
        ends += [0.0] if math.isinf(b.low) or math.isinf(b.high) else []
        return Interval(min(ends), max(ends))
    divisors = [y for y in (b.low, b.high, -1, 1) if y in b and y]
    if not divisors:
        return ANY_FINITE
    ends = [_quotient(x, y) for x, y in product((a.low, a.high), divisors)]
    return Interval(min(*ends, 0), max(*ends, 0))


def _quotient(a: Number, b: Number) -> Number:
    whole = abs(int(a)) // abs(int(b))
    return whole if (a < 0) == (b < 0) else -whole


def _mod(facts: Facts) -> Interval:
    a, b = facts.interval(0), facts.interval(1)
    if is_float(facts.dtype(0)):
        special = ALL_SPECIAL if a.special or b.special or 0 in b else Special.NONE
        return Interval(-b.max_abs, b.max_abs, special)
    most = b.max_abs - 1
    if facts.attribute("fmod", 0):
        return Interval(max(-most, min(a.low, 0)), min(most, max(a.high, 0)))
    if a.low >= 0 and b.low > 0:
        return Interval(0, min(a.high, b.high - 1))
    return Interval(min(0, b.low + 1), max(0, b.high - 1))


def _neg(facts: Facts) -> Interval:
    a = facts.interval(0)
    return Interval(-a.high, -a.low, _spread(a.special))


def _abs(facts: Facts) -> Interval:
    a = facts.interval(0)
    low: Number = 0 if 0 in a else min(abs(a.low), abs(a.high))
    return Interval(low, a.max_abs, _spread(a.special))


def _pow(facts: Facts) -> Interval:
    a, b, exponents = facts.interval(0), facts.interval(1), facts.array(1)
    special = _spread(a.special | b.special)
    whole = exponents is not None and exponents.size and bool((exponents == exponents.astype("int64")).all())
    if whole and b.low == b.high and 0 <= b.low <= 64:
        n = int(b.low)
        ends = [_power(a.low, n), _power(a.high, n)]
        low: Number = (0 if 0 in a else min(ends)) if n % 2 == 0 else ends[0]
        return Interval(low, max(ends), special)
    if not is_float(facts.dtype(0)):
        return Interval(-math.inf, math.inf)
    if whole:
        special |= Special.POSITIVE | Special.NEGATIVE if b.low < 0 and 0 in a else Special.NONE
        return Interval(-math.inf, math.inf, special)
    if a.low >= 0:
        special |= Special.POSITIVE if b.low < 0 and a.low == 0 else Special.NONE
        return Interval(0, math.inf, special)
    return ANYTHING


def _power(a: Number, n: int) -> Number:
    try:
        return a**n
    except OverflowError:
        return math.inf if a > 0 or n % 2 == 0 else -math.inf


def _max(facts: Facts) -> Interval:
    every = [facts.interval(i) for i in range(len(facts.node.input))]
    return Interval(max(one.low for one in every), max(one.high for one in every), union(every))


def _min(facts: Facts) -> Interval:
    every = [facts.interval(i) for i in range(len(facts.node.input))]
    return Interval(min(one.low for one in every), min(one.high for one in every), union(every))


def _clip(facts: Facts) -> Interval:
    a, low, high = facts.interval(0), _bound(facts, 1, "min"), _bound(facts, 2, "max")
    special = a.special & Special.NAN if facts.given(1) and facts.given(2) else a.special
    return Interval(
        min(max(a.low, low.low), high.low), min(max(a.high, low.high), high.high), special | low.special | high.special
    )


def _bound(facts: Facts, position: int, attribute: str) -> Interval:
    if facts.given(position):
        return facts.interval(position)
    absent = -math.inf if attribute == "min" else math.inf
    value = facts.attribute(attribute, absent)
    assert isinstance(value, float)
    return Interval(value, value)


def _num_reduced(facts: Facts) -> int | None:
    """How many elements of the input become one at most."""
    shape = facts.shape(0)
    if shape is None:
        return None
    axes = facts.attribute("axes")
    if axes is None and facts.given(1):
        array = facts.array(1)
        axes = None if array is None else array.tolist()
    if not axes:
        return math.prod(shape)
    return math.prod(shape[axis] for axis in axes if -len(shape) <= axis < len(shape))  # type: ignore[attr-defined]


def _reduce_sum(facts: Facts) -> Interval:
    a, count = facts.interval(0), _num_reduced(facts)
    if facts.node.op_type == "ReduceL1":
        a = Interval(0, a.max_abs, a.special)
    if facts.node.op_type == "ReduceSumSquare":
        a = Interval(0, _times(a.max_abs, a.max_abs), a.special)
    if count is None:
        return Interval(0 if a.low >= 0 else -math.inf, math.inf, _spread(a.special))
    return Interval(_times(min(a.low, 0), count), _times(max(a.high, 0), count), _spread(a.special))


def _cum_sum(facts: Facts) -> Interval:
    a, shape = facts.interval(0), facts.shape(0)
    count = math.inf if shape is None else max(shape, default=1)
    return Interval(_times(min(a.low, 0), count), _times(max(a.high, 0), count), _spread(a.special))


def _reduce_mean(facts: Facts) -> Interval:
    a = facts.interval(0)
    return Interval(a.low, a.high, _spread(a.special))


def _product_sum(facts: Facts) -> Interval:
    """Of sums of integer products: as many as there are weights or columns at most."""
    a, b, shape = facts.interval(0), facts.interval(1), facts.shape(1)
    if shape is None:
        return ANY_FINITE
    count = math.prod(shape[1:]) if facts.node.op_type == "ConvInteger" else shape[-2 if len(shape) > 1 else 0]
    zeros = [facts.interval(i).max_abs if facts.given(i) else 0 for i in (2, 3)]
    most = _times(_times(a.max_abs + zeros[0], b.max_abs + zeros[1]), count)
    return Interval(-most, most)


def _bitwise(facts: Facts) -> Interval:
    a, b = facts.interval(0), facts.interval(1)
    if a.low < 0 or b.low < 0 or math.isinf(a.high + b.high):
        return ANY_FINITE
    most = min(a.high, b.high) if facts.node.op_type == "BitwiseAnd" else 2 ** int(max(a.high, b.high)).bit_length() - 1
    return Interval(0, most)


def _cast(facts: Facts) -> Interval:
    """Of a cast: integers that do not fit wrap around, which the caller knows from the range."""
    a = facts.interval(0)
    if facts.attribute("to") == onnx.TensorProto.BOOL:
        return BOOLEAN
    if facts.attribute("to", onnx.TensorProto.FLOAT) in _FLOATS:
        return a
    return Interval(_towards_zero(a.low), _towards_zero(a.high), a.special)


def _towards_zero(value: Number) -> Number:
    return value if math.isinf(value) else math.trunc(value)


def _shift(facts: Facts) -> Interval:
    a = facts.interval(0)
    return Interval(0, a.high) if facts.attribute("direction") == b"RIGHT" and a.low >= 0 else ANY_FINITE


def _number(value: Number, otherwise: float) -> Number:
    return otherwise if value != value else value  # infinities of either sign were added


RULES: dict[str, Rule] = {
    **dict.fromkeys(("Add", "Sum"), _add),
    **dict.fromkeys(("ReduceSum", "ReduceL1", "ReduceSumSquare"), _reduce_sum),
    **dict.fromkeys(("MatMulInteger", "ConvInteger"), _product_sum),
    **dict.fromkeys(("BitwiseAnd", "BitwiseOr", "BitwiseXor"), _bitwise),
    **dict.fromkeys(("Cast", "CastLike"), _cast),
    "Sub": _sub,
    "Mul": _mul,
    "Div": _div,
    "Mod": _mod,
    "Neg": _neg,
    "Abs": _abs,
    "Pow": _pow,
    "Max": _max,
    "Min": _min,
    "Clip": _clip,
    "ReduceMean": _reduce_mean,
    "CumSum": _cum_sum,
    "BitShift": _shift,
}
"""By operator kind; bounds are those of exact arithmetic."""
