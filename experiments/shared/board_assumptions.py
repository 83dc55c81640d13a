"""The assumed figures of the PartitionTuner paper's board, and functions that multiply each by a factor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from hetsim.core.platform import Platform
from hetsim.core.sources import Sheet


def _with_sheets(platform: Platform, kind: str, change: Callable[[Sheet], Sheet]) -> Platform:
    """The platform with the data sheets of all devices of a kind changed."""
    return platform.with_devices(
        *(
            replace(device, sheet=change(device.sheet))
            for device in platform.devices
            if device.kind == kind and device.sheet is not None
        )
    )


def _core_speed(platform: Platform, factor: float) -> Platform:
    return _with_sheets(
        platform,
        "cpu",
        lambda sheet: replace(
            sheet, efficiency=sheet.efficiency * factor, elements_per_s=sheet.elements_per_s * factor
        ),
    )


def _vta_bandwidth(platform: Platform, factor: float) -> Platform:
    return _with_sheets(
        platform, "npu", lambda sheet: replace(sheet, memory_bytes_per_s=sheet.memory_bytes_per_s * factor)
    )


def _vta_launch(platform: Platform, factor: float) -> Platform:
    return platform.with_devices(
        *(replace(device, launch_s=device.launch_s * factor) for device in platform.devices if device.kind == "npu")
    )


def _hand_overs(platform: Platform, factor: float) -> Platform:
    links = {
        pair: replace(
            link,
            setup_s=link.setup_s * factor,
            bandwidth_bytes_per_s=link.bandwidth_bytes_per_s / factor,
            read_s_per_byte=link.read_s_per_byte * factor,
            written_s_per_byte=link.written_s_per_byte * factor,
        )
        for pair, link in platform.links.items()
    }
    return replace(platform, links=links)


ASSUMPTIONS: Mapping[str, Callable[[Platform, float], Platform]] = {
    "speed of the core": _core_speed,
    "launch of a VTA unit": _vta_launch,
    "bandwidth of a VTA unit": _vta_bandwidth,
    "hand-overs": _hand_overs,
}
"""By assumed figure, the function that multiplies it by a factor."""
