"""Measure operators and groups of operators on the real devices.

Everything that is measured is a *plan*: the profiler walks the whole model from its inputs to its outputs, one device
at a time, one segment after the other in model order. So a segment is never repeated alone; it meets the caches as a
plan would leave them. Two sorts of plans are walked:

- *covers*: the whole model on one device, cut at one granularity: single operators, fused pairs, branches, blocks
  between articulation operators, runs of 2, 4, 8, ... blocks, the whole;
- *replays* of plans that a scheduler made, which also carry tensors from one device to the other.

Between covers each device walks a reference, so that covers that something disturbed are found out and walked again
(:mod:`runtime.reference`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np

from hetsim.errors import ProblemError
from hetsim.machine.fingerprint import machine_fingerprint
from hetsim.machine.platform import Device
from hetsim.model import Model, random_inputs
from hetsim.model.graph import Graph
from hetsim.model.structure import blocks, branches, fused_chains, runs
from hetsim.plan import Plan, Segment
from hetsim.profile import Header, Profile, ProfileFile, Samples, Unsupported, Walk
from runtime.backends.protocol import Array
from runtime.devices import RefusedError, Runtime
from runtime.inference import Inference
from runtime.reference import disturbed, num_reference_walks, reference_s, unusual, usual_s
from runtime.session import Session

WARM_UPS = 6
"""Runs of a plan that are not counted: the first is up to a quarter slower, after six none gets faster any more."""
WARM_UP_S = 1.5
"""No more of them begin after so many seconds: what takes that long reads more than caches keep."""

MAX_AGAIN = 0.25
"""At most this part of a device's covers is walked again, rounded up."""

_T = TypeVar("_T")

Parts = tuple[tuple[str, ...], ...]
Progress = Callable[[float, str], None]
"""Told how much of the work is done, from 0 to 1, and what comes next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How often each walk is repeated.

    Attributes:
        repeats: Samples of each segment, at least 1.
        warm_ups: Walks before them that are not counted, at least 1.
        budget_s: A walk so slow that its repeats would take longer than this is repeated less often, but at least
            three times.
    """

    repeats: int = 12
    warm_ups: int = WARM_UPS
    budget_s: float = 6.0

    def __post_init__(self) -> None:
        if not (self.repeats >= 1 and self.warm_ups >= 1):
            raise ValueError(f"repeats and warm_ups must be at least 1, got {self.repeats} and {self.warm_ups}")


