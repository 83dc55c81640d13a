"""Trace outputs that are not a number (NaN) to the segment that makes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hetsim.core.errors import DeviceError
from hetsim.core.plan import Plan
from hetsim.models.model import Model
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.emulation import Emulation
from hetsim.runtime.inference import Inference
from hetsim.runtime.runtime import Runtime
from hetsim.runtime.worker.loaded import first_nan


def check_numbers(
    runtime: Runtime,
    model: Model,
    plan: Plan,
    inputs: Mapping[str, Array],
    inferences: Iterable[Inference],
    *,
    emulation: Emulation | None = None,
) -> None:
    """Check that a plan's outputs hold no NaN, unless the reference engine's outputs do, too.

    If they do, the plan is loaded again and run once with every segment's outputs checked, so that the error names the
    first segment that makes NaN. Otherwise nothing runs again.

    Raises:
        DeviceError: If a device made NaN where the reference engine does not. It names the device and the segment, or
            all devices if the second run made none.
    """
    bad = [number for number, one in enumerate(inferences) if first_nan(one.outputs)]
    if not bad or first_nan(model.reference_outputs(inputs)):
        return
    with runtime.load(model, plan, check_numbers=True, emulation=emulation) as session:
        session.run(inputs)
        device = session.device_names[0]
    raise DeviceError(
        f"the outputs of request {bad[0]} and {len(bad) - 1} more are not numbers (NaN), but no segment made NaN when "
        f"the plan ran again; one of its devices, {', '.join(session.device_names)}, is unreliable",
        device=device,
    )
