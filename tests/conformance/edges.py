"""Single operators with edge-valued inputs: where arithmetic in another width, rounding or order shows.

Each case of one operator is run on each device alone with inputs of the case's types and shapes. The reference is ONNX
Runtime on the case's untouched model, without optimisations. A device may refuse the operator, and a plan may refuse
inputs that break what it assumes; what is computed has to be right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import onnx

from hetsim.core.deviation import OPERATOR_TOLERANCE, value_deviation
from hetsim.core.errors import HetsimError, ModelError
from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import Platform
from hetsim.models.importer import import_model
from hetsim.models.model import Model
from hetsim.models.ranges import movement
from hetsim.models.ranges.interval import Interval, is_float, is_integer
from hetsim.models.ranges.propagation import ValueRanges
from hetsim.models.ranges.sizes import BY_ELEMENT, deciding
from hetsim.models.reference import evaluate
from hetsim.models.values.draw import draw_integers
from hetsim.models.values.trust import TRUSTING
from hetsim.runtime import RefusedError, Runtime
from hetsim.runtime.probe.values import MOST_BY_KIND

Values = Mapping[str, Any]
Array = np.ndarray

_CASES_PER_RUNTIME = 250
_TOLERANCE = {"float16": OPERATOR_TOLERANCE["f16"], "float64": 1e-10}
_ROOT = 0.24  # products of four such numbers do not overflow
_NUM_MOVED = 8
_MARGIN = 16.0
_POWERS = (7, 8, 15, 16, 24, 31, 32, 53, 63)


@dataclass(frozen=True, kw_only=True)
class EdgeOutcome:
    """What came of one operator's edge-valued inputs on one device.

    Attributes:
        case: The case's name.
        device: The device.
        status: ``"right"``; ``"off"`` if the device refuses the operator; ``"wrong"``.
        reason: Why the device refuses it, or what it computed.
        num_right: Sets of inputs for which it was right.
        num_refused: Sets of inputs that the plan refused, as they break what it assumes.
        num_skipped: Sets of inputs that the reference refuses.
    """

    case: str
    device: str
    status: str
    reason: str = ""
    num_right: int = 0
    num_refused: int = 0
    num_skipped: int = 0


def check_edges(
    cases: Iterable[tuple[str, onnx.ModelProto, Sequence[Any]]], platform: Platform, *, seed: int = 0
) -> Iterator[EdgeOutcome]:
    """What came of each case on each device, as it comes.

    Args:
        cases: Name, model of one operator, and the inputs that the suite has for it.
        platform: The devices.
        seed: Seed of the values.
    """
    rest = iter(cases)
    while some := list(islice(rest, _CASES_PER_RUNTIME)):
        with Runtime(platform) as runtime:
            for name, proto, inputs in some:
                yield from _check_case(runtime, name, proto, inputs, seed)


def _check_case(
    runtime: Runtime, name: str, proto: onnx.ModelProto, inputs: Sequence[Any], seed: int
) -> Iterator[EdgeOutcome]:
    values = [np.asarray(value) if isinstance(value, np.generic) else value for value in inputs]
    given = dict(zip((value.name for value in proto.graph.input), values, strict=False))
    try:
        shapes = {key: value.shape for key, value in given.items() if isinstance(value, np.ndarray) and value.size == 0}
        model = import_model(proto, name=name, shapes=shapes)
    except ModelError:
        return  # the suite says so
    drawn = _edge_inputs(model, given, np.random.default_rng(seed))
    if not drawn or not model.comparable_outputs:
        return
    expected = [_expected(proto, model, values) for values in drawn]
    for device in runtime.platform.device_names:
        yield _check_device(runtime, model, device, proto, list(zip(drawn, expected, strict=True)))


def _check_device(
    runtime: Runtime,
    model: Model,
    device: str,
    proto: onnx.ModelProto,
    sets: Sequence[tuple[Values, Values | None]],
) -> EdgeOutcome:
    segments = tuple(Segment(device, (op.name,)) for op in model.graph.ops)
    plan = Plan(model=model.name, model_hash=model.hash, queues={device: segments})
    num_right = num_refused = num_skipped = 0
    try:
        with runtime.load(model, plan) as session:
            for values, expected in sets:
                if expected is None:
                    num_skipped += 1
                    continue
                try:
                    found = session.run(values).outputs
                except ModelError:
                    num_refused += 1
                    continue
                wrong = _difference(model, proto, values, found, expected)
                if wrong:
                    return EdgeOutcome(case=model.name, device=device, status="wrong", reason=wrong)
                num_right += 1
    except RefusedError as refusal:
        return EdgeOutcome(case=model.name, device=device, status="off", reason=str(refusal))
    except HetsimError as error:
        return EdgeOutcome(case=model.name, device=device, status="wrong", reason=str(error))
    return EdgeOutcome(
        case=model.name,
        device=device,
        status="right",
        num_right=num_right,
        num_refused=num_refused,
        num_skipped=num_skipped,
    )


def _expected(proto: onnx.ModelProto, model: Model, values: Values) -> Values | None:
    """What the reference computes; None if it refuses the values, or an output has another size than the file says."""
    try:
        made = evaluate(proto, values)
    except ModelError:
        return None
    tensors = model.graph.tensors
    stated = [name for name in model.graph.outputs if not tensors[name].is_opaque]
    return made if all(made[name].shape == tensors[name].shape for name in stated) else None


def _difference(model: Model, proto: onnx.ModelProto, values: Values, found: Values, expected: Values) -> str:
    """The output that is wrong, and how; empty if none is. Overflow of finite floats is left out."""
    finite = all(np.isfinite(value).all() for value in values.values() if _is_float_array(value))
    floats = [value for value in values.values() if _is_float_array(value)]
    large = finite and any(np.abs(value).max(initial=0) > _largest(value) for value in floats)
    for name in model.comparable_outputs:
        ours, right = found[name], expected[name]
        if _is_float_array(right) and ours.shape == right.shape and finite:
            beyond = ~np.isfinite(right) if large else np.isinf(right)
            ours, right = np.where(beyond, 0, ours).astype(right.dtype), np.where(beyond, 0, right).astype(right.dtype)
        wrong = value_deviation(ours, right)
        if not wrong.exceeds(_TOLERANCE.get(str(getattr(right, "dtype", "")), OPERATOR_TOLERANCE["f32"])):
            continue
        if not wrong.is_exact and wrong.max_abs <= 4 * float(np.finfo(right.dtype).tiny):
            continue  # engines may take denormal numbers for zeros
        if not wrong.is_exact and _is_rounding(proto, values, name, ours, right):
            continue
        return f"{name!r}: {wrong}"
    return ""


def _is_rounding(proto: onnx.ModelProto, values: Values, name: str, found: Array, expected: Array) -> bool:
    """Whether the output moves as much when the inputs move within rounding, as where huge numbers compete."""
    low = high = right = expected.astype(np.float64)
    for seed in range(_NUM_MOVED):
        rng = np.random.default_rng(seed)
        moved = {key: _moved(rng, value) if _is_float_array(value) else value for key, value in values.items()}
        try:
            made = evaluate(proto, moved)[name].astype(np.float64)
        except ModelError:
            continue
        if made.shape == right.shape:
            low, high = np.fmin(low, made), np.fmax(high, made)
    with np.errstate(all="ignore"):
        slack = _MARGIN * np.maximum(high - right, right - low) + OPERATOR_TOLERANCE["f32"] * np.abs(right)
        return bool((np.abs(found.astype(np.float64) - right) <= slack).all())


def _moved(rng: np.random.Generator, value: Array) -> Array:
    noise = rng.uniform(-4, 4, value.shape) * float(np.finfo(value.dtype).eps)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(value * (1 + noise)).astype(value.dtype)


def _is_float_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _largest(value: Array) -> float:
    return float(np.finfo(value.dtype).max) ** 0.25


def _edge_inputs(model: Model, given: Values, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Sets of inputs; what decides sizes keeps the case's value."""
    graph = model.graph
    ranges = ValueRanges(model, TRUSTING)
    fixed = deciding(
        [node for op in graph.ops for node in model.nodes_of(op.name)],
        lambda name: None if name in model.weights else graph.tensors[name].dtype if name in graph.tensors else "",
    )
    free = [name for name in graph.inputs if name not in fixed and not graph.tensors[name].is_opaque]
    most = min(MOST_BY_KIND.get(op.kind, np.inf) for op in graph.ops)
    sets = []
    for number in range(len(_FLOATS)):
        values = {name: given[name] for name in graph.inputs}
        for name in free:
            tensor = graph.tensors[name]
            if is_float(tensor.dtype):
                drawn = _FLOATS[number](rng, tensor.shape, np.finfo(tensor.dtype))
                if _FLOATS[number] is _large and not _hands_on(model):
                    drawn = np.sign(drawn) * np.abs(drawn) ** _ROOT
                values[name] = np.asarray(np.clip(drawn, -most, most)).astype(tensor.dtype)
            elif is_integer(tensor.dtype) and tensor.num_bytes:
                held = _span(ranges.useful[name], number)
                nonzero = name in ranges.nonzero
                values[name] = _integers(rng, held, tensor.shape, tensor.dtype, number, nonzero=nonzero)
            elif tensor.dtype == "bool":
                values[name] = rng.integers(0, 2, tensor.shape).astype(bool)
        sets.append(values)
    return sets if free else []


