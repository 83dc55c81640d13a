"""Values to probe operators with: ordinary ones, and those at which arithmetic and comparisons go wrong.

Values come in batches. The floats of a batch have similar magnitudes, so that an error relative to the largest means
something for each of them.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping

import numpy as np
from onnx import numpy_helper

from hetsim.models.ranges.interval import Interval, Special, is_float, is_integer
from hetsim.models.ranges.sizes import BY_ELEMENT
from hetsim.models.values.draw import integers
from hetsim.runtime.probe.probes import Probe, ProbeInput

Array = np.ndarray

NUM_BATCHES = 11
_MORE_BATCHES = 44
"""For probes with few elements in each batch."""
_ENOUGH = 600
"""So many integers, or floats that may be special, are enough in all batches together."""

_POWERS = (7, 8, 15, 16, 24, 31, 32, 53, 62, 63, 64)
_INTEGER_EDGES = sorted(
    {sign * (2**n + d) for n in _POWERS for d in (-1, 0, 1) for sign in (1, -1)} | set(range(-3, 4))
)
_NARROW, _MOST_NARROW = ("f16", "i8"), 16.0
"""Precisions in which sums of large values overflow, and the magnitudes that they are probed with."""
MOST_BY_KIND = {"LRN": 256.0}
"""Magnitudes beyond which the reference is imprecise itself: it adds and subtracts squares as its window moves."""
_ROUNDED = {"bf16": 16, "f16": 13, "i8": 18}
"""By precision, the low bits of a float32 that it lacks; floats to compare or to round have them zero."""


_QUANTIZING = ("QuantizeLinear", "DynamicQuantizeLinear")


def num_batches(probe: Probe) -> int:
    """How many batches of values a probe is run with."""
    if probe.kind in _QUANTIZING:
        return _MORE_BATCHES
    sizes = [math.prod(one.shape) for one in probe.inputs if is_integer(one.dtype) or one.interval.special]
    if not sizes or not max(sizes):
        return NUM_BATCHES
    return min(_MORE_BATCHES, max(NUM_BATCHES, -(-_ENOUGH // max(sizes))))


def batch(probe: Probe, number: int, precision: str) -> Mapping[str, Array]:
    """The values of a probe's inputs in one batch; the same probe, number and precision give the same values."""
    if number < len(probe.examples):
        return probe.examples[number]
    rng = np.random.default_rng([zlib.crc32(probe.key.encode()), number])
    most = min(MOST_BY_KIND.get(node.op_type, math.inf) for node in probe.nodes)
    exact = probe.num_ops == 1 and (probe.kind in BY_ELEMENT or not all(is_float(one.dtype) for one in probe.outputs))
    real = probe.examples[number % len(probe.examples)] if probe.examples else {}
    values = {
        one.name: _values(rng, one, number, precision, exact=exact, most=most) if one.is_drawn else real[one.name]
        for one in probe.inputs
    }
    if probe.num_ops == 1 and probe.kind in _QUANTIZING and number % 2:
        _move_to_ties(rng, probe, values)
    return values


def _move_to_ties(rng: np.random.Generator, probe: Probe, values: dict[str, Array]) -> None:
    """Make the floats to quantise lie halfway between two steps, where the least error changes the result."""
    node = probe.nodes[0]
    given = values.get(node.input[0])
    if given is None or given.dtype != np.float32 or not given.size:
        return
    halves = rng.integers(0, 255, given.shape) + 0.5
    if probe.kind == "DynamicQuantizeLinear":
        most = np.float32(rng.uniform(0.5, 8))
        ties = (halves * np.float32(most / np.float32(255))).astype(np.float32)
        ties.flat[0] = most
        values[node.input[0]] = ties
        return
    scale = values.get(node.input[1])
    if scale is not None and scale.dtype == np.float32:
        scale = values[node.input[1]] = np.asarray(rng.uniform(0.001, 0.1, scale.shape), np.float32)
    elif node.input[1] in probe.weights:
        scale = numpy_helper.to_array(probe.weights[node.input[1]])
    if scale is not None and scale.size == 1:
        values[node.input[0]] = np.asarray((halves - 128) * scale.reshape(()), np.float32)


def _values(
    rng: np.random.Generator, given: ProbeInput, number: int, precision: str, *, exact: bool, most: float
) -> Array:
    if is_float(given.dtype):
        return _floats(rng, given, number, precision, exact=exact, most=most)
    if is_integer(given.dtype):
        return _integers(rng, given, number)
    return np.asarray(rng.integers(0, 2, given.shape)).astype(np.dtype(given.dtype))


