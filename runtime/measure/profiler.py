"""Measure operators and groups of operators on the real devices.

The profiler measures whole plans in *serial runs*: one segment after the other in model order, on one device at a time.
So a segment is never repeated alone, and finds the caches as they are in a plan. There are two kinds of plans:

- *profiling configurations*: the whole model on one device, divided at one granularity: single operators, fused pairs,
  branches, blocks between articulation operators, sequences of 2, 4, 8, ... blocks, the whole model;
- *replays* of plans that a scheduler made, which also hand over tensors between devices.

Each serial run records the devices' speed probes, too (:mod:`hetsim.runtime.worker.speed_probe`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from hetsim.core.errors import ProblemError
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import Device
from hetsim.costs.profile import Header, Profile, Samples, SerialRuns, Unsupported
from hetsim.costs.profile_file import ProfileFile
from hetsim.models.model import Model, random_inputs
from hetsim.models.structure import blocks, branches, fused_chains, runs
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.inference import Inference
from hetsim.runtime.machine.fingerprint import machine_fingerprint
from hetsim.runtime.runtime import Runtime
from hetsim.runtime.session import Session
from hetsim.runtime.worker_pool import RefusedError

WARM_UPS = 6
"""Serial runs of a plan that are not counted: the first is up to a quarter slower, and after six none gets faster."""
WARM_UP_BUDGET_S = 1.5
"""No warm-up run starts after this time, in seconds: a model that takes so long does not fit the caches anyway."""

MAX_RUNS_PER_REPEAT = 2
"""While cores are disturbed, at most this many serial runs are made for each repeat that is wanted."""

Parts = tuple[tuple[str, ...], ...]
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
    """

    repeats: int = 12
    warm_ups: int = WARM_UPS
    budget_s: float = 6.0
    stall_budget_s: float = 0.5

    def __post_init__(self) -> None:
        if not (self.repeats >= 1 and self.warm_ups >= 1):
            raise ValueError(f"repeats and warm_ups must be at least 1, got {self.repeats} and {self.warm_ups}")


