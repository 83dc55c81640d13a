"""Costs of a platform's hypothetical devices, beside measured costs of the other devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from hetsim.core.errors import ProfileError
from hetsim.core.platform import Device, Platform
from hetsim.core.problem import Latency, LatencyFunction, TrafficFunction
from hetsim.core.sources import Architecture, Sheet, Times
from hetsim.costs.hypothetical.architecture import ArchitectureCosts
from hetsim.costs.hypothetical.layers import layers
from hetsim.costs.hypothetical.sheet import SheetCosts
from hetsim.costs.hypothetical.times_file import FileCosts
from hetsim.models.model import Model


class DeviceCosts(Protocol):
    """Times and memory traffic of segments on one device."""

    def latency(self, ops: tuple[str, ...]) -> Latency | None:
        """The latency of the operators as one segment; None where they cannot run."""
        ...

    def traffic_bytes(self, ops: tuple[str, ...]) -> int:
        """Bytes that they move to and from the memory as one segment."""
        ...

    def of_parts(self, model: Model) -> DeviceCosts:
        """The costs on the device of a model that was rewritten from this one."""
        ...


@dataclass(frozen=True, kw_only=True)
class HypotheticalCosts:
    """The hypothetical devices of a platform.

    Attributes:
        devices: By name, the costs of each device.
    """

    devices: Mapping[str, DeviceCosts] = field(default_factory=dict)

    def of_parts(self, model: Model) -> HypotheticalCosts:
        """The costs of a model that was rewritten from this one, or of this one."""
        if model.base is None:
            return self
        made = {id(costs): costs.of_parts(model) for costs in self.devices.values()}
        return HypotheticalCosts(devices={name: made[id(costs)] for name, costs in self.devices.items()})

    def latency_beside(self, measured: LatencyFunction | None) -> LatencyFunction:
        """Costs of all devices: those of the hypothetical ones, and ``measured`` for the others."""

        def latency(device: str, ops: tuple[str, ...]) -> Latency | None:
            if device in self.devices:
                return self.devices[device].latency(ops)
            return None if measured is None else measured(device, ops)

        return latency if self.devices or measured is None else measured

    def traffic_beside(self, measured: TrafficFunction | None) -> TrafficFunction:
        """Memory traffic of all devices, likewise."""

        def traffic(device: str, ops: tuple[str, ...]) -> int:
            if device in self.devices:
                return self.devices[device].traffic_bytes(ops)
            return 0 if measured is None else measured(device, ops)

        return traffic


def hypothetical_costs(model: Model, platform: Platform) -> HypotheticalCosts:
    """The costs of an imported model on the hypothetical devices of a platform.

    Devices that differ only in name and cores share their costs.

    Raises:
        PlatformError: If an architecture's files cannot be read.
        ProfileError: If a file of times cannot be read, or does not fit the model.
    """
    made: dict[str, DeviceCosts] = {}
    known: list[tuple[Device, DeviceCosts]] = []
    for device in platform.hypothetical_devices:
        same = [costs for other, costs in known if replace(other, name=device.name, cores=device.cores) == device]
        made[device.name] = same[0] if same else _device_costs(device, model)
        known.append((device, made[device.name]))
    return HypotheticalCosts(devices=made)


def _device_costs(device: Device, model: Model) -> DeviceCosts:
    match device.source:
        case Sheet() as sheet:
            return SheetCosts(device, sheet, model.graph, layers(model))
        case Architecture() as architecture:
            return ArchitectureCosts(device, architecture, model)
        case Times() as times:
            return FileCosts(device, times, model.graph)
    raise AssertionError(f"device {device.name!r} has no source of costs")


def check_all_known(platform: Platform, model: Model) -> None:
    """Refuse a platform with a device that needs a profile, where there is none.

    Raises:
        ProfileError: If there is such a device.
    """
    missing = [device.name for device in platform.devices if device.source is None]
    if missing:
        raise ProfileError(
            f"platform {platform.name!r} needs a profile of {model.name!r} for {', '.join(missing)}; "
            f"measure it with: hetsim profile {model.name} --platform {platform.name} --out FILE"
        )
