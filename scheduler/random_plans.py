"""Random plans, to try a simulator on: diverse, valid, and not meant to be fast.

Not in the registry, since nobody wants to run them. They look at what devices can run and never at what it costs, so
another profile gives the same plans as long as the devices accept the same segments.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.models.structure import Parts, blocks, branch_levels, branches, fused_chains, runs
from hetsim.scheduler.segments import plan_from_assignment

RANDOM = "random:"
"""What names of random plans start with."""

MAX_MISSES = 60
"""After so many draws in a row that gave nothing new a graph is taken to have no more plans."""

_STAY = (0.0, 0.5, 0.85)  # how probably a part is on the device of the one before
_CUT = (0.0, 0.1, 0.5, 1.0)  # how probably a segment begins with a part


def random_plans(problem: Problem, count: int, *, seed: int) -> tuple[Plan, ...]:
    """At most ``count`` plans, no two of which do the same, named ``random:1``, ``random:2`` and so on.

    They alternate between five kinds: a random device for each fused chain, each branch, each block or each run of
    blocks, with neighbours on one device cut apart at random; and plans that stress contention, where the branches of
    each level are dealt out to all devices, so that as much as possible runs side by side. There are fewer than
    ``count`` where the graph seems to have no more.

    Args:
        problem: The problem; its costs do not matter, only whether there are any.
        count: How many plans, at least 0. Those of a smaller count come first among those of a larger one.
        seed: The same seed gives the same plans.

    Raises:
        ValueError: If ``count`` is negative.
    """
    if count < 0:
        raise ValueError(f"count must be >= 0, got {count}")
    found: dict[str, Plan] = {}
    misses = 0
    draws = _draws(problem, random.Random(seed))
    while len(found) < count and misses < MAX_MISSES:
        plan = next(draws)
        if plan.digest in found:
            misses += 1
        else:
            misses = 0
            found[plan.digest] = replace(plan, scheduler=f"{RANDOM}{len(found) + 1}")
    return tuple(found.values())


def _draws(problem: Problem, generator: random.Random) -> Iterator[Plan]:
    """Plans of all kinds, alternating, without end."""
    graph = problem.graph
    by_block, levels = blocks(graph), branch_levels(graph)
    lengths = [1 << k for k in range(1, max(len(by_block) - 1, 2).bit_length())]
    while True:
        for parts in (fused_chains(graph), branches(graph), by_block, runs(by_block, generator.choice(lengths))):
            cut = generator.choice(_CUT)
            yield _draw(problem, parts, _wander(problem, len(parts), generator), cut, generator)
        parts = tuple(part for level in levels for part in level)
        # All cut apart: the others would wait for a branch that is fused with what all of them read.
        yield _draw(problem, parts, _deal(problem, [len(level) for level in levels], generator), 1.0, generator)


def _wander(problem: Problem, num_parts: int, generator: random.Random) -> list[list[str]]:
    """Each part's devices, the preferred one first: at random, but some plans change it seldom."""
    names, stay = problem.platform.device_names, generator.choice(_STAY)
    preferences = [generator.sample(names, len(names))]
    while len(preferences) < num_parts:
        stays = generator.random() < stay
        preferences.append(preferences[-1] if stays else generator.sample(names, len(names)))
    return preferences[:num_parts]


def _deal(problem: Problem, widths: list[int], generator: random.Random) -> list[list[str]]:
    """The same for levels that have so many parts each: every device gets one before any gets a second.

    What has nothing beside it is on one device throughout, so that branches alone cross.
    """
    names = problem.platform.device_names
    home = generator.sample(names, len(names))
    preferences: list[list[str]] = []
    for width in widths:
        rotation = generator.sample(names, len(names)) if width > 1 else home
        dealt = [rotation[i % len(rotation) :] + rotation[: i % len(rotation)] for i in range(width)]
        generator.shuffle(dealt)
        preferences += dealt
    return preferences


def _draw(problem: Problem, parts: Parts, preferences: list[list[str]], cut: float, generator: random.Random) -> Plan:
    """The plan of parts on devices, with random cuts; operators that a device cannot run are on the next preferred."""
    graph = problem.graph
    device_of: dict[str, str] = {}
    level_of: dict[str, int] = {}
    for part, preferred in zip(parts, preferences, strict=True):
        members = frozenset(part)
        cuts = generator.random() < cut
        for op in part:
            runnable = problem.devices_for((op,))
            device_of[op] = next(device for device in preferred if device in runnable)
            if cuts and graph.predecessors[op] and members.isdisjoint(graph.predecessors[op]):
                level_of[op] = 1
    return plan_from_assignment(problem, RANDOM, device_of, level_of, connected=generator.random() < 0.5)
