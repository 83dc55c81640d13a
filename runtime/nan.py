"""Outputs that are no numbers (NaN): noticed after serving, and traced to the segment that made them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from hetsim.core.errors import DeviceError
from hetsim.core.plan import Plan
from hetsim.models.model import Model
from hetsim.models.reference import evaluate
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.emulation import Emulation
from hetsim.runtime.inference import Inference

if TYPE_CHECKING:
    from hetsim.runtime.devices import Runtime


def check_numbers(
    runtime: Runtime,
    model: Model,
    plan: Plan,
    inputs: Mapping[str, Array],
    inferences: Iterable[Inference],
    *,
    emulation: Emulation | None = None,
) -> None:
    """See to it that what a plan gave are numbers, or that the reference engine's outputs are none either.

    Where they are not, the plan runs once more with every segment's outputs looked at, so that the first one that
    makes NaN is named. A plan that served well is loaded a second time only then.

    Raises:
        DeviceError: If a device made NaN of numbers; it names the device and, if it happens again, the segment.
    """
    bad = [number for number, one in enumerate(inferences) if first_nan(one.outputs)]
    if not bad or first_nan(evaluate(model.proto, inputs)):
        return
    with runtime.load(model, plan, check_numbers=True, emulation=emulation) as session:
        session.run(inputs)
        device = session.device_names[0]
    raise DeviceError(
        f"the outputs of request {bad[0]} and {len(bad) - 1} more are no numbers (NaN), but not when the plan ran "
        f"again to see which segment makes them; one of its devices, {', '.join(session.device_names)}, is unreliable",
        device=device,
    )


def first_nan(tensors: Mapping[str, Array]) -> str:
    """The name of the first tensor that has values that are no numbers; empty if none has."""
    found = (name for name, array in tensors.items() if array.dtype.kind in "fc" and np.isnan(array).any())
    return next(found, "")