def make_header(runtime: Runtime, model: Model) -> Header:
    """The header of a profile of this model on these devices: model, machine, engines and date."""
    return Header(
        model=model.graph.name,
        model_hash=model.hash,
        machine=machine_fingerprint(),
        engines={
            device.name: engine_description(runtime.engines[device.name], device) for device in runtime.platform.devices
        },
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def engine_description(engine: str, device: Device) -> str:
    """An engine as profiles name it: its own description, the device's cores, and its options."""
    cores = f"cores {', '.join(map(str, device.cores))}" if device.cores else "any core"
    return "; ".join([f"{engine}, {cores}", *(f"{key}={value}" for key, value in sorted(device.options.items()))])


def profiling_configurations(graph: Graph) -> Mapping[str, Parts]:
    """The profiling configurations of a model: by name, its operators in segments; finest first, without duplicates."""
    in_blocks = blocks(graph)
    found: dict[str, Parts] = {"operators": tuple((op.name,) for op in graph.ops)}
    candidates = {"fused pairs": fused_chains(graph), "branches": branches(graph), "blocks": in_blocks}
    length = 2
    while length < len(in_blocks):
        candidates[f"runs of {length} blocks"] = runs(in_blocks, length)
        length *= 2
    candidates["whole"] = (tuple(op.name for op in graph.ops),)
    for name, parts in candidates.items():
        if parts not in found.values():
            found[name] = parts
    return found


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
    inputs = random_inputs(model)
    _note_unsupported(runtime, model, file)
    found = profiling_configurations(model.graph)
    weights = {name: 2.0 * effort.repeats + len(parts) for name, parts in found.items()}
    total = sum(weights.values()) * len(runtime.platform.devices)
    done = 0.0
    for device in runtime.platform.device_names:
        for name, parts in found.items():
            report(done / total, f"{device}: {name}")
            if not _is_measured(file.profile, device, parts, f"configuration:{name}"):
                _measure_configuration(runtime, model, file, device, name, parts, inputs, effort)
            done += weights[name]
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
    if anew or not all(file.profile.samples_s(segment.device, segment.ops, context) for segment in plan.segments):
        record(file, run_serially(runtime, model, plan, inputs or random_inputs(model), effort), context)
    return context


def has_all_configurations(profile: Profile, graph: Graph, device_names: Iterable[str]) -> bool:
    """Whether every segment of every profiling configuration was measured or refused, on every device."""
    return all(
        _is_measured(profile, device, parts, f"configuration:{name}")
        for device in device_names
        for name, parts in profiling_configurations(graph).items()
    )


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


def _is_measured(profile: Profile, device: str, parts: Parts, context: str) -> bool:
    refused = [set(ops) for ops in profile.unsupported(device)]
    return all(any(bad <= set(ops) for bad in refused) or profile.samples_s(device, ops, context) for ops in parts)


def _measure_configuration(
    runtime: Runtime,
    model: Model,
    file: ProfileFile,
    device: str,
    name: str,
    parts: Parts,
    inputs: Mapping[str, Array],
    effort: Effort,
) -> None:
    """Measure one configuration; segments that the engine refuses are recorded, and their operators run elsewhere."""
    while True:
        plan = configuration_plan(model, file.profile, runtime.platform.device_names, device, parts)
        try:
            serial_runs = run_serially(runtime, model, plan, inputs, effort)
        except RefusedError as refusal:
            file.add(Unsupported(device=refusal.device, ops=refusal.segment, reason=str(refusal)))
        else:
            record(file, serial_runs, f"configuration:{name}", only=device)
            return


def configuration_plan(
    model: Model, profile: Profile, device_names: tuple[str, ...], device: str, parts: Parts
) -> Plan:
    """The plan of a profiling configuration: its parts on one device, except for operators that this refused.

    A part with a refused operator is divided into single operators; the refused ones go to the first other device that
    supports them.

    Args:
        model: The model.
        profile: Tells which segments devices refused.
        device_names: All devices of the platform.
        device: The device to measure.
        parts: The configuration's segments, in model order.

    Raises:
        ProblemError: If an operator runs on no device.
    """
    refused = {name: {frozenset(ops) for ops in profile.unsupported(name)} for name in device_names}
    queues: dict[str, list[Segment]] = {name: [] for name in device_names}
    for part in parts:
        whole = any(ops <= set(part) for ops in refused[device])
        for ops in [(op,) for op in part] if whole else [part]:
            order = (device, *(name for name in device_names if name != device))
            home = next((name for name in order if not any(bad <= set(ops) for bad in refused[name])), None)
            if home is None:
                reasons = "; ".join(profile.unsupported(name)[ops] for name in device_names)
                raise ProblemError(
                    f"operator {ops[0]!r} ({model.graph.by_name[ops[0]].kind}) runs on no device: {reasons}"
                )
            queues[home].append(Segment(home, ops))
    return Plan(model=model.graph.name, queues={name: tuple(queue) for name, queue in queues.items()})


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


def warm_up(session: Session, inputs: Mapping[str, Array], num_runs: int = WARM_UPS) -> Inference:
    """Run a plan serially to warm up caches and clocks; returns the last run.

    Args:
        session: The plan, loaded.
        inputs: The model's inputs.
        num_runs: Number of runs, at least 1; none starts after :data:`WARM_UP_BUDGET_S`.

    Raises:
        DeviceError: If a device failed.
    """
    spent_s = 0.0
    for _ in range(num_runs):
        last = session.run(inputs, serial=True)
        spent_s += last.latency_s
        if spent_s > WARM_UP_BUDGET_S:
            break
    return last


def record(file: ProfileFile, serial_runs: Sequence[Inference], context: str, *, only: str | None = None) -> None:
    """Record the segments' times of serial runs in a profile.

    Args:
        file: The profile.
        serial_runs: At least one; all of the same plan.
        context: Name of the runs in the profile.
        only: The one device whose segments to record; None for all.
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
                    read_bytes=flow.read_bytes[i],
                    written_bytes=flow.written_bytes[i],
                )
            )
