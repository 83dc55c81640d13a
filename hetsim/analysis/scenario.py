"""A hypothetical machine: a set of changes, and the platform and the problem that follow from them.

One meaning serves every use: ``--set`` of the command line, the changes that ``hetsim explain`` tries, and the
experiments. :mod:`hetsim.analysis.change` lists the settings, :mod:`hetsim.analysis.changed_costs` defines what a speed
does to a segment.

The order of the changes does not matter. Changes refer to the platform before the scenario, so copies of a device are
changed through the device that they are copies of. Of several speeds for an operator the most specific counts: by name,
by type, of the device. A changed device is hypothetical, and the name of the platform lists the changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from hetsim.analysis.change import Change, find_change, names_of_copies, parse_change
from hetsim.analysis.changed_costs import ChangedCosts
from hetsim.analysis.changed_platform import change_platform
from hetsim.analysis.changed_sharing import changed_sharing
from hetsim.core.errors import PlatformError
from hetsim.core.platform import Platform
from hetsim.core.problem import Problem


@dataclass(frozen=True, slots=True)
class Scenario:
    """Changes that hold together; a scenario without changes is false and changes nothing.

    Attributes:
        changes: At most one for each thing that can be set.

    Raises:
        PlatformError: If two changes set the same.
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
        """The settings, in the order in which they were given."""
        return ", ".join(change.description for change in self.changes)

    def devices(self, platform: Platform) -> tuple[str, ...]:
        """Names of the platform's devices that the scenario changes, as they are called after the changes."""
        changed = {change.target for change in self.changes if change.kind == "device"}
        names = [device for device in platform.device_names if device in changed]
        return tuple(copy for device in names for copy in names_of_copies(self.changes, device))

    def links(self, platform: Platform) -> frozenset[tuple[str, str]]:
        """The links that the scenario changes, on the platform after the changes."""
        names = platform.device_names
        if find_change(self.changes, "handover") is not None:
            return frozenset((a, b) for a in names for b in names if a != b)
        ends = [change.devices for change in self.changes if change.kind == "link"]
        named = {
            (a, b)
            for source, target in ends
            for a in names_of_copies(self.changes, source)
            for b in names_of_copies(self.changes, target)
        }
        return frozenset((a, b) for a in names for b in names if a != b and (a, b) in named)

    def platform(self, platform: Platform) -> Platform:
        """The platform after the changes (:func:`~hetsim.analysis.changed_platform.change_platform`).

        Raises:
            PlatformError: If a device or link does not exist, or a figure that is to be multiplied is not known.
        """
        return change_platform(platform, self.changes) if self.changes else platform

    def problem(self, problem: Problem) -> Problem:
        """The problem on the platform after the changes; what it is rewritten to with splits is changed likewise.

        Raises:
            PlatformError: As :meth:`platform`; also if an operator or type does not exist.
            ProblemError: If no device can run an operator any more.
        """
        if not self.changes:
            return problem
        platform = self.platform(problem.platform)
        memory = find_change(self.changes, "memory", field="bandwidth")
        if memory is not None and problem.traffic_function is None:
            raise PlatformError(
                f"--set {memory.description!r} changes nothing, as the memory traffic of segments is not known; "
                "calibrate the platform, or give the problem file traffic_bytes"
            )
        costs = ChangedCosts(problem, self.changes)
        origin = {copy: name for name in problem.platform.device_names for copy in names_of_copies(self.changes, name)}
        traffic = problem.traffic_function
        return replace(
            problem,
            platform=platform,
            latency_function=lambda device, ops: costs.latency(origin[device], ops),
            traffic_function=None if traffic is None else lambda device, ops: traffic(origin[device], ops),
            sharing=changed_sharing(problem.sharing, problem.platform, self.changes, origin),
            additive=problem.additive and not costs.has_launches,
            splitting=problem.changed_splitting(self.problem),
            _known={},
        )


def parse_scenario(settings: Iterable[str]) -> Scenario:
    """The scenario that settings stand for.

    >>> parse_scenario(["npu.speed=4", "memory.bandwidth=2x"]).description
    'npu.speed=4, memory.bandwidth=2x'

    Raises:
        PlatformError: If a text is not a setting, a value is out of range, or two set the same.
    """
    return Scenario(tuple(map(parse_change, settings)))
