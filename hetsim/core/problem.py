"""A scheduling problem: a graph, a platform, and what each segment costs on each device.

A segment costs its latency in any plan and, in a plan in which devices share tensors, what accessing these takes it
longer. :meth:`Problem.segment_times_s` is the one place that adds both; the kernels of the compiled simulator
do the same arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

from hetsim.core.dataflow import Access, SharingCosts
from hetsim.core.errors import PlanError, ProblemError
from hetsim.core.graph import Graph
from hetsim.core.plan import Axis, Plan, Segment, Split
from hetsim.core.platform import Platform


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a segment takes on a device if no other device accesses the tensors that it reads and makes.

    Attributes:
        seconds: Non-negative and finite; launch included.
        measured: Whether this segment was measured on this device.
        stated: Whether the definition of a hypothetical device gives the time, so that there is nothing to measure. If
            neither flag is set, the time is a prediction.
    """

    seconds: float
    measured: bool = False
    stated: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.seconds < math.inf:
            raise ProblemError(f"a segment cannot take {self.seconds} s; costs are finite and not negative")

    @property
    def is_known(self) -> bool:
        """Whether the time is measured or stated, not predicted."""
        return self.measured or self.stated


LatencyFunction = Callable[[str, tuple[str, ...]], Latency | None]
"""The latency of operators, in topological order, as one segment on a device; None if the device cannot run them. The
arguments are the device's name and the operators."""


TrafficFunction = Callable[[str, tuple[str, ...]], int]
"""The bytes that operators, in topological order, move to and from memory as one segment on a device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartWork:
    """What one part of a split computes.

    Attributes:
        shares: By operator of the run, in topological order, the share of it that the part computes: more than 0, at
            most 1. The shares of all parts add up to 1 or, where neighbours both compute inner rows, to more.
        copied_bytes: Bytes that the part's own slices and concatenations write.
    """

    shares: Mapping[str, float]
    copied_bytes: int

    @property
    def has_parts(self) -> bool:
        """Whether it computes only a part of some operator."""
        return any(share < 1.0 for share in self.shares.values())


@dataclass(frozen=True, kw_only=True)
class Rewritten:
    """What splits make of a problem.

    Attributes:
        graph: The rewritten graph.
        parts: By split and part, the operators of the part in topological order, including those that slice and join
            what it reads.
        joins: By tensor that a run makes in parts and that is joined as a whole, the operator that joins it.
        make: Makes the rewritten problem.
    """

    graph: Graph
    parts: tuple[tuple[tuple[str, ...], ...], ...]
    joins: Mapping[str, str]
    make: Callable[[], Problem] = field(repr=False)

    @cached_property
    def problem(self) -> Problem:
        """The rewritten problem; it is made at the first call."""
        return self.make()


class Splitting(Protocol):
    """How the operators of a problem divide. All names are those of the graph without splits."""

    def length(self, op: str, axis: Axis) -> int | None:
        """How many rows or channels the output of an operator has; None if it cannot be divided along the axis."""
        ...

    def reads_all(self, op: str, axis: Axis) -> bool:
        """Whether each part of an operator that divides along the axis reads all of some tensor along it."""
        ...

    def parts(self, split: Split) -> tuple[PartWork, ...]:
        """The work of each part of a split.

        Raises:
            PlanError: If the split is impossible.
        """
        ...

    def rewrite(self, splits: tuple[Split, ...]) -> Rewritten:
        """The problem with runs of operators computed in parts; without splits, the problem as it was.

        Raises:
            PlanError: If a split is impossible.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChangedSplitting:
    """A :class:`Splitting` of a changed problem: rewritten problems are changed likewise.

    Attributes:
        splitting: The splitting of the problem before the change.
        change: What the change makes of a problem, original or rewritten.
    """

    splitting: Splitting
    change: Callable[[Problem], Problem]

    def length(self, op: str, axis: Axis) -> int | None:
        """As :class:`Splitting`."""
        return self.splitting.length(op, axis)

    def reads_all(self, op: str, axis: Axis) -> bool:
        """As :class:`Splitting`."""
        return self.splitting.reads_all(op, axis)

    def parts(self, split: Split) -> tuple[PartWork, ...]:
        """As :class:`Splitting`."""
        return self.splitting.parts(split)

    def rewrite(self, splits: tuple[Split, ...]) -> Rewritten:
        """As :class:`Splitting`."""
        found = self.splitting.rewrite(splits)
        return replace(found, make=lambda: self.change(found.problem))


