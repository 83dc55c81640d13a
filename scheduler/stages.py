"""Plans as stages one after the other: operators on one device, or computed in parts on several at once.

A network is cut where all of it passes through one operator. Between two cuts its operators are a *run*, which one
device computes as one segment, or several share: in parts of rows, or, where weights are many and rows few, in parts
of channels. A stage starts when the one before has ended on all devices, so the fastest sequence of stages is a
shortest path over the cuts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hetsim.core.errors import PlanError
from hetsim.core.plan import Axis, Plan, Segment, Split
from hetsim.models.model import Model
from hetsim.models.split.rewrite import rewrite
from hetsim.models.split.rules import can_split, rule_for
from hetsim.models.split.run import check_split
from hetsim.models.structure import CHEAP_KINDS, Parts, blocks

_LANES = 16
"""Channels are dealt out in multiples of this where there are enough: engines compute that many at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A run of operators and who computes it.

    Attributes:
        ops: Operators of the model, in topological order.
        devices: One that computes them all as one segment, or one for each part.
        splits: How they are divided, one after the other; none where one device computes them all.
    """

    ops: tuple[str, ...]
    devices: tuple[str, ...]
    splits: tuple[Split, ...] = ()


def stage_plan(model: Model, stages: Sequence[Stage]) -> Plan:
    """The plan that runs the stages one after the other; an operator that puts a tensor together goes to who reads it.

    Args:
        model: An imported model.
        stages: Hold every operator once, in topological order.

    Raises:
        PlanError: If a split is impossible.
    """
    splits = tuple(split for stage in stages for split in stage.splits)
    found = rewrite(model, splits)
    graph = found.model.graph
    reader = {tensor: next(iter(graph.consumers[tensor]), None) for tensor in found.joins}
    joins_of: dict[str | None, list[str]] = {}
    for tensor, join in found.joins.items():
        joins_of.setdefault(reader[tensor], []).append(join)
    queues: dict[str, list[Segment]] = {}
    parts = iter(found.parts)
    for stage in stages:
        if stage.splits:
            for _, each in zip(stage.splits, parts, strict=False):
                for device, ops in zip(stage.devices, each, strict=True):
                    queues.setdefault(device, []).append(Segment(device, ops))
        else:
            (device,) = stage.devices
            joins = [join for op in stage.ops for join in joins_of.get(op, ())]
            queues.setdefault(device, []).append(Segment(device, graph.ordered((*joins, *stage.ops))))
    last = stages[-1].devices[-1]
    for join in joins_of.get(None, ()):  # what the caller gets
        queues[last].append(Segment(last, (join,)))
    return Plan(
        model=model.name,
        model_hash=model.hash,
        queues={device: tuple(queue) for device, queue in queues.items()},
        rewrites=splits,
    )


def merged(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The stages with neighbours on one device as one: a border between them costs, whatever their times add up to."""
    found: list[Stage] = []
    for stage in stages:
        if found and not (stage.splits or found[-1].splits) and stage.devices == found[-1].devices:
            found[-1] = Stage(ops=found[-1].ops + stage.ops, devices=stage.devices)
        else:
            found.append(stage)
    return tuple(found)


