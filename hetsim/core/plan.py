"""What runs where, fused into which segments, in which order: the scheduler's answer, checked before anyone uses it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import msgspec
import networkx as nx

from hetsim.core.errors import PlanError
from hetsim.core.graph import Graph
from hetsim.core.split import Axis, Split
from hetsim.io.files import read_bounded, write_atomically
from hetsim.models.onnx_import import Model
from hetsim.models.split import rewrite

FORMAT = 1
_BRINGS_TOGETHER = ("slice ", "concat ")  # how operators begin that a split adds (hetsim/models/split/rewrite.py)


@dataclass(frozen=True, slots=True)
class Segment:
    """Operators that one device runs as one compiled unit.

    Attributes:
        device: Name of the device.
        ops: Names of the operators; a plan keeps them in topological order.
    """

    device: str
    ops: tuple[str, ...]

    @property
    def label(self) -> str:
        """A short name for people: the first operator and how many others; one that computes, if there is any."""
        shown = next((op for op in self.ops if not op.startswith(_BRINGS_TOGETHER)), self.ops[0])
        return shown if len(self.ops) == 1 else f"{shown} +{len(self.ops) - 1}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """For every device the ordered list of its segments.

    Attributes:
        model: Name of the model it is for.
        model_hash: That model's hash; empty for problems without a model.
        queues: By device name, the segments in the order in which the device runs them.
        scheduler: Who made it.
        rewrites: Splits that the model is rewritten with before the plan applies; its segments name the operators of
            the rewritten model.
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
        """The same plan with the operators of each segment in the graph's order, however a person listed them."""
        known = graph.position
        queues = {
            device: tuple(Segment(device, tuple(sorted(s.ops, key=lambda op: known.get(op, -1)))) for s in queue)
            for device, queue in self.queues.items()
        }
        return replace(self, queues=queues)

    def renamed(self, names: Mapping[str, str]) -> Plan:
        """The same plan on devices that are called otherwise; those that are not in ``names`` keep theirs."""
        queues = {
            names.get(device, device): tuple(Segment(names.get(device, device), segment.ops) for segment in queue)
            for device, queue in self.queues.items()
        }
        return replace(self, queues=queues)

    @property
    def digest(self) -> str:
        """A name for what the plan does, whoever made it: equal for plans that run the same segments alike."""
        queues = {device: [segment.ops for segment in queue] for device, queue in sorted(self.queues.items())}
        content = msgspec.json.encode(queues)
        if self.rewrites:
            content += msgspec.json.encode([(split.axis, split.at, split.ops) for split in self.rewrites])
        return hashlib.sha256(content).hexdigest()[:16]


