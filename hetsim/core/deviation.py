"""How far an array is from what it should be."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

OPERATOR_TOLERANCE = {"f32": 2e-5, "f16": 1e-2, "bf16": 5e-2, "i8": 1e-1}
"""By precision, the error of one operator's output, relative to its largest magnitude, that rounding explains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """The difference between an array and what it should be.

    Attributes:
        max_abs: Largest absolute difference of an element; infinite where only one of the two is NaN or infinite, or
            text differs, or the shapes or types differ.
        relative: ``max_abs`` in units of the largest finite magnitude expected; in units of 1 if that is 0.
        cosine: Cosine of the angle between the two as vectors; 1 if both are 0, NaN if an element is not finite.
        index: Place of the element that differs most; empty for scalars, and if the shapes differ.
        found: That element as it is.
        expected: That element as it should be.
        is_exact: Whether the type has no rounding: integers, booleans, text.
    """

    max_abs: float
    relative: float
    cosine: float
    index: tuple[int, ...]
    found: object
    expected: object
    is_exact: bool

    def exceeds(self, tolerance: float) -> bool:
        """Whether the deviation is more than rounding explains.

        Args:
            tolerance: The relative error that is allowed, such as one of :data:`OPERATOR_TOLERANCE`. Integers, booleans
                and text must be equal.
        """
        return self.max_abs > 0 if self.is_exact else not self.relative <= tolerance

    def __str__(self) -> str:
        at = f" at [{', '.join(map(str, self.index))}]" if self.index else ""
        return f"{self.found}{at} instead of {self.expected}"


def deviation(found: Array, expected: Array) -> Deviation:
    """How far ``found`` is from ``expected``; equal NaN and infinities agree, and so do zeros of either sign."""
    found, expected = np.asarray(found), np.asarray(expected)
    is_exact = not _is_float(expected)
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return Deviation(
            max_abs=math.inf,
            relative=math.inf,
            cosine=math.nan,
            index=(),
            found=f"{found.dtype} {list(found.shape)}",
            expected=f"{expected.dtype} {list(expected.shape)}",
            is_exact=is_exact,
        )
    if expected.size and np.array_equal(found, expected):
        return _no_deviation(expected, is_exact=is_exact)
    differences = _differences(found, expected)
    worst = np.unravel_index(int(differences.argmax()), differences.shape) if differences.size else ()
    max_abs = float(differences.max(initial=0.0))
    return Deviation(
        max_abs=max_abs,
        relative=max_abs / _scale(expected),
        cosine=_cosine(found, expected),
        index=tuple(int(i) for i in worst),
        found=found[worst] if differences.size else None,
        expected=expected[worst] if differences.size else None,
        is_exact=is_exact,
    )


def _no_deviation(expected: Array, *, is_exact: bool) -> Deviation:
    """That of an array from itself, without a look at every element: of most operators."""
    first = (0,) * expected.ndim
    is_finite = expected.dtype.kind not in "OUS" and (is_exact or bool(np.isfinite(expected).all()))
    return Deviation(
        max_abs=0.0,
        relative=0.0,
        cosine=1.0 if is_finite else math.nan,
        index=first,
        found=expected[first],
        expected=expected[first],
        is_exact=is_exact,
    )


def value_deviation(found: Any, expected: Any) -> Deviation:
    """As :func:`deviation`, also of sequences, as lists, and of optional values, which may be None.

    Of a sequence it is that of the element that deviates most, whose ``index`` begins with its place; of a sequence of
    another length, and of None where a value is expected, it is infinite.
    """
    if isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        worst = deviation(np.zeros(0), np.zeros(0))
        for place, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
            one = value_deviation(ours, theirs)
            if one.relative > worst.relative:
                worst = replace(one, index=(place, *one.index))
        return worst
    if isinstance(expected, list) or isinstance(found, list) or found is None or expected is None:
        same = found is None and expected is None
        off = 0.0 if same else math.inf
        said = [f"a sequence of {len(one)}" if isinstance(one, list) else str(one) for one in (found, expected)]
        return Deviation(
            max_abs=off,
            relative=off,
            cosine=1.0 if same else math.nan,
            index=(),
            found=said[0],
            expected=said[1],
            is_exact=True,
        )
    return deviation(np.asarray(found), np.asarray(expected))


def relative_deviation(found: Any, expected: Any) -> float:
    """:attr:`Deviation.relative` of any values: arrays, sequences (the largest of their elements), optional values.

    It is infinite where only one of the two is absent, or sequences differ in length.
    """
    if isinstance(expected, list):
        same = isinstance(found, list) and len(found) == len(expected)
        each = (relative_deviation(a, b) for a, b in zip(found, expected, strict=True)) if same else (math.inf,)
        return max(each, default=0.0)
    if expected is None or found is None:
        return 0.0 if found is expected else math.inf
    return deviation(np.asarray(found), np.asarray(expected)).relative


def _is_float(array: Array) -> bool:
    return array.dtype.kind in "fc" or array.dtype.name == "bfloat16"


def _differences(found: Array, expected: Array) -> Array:
    """Absolute differences by element, infinite where numbers cannot be subtracted."""
    if expected.dtype.kind in "OUS":
        return np.where(found == expected, 0.0, np.inf)
    if not _is_float(expected):
        wide = found.astype(np.longdouble) - expected.astype(np.longdouble)
        return np.abs(wide).astype(np.float64)
    ours, theirs = found.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        differences = np.asarray(np.abs(ours - theirs))
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    differences[same] = 0.0
    differences[~same & ~(np.isfinite(ours) & np.isfinite(theirs))] = np.inf
    return differences


def _scale(expected: Array) -> float:
    if expected.dtype.kind in "OUS":
        return 1.0
    values = expected.astype(np.float64)
    return float(np.abs(values, where=np.isfinite(values), out=np.zeros_like(values)).max(initial=0.0)) or 1.0


def _cosine(found: Array, expected: Array) -> float:
    if expected.dtype.kind in "OUS":
        return math.nan
    ours, theirs = found.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return math.nan
    lengths = float(np.linalg.norm(ours)), float(np.linalg.norm(theirs))
    if not any(lengths):
        return 1.0
    return float(ours @ theirs / (lengths[0] * lengths[1])) if all(lengths) else 0.0
