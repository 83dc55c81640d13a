"""Graph, platform and the cost of every (segment, device): all that a scheduler and the simulator need."""

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
        measured: Whether that very segment was measured there; otherwise it is a prediction.
        stated: Whether it follows from what defines a hypothetical device, so that no measurement could say it better.
    """

    seconds: float
    measured: bool = False
    stated: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.seconds < math.inf:
            raise ProblemError(f"a segment cannot take {self.seconds} s; costs are finite and not negative")

    @property
    def is_known(self) -> bool:
        """Whether it is as sure as it can be: measured, or stated."""
        return self.measured or self.stated


LatencyFunction = Callable[[str, tuple[str, ...]], Latency | None]
"""From a device's name and operators in topological order to their latency as one segment, or None where the device
cannot run them."""


TrafficFunction = Callable[[str, tuple[str, ...]], int]
"""From a device's name and operators in topological order to the bytes that they move to and from the memory there as
one segment."""


ErrorFunction = Callable[[str, tuple[str, ...]], float]
"""From a device's name and operators in topological order to the error bar of their latency, one standard deviation in
seconds."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a scheduler is asked to solve.

    Attributes:
        graph: The operators.
        platform: The devices.
        latency_function: Costs; answers are remembered here, so it is asked once for each question.
        traffic_function: Memory traffic; None stands for none, so that nothing slows anything down.
        error_function: Error bars of predicted costs; None stands for none, where costs are simply given.
        model_hash: Put into plans; empty where there is no model.
        additive: Whether a segment takes just the sum of its operators' times, so that fusing gains nothing.

    Raises:
        ProblemError: If some operator can run nowhere.
    """

    graph: Graph
    platform: Platform
    latency_function: LatencyFunction
    traffic_function: TrafficFunction | None = None
    error_function: ErrorFunction | None = None
    model_hash: str = ""
    additive: bool = False
    _known: dict[tuple[str, tuple[str, ...]], Latency | None] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for op in self.graph.ops:
            if not self.devices_for((op.name,)):
                raise ProblemError(
                    f"no device can run operator {op.name!r} ({op.kind}); the platform has "
                    f"{', '.join(self.platform.device_names)}"
                )

    def latency(self, device: str, ops: tuple[str, ...]) -> Latency | None:
        """How long ``ops`` (in topological order) take on ``device`` as one segment; None where they cannot run."""
        key = (device, ops)
        if key not in self._known:
            self._known[key] = self.latency_function(device, ops)
        return self._known[key]

    def cost_s(self, device: str, ops: tuple[str, ...]) -> float:
        """The same in seconds; infinite where the device cannot run them."""
        found = self.latency(device, ops)
        return math.inf if found is None else found.seconds

    def traffic_bytes(self, device: str, ops: tuple[str, ...]) -> int:
        """What ``ops`` move to and from the memory as one segment on ``device``."""
        return 0 if self.traffic_function is None else self.traffic_function(device, ops)

    def error_s(self, device: str, ops: tuple[str, ...]) -> float:
        """The error bar of what ``ops`` take as one segment, one standard deviation in seconds; 0 if measured."""
        return 0.0 if self.error_function is None else self.error_function(device, ops)

    def devices_for(self, ops: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the devices that can run ``ops`` as one segment, in the platform's order."""
        return tuple(name for name in self.platform.device_names if self.latency(name, ops) is not None)

    def transfer_s(self, source: str, target: str, tensor: str) -> float:
        """From the end of the tensor's producer on ``source`` to its arrival at ``target``; 0 within a device."""
        if source == target:
            return 0.0
        return self.platform.link(source, target).transfer_s(self.graph.tensors[tensor].num_bytes)
