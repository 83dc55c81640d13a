"""Measure operators and groups of operators on the real devices.

The profiler measures whole plans in *serial runs*: one segment after the other in model order, on one device at a time.
So a segment is never repeated alone, and finds the caches as they are in a plan. There are two kinds of plans:

- *profiling configurations* (:mod:`hetsim.runtime.measure.configurations`);
- *replays* of plans that a scheduler made, which also hand over tensors between devices.

Each serial run records the devices' speed probes, too (:mod:`hetsim.runtime.worker.probes.speed`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import numpy as np

from hetsim.core.graph import Graph
from hetsim.core.plan import Plan, Split
from hetsim.core.platform import Device
from hetsim.costs.profile import Header, Profile, Samples, SerialRuns, Unsupported
from hetsim.costs.profile_file import ProfileFile
from hetsim.costs.refusals import refusal
from hetsim.models.model import Model, random_inputs
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.inference import Inference
from hetsim.runtime.machine.fingerprint import machine_fingerprint
from hetsim.runtime.measure.configurations import (
    NUM_SPREADS,
    configuration_plan,
    has_samples,
    is_measured,
    profiling_configurations,
    spread_plans,
)
from hetsim.runtime.runtime import Runtime
from hetsim.runtime.session import Session
from hetsim.runtime.worker_pool import RefusedError

WARM_UPS = 2
"""Serial runs of a plan that are not counted: the first takes up to twice as long, the second at most 1 % longer."""
MOST_WARM_UPS, WARM_UP_S = 6, 0.02
"""Small models warm up for longer: until this time has passed, in seconds, or with so many runs."""

MAX_RUNS_PER_REPEAT = 2
"""While cores are disturbed, at most this many serial runs are made for each repeat that is wanted."""

Progress = Callable[[float, str], None]
"""Called with the fraction of the work done, from 0 to 1, and a text that says what comes next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How often each plan is run.

    Attributes:
        repeats: Serial runs that are counted, at least 1.
        warm_ups: Serial runs before them that are not counted, at least 1.
        budget_s: A plan whose repeats would take longer than this, in seconds, is repeated less often, but at least
            three times.
        stall_budget_s: Time that may be spent on further runs while not enough of them are undisturbed, in seconds.
        explorations: Plans that are measured where the search will go, besides fixed configurations; every other one
            has splits.
    """

    repeats: int = 6
    warm_ups: int = WARM_UPS
    budget_s: float = 6.0
    stall_budget_s: float = 0.25
    explorations: int = 4

    def __post_init__(self) -> None:
        if not (self.repeats >= 1 and self.warm_ups >= 1):
            raise ValueError(f"repeats and warm_ups must be at least 1, got {self.repeats} and {self.warm_ups}")


def make_header(runtime: Runtime, model: Model, paced: Mapping[str, str] | None = None) -> Header:
    """The header of a profile of this model on these devices: model, machine, engines and date.

    Args:
        runtime: The devices.
        model: The model.
        paced: The engines of paced devices, whose refusals the profile records.
    """
    return Header(
        model=model.graph.name,
        model_hash=model.hash,
        machine=machine_fingerprint(),
        engines={
            device.name: engine_description(runtime.engines[device.name], device) for device in runtime.platform.devices
        }
        | dict(paced or {}),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def engine_description(engine: str, device: Device) -> str:
    """An engine as profiles name it: its own description, the device's cores, and its options."""
    cores = f"cores {', '.join(map(str, device.cores))}" if device.cores else "any core"
    return "; ".join([f"{engine}, {cores}", *(f"{key}={value}" for key, value in sorted(device.options.items()))])