def _integers(rng: np.random.Generator, given: ProbeInput, number: int) -> Array:
    low, high = int(given.interval.low), int(given.interval.high)
    edges = [edge for edge in {low, low + 1, high - 1, high, *_INTEGER_EDGES} if low <= edge <= high]
    match number % 4:
        case 0:  # small numbers, many of them equal
            values = integers(rng, max(low, min(-9, high)), min(high, max(9, low)), given.shape, given.dtype)
        case 1:
            edge = np.array(sorted(edges), dtype=given.dtype)
            values = edge[rng.integers(0, len(edge), given.shape)]
        case 2:
            values = integers(rng, low, high, given.shape, given.dtype)
        case _:  # all magnitudes alike
            most = max(abs(low), abs(high), 1)
            sizes = np.exp2(rng.uniform(0, math.log2(most), given.shape)) * rng.choice([-1.0, 1.0], given.shape)
            values = np.array([min(max(int(one), low), high) for one in sizes.ravel()], given.dtype).reshape(
                given.shape
            )
    if given.nonzero:
        values = np.where(values == 0, np.array(1 if high >= 1 else low, given.dtype), values)
    return np.asarray(values)


_SMALL_EDGES = (0.0, -0.0, 2.0**-140, -(2.0**-140), 2.0**-126, 0.5, -0.5, 1.5, 2.5, -2.5, 255.5, 256.0, -129.0)


def _halves(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.integers(-8, 9, shape) / 2


def _few(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.choice([-1.0, 0.0, -0.0, 1.0, 2.0], shape)


def _edges(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.array(_SMALL_EDGES)[rng.integers(0, len(_SMALL_EDGES), shape)]


def _all_edges(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    edges = [*_SMALL_EDGES, *(sign * 2.0**n for n in (15, 16, 24, 31, 32, 40, 63, 64) for sign in (1, -1))]
    return np.array(edges)[rng.integers(0, len(edges), shape)]


_FLOATS: tuple[Callable[[np.random.Generator, tuple[int, ...]], Array], ...] = (
    lambda rng, shape: rng.standard_normal(shape),
    _halves,
    _few,
    lambda rng, shape: rng.standard_normal(shape) * 2.0**20,
    lambda rng, shape: rng.standard_normal(shape) * 2.0**-12,
    _edges,
    lambda rng, shape: rng.standard_normal(shape),
    lambda rng, shape: rng.standard_normal(shape) * 8,
    lambda rng, shape: rng.standard_normal(shape) * 100,
    lambda rng, shape: rng.uniform(-16, -8, shape),
    lambda rng, shape: rng.choice([-1.0, 1.0], shape) * 2.0 ** rng.integers(24, 34, shape),
)
_SPECIAL_SHARES = {2: 0.2, 5: 0.5, 6: 1.0, 7: 0.05}
"""By batch, the share of floats that are not finite, where these can occur; 1 stands for whole rows."""


def _floats(
    rng: np.random.Generator, given: ProbeInput, number: int, precision: str, *, exact: bool, most: float
) -> Array:
    draw = _FLOATS[number % len(_FLOATS)]
    if exact and draw is _edges:  # where sums do not mix magnitudes
        draw = _all_edges
    values = np.asarray(draw(rng, given.shape), np.float64)
    most = min(_MOST_NARROW if precision in _NARROW else math.inf, most)
    if math.isfinite(most):
        values = np.clip(values, -most, most)
    values = _inside(rng, values, given.interval)
    if number % len(_FLOATS) in _SPECIAL_SHARES:
        values = _with_special(rng, values, given.interval.special, _SPECIAL_SHARES[number % len(_FLOATS)])
    dtype = np.dtype(given.dtype)
    with np.errstate(over="ignore"):
        array = np.asarray(values).astype(dtype)
    if dtype == np.float16:
        array = np.where(np.isinf(array) & np.isfinite(values), np.sign(array) * np.float16(60000), array).astype(dtype)
    if dtype == np.float32 and precision in _ROUNDED:
        mask = np.uint32(0xFFFFFFFF << _ROUNDED[precision] & 0xFFFFFFFF)
        array = (array.view(np.uint32) & mask).view(np.float32) if array.ndim else array
    return np.ascontiguousarray(array).reshape(given.shape)


def _inside(rng: np.random.Generator, values: Array, held: Interval) -> Array:
    """Values moved into an interval: mirrored at an end, or drawn anew between two ends."""
    low, high = float(held.low), float(held.high)
    outside = (values < low) | (values > high)
    if not outside.any():
        return values
    if math.isfinite(low) and math.isfinite(high):
        anew = low + (high - low) * np.round(rng.random(values.shape) * 1024) / 1024
    elif math.isfinite(low):
        anew = low + np.abs(values - low)
    else:
        anew = high - np.abs(values - high)
    return np.where(outside, anew, values)


def _with_special(rng: np.random.Generator, values: Array, special: Special, share: float) -> Array:
    """Some of the values replaced by what is not finite; with a share of 1, half of the rows as a whole."""
    found = [
        value
        for flag, value in (
            (Special.NAN, math.nan),
            (Special.POSITIVE, math.inf),
            (Special.NEGATIVE, -math.inf),
        )
        if flag in special
    ]
    if not found:
        return values
    shape = values.shape if share < 1 else (*values.shape[:-1], 1)[-values.ndim :] if values.ndim else ()
    chosen = np.array(found)[rng.integers(0, len(found), shape)]
    return np.where(rng.random(shape) < min(share, 0.5), chosen, values)
