"""Segments that an engine refused, taken out of a problem.

A refusal holds for every segment that contains the refused operators.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hetsim.core.graph import Graph
from hetsim.core.problem import Latency, Problem
from hetsim.costs.profile import Profile


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
    if profile is None or not any(profile.unsupported(device) for device in devices):
        return problem
    refused = {device: masks(problem.graph, profile.unsupported(device)) for device in devices}

    def latency(device: str, ops: tuple[str, ...]) -> Latency | None:
        outside = ~problem.graph.mask(ops)
        if any(mask & outside == 0 for mask in refused[device]):
            return None
        return problem.latency(device, ops)

    return replace(
        problem,
        latency_function=latency,
        splitting=problem.changed_splitting(lambda rewritten: without_refused(rewritten, profile)),
        _known={},
    )
