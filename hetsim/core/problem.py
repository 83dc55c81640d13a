"""A scheduling problem: a graph, a platform, and what each segment costs on each device.

A segment costs its latency in any plan and, in a plan in which devices share tensors, what accessing these takes it
longer. :meth:`Problem.segment_times_s` is the one place that adds both; the kernels of the compiled simulator
do the same arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hetsim.core.errors import ProblemError
from hetsim.core.graph import Graph
from hetsim.core.plan import Segment
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


@dataclass(frozen=True, slots=True)
class SharingCosts:
    """What segments take longer for shared tensors, those that segments of several devices access.

    Attributes:
        read_s: From a device and a tensor to the seconds that a segment which reads the tensor takes longer; 0 or more.
        written_s: The same for the segment that makes the tensor.
    """

    read_s: Callable[[str, str], float]
    written_s: Callable[[str, str], float]


@dataclass(frozen=True, slots=True)
class Access:
    """By how much a segment takes longer because of one shared tensor.

    Attributes:
        tensor: Name of the tensor.
        is_made: Whether the segment makes the tensor; otherwise it reads it.
        seconds: More than 0.
    """

    tensor: str
    is_made: bool
    seconds: float


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
    _known: dict[tuple[str, tuple[str, ...]], Latency | None] = field(default_factory=dict, repr=False, compare=False)

    def __repr__(self) -> str:
        devices = ", ".join(self.platform.device_names)
        return f"<Problem {self.graph.name!r} on {self.platform.name!r}: {len(self.graph.ops)} operators; {devices}>"

    def __post_init__(self) -> None:
        for op in self.graph.ops:
            if not self.devices_for((op.name,)):
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
        return 0 if self.traffic_function is None else self.traffic_function(device, ops)

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
