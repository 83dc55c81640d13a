"""The outputs that the reference engine computes, and how far from them rounding may lead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from hetsim.core.platform import Platform
from hetsim.models.model import Model, random_inputs
from hetsim.models.reference import evaluate
from hetsim.models.values.trust import TRUSTING, Trust
from hetsim.runtime.backends.protocol import Array

ROUNDING = {"f32": 1e-5, "f16": 1e-2, "bf16": 1e-1, "i8": 2e-1}
"""Error, relative to the largest value of an output, that each precision's rounding causes in an ordinary network."""

LIMIT = {"f32": 1e-4, "f16": 1e-1, "bf16": 3e-1, "i8": 5e-1}
"""Error beyond which outputs count as wrong, even if every engine alone has the same error."""

_MARGIN = 2.0


@dataclass(frozen=True, kw_only=True)
class ExpectedOutputs:
    """Inputs of a model and the reference engine's outputs for them.

    Attributes:
        inputs: The model's inputs by tensor.
        outputs: The reference engine's outputs by tensor.
    """

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]

    def error(self, outputs: Mapping[str, Array]) -> float:
        """How far outputs are from the expected ones, as :func:`relative_error`."""
        return relative_error(outputs, self.outputs)


def find_expected_outputs(
    model: Model, *, seed: int = 0, inputs: Mapping[str, Array] | None = None, trust: Trust = TRUSTING
) -> ExpectedOutputs:
    """Inputs and what the reference engine computes from them.

    Args:
        model: The model.
        seed: Seed of random inputs.
        inputs: The inputs; None stands for random ones.
        trust: What is assumed of random inputs.

    Raises:
        ModelError: If the reference engine cannot run the model.
    """
    given = random_inputs(model, seed=seed, trust=trust) if inputs is None else inputs
    return ExpectedOutputs(inputs=given, outputs=evaluate(model.proto, given))


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


def relative_error(outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """Largest difference of any output, relative to the largest magnitude expected in it; NaN counts as infinite."""
    worst = 0.0
    for name, right in expected.items():
        scale = float(np.abs(right).max(initial=0.0)) or 1.0
        error = float(np.abs(outputs[name].astype(np.float64) - right).max(initial=0.0)) / scale
        worst = max(worst, error if np.isfinite(error) else float("inf"))
    return worst
