"""The platform of a scenario: devices, links and memory after its changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from hetsim.analysis.change import Change, find_change, names_of_copies
from hetsim.core.errors import PlatformError
from hetsim.core.platform import Device, Link, Memory, Platform

Changes = Sequence[Change]


def change_platform(platform: Platform, changes: Changes) -> Platform:
    """The platform after the changes; changed devices are hypothetical, and the platform's name lists the changes.

    Copies of a device hand over to each other with the longest setup and the lowest bandwidth of all links to and from
    the device, since the memory between them is the one that it shares with the others. Each pays for access the most
    that the device pays on any of these links.

    Raises:
        PlatformError: If a device or link does not exist, or a figure that is to be multiplied is not known.
    """
    for change in changes:
        _check(change, changes, platform)
    links = {pair: platform.link(*pair) for pair in _named_links(platform, changes)} | dict(platform.links)
    changed = replace(
        platform,
        name=f"{platform.name}, hypothetical: {', '.join(change.description for change in changes)}",
        devices=tuple(_device(device, changes) for device in platform.devices),
        links={pair: _link(pair, link, changes) for pair, link in links.items()},
        memory=_memory(platform.memory, changes),
    )
    for device in platform.device_names:
        copies = names_of_copies(changes, device)
        if len(copies) > 1:
            changed = _with_copies(changed, device, copies)
    return changed


def _check(change: Change, changes: Changes, platform: Platform) -> None:
    """Refuse a change of something that the platform does not have."""
    for name in change.devices:
        if name not in platform.device_names:
            raise PlatformError(
                f"--set {change.description!r}: no device {name!r} on platform {platform.name!r}; it has "
                f"{', '.join(platform.device_names)}"
            )
    if change.kind == "link" and change.devices[0] == change.devices[1]:
        raise PlatformError(f"--set {change.description!r}: a device does not hand over to itself")
    if change.kind == "memory" and change.relative and math.isinf(platform.memory.shared_bytes_per_s):
        raise PlatformError(
            f"--set {change.description!r}: platform {platform.name!r} does not say what its memory sustains; "
            "give bytes per second, or calibrate it with: hetsim platform calibrate"
        )
    copies = names_of_copies(changes, change.target) if change.field == "count" else ()
    for copy in copies if len(copies) > 1 else ():
        if copy in platform.device_names:
            raise PlatformError(f"--set {change.description!r} makes a device {copy!r}, which the platform has already")


def _named_links(platform: Platform, changes: Changes) -> list[tuple[str, str]]:
    """Pairs of devices whose link is set by name, in the platform's order."""
    named = {change.target for change in changes if change.kind == "link"}
    names = platform.device_names
    return [(a, b) for a in names for b in names if f"{a}->{b}" in named]


def _device(device: Device, changes: Changes) -> Device:
    if not any(change.kind == "device" and change.target == device.name for change in changes):
        return device
    launch = find_change(changes, "device", device.name, "launch_s")
    return replace(
        device, nature="hypothetical", launch_s=device.launch_s if launch is None else launch.of(device.launch_s)
    )


def _link(pair: tuple[str, str], link: Link, changes: Changes) -> Link:
    """The link after the changes: first its own figures, then its speed, then the factor of all hand-overs.

    What bytes cost the segments at its ends changes with the bandwidth; a bandwidth in bytes per second replaces it.
    """
    name = "->".join(pair)
    setup = find_change(changes, "link", name, "setup_s")
    bandwidth = find_change(changes, "link", name, "bandwidth")
    speed = find_change(changes, "link", name, "speed")
    setup_s = link.setup_s if setup is None else setup.of(link.setup_s)
    bytes_per_s = link.bandwidth_bytes_per_s if bandwidth is None else bandwidth.of(link.bandwidth_bytes_per_s)
    access = 1.0
    if bandwidth is not None:
        access = 1 / bandwidth.amount if bandwidth.relative else 0.0
    if speed is not None:
        setup_s, bytes_per_s, access = setup_s / speed.amount, bytes_per_s * speed.amount, access / speed.amount
    every = find_change(changes, "handover")
    factor = 1.0 if every is None else every.amount
    return replace(
        link,
        setup_s=setup_s * factor,
        bandwidth_bytes_per_s=bytes_per_s / factor if factor else math.inf,
        read_s_per_byte=link.read_s_per_byte * access * factor,
        written_s_per_byte=link.written_s_per_byte * access * factor,
    )


def _memory(memory: Memory, changes: Changes) -> Memory:
    change = find_change(changes, "memory", field="bandwidth")
    if change is None:
        return memory
    shared = change.of(memory.shared_bytes_per_s)
    factor = shared / memory.shared_bytes_per_s or 1.0  # a memory without a limit has no figures of single devices
    alone = {name: rate * factor for name, rate in memory.alone_bytes_per_s.items()}
    return Memory(alone_bytes_per_s=alone, shared_bytes_per_s=shared)


def _with_copies(platform: Platform, name: str, copies: tuple[str, ...]) -> Platform:
    """The platform with a device replaced by copies of it; the first keeps its cores, the others have none."""
    original = platform.device(name)
    devices: list[Device] = []
    for device in platform.devices:
        if device.name != name:
            devices.append(device)
            continue
        devices += [
            replace(original, name=copy, cores=original.cores if not i else ()) for i, copy in enumerate(copies)
        ]
    links: dict[tuple[str, str], Link] = {}
    for (source, target), link in platform.links.items():
        for a in copies if source == name else (source,):
            for b in copies if target == name else (target,):
                links[a, b] = link
    if any(name in pair for pair in platform.links):
        between = _between_copies(platform, name)
        links |= {(a, b): between for a in copies for b in copies if a != b}
    alone = dict(platform.memory.alone_bytes_per_s)
    rate = alone.pop(name, None)
    if rate is not None:
        alone |= dict.fromkeys(copies, rate)
    return replace(
        platform,
        devices=tuple(devices),
        links=links,
        memory=replace(platform.memory, alone_bytes_per_s=alone),
    )


def _between_copies(platform: Platform, name: str) -> Link:
    """The link from one copy of a device to another, made of the links to and from the device."""
    links_to = [link for (_, target), link in platform.links.items() if target == name]
    links_from = [link for (source, _), link in platform.links.items() if source == name]
    own = links_to + links_from
    copies = any(link.mode == "copy" for link in own)
    return Link(
        setup_s=max(link.setup_s for link in own),
        bandwidth_bytes_per_s=min(link.bandwidth_bytes_per_s for link in own),
        mode="copy" if copies else "zero-copy",
        read_s_per_byte=0.0 if copies else max((link.read_s_per_byte for link in links_to), default=0.0),
        written_s_per_byte=0.0 if copies else max((link.written_s_per_byte for link in links_from), default=0.0),
    )
