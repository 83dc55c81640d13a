"""What rounding may do to the outputs of a model: Monte Carlo arithmetic on the reference engine.

After every operator, and on every input, floats are multiplied by a random factor within the rounding error of a
precision; what the outputs make of that over several draws is what rounding explains. The spread tells an operator that
amplifies rounding, such as a difference of two almost equal numbers, from one that is wrong (D. S. Parker, "Monte Carlo
arithmetic", UCLA CSD-970002, 1997). All draws are in float64 where the reference engine has that: in float32 it is not
exact either, such as its sigmoid of large negative numbers, and a device may be more so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from hetsim.core.errors import ModelError
from hetsim.core.sources import Precision
from hetsim.models.reference import evaluate, lacks_operators, prepare
from hetsim.models.values.noisy_models import (
    ROUNDED,
    FloatTensor,
    altered,
    altered_by_factors,
    factor_model,
    float_types,
    in_double,
    without_weights,
)

_NUM_DRAWS = 8
_MAX_FACTORS_BYTES = 1 << 30
"""Random factors of one draw that are held in memory at once; of larger models each draw is a model of its own."""
_MARGIN = 16.0
"""Rounding errors of a sum add up; and of many elements, some are hardly moved by all draws."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """By output, the range of each element over all draws.

    Attributes:
        expected: The reference engine's outputs.
        exact: The same in float64 where possible, rounded to the output's type, without noise.
        low: The least value of each element, in float64 or the type of the output.
        high: The largest.
    """

    expected: Mapping[str, np.ndarray]
    exact: Mapping[str, np.ndarray]
    low: Mapping[str, np.ndarray]
    high: Mapping[str, np.ndarray]

    def explains(self, name: str, found: Any, *, tolerance: float) -> bool:
        """Whether rounding explains every element of an output.

        Args:
            name: The output.
            found: What a device computed.
            tolerance: An error that is allowed in any case, relative to the largest finite magnitude expected; floats.
        """
        expected = self.expected.get(name)
        if expected is None or not _is_numeric(found):
            return False
        if found.shape != expected.shape or found.dtype != expected.dtype:
            return False
        low, high = self.low[name], self.high[name]
        if _is_float(expected):
            right, exact = expected.astype(np.float64), self.exact[name].astype(np.float64)
            with np.errstate(invalid="ignore"):
                slack = _MARGIN * np.maximum(high - exact, exact - low) + tolerance * _scale(right)
                within = (np.fmin(right, exact) - slack <= found) & (found <= np.fmax(right, exact) + slack)
            return bool((within | _same(found.astype(np.float64), right)).all())
        return bool(((low <= found) & (found <= high)).all())

    def relative(self, name: str) -> float:
        """The largest distance of a draw from an output, relative to the largest finite magnitude expected in it."""
        if name not in self.expected:
            return 0.0
        right = self.expected[name].astype(np.float64)
        with np.errstate(invalid="ignore"):
            distance = np.maximum(self.high[name] - right, right - self.low[name])
        return float(np.max(distance, where=np.isfinite(distance), initial=0.0)) / _scale(right)


def rounding_spread(
    proto: onnx.ModelProto,
    inputs: Mapping[str, Any],
    precision: Precision,
    *,
    seed: int = 0,
    custom_ops: Sequence[str] = (),
) -> Spread:
    """The range of each output over draws of rounding errors; outputs that are no arrays of numbers are left out.

    Args:
        proto: The model.
        inputs: A value for each of its inputs.
        precision: The precision that it is computed in.
        seed: Seed of the draws.
        custom_ops: Libraries of its custom operators.

    Raises:
        ModelError: If the reference engine cannot run the model.
    """
    every = evaluate(proto, inputs, custom_ops=custom_ops)
    expected = {name: value for name, value in every.items() if _is_numeric(value)}
    base, exact = _most_exact(proto, inputs, expected, custom_ops)
    low, high = {}, {}  # around the exact value, as the reference's own error is no part of the spread
    for name, array in exact.items():
        low[name] = high[name] = _comparable(array)
        if not _is_float(array):
            low[name], high[name] = np.fmin(array, expected[name]), np.fmax(array, expected[name])
    for found in _draws(base, inputs, precision, seed, custom_ops):
        for name, right in expected.items():
            if found[name].shape == right.shape:
                low[name] = np.fmin(low[name], _comparable(found[name]))
                high[name] = np.fmax(high[name], _comparable(found[name]))
    return Spread(expected=expected, exact=exact, low=low, high=high)


def _most_exact(
    proto: onnx.ModelProto,
    inputs: Mapping[str, Any],
    expected: Mapping[str, np.ndarray],
    custom_ops: Sequence[str],
) -> tuple[onnx.ModelProto, Mapping[str, np.ndarray]]:
    """The model in float64 with its outputs, or the model itself if the reference engine does not have that."""
    if lacks_operators(in_double(without_weights(proto))):  # most models, at once: weights take long to load
        return proto, expected
    wide = in_double(proto)
    try:
        found = evaluate(wide, inputs, custom_ops=custom_ops)
    except ModelError:
        return proto, expected
    if any(found[name].shape != right.shape or found[name].dtype != right.dtype for name, right in expected.items()):
        return proto, expected
    return wide, {name: found[name] for name in expected}


def _draws(
    proto: onnx.ModelProto, inputs: Mapping[str, Any], precision: Precision, seed: int, custom_ops: Sequence[str]
) -> Iterator[Mapping[str, Any]]:
    """Outputs of the model that rounds to nearest, if the precision is below float32, and of some with noise.

    What the reference engine cannot run is left out: an operator may be too new for the model's opset, or a noisy index
    out of bounds.
    """
    types = float_types(proto)
    if precision in ROUNDED:
        with suppress(ModelError):
            yield evaluate(altered(proto, types, precision, None), inputs, custom_ops=custom_ops)
    if sum(kind.num_bytes for kind in types.values()) <= _MAX_FACTORS_BYTES:
        yield from _shared_draws(proto, types, inputs, precision, seed, custom_ops)
        return
    for draw in range(_NUM_DRAWS):
        with suppress(ModelError):
            yield evaluate(altered(proto, types, precision, seed + draw), inputs, custom_ops=custom_ops)


def _shared_draws(
    proto: onnx.ModelProto,
    types: Mapping[str, FloatTensor],
    inputs: Mapping[str, Any],
    precision: Precision,
    seed: int,
    custom_ops: Sequence[str],
) -> Iterator[Mapping[str, Any]]:
    """Outputs of the model with noise, all draws by one session; models without weights draw the factors."""
    noisy, factors = altered_by_factors(proto, types, precision)
    with suppress(ModelError):
        run = prepare(noisy, custom_ops=custom_ops)
        for draw in range(_NUM_DRAWS):
            drawn = evaluate(factor_model(factors, seed + draw), {})
            with suppress(ModelError):
                yield run({**inputs, **drawn})


def _is_numeric(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind not in "OUS"


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def _comparable(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if _is_float(array) else array


def _same(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    same: np.ndarray = (found == expected) | (np.isnan(found) & np.isnan(expected))
    return same


def _scale(expected: np.ndarray) -> float:
    finite = np.abs(expected[np.isfinite(expected)])
    return float(finite.max(initial=0.0)) or 1.0
