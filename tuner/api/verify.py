"""``hetsim.verify``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hetsim.core.errors import ModelError, PlanError, PlatformError
from hetsim.core.plan import Plan
from hetsim.core.platform import Device, Platform
from hetsim.tuner.api.sources import to_model, to_plan, to_platform, to_trust
from hetsim.tuner.progress import Silent, Stages

if TYPE_CHECKING:
    from hetsim.analysis.verification.records import Verification
    from hetsim.models.model import Model
    from hetsim.models.values.trust import Trust
    from hetsim.runtime.devices import Devices
    from hetsim.tuner.api.sources import ModelLike, PlanLike, PlatformLike

    InputsLike = Mapping[str, Any] | Sequence[Mapping[str, Any]]
    """The model's inputs by tensor, once or several times."""

_STALL_S, _SLOW_S = 120.0, 10.0
"""Many segments run in one request, once each: nothing is known of how long they take."""


def verify(
    model: ModelLike,
    plan: PlanLike | None = None,
    *,
    platform: PlatformLike | None = None,
    device: str = "",
    inputs: InputsLike | None = None,
    trust: Trust | None = None,
    num_samples: int = 2,
    seed: int = 0,
    out: Path | str | None = None,
    stages: Stages | None = None,
) -> Verification:
    """Compare devices with the reference engine, operator by operator, and a plan, segment by segment.

    Every operator is computed twice on every device: from the reference's values for its inputs (*isolated*), and from
    the values that the device itself has computed so far (*accumulated*). An operator diverges if its isolated
    deviation is more than rounding at the device's precision explains; the first such operator in topological order is
    where a device begins to deviate.

    >>> import hetsim, onnx
    >>> net = onnx.parser.parse_model(
    ...     '<ir_version: 8, opset_import: ["": 17]> net (float[1, 8] x) => (float[1, 8] y) { t = Abs(x) y = Neg(t) }'
    ... )
    >>> model = hetsim.import_model(net, name="net")
    >>> wrong = {"wrong": model.graph.ops[1].name, "wrong_by": "scale:0.01"}
    >>> npu = hetsim.Device(name="npu", kind="npu", nature="stand-in", backend="fake", options=wrong)
    >>> found = hetsim.verify(model, platform=hetsim.Platform(name="desk", devices=(npu,)))
    >>> found.diverges, found.devices[0].first_diverging.kind
    (True, 'Neg')

    Args:
        model: The model, the name of one of the zoo, or the path of an .onnx file.
        plan: A plan, or its file, whose segments and outputs are verified as well.
        platform: The devices, a built-in platform's name or a TOML file; None stands for the default. Devices without
            an engine are left out, and the result says so.
        device: The only device whose operators are verified; empty for all.
        inputs: The model's inputs by tensor, or several such; None stands for random ones.
        trust: Ranges of random integers; None stands for what follows from the model. Nothing else of it matters, as
            devices are loaded whatever they compute.
        num_samples: Number of random inputs.
        seed: Seed of the first of them; the others have the seeds that follow.
        out: A folder that gets ``verify.json`` and ``verify.png``; None writes nothing.
        stages: Where progress is shown; None shows nothing.

    Raises:
        HetsimError: If anything about the arguments is wrong, no device has an engine, or a device does not start.
        OSError: If the folder cannot be written.
    """
    from hetsim.analysis.verification.records import Verification
    from hetsim.runtime.verifying.devices import RestartableDevices
    from hetsim.runtime.verifying.verify import verify_devices, verify_plan

    base, whole, stages = to_model(model), to_platform(platform), stages or Silent()
    loaded = None if plan is None else to_plan(plan)
    part, absent = _with_engines(whole, device, loaded)
    samples, described = _samples(base, inputs, to_trust(base, trust, None), num_samples, seed)
    planned = None
    with RestartableDevices(_start, part) as devices:
        with stages.stage("verify operators") as report:
            names = (device,) if device else part.device_names
            found = verify_devices(devices, base, samples, names=names, progress=report)
        if loaded is not None:
            with stages.stage("verify segments") as report:
                planned = verify_plan(devices, base, loaded, samples, progress=report)
    result = Verification(
        model=base.name,
        platform=whole.name,
        num_samples=len(samples),
        inputs=described,
        devices=found,
        plan=planned,
        not_verified=absent,
    )
    if out is not None:
        from hetsim.tuner.report.verification import write_verification

        write_verification(result, Path(out))
    return result