def measure_configurations(
    runtime: Runtime, model: Model, file: ProfileFile, *, effort: Effort, progress: Progress | None = None
) -> None:
    """Measure every profiling configuration on every device, unless the file already has it; blocks.

    It may be interrupted at any time: each finished configuration is in the file.

    Args:
        runtime: The devices.
        model: The model.
        file: Its profile, which gets the measurements.
        effort: How often to run each configuration.
        progress: Told how much of the work is done, and what comes next.

    Raises:
        ProblemError: If an operator runs on no device.
        DeviceError: If a device failed.
    """
    report = progress or (lambda _done, _text: None)
    inputs = random_inputs(model, trust=runtime.trust)
    _note_unsupported(runtime, model, file)
    found = profiling_configurations(model.graph)
    weights = {name: 2.0 * effort.repeats + len(parts) for name, parts in found.items()}
    names = runtime.platform.device_names
    total = sum(weights.values()) * len(names) + NUM_SPREADS * len(names) * weights["operators"]
    done = 0.0
    for device in names:
        for name, parts in found.items():
            report(done / total, f"{device}: {name}")
            context = f"configuration:{name}"
            if not is_measured(file.profile, device, parts, context):
                make = partial(configuration_plan, model, file.profile, names, device, parts)
                measure_accepted(runtime, model, file, make, context, effort=effort, inputs=inputs, only=device)
            done += weights[name]
    for name, plan in spread_plans(model.graph, file.profile, names):
        report(done / total, name)
        context = f"configuration:{name}"
        if not has_samples(file.profile, plan, context):
            make = partial(_spread_plan, model.graph, file.profile, names, name)
            measure_accepted(runtime, model, file, make, context, effort=effort, inputs=inputs)
        done += weights["operators"]
    report(1.0, "profiled")


def replay(
    runtime: Runtime,
    model: Model,
    plan: Plan,
    file: ProfileFile,
    *,
    effort: Effort,
    inputs: Mapping[str, Array] | None = None,
    anew: bool = False,
) -> str:
    """Run a plan serially and record its segments; returns the name of their context in the profile.

    A plan whose replay the file already has is not measured again, unless ``anew`` asks for more samples.

    Args:
        runtime: The devices.
        model: The model.
        plan: A plan for it.
        file: Its profile, which gets the measurements.
        effort: How often to run the plan.
        inputs: The model's inputs, by default random ones.
        anew: Whether to measure although the file has a replay of this plan.

    Raises:
        DeviceError: If a device failed or refuses a segment.
    """
    context = f"replay:{plan.digest}"
    if anew or not has_samples(file.profile, plan, context):
        record(
            file,
            run_serially(runtime, model, plan, inputs or random_inputs(model, trust=runtime.trust), effort),
            context,
            splits=plan.rewrites,
        )
    return context


def measure_accepted(
    runtime: Runtime,
    model: Model,
    file: ProfileFile,
    make: Callable[[], Plan],
    context: str | Callable[[Plan], str],
    *,
    effort: Effort,
    inputs: Mapping[str, Array],
    only: str | None = None,
) -> None:
    """Run a plan serially that all engines take, and record its segments.

    What an engine refuses is recorded, and the plan is made again.

    Args:
        runtime: The devices.
        model: The model.
        file: Its profile, which gets the measurements and the refusals.
        make: Makes the plan from the profile as it stands.
        context: Name of the runs in the profile, or what names them after the plan.
        effort: How often to run the plan.
        inputs: The model's inputs.
        only: The one device whose segments to record; None for all.

    Raises:
        DeviceError: If a device failed.
    """
    while True:
        plan = make()
        try:
            serial_runs = run_serially(runtime, model, plan, inputs, effort)
        except RefusedError as refused:
            file.add(refusal(model.graph, refused.device, refused.segment, str(refused)))
        else:
            name = context if isinstance(context, str) else context(plan)
            record(file, serial_runs, name, only=only, splits=plan.rewrites)
            return


def _spread_plan(graph: Graph, profile: Profile, device_names: tuple[str, ...], name: str) -> Plan:
    return dict(spread_plans(graph, profile, device_names))[name]


def _note_unsupported(runtime: Runtime, model: Model, file: ProfileFile) -> None:
    """Record the operators that a device does not support according to the platform."""
    for device in runtime.platform.devices:
        known = file.profile.unsupported(device.name)
        for op in model.graph.ops:
            if device.supported_ops and not set(op.kinds) <= set(device.supported_ops) and (op.name,) not in known:
                reason = (
                    f"on the platform {device.name!r} supports only {', '.join(device.supported_ops)}, not {op.kind}"
                )
                file.add(Unsupported(device=device.name, ops=(op.name,), reason=reason))