def _hands_on(model: Model) -> bool:
    """Whether all operators move elements, or compute each from one of each input; others' sums may overflow inside."""
    return all(kind in BY_ELEMENT or kind in movement.RULES for op in model.graph.ops for kind in op.kinds)


def _span(held: Interval, number: int) -> Interval:
    """All of the integers, or every third time small ones, of which many are equal."""
    if number % 3 != 2:
        return held
    low, high = max(int(held.low), min(-9, int(held.high))), min(int(held.high), max(9, int(held.low)))
    return Interval(low, high)


def _integers(
    rng: np.random.Generator, held: Interval, shape: tuple[int, ...], dtype: str, number: int, *, nonzero: bool
) -> Array:
    """Integers of an interval: any, or those next to powers of two and to its ends."""
    if number % 3:
        return draw_integers(rng, held, shape, dtype, nonzero=nonzero)
    near = {sign * (2**power + off) for power in _POWERS for off in (-1, 0, 1) for sign in (1, -1)}
    edges = sorted({int(held.low), int(held.high)} | {edge for edge in near | {-1, 0, 1} if edge in held})
    edges = [edge for edge in edges if edge or not nonzero]
    return np.asarray(np.array(edges, dtype)[rng.integers(0, len(edges), shape)])


def _signs(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.choice([-1.0, 1.0], shape)


def _near_powers(rng: np.random.Generator, shape: tuple[int, ...], kind: np.finfo[Any]) -> Array:
    powers = (10, 11) if kind.bits == 16 else (24, 31)
    return _signs(rng, shape) * (2.0 ** rng.choice(powers, shape) + rng.integers(-2, 3, shape))


def _halves(rng: np.random.Generator, shape: tuple[int, ...], kind: np.finfo[Any]) -> Array:  # noqa: ARG001
    return _signs(rng, shape) * rng.integers(0, 10, shape) / 2


def _tiny(rng: np.random.Generator, shape: tuple[int, ...], kind: np.finfo[Any]) -> Array:
    least, normal = float(kind.smallest_subnormal), float(kind.tiny)
    return _signs(rng, shape) * rng.choice([0.0, least, 3 * least, normal / 2, normal, 2 * normal], shape)


def _large(rng: np.random.Generator, shape: tuple[int, ...], kind: np.finfo[Any]) -> Array:
    return _signs(rng, shape) * float(kind.max) * rng.choice([1.0, 0.5, 2.0**-8], shape)


def _mixed(rng: np.random.Generator, shape: tuple[int, ...], kind: np.finfo[Any]) -> Array:
    edges = np.array([0.0, -0.0, float(kind.smallest_subnormal), 0.5, -1.5, 2.5, 1.0, -1.0])
    return np.where(rng.random(shape) < 0.4, rng.choice(edges, shape), rng.standard_normal(shape) * 4)


def _not_finite(rng: np.random.Generator, shape: tuple[int, ...], kind: np.finfo[Any]) -> Array:  # noqa: ARG001
    special = rng.choice([np.nan, np.inf, -np.inf], shape)
    return np.where(rng.random(shape) < 0.3, special, rng.standard_normal(shape))


_FLOATS: tuple[Callable[[np.random.Generator, tuple[int, ...], np.finfo[Any]], Array], ...] = (
    _near_powers,
    _halves,
    _tiny,
    _large,
    _mixed,
    _not_finite,
)
"""By set of inputs, its floats: their magnitudes are alike, so that an error relative to the largest shows."""
