"""Plans: which device runs which operators, fused into which segments, in which order, and which are split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Literal, get_args

from hetsim.core.errors import PlanError
from hetsim.core.graph import Graph
from hetsim.core.interface.notebook import html_table

Axis = Literal["rows", "channels"]
"""How outputs are divided: ``"rows"`` is the axis before the last, ``"channels"`` the axis of channels or, in a matrix
product, of features."""


AXES: tuple[str, ...] = get_args(Axis)


@dataclass(frozen=True, slots=True)
class Split:
    """A run of operators computed in parts.

    Each part computes as much of every operator as it needs. Both parts compute the inner rows that both need; each
    row of the run's output is computed once.

    Attributes:
        ops: Names of the operators of the original model, in topological order.
        axis: The axis along which the outputs are divided.
        at: Where parts end, in rows or channels of the run's output; ascending, at least one. ``(28,)`` makes two
            parts, the first of 28 rows.

    Raises:
        PlanError: If there is no operator, no boundary, or boundaries do not ascend from above 0.
    """

    ops: tuple[str, ...]
    axis: Axis
    at: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.ops:
            raise PlanError("a split without operators; name some, or remove it")
        if self.axis not in AXES:
            raise PlanError(f"{self.label} is along {self.axis!r}; choose from {', '.join(AXES)}")
        if not self.at or any(low >= high for low, high in pairwise((0, *self.at))):
            raise PlanError(f"{self.label} ends its parts at {list(self.at)}; give numbers that ascend from above 0")

    @property
    def label(self) -> str:
        """The name of the split in messages."""
        return f"the split of {self.ops[0]!r}" + (f" +{len(self.ops) - 1}" if len(self.ops) > 1 else "")

    @property
    def num_parts(self) -> int:
        """Number of parts."""
        return len(self.at) + 1


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

    def __repr__(self) -> str:
        queues = ", ".join(f"{device} {len(queue)} segments" for device, queue in self.queues.items())
        by = f" by {self.scheduler}" if self.scheduler else ""
        return f"<Plan for {self.model!r}{by}: {queues or 'no segments'}>"

    def _repr_html_(self) -> str:
        rows = [
            (device if number == 0 else "", str(number + 1), segment.ops[0], str(len(segment.ops)))
            for device, queue in self.queues.items()
            for number, segment in enumerate(queue)
        ]
        return html_table(("device", "segment", "first operator", "operators"), rows, caption=repr(self).strip("<>"))

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
