"""Ranges of values: an interval of numbers, and which values can occur that are not finite."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx

from hetsim.core.errors import ModelError

Number = int | float


class Special(enum.Flag):
    """Values that are not finite numbers."""

    NONE = 0
    NAN = enum.auto()
    POSITIVE = enum.auto()
    NEGATIVE = enum.auto()


ALL_SPECIAL = Special.NAN | Special.POSITIVE | Special.NEGATIVE


@dataclass(frozen=True, slots=True)
class Interval:
    """The values that a tensor's elements can have.

    Attributes:
        low: No finite element is less; minus infinity for floats without a bound.
        high: No finite element is more.
        special: Values that are not finite and may occur besides.
    """

    low: Number
    high: Number
    special: Special = Special.NONE

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ModelError(f"a range from {self.low} to {self.high} has no values; give LOW..HIGH with LOW <= HIGH")

    def __contains__(self, value: Number) -> bool:
        return self.low <= value <= self.high

    def within(self, other: Interval) -> bool:
        """Whether the other interval has all values of this one."""
        return other.low <= self.low and self.high <= other.high and self.special in other.special

    def hull(self, *others: Interval | None) -> Interval:
        """The smallest interval that has the values of all; an unknown one counts as any finite number."""
        every = [self, *(ANY_FINITE if one is None else one for one in others)]
        return Interval(min(one.low for one in every), max(one.high for one in every), union(every))

    def common(self, other: Interval) -> Interval:
        """The values that both have; the nearer values of this one if there are none."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        if low > high:
            low = high = self.low if other.high < self.low else self.high
        return Interval(low, high, self.special & other.special)

    @property
    def max_abs(self) -> Number:
        """The largest magnitude."""
        return max(abs(self.low), abs(self.high))

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


ANY_FINITE = Interval(-math.inf, math.inf)
ANYTHING = Interval(-math.inf, math.inf, ALL_SPECIAL)
BOOLEAN = Interval(0, 1)


def union(intervals: Iterable[Interval | None]) -> Special:
    """The special values that one of the intervals has."""
    found = Special.NONE
    for one in intervals:
        if one is not None:
            found |= one.special
    return found


def is_integer(dtype: str) -> bool:
    """Whether a type, by its name in NumPy, is one of whole numbers."""
    return dtype.startswith(("int", "uint"))


def is_float(dtype: str) -> bool:
    """Whether a type, by its name in NumPy, is one of floating-point numbers."""
    return dtype.startswith(("float", "bfloat"))


def type_interval(dtype: str) -> Interval | None:
    """All values of a type, of floats the finite ones; None for types without an order, such as text."""
    if not dtype:
        return None
    if dtype == "bool":
        return BOOLEAN
    if is_float(dtype):
        return ANY_FINITE
    if is_integer(dtype):
        bits = int(dtype.removeprefix("u").removeprefix("int"))
        return Interval(0, 2**bits - 1) if dtype.startswith("u") else Interval(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return None


def array_interval(array: np.ndarray) -> Interval | None:
    """The values that an array has; None for types without an order, and for an array without elements."""
    dtype = array.dtype.name
    if not array.size or type_interval(dtype) is None:
        return type_interval(dtype)
    if not is_float(dtype):
        return Interval(int(array.min()), int(array.max()))
    with np.errstate(all="ignore"):
        low, high = float(array.min()), float(array.max())
    if math.isfinite(low) and math.isfinite(high):
        return Interval(low, high)
    values = array.astype(np.float64)
    finite = values[np.isfinite(values)]
    special = Special.NAN if np.isnan(values).any() else Special.NONE
    special |= Special.POSITIVE if np.isposinf(values).any() else Special.NONE
    special |= Special.NEGATIVE if np.isneginf(values).any() else Special.NONE
    return Interval(float(finite.min(initial=0.0)), float(finite.max(initial=0.0)), special)


def fitted(interval: Interval, dtype: str) -> Interval | None:
    """An interval as a tensor of a type has it: integers that overflow can have all values of the type."""
    whole = type_interval(dtype)
    if whole is None or is_float(dtype):
        return whole and interval
    if interval.special or not (interval.low >= whole.low and interval.high <= whole.high):
        return whole
    return Interval(math.floor(interval.low), math.ceil(interval.high))


def dtype_name(elem_type: int) -> str:
    """NumPy's name of an element type of ONNX."""
    return str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(elem_type)).name)
