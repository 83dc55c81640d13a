"""The outputs that the reference engine computes, and how far from them rounding may lead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from hetsim.core.deviation import relative_deviation
from hetsim.core.errors import ModelError
from hetsim.core.platform import Platform
from hetsim.models.model import Model, random_inputs
from hetsim.models.values.rounding import rounding_spread
from hetsim.models.values.trust import TRUSTING, Trust
from hetsim.runtime.backends.protocol import Array

ROUNDING = {"f32": 1e-5, "f16": 1e-2, "bf16": 1e-1, "i8": 2e-1}
"""Error, relative to the largest value of an output, that each precision's rounding causes in an ordinary network."""

LIMIT = {"f32": 1e-4, "f16": 1e-1, "bf16": 3e-1, "i8": 5e-1}
"""Error beyond which outputs count as wrong, even if every engine alone has the same error."""

_MARGIN = 2.0


@dataclass(frozen=True, kw_only=True)
class ExpectedOutputs:
    """Inputs of a model, and what the reference engine makes of them from the user's own model.

    Attributes:
        inputs: The model's inputs by tensor.
        outputs: The outputs by tensor, without those that random numbers go into: nothing can be expected of them.
        model: The model.
        other: The same for other inputs, with which plans are not timed but run once; None if there are none.
    """

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    model: Model = field(repr=False)
    other: ExpectedOutputs | None = field(default=None, repr=False)

    @cached_property
    def sensitivity(self) -> float:
        """How far rounding errors of float32 in every operator move the outputs, relative to their largest magnitude.

        A network that quantises activations on the way moves far: where a value lies in the middle between two levels,
        rounding decides. Engines that add in different orders differ by as much, and none of them is wrong.
        """
        spread = rounding_spread(self.model.proto, self.inputs, "f32", custom_ops=self.model.custom_ops)
        return max((spread.relative(name) for name in self.outputs), default=0.0)

    def error(self, outputs: Mapping[str, Array]) -> float:
        """How far outputs are from the expected ones, as :func:`relative_error`."""
        return relative_error(outputs, self.outputs)


def find_expected_outputs(
    model: Model,
    *,
    seed: int = 0,
    inputs: Mapping[str, Any] | None = None,
    trust: Trust = TRUSTING,
    twice: bool = True,
) -> ExpectedOutputs:
    """Inputs and what the reference engine computes from them.

    Args:
        model: The model.
        seed: Seed of random inputs.
        inputs: The inputs; None stands for random ones.
        trust: What is assumed of random inputs.
        twice: Whether the same is wanted for other inputs, too.

    Raises:
        ModelError: If the reference engine cannot run the model.
    """
    given = random_inputs(model, seed=seed, trust=trust) if inputs is None else inputs
    found = _expected(model, given)
    if not twice:
        return found
    with suppress(ModelError):  # a model need not take all random inputs if it was given others
        return replace(found, other=_expected(model, random_inputs(model, seed=seed + 1, trust=trust)))
    return found


def _expected(model: Model, inputs: Mapping[str, Any]) -> ExpectedOutputs:
    outputs = model.reference_outputs(inputs)
    return ExpectedOutputs(
        inputs=inputs,
        outputs={name: outputs[name] for name in model.comparable_outputs},
        model=model,
    )


def tolerance(platform: Platform, errors_alone: Iterable[float] = (), *, sensitivity: float = 0.0) -> float:
    """The largest error, relative to the reference engine, that a plan's outputs may have.

    A plan distributes a model over engines, so its error may be as large as the errors of the engines when each runs
    the whole model alone, times a margin of two: engines add up in different orders, and networks with long sums or
    steep slopes amplify that. Errors below ``ROUNDING`` are always allowed, errors above ``LIMIT`` never, unless the
    model itself is so sensitive that its outputs cannot be compared more closely.

    Args:
        platform: Its least precise device counts.
        errors_alone: Errors of engines that ran the whole model alone.
        sensitivity: How far the model itself carries rounding.
    """
    precisions = {device.precision for device in platform.devices}
    least = max(ROUNDING[precision] for precision in precisions)
    most = max(LIMIT[precision] for precision in precisions)
    amplified = _MARGIN * sensitivity
    return min(max(most, amplified), max(least, amplified, _MARGIN * max(errors_alone, default=0.0)))


def relative_error(outputs: Mapping[str, Any], expected: Mapping[str, Any]) -> float:
    """Largest difference of any output, relative to the largest magnitude expected in it.

    It is infinite where NaN or infinity is not expected, and where a shape, a text or the length of a sequence differs.
    """
    return max((relative_deviation(outputs[name], right) for name, right in expected.items()), default=0.0)
