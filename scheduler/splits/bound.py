"""A lower bound for plans with splits: the load of all devices, however operators are divided among them.

Let a plan take segments from a given collection, or parts of them. If each part takes at least its share of the
segment, then each operator adds to the load of a device at least its price there (:func:`~hetsim.scheduler.bounds.
prices`) times the share of it that is computed there. The shares of an operator add up to 1 or more. So the loads
satisfy the linear program of :mod:`hetsim.scheduler.bounds`, and no such plan ends before its optimum. Critical paths
bound nothing here, as every operator may be divided.

Parts of the plans at hand may take less than their share, as where less of a tile is empty. They lower the price to
what they take for one whole operator, so the bound holds for these plans in any case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.scheduler.bounds import alone_s, load_s, prices, shares
from hetsim.scheduler.effort import FOREVER, Until
from hetsim.scheduler.exact.decomposition import Decomposition


def split_bound(
    problem: Problem, plans: Sequence[Plan], segments: Iterable[Segment] = (), *, until: Until = FOREVER
) -> tuple[float, str]:
    """The bound in seconds, and in words the plans that it holds for: those given, and all of a stated space.

    The space has segments of exact planning's family, those given and those of the plans without splits, each divided
    among devices in any shares, as long as a part takes at least its share.

    Args:
        problem: A problem whose operators can be split.
        plans: Plans with and without splits.
        segments: More segments of the space.
        until: When to leave the rest of exact planning's family out.
    """
    known = Decomposition(problem, fused=not problem.additive, until=until).segments()
    family = dict.fromkeys([*known, *segments])
    family |= dict.fromkeys(segment for plan in plans if not plan.rewrites for segment in plan.segments)
    price = prices(problem, family)
    position = problem.graph.position
    names = problem.platform.device_names
    single = np.array([[alone_s(problem, name, (op.name,)) for name in names] for op in problem.graph.ops])
    for plan in plans:
        if plan.rewrites:
            for device, seconds, share_of in _parts(problem, plan):
                at, d = [position[op] for op in share_of], names.index(device)
                share = np.array(list(share_of.values()))
                price[at, d] = np.minimum(price[at, d], shares(seconds, share * single[at, d]) / share)
    fused = [segment for segment in family if len(segment.ops) > 1]
    space = f"single operators and {len(fused)} fused segments, divided in any way in which a part takes its share"
    return load_s(price), space


def _parts(problem: Problem, plan: Plan) -> Iterator[tuple[str, float, Mapping[str, float]]]:
    """By segment of a plan with splits that computes something: its device, its seconds, and shares of operators."""
    assert problem.splitting is not None
    found = problem.rewritten(plan.rewrites)
    share: dict[str, float] = {}
    for split, each in zip(plan.rewrites, found.parts, strict=True):
        for work, ops in zip(problem.splitting.parts(split), each, strict=True):
            named = {op: found.graph.by_name[op].part_of for op in ops}
            share |= {op: work.shares[original] for op, original in named.items() if original}
    for segment in plan.segments:
        computed = [found.graph.by_name[op] for op in segment.ops if not found.graph.by_name[op].moves_data]
        shares_of: dict[str, float] = {}
        for op in computed:
            original = op.part_of or op.name
            shares_of[original] = shares_of.get(original, 0.0) + share.get(op.name, 1.0)
        if shares_of:
            yield segment.device, alone_s(found.problem, segment.device, segment.ops), shares_of
