"""The verdict on what a device computed: does it agree, does rounding explain the difference, or does it diverge?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetsim.analysis.verification.records import Difference, OutputFinding, Verdict
from hetsim.core.deviation import OPERATOR_TOLERANCE, value_deviation
from hetsim.core.errors import ModelError
from hetsim.core.sources import Precision
from hetsim.models.model import Model
from hetsim.models.nodes import is_random
from hetsim.models.segments.parts import own_name, side_by_side
from hetsim.models.values.rounding import rounding_spread
from hetsim.runtime.verifying.devices import Values

_ROUNDS_TO_INTEGERS = frozenset(
    {"DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "QLinearAdd", "QLinearMul"}
)
"""Kinds that compute in floats before they round to integers, so that the last digit decides. Others either compute in
integers or compare floats as they are, and must be exact."""


def draws_random(model: Model, op: str) -> bool:
    """Whether an operator draws random numbers; no two engines draw the same."""
    return any(is_random(node) for node in model.nodes_of(op))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is said of a part, and its worst deviation."""

    verdict: Verdict
    difference: Difference


def worst_difference(found: Sequence[Values], expected: Sequence[Values], names: Iterable[str]) -> Difference:
    """The worst deviation of these tensors over all samples; of equal ones the first."""
    return max(_differences(found, expected, names), key=_relative)


def _differences(found: Sequence[Values], expected: Sequence[Values], names: Iterable[str]) -> list[Difference]:
    return [
        Difference(tensor=name, sample=sample, deviation=value_deviation(ours[name], right[name]))
        for name in names
        for sample, (ours, right) in enumerate(zip(found, expected, strict=True))
    ]


def _relative(difference: Difference) -> float:
    return difference.deviation.relative


def judge(
    model: Model,
    ops: tuple[str, ...],
    found: Sequence[Values],
    expected: Sequence[Values],
    precision: Precision,
) -> Judgement:
    """The verdict on what was computed from the reference's values.

    Args:
        model: The model, not a rewritten one.
        ops: The operators that computed it, in topological order.
        found: By input, their outputs.
        expected: By input, the reference's values for what they read and make.
        precision: Precision of the device that computed it.
    """
    tolerance = OPERATOR_TOLERANCE[precision]
    every = _differences(found, expected, model.graph.outputs_of(ops))
    suspects = [one for one in every if one.deviation.exceeds(tolerance) or one.deviation.max_abs == np.inf]
    wrong: list[Difference] = []
    for sample in dict.fromkeys(one.sample for one in suspects):
        here = {one.tensor: one for one in suspects if one.sample == sample}
        values = {name: found[sample][name] for name in here}
        names = _unexplained(model, ops, values, expected[sample], precision, tolerance)
        wrong += [here[name] for name in names]
    if wrong:
        return Judgement(verdict="diverges", difference=max(wrong, key=_relative))
    return Judgement(verdict="explained" if suspects else "agrees", difference=max(every, key=_relative))


def judge_outputs(
    model: Model,
    found: Sequence[Values],
    expected: Sequence[Values],
    precisions: Sequence[Precision] = (),
) -> tuple[OutputFinding, ...]:
    """The model's outputs beside the reference's.

    Args:
        model: The model, not a rewritten one.
        found: By input, the outputs.
        expected: By input, the reference's outputs and the model's inputs.
        precisions: Precisions of the devices that computed them; empty if no verdict is wanted.
    """
    unexplained = set[tuple[str, int]]()
    comparable = model.comparable_outputs
    if precisions:
        precision = max(precisions, key=lambda one: OPERATOR_TOLERANCE[one])
        tolerance = OPERATOR_TOLERANCE[precision]
        every = tuple(op.name for op in model.graph.ops)
        for sample, (ours, right) in enumerate(zip(found, expected, strict=True)):
            suspects = {
                name: ours[name]
                for name in model.graph.outputs
                if name in model.graph.producer
                and name in comparable
                and value_deviation(ours[name], right[name]).exceeds(tolerance)
            }
            if suspects:
                names = _unexplained(model, every, suspects, right, precision, tolerance)
                unexplained |= {(name, sample) for name in names}
    return tuple(
        OutputFinding(
            tensor=name,
            difference=worst_difference(found, expected, (name,)),
            diverges=any(tensor == name for tensor, _ in unexplained) if precisions and name in comparable else None,
            top1=_top1([one[name] for one in found], [one[name] for one in expected]),
        )
        for name in model.graph.outputs
    )


def _unexplained(
    model: Model,
    ops: tuple[str, ...],
    found: Mapping[str, Any],
    right: Values,
    precision: Precision,
    tolerance: float,
) -> list[str]:
    """Those of the tensors that rounding does not explain."""
    kinds = {kind for op in ops for kind in model.graph.by_name[op].kinds}
    possible = [
        name
        for name, value in found.items()
        if np.asarray(value, dtype=None if isinstance(value, np.ndarray) else object).dtype.kind == "f"
        or precision != "f32"
        or len(ops) > 1
        or kinds & _ROUNDS_TO_INTEGERS
    ]
    explained: set[str] = set()
    if possible:
        made = side_by_side(model, [ops])
        try:
            spread = rounding_spread(made.model.proto, made.feed(right), precision, custom_ops=model.custom_ops)
        except ModelError:
            return list(found)
        explained = {name for name in possible if spread.explains(own_name(0, name), found[name], tolerance=tolerance)}
    return [name for name in found if name not in explained]


def _top1(found: Sequence[Any], expected: Sequence[Any]) -> float | None:
    """The share of rows whose largest score is of the same class; None if the output is no table of scores.

    A table of scores has its rows along the first axis, its classes along the second, and no other axis.
    """
    if not all(isinstance(one, np.ndarray) for one in (*found, *expected)):
        return None
    shape = expected[0].shape
    if expected[0].dtype.kind != "f" or len(shape) < 2 or shape[1] < 2 or any(size > 1 for size in shape[2:]):
        return None
    agreements = []
    for ours, right in zip(found, expected, strict=True):
        if ours.shape != right.shape:
            return 0.0
        agreements.append(ours.argmax(axis=1).ravel() == right.argmax(axis=1).ravel())
    together = np.concatenate(agreements)
    return float(together.mean()) if together.size else None
