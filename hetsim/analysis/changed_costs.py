"""What segments cost in a scenario.

**A speed is that of the arithmetic.** A segment's time ``d`` includes its launch, which faster arithmetic does not
shorten. With ``launch`` the device's launch cost, at most ``d``, and ``share`` the part of each operator in what the
operators of the segment take alone without launches,

    d' = launch' + (d - launch) * sum over operators of share / speed

Of an operator that the device cannot run alone the share is 0; if all shares would be 0, all operators have equal ones.
The speed of an operator is that of all its parts, if it was split.
The bytes that a segment moves stay the same, so the memory may become what limits it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hetsim.analysis.change import OP, Change, find_change
from hetsim.core.errors import PlatformError
from hetsim.core.graph import Graph, Op
from hetsim.core.platform import Device
from hetsim.core.problem import Latency, Problem


@dataclass(frozen=True, slots=True)
class _Rates:
    """How one device changes.

    Attributes:
        speed: By operator, how many times as fast its arithmetic is; absent operators stay as they are.
        unsupported: Operators that it does not run any more.
        launch_s: Its launch cost before the changes.
        new_launch_s: Its launch cost after them; None where that is not changed.
    """

    speed: Mapping[str, float]
    unsupported: frozenset[str]
    launch_s: float
    new_launch_s: float | None


class ChangedCosts:
    """Latencies of a problem after changes; devices by the names that they had before.

    Args:
        problem: The problem before the changes.
        changes: The changes.

    Raises:
        PlatformError: If a change selects an operator or a type that does not exist.
    """

    def __init__(self, problem: Problem, changes: Sequence[Change]) -> None:
        self._problem = problem
        self._rates = {
            device.name: _rates(changes, device, problem.graph)
            for device in problem.platform.devices
            if any((change.kind, change.target) == ("device", device.name) for change in changes)
        }

    @property
    def has_launches(self) -> bool:
        """Whether a segment on a changed device has a launch cost, so that fusing may save time."""
        return any(rates.launch_s or rates.new_launch_s for rates in self._rates.values())

    def latency(self, device: str, ops: tuple[str, ...]) -> Latency | None:
        """What a segment takes, or None; it counts as measured if the time that it derives from does."""
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
        """The factor by which the arithmetic of a segment takes longer."""
        speeds = [rates.speed.get(op, 1.0) for op in ops]
        if len(set(speeds)) == 1:
            return 1.0 / speeds[0]
        shares = arithmetic_shares(self._problem, device, ops)
        return sum(share / speed for share, speed in zip(shares, speeds, strict=True))


def arithmetic_shares(problem: Problem, device: str, ops: tuple[str, ...]) -> list[float]:
    """By operator, its part of the arithmetic of a segment, from 0 to 1; they add up to 1.

    An operator's time inside a segment cannot be observed. It counts in proportion to its time alone on the device
    without the launch.

    Args:
        problem: The problem.
        device: The device that runs the segment.
        ops: The segment's operators.
    """
    launch_s = problem.platform.device(device).launch_s
    alone = [problem.latency(device, (op,)) for op in ops]
    alone_s = [0.0 if found is None else max(0.0, found.seconds - launch_s) for found in alone]
    total_s = sum(alone_s)
    return [one_s / total_s for one_s in alone_s] if total_s > 0 else [1 / len(ops)] * len(ops)


def _rates(changes: Sequence[Change], device: Device, graph: Graph) -> _Rates:
    """How the device changes; of several speeds for an operator the most specific counts: by name, by type, for all."""
    own = [change for change in changes if (change.kind, change.target) == ("device", device.name)]
    by_selector = {change.only: change.amount for change in own if change.field == "speed"}
    selected = [op for change in own if change.field == "speed" for op in _selected(graph, change, change.only)]
    speed = {
        op: next(by_selector[only] for only in _selectors(graph.by_name[op]) if only in by_selector) for op in selected
    }
    unsupported = [
        op
        for change in own
        if change.field == "unsupported"
        for name in change.names
        for op in _selected(graph, change, name)
    ]
    launch = find_change(own, "device", device.name, "launch_s")
    return _Rates(
        speed=speed,
        unsupported=frozenset(unsupported),
        launch_s=device.launch_s,
        new_launch_s=None if launch is None else launch.of(device.launch_s),
    )


def _selectors(op: Op) -> tuple[str, ...]:
    """What selects an operator, the most specific first: its name, that of what it is a part of, its type, all."""
    return (f"{OP}{op.name}", f"{OP}{op.part_of}", op.kind, "")


def _selected(graph: Graph, change: Change, only: str) -> Sequence[str]:
    """Operators by ``op:NAME``, by their type, or all; a type of ONNX may be absent from the graph.

    An operator that was split is selected as all of its parts.

    Raises:
        PlatformError: If there is no such operator or type.
    """
    if not only:
        return [op.name for op in graph.ops]
    if only.startswith(OP):
        name = only.removeprefix(OP)
        named = [op.name for op in graph.ops if name in (op.name, op.part_of)]
        if not named:
            raise PlatformError(
                f"--set {change.description!r}: {graph.name!r} has no operator {name!r}; it has {_few(graph.by_name)}"
            )
        return named
    found = [op.name for op in graph.ops if op.kind == only]
    if not found and not _is_onnx_type(only):
        kinds = sorted({op.kind for op in graph.ops})
        raise PlatformError(
            f"--set {change.description!r}: {graph.name!r} has no operators of type {only!r}; it has {_few(kinds)}"
        )
    return found


def _is_onnx_type(kind: str) -> bool:
    from onnx import defs  # here, so that task graphs need no ONNX

    return bool(defs.has(kind))


def _few(names: Iterable[str], count: int = 12) -> str:
    known = list(names)
    return ", ".join(known[:count]) + (f" and {len(known) - count} more" if len(known) > count else "")