def whole_plan(graph: Graph, device: str, *, model_hash: str = "", scheduler: str = "") -> Plan:
    """The whole graph as one segment of one device."""
    segment = Segment(device, tuple(op.name for op in graph.ops))
    return Plan(model=graph.name, queues={device: (segment,)}, model_hash=model_hash, scheduler=scheduler)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One segment of a plan and what it waits for.

    Attributes:
        segment: The segment.
        inputs: Tensors it reads from outside, each with the index of the step that makes it, or None where the
            caller provides it.
        outputs: Tensors it makes for other segments or for the caller.
        before: Index of the step that precedes it on its device, or None.
    """

    segment: Segment
    inputs: tuple[tuple[str, int | None], ...]
    outputs: tuple[str, ...]
    before: int | None

    @property
    def waits_for(self) -> tuple[int, ...]:
        """Indices of the steps that must end first, each once, ascending."""
        made = {step for _, step in self.inputs if step is not None}
        return tuple(sorted(made if self.before is None else made | {self.before}))


@dataclass(frozen=True, kw_only=True)
class Dataflow:
    """A valid plan resolved against its graph: every segment with its inputs, in an order that could run serially.

    Attributes:
        graph: The graph the plan is for.
        steps: One for each segment. A step comes after all that it waits for; among those ready, the one whose
            first operator comes first in the graph goes first, so this is also the *model order*.
    """

    graph: Graph
    steps: tuple[Step, ...]

    @cached_property
    def read_bytes(self) -> tuple[int, ...]:
        """By step, the bytes that it reads and another device wrote."""
        return tuple(
            sum(
                self.graph.tensors[tensor].num_bytes
                for tensor, maker in step.inputs
                if maker is not None and self.steps[maker].segment.device != step.segment.device
            )
            for step in self.steps
        )

    @cached_property
    def written_bytes(self) -> tuple[int, ...]:
        """By step, the bytes that it writes and another device reads."""
        read_elsewhere: list[set[str]] = [set() for _ in self.steps]
        for step in self.steps:
            for tensor, maker in step.inputs:
                if maker is not None and self.steps[maker].segment.device != step.segment.device:
                    read_elsewhere[maker].add(tensor)
        return tuple(
            sum(self.graph.tensors[tensor].num_bytes for tensor in step.outputs if tensor in elsewhere)
            for step, elsewhere in zip(self.steps, read_elsewhere, strict=True)
        )


def planned_model(model: Model, plan: Plan) -> Model:
    """The model that the plan's segments speak of: rewritten, if the plan rests on rewrites.

    Args:
        model: The plan's model, or any that was rewritten from it.
        plan: The plan.

    Raises:
        PlanError: If a rewrite is impossible.
    """
    return rewrite(model, plan.rewrites).model


def resolve(graph: Graph, plan: Plan) -> Dataflow:
    """The plan's segments with who feeds whom, in model order.

    Raises:
        PlanError: If an operator is unknown, missing or placed twice, a segment is not convex, or the segments'
            order on the devices can never finish.
    """
    home: dict[str, Segment] = {}
    for segment in plan.segments:
        for op in segment.ops:
            if op not in graph.by_name:
                raise PlanError(
                    f"plan places {op!r}, which model {graph.name!r} does not have; was the plan made for it?"
                )
            if op in home:
                raise PlanError(
                    f"plan places {op!r} twice, on {home[op].device!r} and on {segment.device!r}; keep one of the two"
                )
            home[op] = segment
    missing = [op.name for op in graph.ops if op.name not in home]
    if missing:
        raise PlanError(
            f"plan leaves out {len(missing)} of {len(graph.ops)} operators of {graph.name!r}, the first "
            f"{missing[0]!r}; each must be in exactly one segment"
        )
    for segment in plan.segments:
        if segment.ops != graph.ordered(segment.ops):
            raise PlanError(
                f"segment {segment.label!r} on {segment.device!r} lists its operators out of the model's order; "
                "use Plan.in_order to sort them"
            )
        if not graph.is_convex(segment.ops):
            raise PlanError(
                f"segment {segment.label!r} on {segment.device!r} is not convex: a path leaves it and comes back; "
                "split it"
            )
    order = _model_order(graph, plan, home)
    index = {segment: i for i, segment in enumerate(order)}
    previous = {segment: index[earlier] for queue in plan.queues.values() for earlier, segment in pairwise(queue)}
    steps = tuple(
        Step(
            segment=segment,
            inputs=tuple(
                (tensor, index[home[graph.producer[tensor]]] if tensor in graph.producer else None)
                for tensor in graph.inputs_of(segment.ops)
            ),
            outputs=graph.outputs_of(segment.ops),
            before=previous.get(segment),
        )
        for segment in order
    )
    return Dataflow(graph=graph, steps=steps)


def _model_order(graph: Graph, plan: Plan, home: Mapping[str, Segment]) -> list[Segment]:
    """Segments so that each follows all it depends on and its predecessor on the device; ties by the graph's order."""
    follows: nx.DiGraph[Segment] = nx.DiGraph()
    for queue in plan.queues.values():
        follows.add_nodes_from(queue)
        nx.add_path(follows, queue)
    for op in graph.ops:
        crossing = (home[before] for before in graph.predecessors[op.name] if home[before] is not home[op.name])
        follows.add_edges_from((before, home[op.name]) for before in crossing)
    try:
        return list(nx.lexicographical_topological_sort(follows, key=lambda s: graph.position[s.ops[0]]))
    except nx.NetworkXUnfeasible:
        circle = [segment for segment, _ in reversed(nx.find_cycle(follows))]
        start = circle.index(next(segment for segment in plan.segments if segment in circle))
        words = " waits for ".join(
            f"{s.label!r} on {s.device!r}" for s in (*circle[start:], *circle[:start], circle[start])
        )
        raise PlanError(f"plan can never finish: {words}; change the order or split a segment") from None


