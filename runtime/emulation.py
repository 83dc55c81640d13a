"""Execute plans in real time with emulated devices, which no hardware here implements, beside real ones.

An emulated device starts and ends its segments as docs/model.md describes. A segment starts when the device is free and
the segment's inputs have arrived; both are read from time stamps, so a late worker does not delay it. It ends after the
duration that the problem gives it in the plan, cross-device access included. Hand-overs to and from an emulated device
arrive after the time that their link gives: the producer notes the arrival, and the consumer does not start earlier.
Copies occupy the one memory channel, first come first served. Serial runs measure the real devices, so they emulate no
hand-overs.

The outputs are the reference engine's, unless the platform has *paced* devices: then the plan is executed once ahead by
the engines themselves (:mod:`hetsim.runtime.outputs_ahead`), and what they computed is handed out at emulated times.

Left out: memory traffic. An emulated device moves no bytes except those that it hands over, so it slows down no other
device.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hetsim.core.dataflow import Dataflow, Step
from hetsim.core.errors import DeviceError, ModelError, PlatformError
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.problem import Problem
from hetsim.models.model import Model
from hetsim.models.reference import evaluate
from hetsim.models.split.planned import planned_model
from hetsim.runtime.backends.emulated import EMULATED, write_segment
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.machine.system import available_cores
from hetsim.runtime.worker.program import HandOver

OutputsAhead = Callable[[Model, Dataflow, Mapping[str, Array], tuple[str, ...]], Mapping[str, Array]]
"""From the model, a plan of it, the model's inputs and names of tensors that the plan's steps make: these tensors."""


@dataclass(frozen=True, kw_only=True)
class Emulation:
    """Durations and outputs of emulated devices.

    Attributes:
        model: The model, or one that was rewritten from it.
        devices: Names of the emulated devices.
        problem: Gives the durations of their segments and the links (:mod:`hetsim.analysis.emulated`).
        inputs: The model's inputs by tensor; the outputs of emulated devices are right for these alone.
        links: Links that are emulated although neither end is an emulated device.
        outputs_ahead: Computes the outputs of a plan's segments by the devices' own engines; None stands for the
            reference engine.
    """

    model: Model
    devices: tuple[str, ...]
    problem: Problem
    inputs: Mapping[str, Array]
    links: frozenset[tuple[str, str]] = frozenset()
    outputs_ahead: OutputsAhead | None = None
    _tensors: dict[str, Array] = field(default_factory=dict, repr=False, compare=False)
    _ahead: dict[tuple[object, ...], Mapping[str, Array]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", {name: np.array(array) for name, array in self.inputs.items()})

    def for_plan(self, plan: Plan) -> Emulation:
        """The emulation of a plan's segments, which name operators of the model rewritten with the plan's splits.

        Tensors of the reference that are known for one plan are known for all: a name means the same tensor in every
        rewritten model. What engines compute depends on the plan.

        Raises:
            PlanError: If a split is impossible.
        """
        if plan.rewrites == self.problem.rewrites:
            return self
        return replace(self, model=planned_model(self.model, plan), problem=self.problem.for_plan(plan))

    def check_inputs(self, inputs: Mapping[str, Array]) -> None:
        """Refuse inputs that the outputs of emulated devices do not belong to.

        Raises:
            ModelError: If an input differs from :attr:`inputs`.
        """
        for name, array in self.inputs.items():
            if not np.array_equal(array, inputs[name]):
                raise ModelError(
                    f"input {name!r} is not the one that the outputs of {', '.join(self.devices)} (emulated) were "
                    "computed for; load the plan again with an emulation for these inputs"
                )

    def hand_overs(self, flow: Dataflow) -> tuple[HandOver, ...]:
        """A plan's hand-overs over emulated links, ordered by producing step, its outputs, and receiving device."""
        names = self.problem.platform.device_names
        readers: dict[str, set[str]] = {}
        for step in flow.steps:
            for tensor, maker in step.inputs:
                if maker is not None:
                    readers.setdefault(tensor, set()).add(step.segment.device)
        transfers = [
            (tensor, number, step.segment.device, target)
            for number, step in enumerate(flow.steps)
            for tensor in step.outputs
            for target in names
            if target in readers.get(tensor, ()) and self._is_emulated(step.segment.device, target)
        ]
        return tuple(
            HandOver(
                tensor=tensor,
                maker=number,
                target=target,
                transfer_s=self.problem.transfer_s(source, target, tensor),
                copies=self.problem.platform.link(source, target).mode == "copy",
            )
            for tensor, number, source, target in transfers
        )

    def write_segments(self, flow: Dataflow, folder: Path) -> dict[int, Path]:
        """Write the segments of emulated devices; returns their files by step.

        Args:
            flow: A plan, resolved.
            folder: Where to write.

        Raises:
            DeviceError: If an emulated device cannot run a segment, according to the problem.
            ModelError: If the reference engine cannot run the model.
            RefusedError: If an engine that computes outputs ahead does not support a segment.
        """
        steps = {i: step for i, step in enumerate(flow.steps) if step.segment.device in self.devices}
        wanted = {i: self._real_outputs(flow, step) for i, step in steps.items()}
        tensors = self._outputs(flow, tuple(dict.fromkeys(name for i in steps for name in wanted[i])))
        times_s = self.problem.segment_times_s(step.segment for step in flow.steps)
        return {
            i: self._write(flow, step, times_s[step.segment], {name: tensors[name] for name in wanted[i]}, folder)
            for i, step in steps.items()
        }

    def _outputs(self, flow: Dataflow, names: tuple[str, ...]) -> Mapping[str, Array]:
        """The tensors of these names, as they are in this plan."""
        if self.outputs_ahead is None:
            missing = [name for name in names if name not in self._tensors]
            if missing:
                proto = self.model.standalone_proto()
                self._tensors.update(evaluate(proto, self.inputs, missing, custom_ops=self.model.custom_ops))
            return self._tensors
        key = (self.problem.rewrites, *(step.segment for step in flow.steps))
        if key not in self._ahead:
            self._ahead[key] = self.outputs_ahead(self.model, flow, self.inputs, names)
        return self._ahead[key]

    def _is_emulated(self, source: str, target: str) -> bool:
        either = source in self.devices or target in self.devices or (source, target) in self.links
        return source != target and either

    def _real_outputs(self, flow: Dataflow, step: Step) -> tuple[str, ...]:
        """The step's outputs that a real device or the caller reads; emulated devices read nothing."""
        read = {
            tensor for other in flow.steps if other.segment.device not in self.devices for tensor, _ in other.inputs
        }
        return tuple(tensor for tensor in step.outputs if tensor in read or tensor in flow.graph.outputs)

    def _write(self, flow: Dataflow, step: Step, seconds: float, values: Mapping[str, Array], folder: Path) -> Path:
        device, ops = step.segment.device, step.segment.ops
        if seconds == math.inf:
            raise DeviceError(
                f"device {device!r} (emulated) cannot run segment {flow.graph.label(ops)!r} as one",
                device=device,
                segment=ops,
            )
        digest = hashlib.sha256(repr((device, ops, tuple(values), seconds)).encode())
        for array in values.values():
            digest.update(np.ascontiguousarray(array).tobytes())
        path = folder / f"{digest.hexdigest()[:24]}.npz"
        if not path.exists():
            write_segment(path, seconds, values)
        return path


def with_emulated(platform: Platform, devices: Collection[str]) -> Platform:
    """The platform with some of its devices emulated, each on its own core.

    An emulated device keeps its core if no other device is pinned to it; otherwise it gets the first free one.

    Args:
        platform: The platform.
        devices: Names of the devices to emulate.

    Raises:
        PlatformError: If the platform has no such device, or there are too few cores.
    """
    for name in devices:
        platform.device(name)
    taken = {core for device in platform.devices if device.name not in devices for core in device.cores}
    changed = []
    for device in platform.devices:
        if device.name not in devices:
            continue
        free = [core for core in (*device.cores, *available_cores()) if core not in taken]
        if not free:
            raise PlatformError(
                f"device {device.name!r} cannot be emulated, as it needs its own core: this process may use cores "
                f"{', '.join(map(str, available_cores()))}, and other devices are pinned to all of them; simulate the "
                "platform instead"
            )
        taken.add(free[0])
        changed.append(
            replace(
                device,
                nature="emulated",
                backend=EMULATED,
                target="",
                options={},
                plugin=None,
                cores=(free[0],),
                threads=1,
            )
        )
    return platform.with_devices(*changed)
