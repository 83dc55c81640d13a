"""A machine that is otherwise: the platform and the problem that follow from some changes (``hetsim.analysis.change``).

Changes are independent of their order. They refer to the platform as it is, so copies of a device are changed through
the device that they are copies of. Of several speeds the one that says most about an operator counts: by name, by type,
of the device. What is changed is hypothetical, and the platform's name says so.

**Speed is that of the arithmetic.** A segment's time has its launch in it, which no faster arithmetic shortens, so with
``launch_s`` of the device as it is, at most the whole of ``d``, and ``share`` the part of each operator in what the
operators of the segment take alone without launches,

    d' = launch' + (d - launch) * sum over operators of share / speed

The bytes that a segment moves stay the same, so the memory may become what limits it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import onnx

from hetsim.analysis.change import OP, Change, parse_change
from hetsim.core.errors import PlatformError
from hetsim.core.graph import Graph
from hetsim.core.platform import Device, Link, Memory, Platform
from hetsim.core.problem import Latency, Problem


@dataclass(frozen=True, slots=True)
class Scenario:
    """Changes that hold together.

    Attributes:
        changes: At most one for each thing that can be set.

    Raises:
        PlatformError: If two set the same.
    """

    changes: tuple[Change, ...] = ()

    def __post_init__(self) -> None:
        known: dict[str, str] = {}
        for change in self.changes:
            if change.path in known:
                raise PlatformError(
                    f"--set {known[change.path]!r} and {change.description!r} set the same; keep one of the two"
                )
            known[change.path] = change.description

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def description(self) -> str:
        """The changes for people, in the order in which they were given."""
        return ", ".join(change.description for change in self.changes)

    def devices(self, platform: Platform) -> tuple[str, ...]:
        """Names of the platform's devices that are changed themselves, as they are called after the changes."""
        changed = {change.target for change in self.changes if change.kind == "device"}
        return tuple(copy for device in platform.device_names if device in changed for copy in self.copies(device))

    def links(self, platform: Platform) -> frozenset[tuple[str, str]]:
        """The links that are changed themselves, on the platform as it is after the changes."""
        names = platform.device_names
        every = self._find("handover", "", "") is not None
        ends = [change.target.split("->") for change in self.changes if change.kind == "link"]
        named = {(a, b) for source, target in ends for a in self.copies(source) for b in self.copies(target)}
        return frozenset((a, b) for a in names for b in names if a != b and (every or (a, b) in named))

    def copies(self, device: str) -> tuple[str, ...]:
        """What a device is called after the changes: by its own name, or by those of its copies."""
        count = self._find("device", device, "count")
        if count is None or count.amount == 1:
            return (device,)
        return tuple(f"{device}{i}" for i in range(int(count.amount)))

    def platform(self, platform: Platform) -> Platform:
        """The platform as changed; the changed devices are hypothetical, and its name says what is changed.

        Copies of a device hand over to each other through the memory that it shares with the others: by the slowest
        setup and bandwidth of all links to and from it.

        Raises:
            PlatformError: If a device or link is not there, or nothing is known of which there could be a multiple.
        """
        if not self.changes:
            return platform
        for change in self.changes:
            self._check(change, platform)
        links = {
            pair: self._link(pair, link)
            for pair, link in {
                **{pair: platform.link(*pair) for pair in self._linked(platform)},
                **platform.links,
            }.items()
        }
        changed = replace(
            platform,
            name=f"{platform.name}, hypothetical: {self.description}",
            devices=tuple(map(self._device, platform.devices)),
            links=links,
            memory=self._memory(platform.memory),
        )
        for device in platform.device_names:
            copies = self.copies(device)
            if len(copies) > 1:
                changed = _with_copies(changed, device, copies)
        return changed

    def problem(self, problem: Problem) -> Problem:
        """The problem on the platform as changed.

        Raises:
            PlatformError: As :meth:`platform`; also if an operator or type is unknown.
            ProblemError: If an operator can run nowhere any more.
        """
        if not self.changes:
            return problem
        platform = self.platform(problem.platform)
        memory = self._find("memory", "", "bandwidth")
        if memory is not None and problem.traffic_function is None:
            raise PlatformError(
                f"--set {memory.description!r} changes nothing, as it is not known what segments move; calibrate the "
                "platform, or give the problem file traffic_bytes"
            )
        costs = _Costs(problem, self)
        origin = {copy: name for name in problem.platform.device_names for copy in self.copies(name)}
        traffic = problem.traffic_function
        return replace(
            problem,
            platform=platform,
            latency_function=lambda device, ops: costs.latency(origin[device], ops),
            traffic_function=None if traffic is None else lambda device, ops: traffic(origin[device], ops),
            additive=problem.additive and not costs.launches,
            _known={},
        )

    def of_device(self, device: str, field: str) -> tuple[Change, ...]:
        """The changes to one figure of a device."""
        return tuple(c for c in self.changes if (c.kind, c.target, c.field) == ("device", device, field))

    def _find(self, kind: str, target: str, name: str) -> Change | None:
        return next((c for c in self.changes if (c.kind, c.target, c.field) == (kind, target, name)), None)

    def _check(self, change: Change, platform: Platform) -> None:
        ends = {"device": (change.target,), "link": change.target.split("->")}.get(change.kind, ())
        for name in ends:
            if name not in platform.device_names:
                raise PlatformError(
                    f"--set {change.description!r}: no device {name!r} on platform {platform.name!r}; it has "
                    f"{', '.join(platform.device_names)}"
                )
        if change.kind == "link" and ends[0] == ends[1]:
            raise PlatformError(f"--set {change.description!r}: within a device nothing is handed over")
        if change.kind == "memory" and change.relative and math.isinf(platform.memory.shared_bytes_per_s):
            raise PlatformError(
                f"--set {change.description!r}: platform {platform.name!r} does not say what its memory sustains; "
                f"give bytes "
                "per second, or calibrate it with: hetsim platform calibrate"
            )
        copies = self.copies(change.target) if change.field == "count" else ()
        for copy in copies if len(copies) > 1 else ():
            if copy in platform.device_names:
                raise PlatformError(
                    f"--set {change.description!r} makes a device {copy!r}, which the platform has already"
                )

    def _linked(self, platform: Platform) -> list[tuple[str, str]]:
        """Pairs of devices whose link is set by name, in the platform's order."""
        named = {change.target for change in self.changes if change.kind == "link"}
        names = platform.device_names
        return [(a, b) for a in names for b in names if f"{a}->{b}" in named]

    def _device(self, device: Device) -> Device:
        if not any(change.kind == "device" and change.target == device.name for change in self.changes):
            return device
        launch = self._find("device", device.name, "launch_s")
        return replace(
            device, nature="hypothetical", launch_s=device.launch_s if launch is None else launch.of(device.launch_s)
        )

    def _link(self, pair: tuple[str, str], link: Link) -> Link:
        """The link as changed: by its own figures, and then by what holds for every hand-over."""
        setup = self._find("link", "->".join(pair), "setup_s")
        bandwidth = self._find("link", "->".join(pair), "bandwidth")
        every = self._find("handover", "", "")
        factor = 1.0 if every is None else every.amount
        setup_s = link.setup_s if setup is None else setup.of(link.setup_s)
        bytes_per_s = link.bandwidth_bytes_per_s if bandwidth is None else bandwidth.of(link.bandwidth_bytes_per_s)
        return replace(
            link, setup_s=setup_s * factor, bandwidth_bytes_per_s=bytes_per_s / factor if factor else math.inf
        )

    def _memory(self, memory: Memory) -> Memory:
        change = self._find("memory", "", "bandwidth")
        if change is None:
            return memory
        shared = change.of(memory.shared_bytes_per_s)
        factor = shared / memory.shared_bytes_per_s or 1.0  # of a memory without a limit nothing is known alone either
        alone = {name: rate * factor for name, rate in memory.alone_bytes_per_s.items()}
        return Memory(alone_bytes_per_s=alone, shared_bytes_per_s=shared)