def make_header(runtime: Runtime, model: Model) -> Header:
    """What a profile of this model on these devices holds for."""
    return Header(
        model=model.graph.name,
        model_hash=model.hash,
        machine=machine_fingerprint(),
        engines={
            device.name: engine_words(runtime.engines[device.name], device) for device in runtime.platform.devices
        },
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def engine_words(engine: str, device: Device) -> str:
    """An engine as profiles name it: what it says of itself, and what else about the device changes its times."""
    cores = f"cores {', '.join(map(str, device.cores))}" if device.cores else "any core"
    return "; ".join([f"{engine}, {cores}", *(f"{key}={value}" for key, value in sorted(device.options.items()))])


def covers(graph: Graph) -> Mapping[str, Parts]:
    """The granularities at which a device is profiled, finest first; those that equal a finer one are left out."""
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


def profile_covers(
    runtime: Runtime, model: Model, file: ProfileFile, *, effort: Effort, progress: Progress | None = None
) -> None:
    """Walk every cover on every device; what the file already has enough of is not measured again.

    After each cover the device walks its reference, a quarter more walks at most. Covers between references that were
    not as usual are walked again once the others are done, the worst first, at most :data:`MAX_AGAIN` of them.

    Interrupt it whenever you like: each finished walk is in the file.

    Raises:
        ProblemError: If an operator runs on no device.
        DeviceError: If a device failed.
    """
    report = progress or (lambda _done, _text: None)
    inputs = random_inputs(model)
    _note_unsupported(runtime, model, file)
    found = covers(model.graph)
    weights = {name: 2.0 * effort.repeats + len(parts) for name, parts in found.items()}
    total = sum(weights.values()) * len(runtime.platform.devices)
    done = 0.0
    for device in runtime.platform.device_names:
        with ExitStack() as stack:
            walker = _Walker(runtime, model, file, device, inputs, effort, stack)
            for name, parts in found.items():
                report(done / total, f"{device}: {name}")
                if not _is_there(file.profile, device, parts, f"cover:{name}"):
                    walker.walk(name, parts)
                done += weights[name]
            for name in walker.disturbed[: math.ceil(MAX_AGAIN * len(found))]:
                report(done / total, f"{device}: {name}, again: the machine was disturbed")
                walker.walk(name, found[name])
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
    """Walk a plan serially, one device active at a time, and record its segments; returns the context's name.

    A plan whose replay the file already has is not measured again, unless ``anew`` asks for more samples.

    Raises:
        DeviceError: If a device failed or refuses a segment.
    """
    context = f"replay:{plan.digest}"
    if anew or not all(file.profile.samples_s(segment.device, segment.ops, context) for segment in plan.segments):
        record(file, walk(runtime, model, plan, inputs or random_inputs(model), effort), context)
    return context


def covers_are_there(profile: Profile, graph: Graph, device_names: Iterable[str]) -> bool:
    """Whether every segment of every cover was measured or refused, on every device."""
    return all(
        _is_there(profile, device, parts, f"cover:{name}")
        for device in device_names
        for name, parts in covers(graph).items()
    )


def _note_unsupported(runtime: Runtime, model: Model, file: ProfileFile) -> None:
    """Record the operators that the platform's file says a device does not run."""
    for device in runtime.platform.devices:
        known = file.profile.unsupported(device.name)
        for op in model.graph.ops:
            if device.supported_ops and op.kind not in device.supported_ops and (op.name,) not in known:
                reason = f"the platform has {device.name!r} run only {', '.join(device.supported_ops)}, not {op.kind}"
                file.add(Unsupported(device=device.name, ops=(op.name,), reason=reason))


def _is_there(profile: Profile, device: str, parts: Parts, context: str) -> bool:
    refused = [set(ops) for ops in profile.unsupported(device)]
    return all(any(bad <= set(ops) for bad in refused) or profile.samples_s(device, ops, context) for ops in parts)


class _Walker:
    """Walks covers of one device, and its reference after each, which stays loaded until ``stack`` is left."""

    def __init__(
        self,
        runtime: Runtime,
        model: Model,
        file: ProfileFile,
        device: str,
        inputs: Mapping[str, Array],
        effort: Effort,
        stack: ExitStack,
    ) -> None:
        self._runtime, self._model, self._file, self._device = runtime, model, file, device
        self._inputs, self._effort, self._stack = inputs, effort, stack
        self._reference: Session | None = None
        self._before_s: tuple[float, ...] = ()
        self._walked: set[str] = set()

    @property
    def disturbed(self) -> tuple[str, ...]:
        """The covers walked here whose references were not as usual, the most unusual first."""
        found = (context.removeprefix("cover:") for context in disturbed(self._file.profile.walks(self._device)))
        return tuple(name for name in found if name in self._walked)

    def walk(self, name: str, parts: Parts) -> None:
        """Walk one cover and put it into the file, unless it was walked before while the machine was more as usual.

        Segments that the engine refuses are recorded as such and their operators run elsewhere.
        """
        walks = self._accepted(parts, lambda plan: walk(self._runtime, self._model, plan, self._inputs, self._effort))
        after_s = (self._reference_s(),)
        now = Walk(device=self._device, context=f"cover:{name}", reference_s=self._before_s + after_s)
        self._before_s = after_s
        known = self._file.profile.walks(self._device)
        before, usual = known.get(now.context), usual_s(known)
        if name not in self._walked or before is None or unusual(now, usual) < unusual(before, usual):
            self._file.add(now)
            record(self._file, walks, now.context, only=self._device)
        self._walked.add(name)

    def _reference_s(self) -> float:
        """What the reference takes now; it is loaded once what the engine refuses is known from the first cover."""
        if self._reference is None:
            whole = (tuple(op.name for op in self._model.graph.ops),)
            session = self._accepted(whole, lambda plan: self._runtime.load(self._model, plan))
            self._reference = self._stack.enter_context(session)
            self._reference.run(self._inputs, serial=True)  # engines allocate on their first run
        return reference_s(self._reference, self._inputs, num_reference_walks(self._effort.repeats))

    def _accepted(self, parts: Parts, do: Callable[[Plan], _T]) -> _T:
        """What comes of doing something with the parts' plan, once the engine refuses none of its segments."""
        while True:
            plan = _cover_plan(
                self._model, self._file.profile, self._runtime.platform.device_names, self._device, parts
            )
            try:
                return do(plan)
            except RefusedError as refusal:
                self._file.add(Unsupported(device=refusal.device, ops=refusal.segment, reason=str(refusal)))


def _cover_plan(model: Model, profile: Profile, device_names: tuple[str, ...], device: str, parts: Parts) -> Plan:
    """The parts on one device; a part with operators that it refused falls apart, and those go to another device."""
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


def walk(runtime: Runtime, model: Model, plan: Plan, inputs: Mapping[str, Array], effort: Effort) -> list[Inference]:
    """Run a plan serially as often as the effort says, warm; at least three times.

    Raises:
        RefusedError: If an engine does not support a segment.
        DeviceError: If a device failed.
    """
    with runtime.load(model, plan) as session:
        latency_s = warm_up(session, inputs, effort.warm_ups)
        repeats = max(3, min(effort.repeats, round(effort.budget_s / latency_s)))
        return [session.run(inputs, serial=True) for _ in range(repeats)]


def warm_up(session: Session, inputs: Mapping[str, Array], num_runs: int = WARM_UPS) -> float:
    """Walk a plan without counting, and return what the last walk took, in seconds.

    Args:
        session: The plan, loaded.
        inputs: The model's inputs.
        num_runs: How often, at least once; no walk begins after :data:`WARM_UP_S`.
    """
    spent_s = 0.0
    for _ in range(num_runs):
        latency_s = session.run(inputs, serial=True).latency_s
        spent_s += latency_s
        if spent_s > WARM_UP_S:
            break
    return latency_s


def record(file: ProfileFile, walks: Sequence[Inference], context: str, *, only: str | None = None) -> None:
    """Put what serial walks of a plan took into a profile.

    Args:
        file: The profile.
        walks: At least one, all of the same plan.
        context: How they are called there.
        only: The one device whose segments are wanted, or None for all.
    """
    flow = walks[0].flow
    occupied_s = np.array([walk.occupied_s for walk in walks])
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