MAX_REWRITTEN = 24
"""How many rewritten problems a problem remembers."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A problem for a scheduler, and for the simulator with the scheduler's plan.

    Attributes:
        graph: The operators.
        platform: The devices.
        latency_function: Costs of segments. It is called once for each device and segment; answers are remembered.
        traffic_function: Memory traffic of segments; None means no traffic, so that devices do not slow each other
            down.
        sharing: What shared tensors cost; None if nothing.
        model_hash: Hash of the model, for plans; empty if the problem has no model.
        additive: Whether the latency of a segment is exactly the sum of its operators' latencies.
        splitting: How operators divide and what the graph is after splits; None if operators cannot be split, as in a
            task graph.
        rewrites: The splits that the graph was rewritten with.

    Raises:
        ProblemError: If no device can run some operator.
    """

    graph: Graph
    platform: Platform
    latency_function: LatencyFunction
    traffic_function: TrafficFunction | None = None
    sharing: SharingCosts | None = None
    model_hash: str = ""
    additive: bool = False
    splitting: Splitting | None = None
    rewrites: tuple[Split, ...] = ()
    _known: dict[tuple[str, tuple[str, ...]], Latency | None] = field(default_factory=dict, repr=False, compare=False)
    _traffic: dict[tuple[str, tuple[str, ...]], int] = field(
        init=False, default_factory=dict, repr=False, compare=False
    )
    _rewritten: dict[tuple[Split, ...], Rewritten] = field(init=False, default_factory=dict, repr=False, compare=False)

    def __repr__(self) -> str:
        devices = ", ".join(self.platform.device_names)
        return f"<Problem {self.graph.name!r} on {self.platform.name!r}: {len(self.graph.ops)} operators; {devices}>"

    def __post_init__(self) -> None:
        for op in self.graph.ops:
            if all(self.latency(name, (op.name,)) is None for name in self.platform.device_names):
                raise ProblemError(
                    f"no device can run operator {op.name!r} ({op.kind}); the platform has "
                    f"{', '.join(self.platform.device_names)}"
                )

    def latency(self, device: str, ops: tuple[str, ...]) -> Latency | None:
        """The latency of ``ops`` (in topological order) as one segment on ``device``; None if it cannot run them."""
        key = (device, ops)
        if key not in self._known:
            self._known[key] = self.latency_function(device, ops)
        return self._known[key]

    def cost_s(self, device: str, ops: tuple[str, ...]) -> float:
        """The latency in seconds; infinite if the device cannot run the operators as one segment."""
        found = self.latency(device, ops)
        return math.inf if found is None else found.seconds

    def traffic_bytes(self, device: str, ops: tuple[str, ...]) -> int:
        """Bytes that ``ops`` move to and from memory as one segment on ``device``."""
        if self.traffic_function is None:
            return 0
        key = (device, ops)
        if key not in self._traffic:
            self._traffic[key] = self.traffic_function(device, ops)
        return self._traffic[key]

    def devices_for(self, ops: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the devices that can run ``ops`` as one segment, in the platform's order."""
        return tuple(name for name in self.platform.device_names if self.latency(name, ops) is not None)

    def transfer_s(self, source: str, target: str, tensor: str) -> float:
        """Seconds from the end of a tensor's producer on ``source`` to its arrival at ``target``; 0 within a device."""
        if source == target:
            return 0.0
        return self.platform.link(source, target).transfer_s(self.graph.tensors[tensor].num_bytes)

    def hand_over_s(self, source: str, target: str, tensor: str) -> float:
        """Seconds that a tensor adds to a chain of segments that crosses from ``source`` to ``target``; 0 within one.

        They are the link's delay and what its writer and its reader take longer. Schedulers that do not know a plan yet
        count all of it as a delay between the two.
        """
        if source == target:
            return 0.0
        transfer_s = self.transfer_s(source, target, tensor)
        if self.sharing is None:
            return transfer_s
        return transfer_s + self.sharing.written_s(source, tensor) + self.sharing.read_s(target, tensor)

    def sharing_s_per_byte(self, source: str, target: str) -> float:
        """What writing on ``source`` and reading on ``target`` costs for a shared byte, averaged over all tensors."""
        num_bytes = sum(self.graph.tensors[tensor].num_bytes for tensor in self.graph.producer)
        if self.sharing is None or not num_bytes:
            return 0.0
        written_s, read_s = self.sharing.written_s, self.sharing.read_s
        return sum(written_s(source, each) + read_s(target, each) for each in self.graph.producer) / num_bytes

    @property
    def fusing_gains_nothing(self) -> bool:
        """Whether no segment is faster than its operators one by one.

        Where shared tensors cost something, one segment accesses a tensor once that its operators would access one by
        one.
        """
        return self.additive and self.sharing is None

    def accesses(self, segments: Iterable[Segment]) -> dict[Segment, tuple[Access, ...]]:
        """By segment of a plan, what accessing shared tensors takes it longer.

        First come the tensors that it reads, then those that it makes, in the order of its inputs and outputs. Each
        segment that reads a shared tensor pays for it, also one on the device that makes it.

        Args:
            segments: All segments of a plan, or of a part of one. Tensors that none of them makes cost nothing.
        """
        plan, graph, sharing = tuple(segments), self.graph, self.sharing
        if sharing is None:
            return dict.fromkeys(plan, ())
        devices = {tensor: {one.device} for one in plan for tensor in graph.outputs_of(one.ops)}
        reads = {one: [tensor for tensor in graph.inputs_of(one.ops) if tensor in devices] for one in plan}
        for one, tensors in reads.items():
            for tensor in tensors:
                devices[tensor].add(one.device)
        found: dict[Segment, tuple[Access, ...]] = {}
        for one in plan:
            ways = [Access(t, False, sharing.read_s(one.device, t)) for t in reads[one] if len(devices[t]) > 1]
            ways += [
                Access(t, True, sharing.written_s(one.device, t))
                for t in graph.outputs_of(one.ops)
                if len(devices[t]) > 1
            ]
            found[one] = tuple(access for access in ways if access.seconds > 0)
        return found

    def segment_times_s(self, segments: Iterable[Segment]) -> dict[Segment, float]:
        """By segment of a plan, the seconds that it takes alone, access to shared tensors included.

        Args:
            segments: As for :meth:`accesses`. A segment that its device cannot run takes infinitely long.
        """
        times_s: dict[Segment, float] = {}
        for segment, accesses in self.accesses(segments).items():
            seconds = self.cost_s(segment.device, segment.ops)
            for access in accesses:  # one by one, as the kernels do; sum() rounds otherwise from Python 3.12 on
                seconds += access.seconds
            times_s[segment] = seconds
        return times_s

    def plan(self, queues: Mapping[str, tuple[Segment, ...]], *, scheduler: str = "") -> Plan:
        """The plan of this problem with these queues; nothing is checked."""
        return Plan(
            model=self.graph.name,
            model_hash=self.model_hash,
            scheduler=scheduler,
            queues=queues,
            rewrites=self.rewrites,
        )

    def for_plan(self, plan: Plan) -> Problem:
        """The problem whose operators the plan's segments name: this one, or the one rewritten with the plan's splits.

        Raises:
            PlanError: If the plan has splits, and they are impossible or the problem has no model to rewrite.
        """
        return self if plan.rewrites == self.rewrites else self.rewritten(plan.rewrites).problem

    def rewritten(self, splits: tuple[Split, ...]) -> Rewritten:
        """The problem with runs of operators computed in parts; the last few answers are remembered.

        Raises:
            PlanError: If a split is impossible or the problem has no model to rewrite.
        """
        if self.splitting is None:
            raise PlanError(
                f"the plan splits operators, but problem {self.graph.name!r} has no model that could be rewritten; "
                "give the model, or plan without splits"
            )
        found = self._rewritten.pop(splits, None) or self.splitting.rewrite(splits)
        self._rewritten[splits] = found  # the last one used is the last one forgotten
        while len(self._rewritten) > MAX_REWRITTEN:
            del self._rewritten[next(iter(self._rewritten))]
        return found

    def changed_splitting(self, change: Callable[[Problem], Problem]) -> Splitting | None:
        """The splitting of what a change makes of this problem; None if operators cannot be split."""
        return None if self.splitting is None else ChangedSplitting(self.splitting, change)