def parse_scenario(settings: Iterable[str]) -> Scenario:
    """The changes that settings stand for.

    >>> parse_scenario(["npu.speed=4", "memory.bandwidth=2x"]).description
    'npu.speed=4, memory.bandwidth=2x'

    Raises:
        PlatformError: If one is none, is out of range, or two set the same.
    """
    return Scenario(tuple(map(parse_change, settings)))


@dataclass(slots=True)
class _Rates:
    """What is otherwise about one device: how much faster each operator is, what it no longer runs, its launch."""

    speed: Mapping[str, float]
    unsupported: frozenset[str]
    launch_s: float
    new_launch_s: float | None
    alone_s: dict[str, float] = field(default_factory=dict)


class _Costs:
    """Latencies of a problem as changed; devices by the names that they had."""

    def __init__(self, problem: Problem, scenario: Scenario) -> None:
        self._problem = problem
        self._rates: dict[str, _Rates] = {}
        for device in problem.platform.devices:
            if any((c.kind, c.target) == ("device", device.name) for c in scenario.changes):
                self._rates[device.name] = _rates(scenario, device, problem.graph)

    @property
    def launches(self) -> bool:
        """Whether a segment costs a launch beside its operators, so that fusing may pay."""
        return any(rates.launch_s or rates.new_launch_s for rates in self._rates.values())

    def latency(self, device: str, ops: tuple[str, ...]) -> Latency | None:
        """What a segment takes, or None; whether it counts as measured is kept from the time that it derives from."""
        rates = self._rates.get(device)
        found = None if rates and not rates.unsupported.isdisjoint(ops) else self._problem.latency(device, ops)
        if rates is None or found is None:
            return found
        slowness = self._slowness(device, rates, ops)
        if slowness == 1.0 and rates.new_launch_s is None:
            return found
        launch_s = min(rates.launch_s, found.seconds)
        new_launch_s = launch_s if rates.new_launch_s is None else rates.new_launch_s
        return replace(found, seconds=new_launch_s + (found.seconds - launch_s) * slowness)

    def _slowness(self, device: str, rates: _Rates, ops: tuple[str, ...]) -> float:
        """By what the arithmetic of a segment is multiplied."""
        speeds = [rates.speed.get(op, 1.0) for op in ops]
        if len(set(speeds)) == 1:
            return 1.0 / speeds[0]
        alone_s = [self._alone_s(device, rates, op) for op in ops]
        total_s = sum(alone_s)
        parts = [one_s / total_s for one_s in alone_s] if total_s > 0 else [1 / len(ops)] * len(ops)
        return sum(part / speed for part, speed in zip(parts, speeds, strict=True))

    def _alone_s(self, device: str, rates: _Rates, op: str) -> float:
        """What an operator takes alone without its launch; 0 where the device runs it in company only."""
        if op not in rates.alone_s:
            found = self._problem.latency(device, (op,))
            rates.alone_s[op] = 0.0 if found is None else max(0.0, found.seconds - rates.launch_s)
        return rates.alone_s[op]


