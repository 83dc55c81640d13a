"""Which runs to share: the fastest sequence of stages by what is known, with shares moved until devices end at once."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import accumulate

from hetsim.core.errors import PlanError
from hetsim.core.plan import Split
from hetsim.costs.parts import COPY_BYTES_PER_S
from hetsim.models.split.rules import rule_for
from hetsim.models.split.run import check_split
from hetsim.scheduler.stages import Option, Stage, balanced, fastest_stages, merged, step_of
from hetsim.tuner.steps.splitting.times import PartTimes, RunTimes

_EXCHANGE_S = 2e-5
"""What each further exchange between devices takes beyond its segments, in seconds. Most of it is not the hand-over,
but that sometimes one device is late and sometimes the other."""


def fastest_known(times: RunTimes) -> tuple[tuple[Stage, ...], float]:
    """The fastest stages by all that is known, and how long they should take in seconds."""
    chosen, seconds = fastest_stages(times.num_blocks, lambda i, j, after: _options(times, i, j, after=after))
    return merged(chosen), seconds


def _options(times: RunTimes, start: int, stop: int, *, after: bool) -> list[Option]:
    """Ways to compute a run; ``after`` says whether what it reads lies in parts."""
    ops = times.ops(start, stop)
    found: list[Option] = []
    for device in times.device_names:
        seconds = times.alone_after_s(device, ops, after=after)
        if seconds is None:
            seconds = times.whole_s(device, ops) + (_copy_s(times, start) if after else 0.0)
        found.append(Option(Stage(ops=ops, devices=(device,)), seconds + (_EXCHANGE_S if start else 0.0)))
    measured = times.shared_s.get((ops, after)) or times.shared_s.get((ops, not after), {})
    # A device that computed by itself what is read here may hold it in a format of its own.
    conversion_s = _copy_s(times, start) if times.converts and start and not after else 0.0
    for splits, parts_s in measured.items():
        found.append(_together(times, ops, splits, parts_s, conversion_s))
        moved, moved_s = _moved(times, splits, parts_s)
        if moved not in measured:
            found.append(_together(times, ops, moved, moved_s, conversion_s))
    return found


def _together(
    times: RunTimes, ops: tuple[str, ...], splits: tuple[Split, ...], parts_s: PartTimes, conversion_s: float
) -> Option:
    """The run computed by all sharing devices together."""
    seconds = conversion_s + sum(max(each_s) + _EXCHANGE_S for each_s in parts_s)
    return Option(Stage(ops=ops, devices=times.sharing, splits=splits), seconds)


def _copy_s(times: RunTimes, block: int) -> float:
    """An estimate of the time to put together, or to convert, what the blocks before this one hand on, in seconds."""
    graph = times.model.graph
    made = graph.outputs_of(times.ops(0, block))
    return 2 * sum(graph.tensors[tensor].num_bytes for tensor in made) / COPY_BYTES_PER_S


def _moved(times: RunTimes, splits: tuple[Split, ...], parts_s: PartTimes) -> tuple[tuple[Split, ...], PartTimes]:
    """The splits with shares that should take equally long, and how long; unchanged where that gains nothing."""
    moved = [_balanced(times, split, each_s) for split, each_s in zip(splits, parts_s, strict=True)]
    return tuple(split for split, _ in moved), tuple(each_s for _, each_s in moved)


def _balanced(times: RunTimes, split: Split, parts_s: tuple[float, ...]) -> tuple[Split, tuple[float, ...]]:
    size = rule_for(times.model, split.ops[-1], split.axis).size
    widths = [high - low for low, high in zip((0, *split.at), (*split.at, size), strict=True)]
    rates = [times.whole_s(device, split.ops) / size for device in times.sharing]
    if not all(map(math.isfinite, rates)):
        return split, parts_s
    new_widths, new_s = balanced(widths, parts_s, rates, step_of(split.axis, size, len(widths)))
    if max(new_s) >= max(parts_s):
        return split, parts_s
    moved = replace(split, at=tuple(accumulate(new_widths[:-1])))
    try:
        check_split(times.model, moved)
    except PlanError:
        return split, parts_s
    return moved, new_s
