"""What the right outputs are, and how far from them rounding may lead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from hetsim.core.platform import Platform
from hetsim.models.model import Model, random_inputs
from hetsim.models.reference import evaluate
from hetsim.runtime.backends.protocol import Array

ROUNDING = {"f32": 1e-5, "f16": 1e-2, "bf16": 1e-1, "i8": 2e-1}
"""Error, relative to the largest value of an output, that each precision's rounding causes in an ordinary network."""

LIMIT = {"f32": 1e-4, "f16": 1e-1, "bf16": 3e-1, "i8": 5e-1}
"""Error beyond which no engine computes the network at all, whatever it says alone."""

_MARGIN = 2.0


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Inputs and the reference engine's outputs for them.

    Attributes:
        inputs: The model's inputs by tensor.
        outputs: The reference engine's outputs by tensor.
    """

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]

    def error(self, outputs: Mapping[str, Array]) -> float:
        """How far outputs are from the right ones, as :func:`relative_error`."""
        return relative_error(outputs, self.outputs)


def find_truth(model: Model, *, seed: int = 0) -> Truth:
    """Random inputs and what the reference engine makes of them.

    Raises:
        ModelError: If the reference engine cannot run the model.
    """
    inputs = random_inputs(model, seed=seed)
    return Truth(inputs=inputs, outputs=evaluate(model.proto, inputs))


def tolerance(platform: Platform, errors_alone: Iterable[float] = ()) -> float:
    """How far from the reference engine a plan may be.

    A plan splits a model over engines, so it may be as far off as they are when each runs the whole model alone, with a
    margin of two: engines add up in different orders, and a network with long sums or steep slopes shows it. Below
    ``ROUNDING`` nothing is held against a plan, beyond ``LIMIT`` nothing excuses it.

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
