"""Plans on devices that nobody has, executed in real time beside the devices that are here.

An emulated device starts and ends its segments as the model says (rules 1 and 2 in docs/model.md): it starts when it is
free and its inputs have arrived, by time stamps and not by when its worker got round to it, and ends as much later as
the problem says. Hand-overs to and from it arrive when their link says so: whoever makes a tensor notes when it will
arrive, and whoever reads it does not start before. Copies hold the one memory channel meanwhile, first come first
served. Of all this nothing is done in serial walks, which are there to measure the other devices.

What is left out: the memory. An emulated device moves no bytes but those that it hands over, so it slows nobody down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hetsim.core.dataflow import Dataflow, Step
from hetsim.core.errors import DeviceError, ModelError, PlatformError
from hetsim.core.platform import Platform
from hetsim.core.problem import Problem
from hetsim.models.model import Model
from hetsim.models.reference import evaluate
from hetsim.runtime.backends.emulated import write_segment
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.machine.fingerprint import available_cores

EMULATED = "emulated"
"""The backend of emulated devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """A tensor's way to another device over a link that is acted out.

    Attributes:
        tensor: The tensor.
        maker: Index of the step that makes it.
        target: The receiving device.
        transfer_s: Seconds that it takes once under way.
        copies: Whether it needs the memory channel.
    """

    tensor: str
    maker: int
    target: str
    transfer_s: float
    copies: bool


@dataclass(frozen=True, kw_only=True)
class Emulation:
    """What emulated devices take and hand out.

    Attributes:
        model: The model, rewritten as the plans to load rest on it.
        devices: Names of the emulated devices.
        problem: How long segments take on them, and what the links are (:mod:`hetsim.analysis.emulated`).
        inputs: The model's inputs by tensor: what emulated devices hand out is right for these alone.
        links: Links that are acted out although no end of them is an emulated device.
    """

    model: Model
    devices: tuple[str, ...]
    problem: Problem
    inputs: Mapping[str, Array]
    links: frozenset[tuple[str, str]] = frozenset()
    _tensors: dict[str, Array] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", {name: np.array(array) for name, array in self.inputs.items()})

    def check_inputs(self, inputs: Mapping[str, Array]) -> None:
        """Refuse inputs for which the emulated devices have no outputs.

        Raises:
            ModelError: If any of them differs from those that the outputs were computed for.
        """
        for name, array in self.inputs.items():
            if not np.array_equal(array, inputs[name]):
                raise ModelError(
                    f"input {name!r} is not the one that the outputs of {', '.join(self.devices)} (emulated) were "
                    "computed for; load the plan again with an emulation for these inputs"
                )

    def hand_overs(self, flow: Dataflow) -> tuple[HandOver, ...]:
        """What a plan hands over by acted links: by producing step, then by its outputs, then by receiving device."""
        names = self.problem.platform.device_names
        readers: dict[str, set[str]] = {}
        for step in flow.steps:
            for tensor, maker in step.inputs:
                if maker is not None:
                    readers.setdefault(tensor, set()).add(step.segment.device)
        ways = [
            (tensor, number, step.segment.device, target)
            for number, step in enumerate(flow.steps)
            for tensor in step.outputs
            for target in names
            if target in readers.get(tensor, ()) and self._acts_out(step.segment.device, target)
        ]
        return tuple(
            HandOver(
                tensor=tensor,
                maker=number,
                target=target,
                transfer_s=self.problem.transfer_s(source, target, tensor),
                copies=self.problem.platform.link(source, target).mode == "copy",
            )
            for tensor, number, source, target in ways
        )

    def write_segments(self, flow: Dataflow, folder: Path) -> dict[int, Path]:
        """By step of an emulated device, its file in the folder.

        Raises:
            DeviceError: If the problem says that such a device cannot run a segment.
            ModelError: If the reference engine cannot run the model.
        """
        steps = {i: step for i, step in enumerate(flow.steps) if step.segment.device in self.devices}
        wanted = {i: self._handed_out(flow, step) for i, step in steps.items()}
        missing = [name for i in steps for name in wanted[i] if name not in self._tensors]
        if missing:
            self._tensors.update(evaluate(self.model.standalone_proto(), self.inputs, list(dict.fromkeys(missing))))
        return {i: self._write(flow, step, wanted[i], folder) for i, step in steps.items()}

    def _acts_out(self, source: str, target: str) -> bool:
        either = source in self.devices or target in self.devices or (source, target) in self.links
        return source != target and either

    def _handed_out(self, flow: Dataflow, step: Step) -> tuple[str, ...]:
        """The outputs that a real device or the caller reads; emulated devices read nothing."""
        read = {
            tensor for other in flow.steps if other.segment.device not in self.devices for tensor, _ in other.inputs
        }
        return tuple(tensor for tensor in step.outputs if tensor in read or tensor in flow.graph.outputs)

    def _write(self, flow: Dataflow, step: Step, names: tuple[str, ...], folder: Path) -> Path:
        device, ops = step.segment.device, step.segment.ops
        latency = self.problem.latency(device, ops)
        if latency is None:
            raise DeviceError(
                f"device {device!r} (emulated) cannot run segment {flow.graph.label(ops)!r} as one",
                device=device,
                segment=ops,
            )
        digest = hashlib.sha256(repr((device, ops, names, latency.seconds)).encode())
        for array in self.inputs.values():
            digest.update(array.tobytes())
        path = folder / f"{digest.hexdigest()[:24]}.npz"
        if not path.exists():
            write_segment(path, latency.seconds, {name: self._tensors[name] for name in names})
        return path


def with_emulated(platform: Platform, devices: Collection[str]) -> Platform:
    """The platform with some of its devices emulated, each on a core of its own.

    A device keeps its core if no other is pinned there; else it gets the first that is free.

    Args:
        platform: The platform.
        devices: Names of those that are emulated.

    Raises:
        PlatformError: If a device is not there, or there are too few cores.
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
                f"device {device.name!r} cannot be emulated, as it needs a core of its own: this process may use cores "
                f"{', '.join(map(str, available_cores()))}, and others are pinned to them all; simulate it instead"
            )
        taken.add(free[0])
        changed.append(
            replace(device, nature="emulated", backend=EMULATED, target="", options={}, cores=(free[0],), threads=1)
        )
    return platform.with_devices(*changed)
