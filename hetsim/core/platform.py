"""Platforms: the devices of a machine and the memory that they share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from hetsim.core.errors import PlatformError
from hetsim.core.sources import Architecture, Plugin, Precision, Sheet, Source, Times, require

DEFAULT_PLATFORM = "cpu+npu"
"""The built-in platform of commands and functions that are given none."""

Kind = Literal["cpu", "npu", "gpu"]
Nature = Literal["real", "stand-in", "emulated", "hypothetical"]


_WITHOUT_ENGINE = ("none", "emulated")
"""Backends that drive no engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One processing unit and the engine that drives it.

    Attributes:
        name: Unique within the platform.
        kind: The kind of unit that it is, or stands in for.
        backend: The engine that drives it: ``"onnxruntime"``, ``"openvino"`` or, in tests, ``"fake"``; ``"none"`` if
            no engine does.
        target: The engine's own name of the hardware: an execution provider (``"CPUExecutionProvider"``) or an
            OpenVINO device (``"CPU"``, ``"GPU"``, ``"NPU"``). Empty means the engine's CPU.
        nature: ``"real"`` only for hardware of that kind. Any other nature is part of the device's label.
        precision: Arithmetic inside the engine. Tensors between devices keep the model's element types.
        cores: CPU cores that the device's process is pinned to; empty if it is not pinned.
        threads: Threads that the engine may use, at least 1.
        launch_s: Fixed cost of running one segment. Measured times include it.
        supported_ops: Operator kinds that it runs; empty for all kinds that the engine accepts.
        options: Options for the engine, passed on unchanged.
        plugin: What brings the execution provider ``target``, with the backend ``"onnxruntime"`` alone.
        sheet: A data sheet that gives its times.
        architecture: An architecture for which ZigZag gives its times.
        times: A file that gives its times. A device has at most one of these three, and is not measured if it has one.
            If it has an engine, too, the engine computes its outputs while its times are emulated: it is *paced*.
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
    plugin: Plugin | None = None
    sheet: Sheet | None = None
    architecture: Architecture | None = None
    times: Times | None = None

    def __post_init__(self) -> None:
        require(self.threads >= 1, f"device.{self.name}.threads", "at least 1", self.threads)
        require(
            0 <= self.launch_s < math.inf, f"device.{self.name}.launch_s", "a finite number, 0 or more", self.launch_s
        )
        require(all(core >= 0 for core in self.cores), f"device.{self.name}.cores", "0 or more", self.cores)
        if self.plugin is not None:
            self._check_plugin(self.plugin)
        self._check_source()

    def _check_plugin(self, plugin: Plugin) -> None:
        path = f"device.{self.name}.plugin"
        plugin.check(path)
        if self.backend not in ("onnxruntime", "emulated") or not self.target:
            raise PlatformError(
                f'{path} brings an execution provider of ONNX Runtime: it needs backend = "onnxruntime" and a target, '
                f"the provider's name; got backend {self.backend!r}, target {self.target!r}"
            )

    def _check_source(self) -> None:
        """Check that there is at most one source of times, and that nothing contradicts it."""
        path = f"device.{self.name}"
        given = [name for name in ("sheet", "architecture", "times") if getattr(self, name) is not None]
        if len(given) > 1:
            raise PlatformError(f"{path} has {' and '.join(given)}, but only one of them can give its times; keep one")
        if not given:
            return
        if self.backend not in _WITHOUT_ENGINE and self.nature != "emulated":
            raise PlatformError(
                f"{path}.backend is {self.backend!r}, but the device's times come from its {given[0]}; "
                f"leave the backend out, or measure the device and remove {path}.{given[0]}, or set nature = "
                '"emulated", so that the engine computes the outputs and the times are emulated'
            )
        if self.nature in ("real", "stand-in"):
            raise PlatformError(
                f"{path}.nature is {self.nature!r}, but the device is not measured; "
                "it can be 'hypothetical' or 'emulated'"
            )
        for source in (self.sheet, self.architecture):
            if source is not None:
                source.check(f"{path}.{given[0]}", self.precision, self.supported_ops)

    @property
    def source(self) -> Source | None:
        """The source of its times; None if it is measured, or if a problem gives the times."""
        return self.sheet or self.architecture or self.times

    @property
    def is_measured(self) -> bool:
        """Whether its times are measured on this machine."""
        return self.source is None and self.backend not in _WITHOUT_ENGINE

    @property
    def is_paced(self) -> bool:
        """Whether an engine computes its outputs, but not at the engine's own pace: its source gives the times."""
        return self.source is not None and self.backend not in _WITHOUT_ENGINE

    @property
    def label(self) -> str:
        """The name for people. It ends with the nature unless that is ``"real"``."""
        return self.name if self.nature == "real" else f"{self.name} ({self.nature})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The one-way path from one device to another through shared memory.

    Attributes:
        setup_s: Fixed time from a producer's end to its consumer's start on an idle device, in seconds.
        bandwidth_bytes_per_s: Bandwidth for the tensor's bytes. With ``mode="zero-copy"`` no data is copied, but the
            bytes are in the other device's cache; the figure stands for what that costs writer and reader together.
        mode: Whether tensors are copied. Copies queue for the single memory channel.
    """

    setup_s: float = 0.0
    bandwidth_bytes_per_s: float = math.inf
    mode: Literal["zero-copy", "copy"] = "zero-copy"

    def transfer_s(self, num_bytes: int) -> float:
        """Seconds from a producer's end to the arrival of a tensor of ``num_bytes``, with nothing else running."""
        return self.setup_s + num_bytes / self.bandwidth_bytes_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Sustained bandwidth of the memory that all devices share.

    Attributes:
        alone_bytes_per_s: By device, the bandwidth that it reaches with nothing else running.
        shared_bytes_per_s: Total bandwidth that all devices reach together.
    """

    alone_bytes_per_s: Mapping[str, float] = field(default_factory=dict)
    shared_bytes_per_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The host, which submits requests to the devices and collects their outputs, one request at a time.

    Attributes:
        submit_setup_s: Fixed time to submit a request.
        collect_setup_s: Fixed time to collect a request.
        shares_cores: Whether the host has no core of its own, so that it takes its time from the devices when all of
            them work.
        bandwidth_bytes_per_s: Bandwidth at which inputs and outputs are copied.
    """

    submit_setup_s: float = 0.0
    collect_setup_s: float = 0.0
    shares_cores: bool = False
    bandwidth_bytes_per_s: float = math.inf

    def submit_s(self, num_bytes: int) -> float:
        """Seconds to submit a request with ``num_bytes`` of inputs."""
        return self.submit_setup_s + num_bytes / self.bandwidth_bytes_per_s

    def collect_s(self, num_bytes: int) -> float:
        """Seconds to collect a finished request with ``num_bytes`` of outputs; then its slot is free."""
        return self.collect_setup_s + num_bytes / self.bandwidth_bytes_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The measurement that a platform's numbers come from.

    Attributes:
        date: ISO 8601 date and time of the measurement, UTC.
        machine: Fingerprint of the machine.
        num_samples: Number of samples behind each value.
    """

    date: str
    machine: str
    num_samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Devices and the memory that they share.

    Attributes:
        name: Name of the platform.
        devices: At least one device, in the file's order. The order breaks ties everywhere.
        links: By ``(from, to)``. A hand-over costs nothing between devices without a link.
        memory: Sustained bandwidth.
        host: What submitting and collecting a request costs.
        calibration: The measurement of the numbers; None if they were not measured.
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
                raise PlatformError(f"{path} leads back to the same device, which needs no hand-over; remove it")
            for end in (source, target):
                if end not in names:
                    raise PlatformError(f"{path} names device {end!r}; the platform has {', '.join(names)}")
            require(0 <= link.setup_s < math.inf, f"{path}.setup_s", "a finite number, 0 or more", link.setup_s)
            bandwidth = link.bandwidth_bytes_per_s
            require(bandwidth > 0, f"{path}.bandwidth_bytes_per_s", "more than 0", bandwidth)
        shared = self.memory.shared_bytes_per_s
        require(shared > 0, "memory.shared_bytes_per_s", "more than 0", shared)
        for name, alone in self.memory.alone_bytes_per_s.items():
            if name not in names:
                raise PlatformError(
                    f"memory.alone_bytes_per_s names device {name!r}; the platform has {', '.join(names)}"
                )
            require(alone > 0, f"memory.alone_bytes_per_s.{name}", "more than 0", alone)
        for name in ("submit_setup_s", "collect_setup_s"):
            setup_s = getattr(self.host, name)
            require(0 <= setup_s < math.inf, f"host.{name}", "a finite number, 0 or more", setup_s)
        bandwidth = self.host.bandwidth_bytes_per_s
        require(bandwidth > 0, "host.bandwidth_bytes_per_s", "more than 0", bandwidth)

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
        """The path from one device to another; free if the platform has no such link, or within a device."""
        return self.links.get((source, target), _FREE)

    @property
    def hypothetical_devices(self) -> tuple[Device, ...]:
        """The devices whose times a data sheet, an architecture or a file gives, in the file's order."""
        return tuple(device for device in self.devices if device.source is not None)

    @property
    def paced_devices(self) -> tuple[Device, ...]:
        """The hypothetical devices whose outputs an engine computes, in the file's order."""
        return tuple(device for device in self.devices if device.is_paced)

    def uncalibrated(self) -> Platform:
        """The platform without the values that a calibration replaces."""
        devices = tuple(replace(device, launch_s=0.0) for device in self.devices)
        return replace(self, devices=devices, links={}, memory=Memory(), host=Host(), calibration=None)

    def measured_part(self) -> Platform:
        """The platform with only the devices that are measured, for a profile of them.

        Raises:
            PlatformError: If no device is measured.
        """
        devices = tuple(device for device in self.devices if device.is_measured)
        if not devices:
            raise PlatformError(
                f"no device of platform {self.name!r} can be measured: {', '.join(self.device_names)} are "
                "hypothetical; plan and simulate with it, which needs no profile"
            )
        return self._with_only(devices)

    def with_calibrated(self, part: Platform) -> Platform:
        """The platform with what a calibration of its measured part found; stated links of other devices stay."""
        alone = {**self.memory.alone_bytes_per_s, **part.memory.alone_bytes_per_s}
        return replace(
            self.with_devices(*part.devices),
            links={**self.links, **part.links},
            memory=replace(part.memory, alone_bytes_per_s=alone),
            host=part.host,
            calibration=part.calibration,
        )

    def only(self, name: str) -> Platform:
        """The platform with only that device.

        Raises:
            PlatformError: If it has no such device.
        """
        return self._with_only((self.device(name),))

    def _with_only(self, devices: tuple[Device, ...]) -> Platform:
        """The platform without its other devices, their links and their bandwidths."""
        names = {device.name for device in devices}
        alone = {name: value for name, value in self.memory.alone_bytes_per_s.items() if name in names}
        return replace(
            self,
            devices=devices,
            links={pair: link for pair, link in self.links.items() if names.issuperset(pair)},
            memory=replace(self.memory, alone_bytes_per_s=alone),
        )

    def with_devices(self, *devices: Device) -> Platform:
        """The same platform, in which each of ``devices`` replaces the device of its name."""
        changed = {device.name: device for device in devices}
        return replace(self, devices=tuple(changed.get(device.name, device) for device in self.devices))


_FREE = Link()