def check_plan(graph: Graph, plan: Plan, *, device_names: Sequence[str], model_hash: str = "") -> Dataflow:
    """Resolve a plan that came from outside, after checking that it was made for this model and these devices.

    Args:
        graph: The model's graph.
        plan: The plan.
        device_names: Devices of the platform.
        model_hash: The model's hash; empty skips that check, as does a plan without one.

    Raises:
        PlanError: As :func:`resolve` does, and if the plan was made for another model or names an unknown device.
    """
    if model_hash and plan.model_hash and model_hash != plan.model_hash:
        raise PlanError(
            f"plan was made for model {plan.model!r} (hash {plan.model_hash[:12]}), but this is {graph.name!r} "
            f"(hash {model_hash[:12]}); plan it anew with: hetsim plan {graph.name}"
        )
    for device in plan.queues:
        if device not in device_names:
            raise PlanError(f"plan uses device {device!r}, but the platform has {', '.join(device_names)}")
    return resolve(graph, plan)


class _SegmentFile(msgspec.Struct, forbid_unknown_fields=True):
    ops: tuple[str, ...]


class _SplitFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    axis: Axis
    at: tuple[int, ...]
    ops: tuple[str, ...]


class _PlanFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    format: int = FORMAT
    model: str
    model_hash: str = ""
    scheduler: str = ""
    rewrites: list[_SplitFile] = []  # msgspec copies it
    devices: dict[str, list[_SegmentFile]] = msgspec.field(default_factory=dict)


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan as JSON, meant to be read and edited by people; the file appears whole or not at all."""
    content = _PlanFile(
        model=plan.model,
        model_hash=plan.model_hash,
        scheduler=plan.scheduler,
        rewrites=[_SplitFile(axis=split.axis, at=split.at, ops=split.ops) for split in plan.rewrites],
        devices={device: [_SegmentFile(s.ops) for s in queue] for device, queue in plan.queues.items()},
    )
    write_atomically(path, msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")


def load_plan(path: Path) -> Plan:
    """Read a plan from JSON. Only its form is checked here; :func:`check_plan` holds it against a model.

    Raises:
        PlanError: If the file is missing or malformed.
    """
    try:
        content = msgspec.json.decode(read_bounded(path), type=_PlanFile)
    except OSError as error:
        raise PlanError(
            f"cannot read plan {path}: {error.strerror}; make one with: hetsim plan MODEL --out {path}"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PlanError(f"plan {path} is malformed: {error}") from None
    if content.format != FORMAT:
        raise PlanError(f"plan {path} has format {content.format}; this version reads format {FORMAT}")
    for device, queue in content.devices.items():
        if any(not segment.ops for segment in queue):
            raise PlanError(f"plan {path} has a segment without operators on {device!r}; remove it")
    try:
        rewrites = tuple(Split(split.ops, split.axis, split.at) for split in content.rewrites)
    except PlanError as error:
        raise PlanError(f"plan {path}: {error}") from None
    return Plan(
        model=content.model,
        model_hash=content.model_hash,
        scheduler=content.scheduler,
        rewrites=rewrites,
        queues={device: tuple(Segment(device, s.ops) for s in queue) for device, queue in content.devices.items()},
    )
