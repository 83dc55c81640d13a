"""Plans whose serial runs measure many shared runs at once: each shares every run of some length."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from hetsim.scheduler.stages import Stage, channel_splits, row_split
from hetsim.tuner.steps.splitting.times import RunTimes

_LENGTHS = (2, 1, 3, 4, 6, 8, 12, 16)
"""Lengths of runs to measure, in blocks; the most informative first, as time may not suffice for all."""
_MAIN_FRACTION = 0.6
"""A device with more than this part of the speed of all sharing devices keeps some runs to itself, so these are
measured on that device alone as well."""


def plans_to_measure(times: RunTimes) -> Iterator[tuple[Stage, ...]]:
    """Plans that share all runs of one length, for each length and each block at which the first run may begin."""
    seen: set[tuple[Stage, ...]] = set()
    for length in _LENGTHS:
        if length > times.num_blocks:
            break
        for offset in range(length):
            cuts = [0, *range(offset or length, times.num_blocks, length), times.num_blocks]
            runs = list(pairwise(cuts))
            shared = tuple(stage for i, j in runs for stage in _shared(times, i, j))
            alone = (
                tuple(Stage(ops=times.ops(i, j), devices=(device,)) for i, j in runs)
                for device, fraction in zip(times.sharing, times.fractions, strict=True)
                if fraction > _MAIN_FRACTION
            )
            for plan in (shared, *alone):
                if plan not in seen:
                    seen.add(plan)
                    yield plan
        if length == _LENGTHS[0]:
            plan = tuple(stage for i in range(times.num_blocks) for stage in _by_channels(times, i))
            if any(stage.splits for stage in plan):
                yield plan


def _shared(times: RunTimes, start: int, stop: int) -> tuple[Stage, ...]:
    """The blocks as one shared run; block by block where that is impossible, so that the others are still shared."""
    ops = times.ops(start, stop)
    split = row_split(times.problem, ops, times.shares(ops))
    if split is not None:
        return (Stage(ops=ops, devices=times.sharing, splits=(split,)),)
    if stop - start > 1:
        return tuple(stage for i in range(start, stop) for stage in _shared(times, i, i + 1))
    return (times.alone(ops),)


def _by_channels(times: RunTimes, block: int) -> tuple[Stage, ...]:
    """One block shared by channels; by rows where that is impossible."""
    ops = times.ops(block, block + 1)
    splits = channel_splits(times.problem, ops, times.shares(ops))
    if splits:
        return (Stage(ops=ops, devices=times.sharing, splits=splits),)
    return _shared(times, block, block + 1)