def _start(platform: Platform) -> Devices:
    from hetsim.runtime.devices import Devices

    return Devices(platform, stall_s=_STALL_S, slow_s=_SLOW_S)


def _with_engines(platform: Platform, device: str, plan: Plan | None) -> tuple[Platform, dict[str, str]]:
    """The platform's devices that are to be verified or that the plan uses, and by label why others are not.

    Raises:
        PlatformError: If the device that is asked for has no engine, or none has.
        PlanError: If the plan uses a device without an engine.
    """
    computing = tuple(one for one in platform.devices if one.is_measured or one.is_paced)
    absent = {one.name: _why_not(one) for one in platform.devices if one not in computing}
    used = () if plan is None else tuple(plan.queues)
    if device and platform.device(device).name in absent:
        raise PlatformError(f"device {device!r} cannot be verified: {absent[device]}")
    for name in used:
        if name in absent:
            raise PlanError(f"the plan uses device {name!r}, which cannot be verified: {absent[name]}")
    if len(absent) == len(platform.devices):
        name, reason = next(iter(absent.items()))
        raise PlatformError(f"no device of platform {platform.name!r} can be verified; {name!r}: {reason}")
    part = platform.only(device) if device and not used else Platform(name=platform.name, devices=computing)
    shown = {} if device else absent
    return part, {platform.device(name).label: reason for name, reason in shown.items()}


def _why_not(device: Device) -> str:
    if device.backend == "emulated":
        return "it is emulated, so the reference engine computes its outputs"
    return f"it is {device.nature} and has no engine that computes anything"


def _samples(
    model: Model, inputs: InputsLike | None, trust: Trust, num_samples: int, seed: int
) -> tuple[list[dict[str, Any]], str]:
    """The inputs, and in words where they come from.

    Raises:
        ModelError: If an input is missing, unknown, or of another shape or type, or there are no inputs.
    """
    from hetsim.models.model import random_inputs

    if inputs is None:
        if num_samples < 1:
            raise ModelError(f"num_samples {num_samples} leaves nothing to compare; give 1 or more")
        last = seed + num_samples - 1
        described = f"random, seed{'s' * (num_samples > 1)} {seed}" + (f" to {last}" if num_samples > 1 else "")
        return [random_inputs(model, seed=seed + number, trust=trust) for number in range(num_samples)], described
    every = [inputs] if isinstance(inputs, Mapping) else list(inputs)
    if not every:
        raise ModelError("the list of inputs is empty; give the model's inputs at least once")
    return [_checked(model, one) for one in every], "given"


def _checked(model: Model, inputs: Mapping[str, Any]) -> dict[str, Any]:
    graph = model.graph
    if set(inputs) != set(graph.inputs):
        raise ModelError(f"the model's inputs are {', '.join(graph.inputs)}; got {', '.join(inputs) or 'none'}")
    opaque = {name for name in graph.inputs if graph.tensors[name].is_opaque}  # the engine checks these
    arrays = {name: np.asarray(inputs[name]) for name in graph.inputs if name not in opaque}
    for name, array in arrays.items():
        tensor = graph.tensors[name]
        if array.shape != tensor.shape or array.dtype != np.dtype(tensor.dtype):
            raise ModelError(
                f"input {name!r} must be {tensor.dtype} of shape {list(tensor.shape)}, "
                f"got {array.dtype} {list(array.shape)}"
            )
    return {name: arrays.get(name, inputs[name]) for name in graph.inputs}
