"""Problems in which one thing is a little faster and all else is as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hetsim.core.problem import Latency, Problem


def with_faster_device(problem: Problem, device: str, factor: float) -> Problem:
    """Every segment on ``device`` takes its time over ``factor``, launches included; what it moves stays the same."""
    return _with_times(problem, device, lambda _ops: factor)


def with_faster_op(problem: Problem, device: str, op: str, factor: float) -> Problem:
    """One operator takes its time over ``factor`` on ``device``, alone and inside segments: see :func:`op_share`."""

    def speedup(ops: tuple[str, ...]) -> float:
        if op not in ops:
            return 1.0
        return 1 / (1 - op_share(problem, device, ops, op) * (1 - 1 / factor))

    return _with_times(problem, device, speedup)


def op_share(problem: Problem, device: str, ops: tuple[str, ...], op: str) -> float:
    """The part of a segment's time that counts as one of its operators', from 0 to 1.

    That of what the operator takes alone on the device in what all of the segment's take alone. Where the device cannot
    run one of them alone, or they take no time, all have equal parts.
    """
    alone_s = [problem.latency(device, (one,)) for one in ops]
    known = [found.seconds for found in alone_s if found is not None]
    if len(known) < len(ops) or not sum(known) > 0:
        return 1 / len(ops)
    return known[ops.index(op)] / sum(known)


def with_faster_link(problem: Problem, source: str, target: str, factor: float) -> Problem:
    """Every hand-over from ``source`` to ``target`` takes its time over ``factor``, set-up and bytes alike."""
    platform = problem.platform
    link = platform.link(source, target)
    faster = replace(link, setup_s=link.setup_s / factor, bandwidth_bytes_per_s=link.bandwidth_bytes_per_s * factor)
    return replace(problem, platform=replace(platform, links={**platform.links, (source, target): faster}))


def with_faster_memory(problem: Problem, factor: float) -> Problem:
    """The memory sustains ``factor`` times the bandwidth, for all devices together."""
    memory = problem.platform.memory
    faster = replace(memory, shared_bytes_per_s=memory.shared_bytes_per_s * factor)
    return replace(problem, platform=replace(problem.platform, memory=faster))


def _with_times(problem: Problem, device: str, speedup: Callable[[tuple[str, ...]], float]) -> Problem:
    def latency(name: str, ops: tuple[str, ...]) -> Latency | None:
        found = problem.latency(name, ops)
        if found is None or name != device:
            return found
        return replace(found, seconds=found.seconds / speedup(ops))

    return replace(problem, latency_function=latency, _known={})
