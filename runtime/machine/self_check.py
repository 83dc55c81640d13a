"""Check whether something on this machine would disturb measurements.

The check changes nothing. It takes half a second, during which no device may run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from hetsim.core.platform import Platform
from hetsim.runtime.machine.system import available_cores

_BUSY = 0.05
"""Other work that takes more than this fraction of a core's time is reported."""
_STOLEN = 0.01
"""A host that takes away more than this fraction of a core's time is reported."""
_TOPOLOGY = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """The state of a machine over a short time.

    Attributes:
        busy: By core, the fraction of its time that other programs used.
        stolen: By core, the fraction of its time that the host of a virtual machine took away.
        busiest: By process, named by program and number, the fraction of one core's time that it used; may exceed 1.
            The busiest process comes first.
        governors: By core, the governor of its frequency; cores whose governor is unknown are absent.
        capped: By core, the fraction of its highest frequency that it is allowed; absent as above.
        siblings: Groups of cores that are threads of one physical core.
        on_battery: Whether the machine runs on battery.
    """

    busy: Mapping[int, float] = field(default_factory=dict)
    stolen: Mapping[int, float] = field(default_factory=dict)
    busiest: Mapping[str, float] = field(default_factory=dict)
    governors: Mapping[int, str] = field(default_factory=dict)
    capped: Mapping[int, float] = field(default_factory=dict)
    siblings: tuple[tuple[int, ...], ...] = ()
    on_battery: bool = False


def self_check(platform: Platform, *, during_s: float = 0.5) -> tuple[str, ...]:
    """Everything that would disturb measurements on the platform's devices now, one line each; blocks for ``during_s``.

    Args:
        platform: The platform whose cores are checked; if it pins no device, all cores that this process may use.
        during_s: How long to observe the machine, in seconds.
    """
    cores = platform.cores or available_cores()
    return (*pinning(platform), *concerns(read_machine(cores, during_s=during_s)))


def pinning(platform: Platform) -> tuple[str, ...]:
    """What in the platform itself disturbs measurements, one line each: devices on one core, or pinned to none."""
    found: list[str] = []
    homes: dict[int, list[str]] = {}
    for device in platform.devices:
        for core in device.cores:
            homes.setdefault(core, []).append(device.name)
    for core, names in sorted(homes.items()):
        if len(names) > 1:
            found.append(f"devices {' and '.join(names)} are pinned to the same core {core} and slow each other down")
    loose = [device.name for device in platform.devices if not device.cores and device.kind == "cpu"]
    if loose and len(platform.devices) > 1:
        found.append(f"device {loose[0]} is pinned to no core, so others may be given its core; set its cores")
    return tuple(found)


def concerns(readings: Readings) -> tuple[str, ...]:
    """What of the readings would disturb measurements, one line each."""
    found: list[str] = []
    for core, part in sorted(readings.busy.items()):
        if part > _BUSY:
            found.append(f"core {core} is {part:.0%} busy with other work{_culprit(readings)}")
    for core, part in sorted(readings.stolen.items()):
        if part > _STOLEN:
            found.append(f"core {core} loses {part:.0%} of its time to other guests of its host")
    for governor in sorted(set(readings.governors.values()) - {"performance"}):
        cores = [core for core, name in sorted(readings.governors.items()) if name == governor]
        found.append(
            f"the frequency of {_cores(cores)} is governed by {governor!r}, so times depend on what ran before; "
            "'performance' keeps it level"
        )
    for core, part in sorted(readings.capped.items()):
        if part < 1.0:
            found.append(f"core {core} is limited to {part:.0%} of its highest frequency")
    found.extend(
        f"{_cores(together)} are threads of one physical core and slow each other down"
        for together in readings.siblings
    )
    if readings.on_battery:
        found.append("the machine runs on battery, which may lower its frequency")
    return tuple(found)


def read_machine(cores: Sequence[int], *, during_s: float) -> Readings:
    """Observe the machine for ``during_s`` seconds, blocking; what the system does not report is absent."""
    processes = _processes()
    before, began_s = psutil.cpu_times(percpu=True), time.monotonic()
    time.sleep(during_s)
    after, took_s = psutil.cpu_times(percpu=True), time.monotonic() - began_s
    busy, stolen = {}, {}
    for core in cores:
        if core < len(before):
            then, now = before[core]._asdict(), after[core]._asdict()
            spent = {key: max(0.0, now[key] - then[key]) for key in then if not key.startswith("guest")}
            idle_s = spent.get("idle", 0.0) + spent.get("iowait", 0.0)
            all_s = max(sum(spent.values()), 1e-9)
            stolen[core] = spent.get("steal", 0.0) / all_s
            busy[core] = max(0.0, 1.0 - idle_s / all_s - stolen[core])
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return Readings(
        busy=busy,
        stolen=stolen,
        busiest=_busiest(processes, took_s),
        governors={core: text for core in cores if (text := _read(core, "cpufreq/scaling_governor"))},
        capped={core: part for core in cores if (part := _capped(core)) is not None},
        siblings=_siblings(cores),
        on_battery=battery is not None and battery.power_plugged is False,
    )


def _processes() -> dict[int, tuple[psutil.Process, float]]:
    """All processes that this one may inspect, without itself and its parents, with the CPU seconds used so far."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = {}
    for process in psutil.process_iter(["cpu_times"]):
        if process.pid not in own and process.info["cpu_times"] is not None:
            found[process.pid] = process, sum(process.info["cpu_times"][:2])
    return found


def _busiest(processes: Mapping[int, tuple[psutil.Process, float]], took_s: float) -> dict[str, float]:
    used: dict[str, float] = {}
    for process, before_s in processes.values():
        try:
            used[f"{process.name()}, process {process.pid}"] = (sum(process.cpu_times()[:2]) - before_s) / took_s
        except psutil.Error:  # it has ended
            continue
    return {name: part for name, part in sorted(used.items(), key=lambda one: -one[1]) if part > _BUSY}


def _culprit(readings: Readings) -> str:
    return next((f" (most of it {name})" for name in readings.busiest), "")


def _read(core: int, name: str) -> str:
    try:
        return (_TOPOLOGY / f"cpu{core}" / name).read_text("utf-8").strip()
    except OSError:
        return ""


def _capped(core: int) -> float | None:
    allowed, highest = _read(core, "cpufreq/scaling_max_freq"), _read(core, "cpufreq/cpuinfo_max_freq")
    return int(allowed) / int(highest) if allowed.isdigit() and highest.isdigit() and int(highest) else None


def _siblings(cores: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Those of the cores that share a physical core with another of them."""
    groups: dict[str, list[int]] = {}
    for core in cores:
        groups.setdefault(_read(core, "topology/thread_siblings_list") or f"alone {core}", []).append(core)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _cores(cores: Sequence[int]) -> str:
    listed = " and ".join(str(core) for core in cores)
    return f"core {listed}" if len(cores) == 1 else f"cores {listed}"
