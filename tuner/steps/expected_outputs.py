"""The outputs that the reference engine computes, and how far from them rounding may lead."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetsim.core.deviation import deviation
from hetsim.core.platform import Platform
from hetsim.models.model import Model, random_inputs
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
    """

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]

    def error(self, outputs: Mapping[str, Array]) -> float:
        """How far outputs are from the expected ones, as :func:`relative_error`."""
        return relative_error(outputs, self.outputs)


def find_expected_outputs(model: Model, *, seed: int = 0) -> ExpectedOutputs:
    """Random inputs and what the reference engine computes from them.

    Raises:
        ModelError: If the reference engine cannot run the model.
    """
    inputs = random_inputs(model, seed=seed)
    outputs = model.reference_outputs(inputs)
    return ExpectedOutputs(inputs=inputs, outputs={name: outputs[name] for name in model.comparable_outputs})


def tolerance(platform: Platform, errors_alone: Iterable[float] = ()) -> float:
    """The largest error, relative to the reference engine, that a plan's outputs may have.

    A plan distributes a model over engines, so its error may be as large as the errors of the engines when each runs
    the whole model alone, times a margin of two: engines add up in different orders, and networks with long sums or
    steep slopes amplify that. Errors below ``ROUNDING`` are always allowed, errors above ``LIMIT`` never.

    Args:
        platform: Its least precise device counts.
        errors_alone: Errors of engines that ran the whole model alone.
    """
    precisions = {device.precision for device in platform.devices}
    least = max(ROUNDING[precision] for precision in precisions)
    most = max(LIMIT[precision] for precision in precisions)
    return min(most, max(least, _MARGIN * max(errors_alone, default=0.0)))


def relative_error(outputs: Mapping[str, Any], expected: Mapping[str, Any]) -> float:
    """Largest difference of any output, relative to the largest magnitude expected in it.

    It is infinite where NaN or infinity is not expected, and where a shape, a text or the length of a sequence differs.
    """
    return max((_error(outputs[name], right) for name, right in expected.items()), default=0.0)


def _error(found: Any, right: Any) -> float:
    if isinstance(right, list):
        same = isinstance(found, list) and len(found) == len(right)
        return max((_error(a, b) for a, b in zip(found, right, strict=True)), default=0.0) if same else math.inf
    if right is None or found is None:
        return 0.0 if found is right else math.inf
    return deviation(np.asarray(found), np.asarray(right)).relative
