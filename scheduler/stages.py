"""Plans as stages one after the other: operators on one device, or computed in parts on several at once.

A network is cut where all of it passes through one operator. Between two cuts its operators are a *run*, which one
device computes as one segment, or several share: in parts of rows, or, where weights are many and rows few, in parts
of channels. A stage starts when the one before has ended on all devices, so the fastest sequence of stages is a
shortest path over the cuts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hetsim.core.errors import PlanError
from hetsim.core.plan import Axis, Split
from hetsim.core.problem import Problem, Splitting
from hetsim.models.structure import CHEAP_KINDS, Parts, blocks

_LANES = 16
"""Channels are dealt out in multiples of this where there are enough: engines compute that many at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A run of operators and who computes it.

    Attributes:
        ops: Operators of the problem, in topological order.
        devices: One that computes them all as one segment, or one for each part.
        splits: How they are divided, one after the other; none where no operator is divided.
        spread: By operator, the device that computes it, where none is divided and several devices compute some.
    """

    ops: tuple[str, ...]
    devices: tuple[str, ...]
    splits: tuple[Split, ...] = ()
    spread: tuple[tuple[str, str], ...] = ()


def merged(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The stages with neighbours on one device as one: a border between them costs, whatever their times add up to."""
    found: list[Stage] = []
    for stage in stages:
        whole = not any(each.splits or each.spread for each in (stage, *found[-1:]))
        if found and whole and stage.devices == found[-1].devices:
            found[-1] = Stage(ops=found[-1].ops + stage.ops, devices=stage.devices)
        else:
            found.append(stage)
    return tuple(found)


def splitting_of(problem: Problem) -> Splitting:
    """How the problem's operators divide.

    Raises:
        PlanError: If they cannot be split.
    """
    if problem.splitting is None:
        raise PlanError(f"operators of {problem.graph.name!r} cannot be split, as it has no model")
    return problem.splitting


def coarse_blocks(problem: Problem, cost_s: Callable[[tuple[str, ...]], float], max_blocks: int) -> Parts:
    """Consecutive parts of the graph between operators through which every path passes, about so many at most.

    Neighbours are joined until few enough are left: first where a cut would separate an operator from a cheap one that
    follows it, as engines fuse these; then where little work meets a large tensor. What can be divided by rows is
    never joined to what cannot.

    Args:
        problem: A problem whose operators can be split.
        cost_s: About how long operators take.
        max_blocks: At least 1.
    """
    graph, splitting = problem.graph, splitting_of(problem)
    in_rows = {op.name: splitting.length(op.name, "rows") is not None for op in graph.ops}

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


def channel_groups(problem: Problem, ops: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The runs, one after the other, that operators divide into by channels; none where some operator cannot be split.

    A new run begins where an operator reads all channels of what this one makes.
    """
    splitting = splitting_of(problem)
    if any(splitting.length(op, "channels") is None for op in ops):
        return ()
    groups: list[list[str]] = []
    for op in ops:
        if splitting.reads_all(op, "channels") or not groups:
            groups.append([])
        groups[-1].append(op)
    return tuple(map(tuple, groups))


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


def checked(problem: Problem, ops: tuple[str, ...], axis: Axis, at: tuple[int, ...]) -> Split | None:
    """The split of a run, if it is possible; None without boundaries too."""
    if not at:
        return None
    split = Split(ops, axis, at)
    try:
        splitting_of(problem).parts(split)
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