def run_serially(
    runtime: Runtime, model: Model, plan: Plan, inputs: Mapping[str, Array], effort: Effort
) -> list[Inference]:
    """Serial runs of a plan, warmed up: as many undisturbed ones as the effort asks for, at least three; blocks.

    If the cores are disturbed, :data:`MAX_RUNS_PER_REPEAT` as many runs are made, and disturbed ones count, too. While
    the stall budget lasts, further runs replace the oldest disturbed ones.

    Args:
        runtime: The devices.
        model: The model.
        plan: A plan for it.
        inputs: The model's inputs.
        effort: How often to run the plan.

    Raises:
        RefusedError: If an engine does not support a segment.
        DeviceError: If a device failed.
    """
    with runtime.load(model, plan) as session:
        latency_s = warm_up(session, inputs, effort.warm_ups).latency_s
        repeats = max(3, min(effort.repeats, round(effort.budget_s / latency_s)))
        serial_runs: list[Inference] = []
        undisturbed: list[bool] = []
        end_s = time.monotonic() + effort.stall_budget_s
        while sum(undisturbed) < repeats and (
            len(serial_runs) < MAX_RUNS_PER_REPEAT * repeats or time.monotonic() < end_s
        ):
            serial_runs.append(session.run(inputs, serial=True))
            undisturbed.append(runtime.interference_monitor.is_undisturbed(serial_runs[-1]))
        surplus = len(serial_runs) - MAX_RUNS_PER_REPEAT * repeats
        dropped = [i for i, one in enumerate(undisturbed) if not one][: max(0, surplus)]
        return [one for i, one in enumerate(serial_runs) if i not in dropped]


def warm_up(
    session: Session, inputs: Mapping[str, Array], num_runs: int = WARM_UPS, *, serial: bool = True
) -> Inference:
    """Run a plan to warm up caches and clocks; returns the last run.

    Args:
        session: The plan, loaded.
        inputs: The model's inputs.
        num_runs: The least number of runs, at least 1.
        serial: Whether to run one segment at a time.

    Raises:
        DeviceError: If a device failed.
    """
    spent_s, count = 0.0, 0
    while count < num_runs or (count < MOST_WARM_UPS and spent_s < WARM_UP_S):
        last = session.run(inputs, serial=serial)
        spent_s, count = spent_s + last.latency_s, count + 1
    return last


def record(
    file: ProfileFile,
    serial_runs: Sequence[Inference],
    context: str,
    *,
    only: str | None = None,
    splits: Sequence[Split] = (),
) -> None:
    """Record the segments' times of serial runs in a profile.

    Args:
        file: The profile.
        serial_runs: At least one; all of the same plan.
        context: Name of the runs in the profile.
        only: The one device whose segments to record; None for all.
        splits: The plan's rewrites.
    """
    flow = serial_runs[0].flow
    occupied_s = np.array([serial_run.occupied_s for serial_run in serial_runs])
    for device in serial_runs[0].speed_probes_s:
        if only in (None, device):
            file.add(
                SerialRuns(
                    device=device,
                    context=context,
                    speed_probe_s=tuple(serial_run.speed_probes_s[device] for serial_run in serial_runs),
                    transfer_probe_s=tuple(
                        serial_run.transfer_probes_s[device]
                        for serial_run in serial_runs
                        if device in serial_run.transfer_probes_s
                    ),
                    splits=tuple((each.ops, each.axis, each.at) for each in splits),
                )
            )
    for i, step in enumerate(flow.steps):
        if only in (None, step.segment.device):
            file.add(
                Samples(
                    device=step.segment.device,
                    ops=step.segment.ops,
                    context=context,
                    samples_s=tuple(occupied_s[:, i].tolist()),
                    shared=flow.shared_by(step),
                )
            )
