"""A machine that networks run on: its devices and the memory between them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from hetsim.core.errors import PlatformError
from hetsim.core.sources import Architecture, Precision, Sheet, Source, Times
from hetsim.core.sources import require as _require

DEFAULT_PLATFORM = "cpu+npu"
"""The built-in platform of commands and functions that are given none."""

Kind = Literal["cpu", "npu", "gpu"]
Nature = Literal["real", "stand-in", "emulated", "hypothetical"]


_WITHOUT_ENGINE = ("none", "emulated")
"""Backends that need nothing which computes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One processing unit and what drives it.

    Attributes:
        name: Unique within the platform.
        kind: What sort of unit it is, or stands in for.
        backend: Which engine drives it: ``"onnxruntime"``, ``"openvino"`` or, in tests, ``"fake"``; ``"none"`` where
            nothing can.
        target: The engine's own name of the hardware: an execution provider (``"CPUExecutionProvider"``) or an
            OpenVINO device (``"CPU"``, ``"GPU"``, ``"NPU"``). Empty means the engine's CPU.
        nature: ``"real"`` only for hardware of that kind; anything else is said wherever the device is shown.
        precision: Arithmetic inside the engine; tensors between devices stay as the model has them.
        cores: CPU cores that the device's process is pinned to; empty where it is not pinned.
        threads: Threads the engine may use, at least 1.
        launch_s: Fixed cost of running one segment, however small; already part of every measured time.
        supported_ops: Operator kinds it runs, or empty for whatever the engine accepts.
        options: Passed on to the engine as they are.
        sheet: What it takes by its data sheet.
        architecture: What it takes by ZigZag's model of its architecture.
        times: What it takes by a file. At most one of the three; a device that has one is not measured here.
    """

    name: str
    kind: Kind
    backend: str
    target: str = ""
    nature: Nature = "real"
    precision: Precision = "f32"
    cores: tuple[int, ...] = ()
    threads: int = 1
    launch_s: float = 0.0
    supported_ops: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    sheet: Sheet | None = None
    architecture: Architecture | None = None
    times: Times | None = None

    def __post_init__(self) -> None:
        _require(self.threads >= 1, f"device.{self.name}.threads", "at least 1", self.threads)
        _require(
            0 <= self.launch_s < math.inf, f"device.{self.name}.launch_s", "a finite number, 0 or more", self.launch_s
        )
        _require(all(core >= 0 for core in self.cores), f"device.{self.name}.cores", "0 or more", self.cores)
        self._check_source()

    def _check_source(self) -> None:
        """Have at most one source of times, and nothing that contradicts it."""
        path = f"device.{self.name}"
        given = [name for name in ("sheet", "architecture", "times") if getattr(self, name) is not None]
        if len(given) > 1:
            raise PlatformError(f"{path} has {' and '.join(given)}, of which only one can say what it takes; keep one")
        if not given:
            return
        if self.backend not in _WITHOUT_ENGINE:
            raise PlatformError(
                f"{path}.backend is {self.backend!r}, but the device's times come from its {given[0]}; "
                f"leave the backend out, or measure the device and remove {path}.{given[0]}"
            )
        if self.nature in ("real", "stand-in"):
            raise PlatformError(
                f"{path}.nature is {self.nature!r}, but nobody measured the device here; "
                "it can be 'hypothetical' or 'emulated'"
            )
        for source in (self.sheet, self.architecture):
            if source is not None:
                source.check(f"{path}.{given[0]}", self.precision, self.supported_ops)

    @property
    def source(self) -> Source | None:
        """What says how long it takes; None where it is measured, or a problem says it."""
        return self.sheet or self.architecture or self.times

    @property
    def is_measured(self) -> bool:
        """Whether its times are measured here."""
        return self.source is None and self.backend not in _WITHOUT_ENGINE

    @property
    def label(self) -> str:
        """The name as people should see it: anything but real hardware says so."""
        return self.name if self.nature == "real" else f"{self.name} ({self.nature})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The one-way path between two devices through shared memory.

    Attributes:
        setup_s: From a producer's end to its consumer's start on an idle device, however small the tensor.
        bandwidth_bytes_per_s: What the tensor's bytes cost on top. With ``mode="zero-copy"`` nothing moves, but the
            bytes are in the other device's cache, and writer and reader pay for that; the figure stands for both.
        mode: How tensors get across. Copies queue for the one memory channel.
    """

    setup_s: float = 0.0
    bandwidth_bytes_per_s: float = math.inf
    mode: Literal["zero-copy", "copy"] = "zero-copy"

    def transfer_s(self, num_bytes: int) -> float:
        """From a producer's end to the tensor's arrival, with nothing else running, in seconds."""
        return self.setup_s + num_bytes / self.bandwidth_bytes_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the memory behind all devices sustains.

    Attributes:
        alone_bytes_per_s: Bandwidth that each device reaches with nothing else running, by device.
        shared_bytes_per_s: The sum that all devices reach together.
    """

    alone_bytes_per_s: Mapping[str, float] = field(default_factory=dict)
    shared_bytes_per_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Who submits requests to the devices and collects what they made, one thing at a time.

    Attributes:
        submit_setup_s: Cost of submitting a request, however small its inputs.
        collect_setup_s: Cost of collecting one, however small its outputs.
        bandwidth_bytes_per_s: At which inputs and outputs are copied.
    """

    submit_setup_s: float = 0.0
    collect_setup_s: float = 0.0
    bandwidth_bytes_per_s: float = math.inf

    def submit_s(self, num_bytes: int) -> float:
        """From taking up a request with that many bytes of inputs until the devices see it, in seconds."""
        return self.submit_setup_s + num_bytes / self.bandwidth_bytes_per_s

    def collect_s(self, num_bytes: int) -> float:
        """From taking up a finished request with that many bytes of outputs until its slot is free, in seconds."""
        return self.collect_setup_s + num_bytes / self.bandwidth_bytes_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Where measured numbers come from.

    Attributes:
        date: ISO 8601 date and time of the measurement, UTC.
        machine: Fingerprint of the machine.
        num_samples: Samples behind each number.
    """

    date: str
    machine: str
    num_samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Devices and the memory between them.

    Attributes:
        name: What people call it.
        devices: At least one, in the file's order; the order breaks ties everywhere.
        links: By ``(from, to)``; a pair that is absent hands over for nothing.
        memory: Sustained bandwidth.
        host: What a request costs whoever sends it.
        calibration: Who measured the numbers, or None where nobody did.
        description: One sentence for people.
    """

    name: str
    devices: tuple[Device, ...]
    links: Mapping[tuple[str, str], Link] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    host: Host = field(default_factory=Host)
    calibration: Calibration | None = None
    description: str = ""

    def __post_init__(self) -> None:
        names = self.device_names
        if not names:
            raise PlatformError(f"platform {self.name!r} has no device; add a [device.NAME] table")
        if len(set(names)) != len(names):
            raise PlatformError(f"platform {self.name!r} names a device twice: {', '.join(names)}")
        for (source, target), link in self.links.items():
            path = f'link."{source}->{target}"'
            if source == target:
                raise PlatformError(f"{path} leads back to its own device, where tensors need no hand-over; remove it")
            for end in (source, target):
                if end not in names:
                    raise PlatformError(f"{path} names device {end!r}; the platform has {', '.join(names)}")
            _require(0 <= link.setup_s < math.inf, f"{path}.setup_s", "a finite number, 0 or more", link.setup_s)
            bandwidth = link.bandwidth_bytes_per_s
            _require(bandwidth > 0, f"{path}.bandwidth_bytes_per_s", "more than 0", bandwidth)
        shared = self.memory.shared_bytes_per_s
        _require(shared > 0, "memory.shared_bytes_per_s", "more than 0", shared)
        for name, alone in self.memory.alone_bytes_per_s.items():
            if name not in names:
                raise PlatformError(
                    f"memory.alone_bytes_per_s names device {name!r}; the platform has {', '.join(names)}"
                )
            _require(alone > 0, f"memory.alone_bytes_per_s.{name}", "more than 0", alone)
        for name in ("submit_setup_s", "collect_setup_s"):
            setup_s = getattr(self.host, name)
            _require(0 <= setup_s < math.inf, f"host.{name}", "a finite number, 0 or more", setup_s)
        bandwidth = self.host.bandwidth_bytes_per_s
        _require(bandwidth > 0, "host.bandwidth_bytes_per_s", "more than 0", bandwidth)

    @property
    def device_names(self) -> tuple[str, ...]:
        """Names of the devices, in the file's order."""
        return tuple(device.name for device in self.devices)

    @property
    def cores(self) -> tuple[int, ...]:
        """All CPU cores that its devices are pinned to, ascending."""
        return tuple(sorted({core for device in self.devices for core in device.cores}))

    def device(self, name: str) -> Device:
        """The device of that name.

        Raises:
            PlatformError: If there is none.
        """
        for device in self.devices:
            if device.name == name:
                return device
        raise PlatformError(f"no device {name!r} on platform {self.name!r}; it has {', '.join(self.device_names)}")

    def link(self, source: str, target: str) -> Link:
        """The path from one device to another; free where the platform says nothing, or where both are one."""
        return self.links.get((source, target), _FREE)

    @property
    def hypothetical_devices(self) -> tuple[Device, ...]:
        """The devices whose times a sheet, an architecture or a file gives, in the file's order."""
        return tuple(device for device in self.devices if device.source is not None)

    def measured_part(self) -> Platform:
        """The platform with those devices alone that are measured here, for a profile of them.

        Raises:
            PlatformError: If there is none.
        """
        kept = tuple(device for device in self.devices if device.is_measured)
        if not kept:
            raise PlatformError(
                f"no device of platform {self.name!r} can be measured: {', '.join(self.device_names)} are "
                "hypothetical; plan and simulate with it, which needs no profile"
            )
        return self._with_only(kept)

    def only(self, name: str) -> Platform:
        """The platform of that device alone.

        Raises:
            PlatformError: If it has no such device.
        """
        return self._with_only((self.device(name),))

    def _with_only(self, kept: tuple[Device, ...]) -> Platform:
        """The platform without its other devices and what it says of them."""
        names = {device.name for device in kept}
        alone = {name: value for name, value in self.memory.alone_bytes_per_s.items() if name in names}
        return replace(
            self,
            devices=kept,
            links={pair: link for pair, link in self.links.items() if names.issuperset(pair)},
            memory=replace(self.memory, alone_bytes_per_s=alone),
        )

    def with_devices(self, *devices: Device) -> Platform:
        """The same platform with devices of the same names replaced."""
        changed = {device.name: device for device in devices}
        return replace(self, devices=tuple(changed.get(device.name, device) for device in self.devices))


_FREE = Link()


# The file's own shape. A device table with ``count`` stands for several devices of one kind.
