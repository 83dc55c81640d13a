"""From stages to a plan: every operator of the rewritten problem gets a device and a level.

Parts of one stage run at once, stages one after the other: a stage's operators have higher levels than those of the
stage before. A device that cannot slice or join leaves this to another one, before or after its part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hetsim.core.errors import PlanError
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem, Rewritten
from hetsim.scheduler.segments import plan_from_assignment
from hetsim.scheduler.stages import Stage

NAME = "splits"


def split_plan(problem: Problem, stages: Sequence[Stage]) -> Plan:
    """The plan that runs the stages one after the other; an operator that joins a tensor goes to its first reader.

    Args:
        problem: A problem whose operators can be split.
        stages: Hold every operator once, in topological order.

    Raises:
        PlanError: If a split is impossible, or a device has to slice or join in the middle of its part and cannot.
        ProblemError: If no device can slice or join.
    """
    splits = tuple(split for stage in stages for split in stage.splits)
    if not splits:
        found = Rewritten(graph=problem.graph, parts=(), joins={}, make=lambda: problem)
    else:
        found = problem.rewritten(splits)
    placement = _Placement(found.problem)
    joins = _joins_by_reader(found)
    parts = iter(found.parts)
    for stage in stages:
        if stage.splits:
            for _, each in zip(stage.splits, parts, strict=False):
                placement.add_parts(zip(stage.devices, each, strict=True))
        else:
            device_of = dict(stage.spread) or dict.fromkeys(stage.ops, stage.devices[0])
            placement.add_whole((join for op in stage.ops for join in joins.get(op, ())), device_of)
    for join in joins.get(None, ()):  # what the caller gets
        placement.add_whole((join,), {})
    return placement.plan()


def _joins_by_reader(found: Rewritten) -> dict[str | None, list[str]]:
    """By operator, the operators that join what it is the first to read; None stands for the caller."""
    joins: dict[str | None, list[str]] = {}
    for tensor, join in found.joins.items():
        joins.setdefault(next(iter(found.graph.consumers[tensor]), None), []).append(join)
    return joins


class _Placement:
    """The devices and levels so far.

    Args:
        problem: The rewritten problem.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._device_of: dict[str, str] = {}
        self._level: dict[str, int] = {}
        self._next = 0

    def add_parts(self, parts: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """Add a stage of parts, each on its device."""
        for device, ops in parts:
            before, after = self._left_to_others(device, ops)
            for op in ops:
                self._level[op] = self._next + (0 if op in before else 2 if op in after else 1)
                self._device_of[op] = (
                    copying_device(self._problem, op, self._device_of) if op in before or op in after else device
                )
        self._next += 3

    def add_whole(self, joins: Iterable[str], device_of: Mapping[str, str]) -> None:
        """Add a stage of whole operators, with the operators that join what they read.

        What several devices read is joined in a segment of its own, so that none waits for what another one does next.
        """
        graph = self._problem.graph
        devices = dict(device_of)
        alone: set[str] = set()
        for join in joins:
            readers = dict.fromkeys(devices[op] for op in graph.successors[join] if op in devices)
            wanted = next(iter(readers), None)
            devices[join] = (
                wanted
                if wanted in self._problem.devices_for((join,))
                else copying_device(self._problem, join, self._device_of)
            )
            if len(readers) > 1:
                alone.add(join)
        level: dict[str, int] = {}
        for op in graph.ordered(devices):
            level[op] = max(
                (
                    level[other] + (other in alone or devices[other] != devices[op])
                    for other in graph.predecessors[op]
                    if other in level
                ),
                default=0,
            )
        self._device_of |= devices
        self._level |= {op: self._next + height for op, height in level.items()}
        self._next += max(level.values()) + 1

    def plan(self) -> Plan:
        """The plan of everything that was added."""
        graph, level, device_of = self._problem.graph, self._level, self._device_of
        level_of: dict[str, int] = {}
        for op, predecessors in graph.predecessors.items():
            least = max((level[other] + (device_of[other] != device_of[op]) for other in predecessors), default=0)
            if level[op] > least:
                level_of[op] = level[op] - least
        return plan_from_assignment(self._problem, NAME, device_of, level_of)

    def _left_to_others(self, device: str, ops: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
        """The slices and joins of a part that the device cannot do, those before the part and those after it."""
        graph, inside = self._problem.graph, frozenset(ops)
        refused = [op for op in ops if graph.by_name[op].moves_data and self._problem.latency(device, (op,)) is None]
        before: set[str] = set()
        for op in refused:
            if before.issuperset(other for other in graph.predecessors[op] if other in inside):
                before.add(op)
        after: set[str] = set()
        for op in reversed(refused):
            if op not in before and after.issuperset(other for other in graph.successors[op] if other in inside):
                after.add(op)
        left = [op for op in refused if op not in before and op not in after]
        if left:
            raise PlanError(f"{device!r} would have to run {left[0]!r} in the middle of its part, and cannot")
        return frozenset(before), frozenset(after)


def copying_device(problem: Problem, op: str, device_of: Mapping[str, str]) -> str:
    """Who slices or joins for a device that cannot: a device that made what is read, else the fastest.

    Args:
        problem: The rewritten problem.
        op: The operator that slices or joins.
        device_of: By operator before it, its device, where that is known.
    """
    makers = [device_of[other] for other in problem.graph.predecessors[op] if other in device_of]
    return min(problem.devices_for((op,)), key=lambda device: (device not in makers, problem.cost_s(device, (op,))))