def coarse_blocks(model: Model, cost_s: Callable[[tuple[str, ...]], float], max_blocks: int) -> Parts:
    """Consecutive parts of the graph between operators through which every path passes, about so many at most.

    Neighbours are joined until few enough are left: first where a cut would separate an operator from a cheap one that
    follows it, as engines fuse these; then where little work meets a large tensor. What can be divided by rows is
    never joined to what cannot.

    Args:
        model: An imported model.
        cost_s: About how long operators take.
        max_blocks: At least 1.
    """
    graph = model.graph
    in_rows = {op.name: can_split(model, op.name, "rows") for op in graph.ops}

    def alike(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
        return all(in_rows[op] for op in one) == all(in_rows[op] for op in other)

    parts: list[tuple[str, ...]] = []
    for part in blocks(graph):
        if parts and graph.by_name[part[0]].kind in CHEAP_KINDS and alike(parts[-1], part):
            parts[-1] = (*parts[-1], *part)
        else:
            parts.append(part)
    costs = [cost_s(part) for part in parts]
    while len(parts) > max_blocks:
        handed_on = [sum(graph.tensors[t].num_bytes for t in graph.by_name[part[-1]].outputs) for part in parts[:-1]]
        scores = [
            (costs[i] + costs[i + 1]) / max(1, handed_on[i]) if alike(parts[i], parts[i + 1]) else math.inf
            for i in range(len(parts) - 1)
        ]
        i = scores.index(min(scores))
        if math.isinf(scores[i]):
            break
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
        costs[i : i + 2] = [costs[i] + costs[i + 1]]
    return tuple(parts)


def row_split(model: Model, ops: tuple[str, ...], fractions: Sequence[float]) -> Split | None:
    """The run divided by rows in about these fractions; None where it cannot be."""
    if not all(can_split(model, op, "rows") for op in ops):
        return None
    return _checked(model, ops, "rows", boundaries(rule_for(model, ops[-1], "rows").size, fractions))


def channel_splits(model: Model, ops: tuple[str, ...], fractions: Sequence[float]) -> tuple[Split, ...]:
    """The run divided by channels in about these fractions, one split after the other; none where it cannot be.

    A new split begins where an operator reads all channels of what this one makes.
    """
    groups: list[list[str]] = []
    made: set[str] = set()
    for op in ops:
        if not can_split(model, op, "channels"):
            return ()
        rule = rule_for(model, op, "channels")
        inputs = zip(model.nodes[op].input, rule.readings, strict=True)
        reads_all = any(reading.axis is None and name in model.graph.tensors for name, reading in inputs)
        if reads_all or not groups:
            groups.append([])
            made = set()
        groups[-1].append(op)
        made.update(model.graph.by_name[op].outputs)
    found: list[Split] = []
    for group in groups:
        size = rule_for(model, group[-1], "channels").size
        step = step_of("channels", size, len(fractions))
        split = _checked(model, tuple(group), "channels", boundaries(size, fractions, step))
        if split is None:
            return ()
        found.append(split)
    return tuple(found)


def step_of(axis: Axis, size: int, num_parts: int) -> int:
    """In how many rows or channels at a time so many are dealt out to so many parts."""
    return _LANES if axis == "channels" and size >= 2 * _LANES * num_parts else 1


def boundaries(size: int, fractions: Sequence[float], step: int = 1) -> tuple[int, ...]:
    """Where parts of about these fractions end in ``size`` items; empty if some part would have none.

    >>> boundaries(55, [0.5, 0.25, 0.25])
    (28, 41)
    """
    total, at = 0.0, []
    for fraction in fractions[:-1]:
        total += fraction
        at.append(round(size * total / step) * step)
    ascending = all(low < high for low, high in zip((0, *at), (*at, size), strict=True))
    return tuple(at) if ascending else ()


def _checked(model: Model, ops: tuple[str, ...], axis: Axis, at: tuple[int, ...]) -> Split | None:
    if not at:
        return None
    split = Split(ops, axis, at)
    try:
        check_split(model, split)
    except PlanError:
        return None
    return split


def balanced(
    widths: Sequence[int], times_s: Sequence[float], s_per_item: Sequence[float], step: int = 1
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """How many items each part should have so that the last ends as early as can be, and how long each then takes.

    A part that takes ``t`` with ``w`` items takes ``t + (v - w) g`` with ``v`` of them. Items are dealt out step by
    step, each to whoever ends first with it, after each part got one step; ties go to the earlier part. What does not
    make a whole step goes to the last part.

    Args:
        widths: Items of each part now.
        times_s: What the parts take now.
        s_per_item: What one more item adds to each part, finite.
        step: How many items go together, at most the average of ``widths``.
    """
    found = [step] * len(widths)

    def predicted_s(part: int, more: int = 0) -> float:
        return times_s[part] + (found[part] + more - widths[part]) * s_per_item[part]

    steps, rest = divmod(sum(widths), step)
    for _ in range(steps - len(widths)):
        found[min(range(len(found)), key=lambda k: predicted_s(k, step))] += step
    found[-1] += rest
    return tuple(found), tuple(map(predicted_s, range(len(found))))


@dataclass(frozen=True, slots=True)
class Option:
    """One way to compute a run, and how long it takes."""

    stage: Stage
    seconds: float


def fastest_stages(
    num_blocks: int, options: Callable[[int, int, bool], Iterable[Option]]
) -> tuple[tuple[Stage, ...], float]:
    """The sequence of stages that takes the shortest in all, and how long in seconds.

    Ties go to the earlier cut, and to the earlier option there.

    Args:
        num_blocks: Into how many blocks the graph is cut.
        options: From the first block, the one after the last, and whether the stage before is shared, to the ways of
            computing these blocks.

    Raises:
        PlanError: If there is no way to the end.
    """
    # By cut and whether the stage that ends there is shared: the shortest way, as its time, its last stage, and where
    # that one came from.
    best: dict[tuple[int, bool], tuple[float, Stage | None, tuple[int, bool]]] = {(0, False): (0.0, None, (0, False))}
    for stop in range(1, num_blocks + 1):
        for start in range(stop):
            for shared in (False, True):
                if (start, shared) not in best:
                    continue
                before_s = best[start, shared][0]
                for option in options(start, stop, shared):
                    end, seconds = (stop, bool(option.stage.splits)), before_s + option.seconds
                    if seconds < best.get(end, (math.inf,))[0]:
                        best[end] = seconds, option.stage, (start, shared)
    ends = [end for end in ((num_blocks, False), (num_blocks, True)) if end in best]
    if not ends:
        raise PlanError("no device runs some operator between two cuts")
    at = min(ends, key=lambda end: best[end][0])
    total_s = best[at][0]
    stages: list[Stage] = []
    while (stage := best[at][1]) is not None:
        stages.append(stage)
        at = best[at][2]
    return tuple(reversed(stages)), total_s
