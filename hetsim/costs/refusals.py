"""Segments that engines refuse: how a refusal is recorded, and what it rules out.

A refusal holds for every segment that contains the refused operators, with two exceptions. Engines take QuantizeLinear
and DequantizeLinear by fusing them with their neighbours, so to refuse them by themselves says nothing of larger
segments. And a vendor's compiler that takes every operator of a group may fail to lay out the group, but not the whole
network around it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from hetsim.core.graph import Graph
from hetsim.core.problem import Latency, Problem
from hetsim.costs.profile import Profile, Unsupported

FUSED_KINDS = frozenset({"QuantizeLinear", "DequantizeLinear"})
"""Kinds whose refusal in a segment of these alone holds for that segment only."""


def refusal(graph: Graph, device: str, ops: tuple[str, ...], reason: str, *, groups_alone: bool = False) -> Unsupported:
    """The record that a device refused a segment of the graph, or of one that was rewritten from it.

    Args:
        graph: The graph.
        device: Name of the device.
        ops: The segment.
        reason: What the engine said, in one line.
        groups_alone: Whether the refusal of several operators says nothing of larger segments.
    """
    kinds = {graph.by_name[op].kind if op in graph.by_name else "" for op in ops}
    alone = kinds <= FUSED_KINDS or (groups_alone and len(ops) > 1)
    return Unsupported(device=device, ops=ops, reason=reason, alone=alone)


@dataclass(frozen=True, slots=True)
class Refused:
    """What a device refuses, by a profile.

    Attributes:
        anywhere: Operators that it refuses in any segment.
        alone: Segments that it refuses as they are.
    """

    anywhere: tuple[frozenset[str], ...]
    alone: frozenset[frozenset[str]]

    def rules_out(self, ops: Iterable[str]) -> bool:
        """Whether it refuses these operators as one segment."""
        segment = frozenset(ops)
        return segment in self.alone or any(bad <= segment for bad in self.anywhere)


def refused_by(profile: Profile, device: str) -> Refused:
    """What the profile says that a device refuses."""
    return Refused(
        tuple(map(frozenset, profile.unsupported(device))), frozenset(map(frozenset, profile.refused_alone(device)))
    )


def masks(graph: Graph, segments: Iterable[tuple[str, ...]]) -> list[int]:
    """The segments that the graph has, as masks of operators."""
    return [graph.mask(ops) for ops in segments if all(op in graph.position for op in ops)]


def without_refused(problem: Problem, profile: Profile | None) -> Problem:
    """The problem in which no device runs a segment that the profile says it refused; the problem itself if none did.

    Args:
        problem: The problem, or one of a rewritten graph.
        profile: Names refused segments by the operators of either graph; None refuses nothing.
    """
    devices = problem.platform.device_names
    if profile is None or not any(profile.unsupported(name) or profile.refused_alone(name) for name in devices):
        return problem
    alone = {device: frozenset(profile.refused_alone(device)) for device in devices}
    refused = {device: masks(problem.graph, profile.unsupported(device)) for device in devices}

    def latency(device: str, ops: tuple[str, ...]) -> Latency | None:
        outside = ~problem.graph.mask(ops)
        if ops in alone[device] or any(mask & outside == 0 for mask in refused[device]):
            return None
        return problem.latency(device, ops)

    return replace(
        problem,
        latency_function=latency,
        splitting=problem.changed_splitting(lambda rewritten: without_refused(rewritten, profile)),
        _known={},
    )
