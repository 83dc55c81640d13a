"""A scheduling problem: a graph, a platform, and what each segment costs on each device."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from hetsim.core.errors import ProblemError
from hetsim.core.graph import Graph
from hetsim.core.platform import Platform


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a segment takes on a device.

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
    """What segments take longer for tensors that segments of several devices access.

    Attributes:
        read_s: From a device and a tensor to the seconds that a segment which reads the tensor takes longer.
        written_s: The same for the segment that makes the tensor.
    """

    read_s: Callable[[str, str], float]
    written_s: Callable[[str, str], float]


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
        additive: Whether a segment takes exactly the sum of its operators' times, so that fusing saves nothing.

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