def _rates(scenario: Scenario, device: Device, graph: Graph) -> _Rates:
    by_name: dict[str, float] = {}
    for change in scenario.of_device(device.name, "speed"):
        for op in _selected(graph, change, change.only):
            by_name.setdefault(op, 1.0)
    for op in by_name:
        kind = graph.by_name[op].kind
        speeds = {change.only: change.amount for change in scenario.of_device(device.name, "speed")}
        by_name[op] = next(speeds[only] for only in (f"{OP}{op}", kind, "") if only in speeds)
    unsupported = [
        op
        for change in scenario.of_device(device.name, "unsupported")
        for name in change.names
        for op in _selected(graph, change, name)
    ]
    launch = scenario.of_device(device.name, "launch_s")
    return _Rates(
        speed=by_name,
        unsupported=frozenset(unsupported),
        launch_s=device.launch_s,
        new_launch_s=launch[0].of(device.launch_s) if launch else None,
    )


def _selected(graph: Graph, change: Change, only: str) -> Sequence[str]:
    """Operators by ``op:NAME``, by their type, or all; a type that ONNX has may be missing from this graph.

    Raises:
        PlatformError: If there is no such operator or type.
    """
    if not only:
        return [op.name for op in graph.ops]
    if only.startswith(OP):
        name = only.removeprefix(OP)
        if name not in graph.by_name:
            raise PlatformError(
                f"--set {change.description!r}: {graph.name!r} has no operator {name!r}; it has {_few(graph.by_name)}"
            )
        return [name]
    found = [op.name for op in graph.ops if op.kind == only]
    if not found and not onnx.defs.has(only):
        kinds = sorted({op.kind for op in graph.ops})
        raise PlatformError(
            f"--set {change.description!r}: {graph.name!r} has no operators of type {only!r}; it has {_few(kinds)}"
        )
    return found


def _few(names: Iterable[str], count: int = 12) -> str:
    known = list(names)
    return ", ".join(known[:count]) + (f" and {len(known) - count} more" if len(known) > count else "")


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
    own = [link for pair, link in platform.links.items() if name in pair]
    if own:
        between = Link(
            setup_s=max(link.setup_s for link in own),
            bandwidth_bytes_per_s=min(link.bandwidth_bytes_per_s for link in own),
            mode="copy" if any(link.mode == "copy" for link in own) else "zero-copy",
        )
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
