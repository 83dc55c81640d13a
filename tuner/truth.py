"""What the right outputs are, and how far from them rounding may lead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hetsim.machine.platform import Platform
from hetsim.model import Model, evaluate, random_inputs
from runtime.backends.protocol import Array

TOLERANCE = {"f32": 1e-5, "f16": 1e-2, "bf16": 1e-1, "i8": 2e-1}
"""Largest error, relative to the largest value of an output, that each precision's rounding may cause by itself."""

_ROUNDING_MARGIN = 4.0


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Inputs and the reference engine's outputs for them.

    Attributes:
        inputs: The model's inputs by tensor.
        outputs: The reference engine's outputs by tensor.
        rounding: How far the reference engine is from itself when it fuses nothing and so sums in another order,
            as :func:`relative_error`: the model's own sensitivity to rounding.
    """

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    rounding: float

    def tolerance(self, platform: Platform) -> float:
        """What the least precise device may get wrong; more only where the model multiplies rounding errors."""
        return max(_ROUNDING_MARGIN * self.rounding, *(TOLERANCE[device.precision] for device in platform.devices))


def find_truth(model: Model, *, seed: int = 0) -> Truth:
    """Random inputs and what the reference engine makes of them.

    Raises:
        ModelError: If the reference engine cannot run the model.
    """
    inputs = random_inputs(model, seed=seed)
    outputs = evaluate(model.proto, inputs)
    otherwise = evaluate(model.proto, inputs, optimized=False)
    return Truth(inputs=inputs, outputs=outputs, rounding=relative_error(otherwise, outputs))


def relative_error(outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """Largest difference of any output, relative to the largest magnitude expected in it; NaN counts as infinite."""
    worst = 0.0
    for name, right in expected.items():
        scale = float(np.abs(right).max(initial=0.0)) or 1.0
        error = float(np.abs(outputs[name].astype(np.float64) - right).max(initial=0.0)) / scale
        worst = max(worst, error if np.isfinite(error) else float("inf"))
    return worst
