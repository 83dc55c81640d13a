"""Plans: which device runs which operators, fused into which segments, in which order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from hetsim.core.graph import Graph
from hetsim.core.split import Split


@dataclass(frozen=True, slots=True)
class Segment:
    """Operators that one device runs as one compiled unit.

    Attributes:
        device: Name of the device.
        ops: Names of the operators; a plan keeps them in topological order.
    """

    device: str
    ops: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """By device, the segments that it runs, in order.

    Attributes:
        model: Name of the model that the plan is for.
        model_hash: That model's hash; empty for problems without a model.
        queues: By device name, the segments in the order in which the device runs them.
        scheduler: Name of the scheduler that made it.
        rewrites: Splits with which the model is rewritten first. The segments then name operators of the rewritten
            model.
    """

    model: str
    queues: Mapping[str, tuple[Segment, ...]]
    model_hash: str = ""
    scheduler: str = ""
    rewrites: tuple[Split, ...] = ()

    def __post_init__(self) -> None:
        filled = {device: tuple(queue) for device, queue in self.queues.items() if queue}
        object.__setattr__(self, "queues", MappingProxyType(filled))

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments, device by device."""
        return tuple(segment for queue in self.queues.values() for segment in queue)

    @property
    def num_segments(self) -> int:
        """How many compiled units the plan needs."""
        return sum(len(queue) for queue in self.queues.values())

    def in_order(self, graph: Graph) -> Plan:
        """The same plan with the operators of each segment in the graph's order."""
        known = graph.position
        queues = {
            device: tuple(Segment(device, tuple(sorted(s.ops, key=lambda op: known.get(op, -1)))) for s in queue)
            for device, queue in self.queues.items()
        }
        return replace(self, queues=queues)

    def renamed(self, names: Mapping[str, str]) -> Plan:
        """The same plan for devices with other names; a device that is not in ``names`` keeps its name."""
        queues = {
            names.get(device, device): tuple(Segment(names.get(device, device), segment.ops) for segment in queue)
            for device, queue in self.queues.items()
        }
        return replace(self, queues=queues)

    @property
    def digest(self) -> str:
        """A hash of what the plan does: equal for plans with the same queues and rewrites, whichever scheduler made
        them.
        """
        queues = {device: [segment.ops for segment in queue] for device, queue in sorted(self.queues.items())}
        content = _compact_json(queues)
        if self.rewrites:
            content += _compact_json([(split.axis, split.at, split.ops) for split in self.rewrites])
        return hashlib.sha256(content).hexdigest()[:16]


def _compact_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def whole_plan(graph: Graph, device: str, *, model_hash: str = "", scheduler: str = "") -> Plan:
    """The plan that runs the whole graph as one segment on one device."""
    segment = Segment(device, tuple(op.name for op in graph.ops))
    return Plan(model=graph.name, queues={device: (segment,)}, model_hash=model_hash, scheduler=scheduler)
