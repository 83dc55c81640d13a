"""The downsets of a block between two articulation operators: the sets of operators that may be done at some point.

A *downset* has all predecessors of its members. Few operators side by side have few downsets, many have very many, so
the number of operators and of downsets is limited, and so is the time: without its downsets a block is planned by one
list schedule (:mod:`hetsim.scheduler.exact.block`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from hetsim.scheduler.bounds import Floats
from hetsim.scheduler.effort import FOREVER

if TYPE_CHECKING:
    from hetsim.scheduler.exact.block_kernel import Steps

Ints = npt.NDArray[np.int64]
Item = TypeVar("Item")

MAX_DOWNSETS = 20_000
"""Blocks with more downsets than this are not solved this way."""

MAX_OPS = 200
"""Nor are blocks with more operators."""

LOOK_EVERY = 256
"""After so many downsets somebody looks at the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Who feeds whom in a block, by numbers.

    Attributes:
        makers: By value, the operator that makes it. A value is what an operator makes for others of the block, or the
            part of it that travels in the same time.
        reads: By operator, the values that it reads, ascending; their makers are smaller than the operator.
        enters: By operator, whether it reads from before the block.
        leaves: By operator, whether what comes after the block reads from it.
        pieces: What may run as one segment: ascending operators. Each single operator is among them.
    """

    makers: tuple[int, ...]
    reads: tuple[tuple[int, ...], ...]
    enters: tuple[bool, ...]
    is_read_outside: tuple[bool, ...]
    pieces: tuple[tuple[int, ...], ...]

    @property
    def befores(self) -> tuple[frozenset[int], ...]:
        """By operator, the operators that it reads from."""
        return tuple(frozenset(self.makers[value] for value in values) for values in self.reads)


@dataclass(frozen=True, slots=True)
class Lattice:
    """The downsets of a shape.

    Attributes:
        steps: How they follow from each other.
        members: By downset and operator, whether it is a member.
    """

    steps: Steps
    members: Floats


def lattice(shape: Shape, until: Callable[[], bool] = FOREVER) -> Lattice | None:
    """The downsets of a shape, ordered by size, then by their bits; None if there are too many.

    Args:
        shape: The shape.
        until: Once it says yes, there are too many.
    """
    try:
        return _lattice(shape, until) if len(shape.reads) <= MAX_OPS else None
    except _TooManyError:
        return None


class _TooManyError(Exception):
    """There are too many downsets, or too many for the time that is left."""


def _watched(items: Sequence[Item], until: Callable[[], bool]) -> Iterator[Item]:
    """The items, with a look at the time now and then.

    Raises:
        _TooManyError: If it is up.
    """
    for i, item in enumerate(items):
        if i % LOOK_EVERY == LOOK_EVERY - 1 and until():
            raise _TooManyError
        yield item


def _lattice(shape: Shape, until: Callable[[], bool]) -> Lattice:
    """As :func:`lattice`.

    Raises:
        _TooManyError: If there are too many downsets.
    """
    num_ops = len(shape.reads)
    bits = [1 << op for op in range(num_ops)]
    needed = [sum(bits[other] for other in others) for others in shape.befores]
    downsets = _downsets(bits, needed, until)
    ready = [
        [op for op in range(num_ops) if not done & bits[op] and not needed[op] & ~done]
        for done in _watched(downsets, until)
    ]
    frontiers = _frontiers(shape, bits, _watched(downsets, until))
    place = [{value: i for i, value in enumerate(frontier)} for frontier in frontiers]
    outside = [
        sorted({value for op in piece for value in shape.reads[op] if shape.makers[value] not in piece})
        for piece in shape.pieces
    ]
    masks = [sum(bits[op] for op in piece) for piece in shape.pieces]
    steps_to = _steps_to(shape, bits, downsets, _watched(ready, until), masks, outside)
    columns: dict[str, list[int]] = {name: [] for name in ("source", "piece", "reads", "moved", "ready", "needs")}
    starts: dict[str, list[int]] = {name: [0] for name in ("from_at", "reads_at", "ready_at", "needs_at")}
    starts["moved_at"] = []
    for i, _ in enumerate(_watched(downsets, until)):
        for before, p in steps_to[i]:
            columns["source"].append(before)
            columns["piece"].append(p)
            columns["reads"] += [place[before][value] for value in outside[p]]
            starts["reads_at"].append(len(columns["reads"]))
            starts["moved_at"].append(len(columns["moved"]))
            columns["moved"] += [-1 - u if masks[p] & bits[shape.makers[u]] else place[before][u] for u in frontiers[i]]
        starts["from_at"].append(len(columns["source"]))
        for op in ready[i]:
            columns["ready"].append(op)
            columns["needs"] += [place[i][value] for value in shape.reads[op]]
            starts["needs_at"].append(len(columns["needs"]))
        starts["ready_at"].append(len(columns["ready"]))
    from hetsim.scheduler.exact.block_kernel import Steps  # not before it is needed: imports numba

    arrays = {name: _ints(values) for name, values in (columns | starts).items()}
    steps = Steps(num_frontier=_ints([len(frontier) for frontier in frontiers]), **arrays)
    members = np.array([[bool(done & bit) for bit in bits] for done in downsets], float).reshape(len(downsets), num_ops)
    return Lattice(steps, members)


def _downsets(bits: Sequence[int], needed: Sequence[int], until: Callable[[], bool]) -> list[int]:
    """Every set of operators that holds all that its members need, as bit masks.

    Raises:
        _TooManyError: If there are too many.
    """
    known = {0}
    waiting = [0]
    num_looks = 0
    while waiting:
        done = waiting.pop()
        for op, bit in enumerate(bits):
            following = done | bit
            if following not in known and not needed[op] & ~done:
                known.add(following)
                waiting.append(following)
        num_looks += 1
        if len(known) > MAX_DOWNSETS or (num_looks % LOOK_EVERY == 0 and until()):
            raise _TooManyError
    return sorted(known, key=lambda done: (done.bit_count(), done))


def _frontiers(shape: Shape, bits: Sequence[int], downsets: Iterable[int]) -> list[list[int]]:
    """By downset, the values that it makes and that operators outside it read."""
    readers = [0] * len(shape.makers)
    for op, values in enumerate(shape.reads):
        for value in values:
            readers[value] |= bits[op]
    return [
        [value for value, maker in enumerate(shape.makers) if done & bits[maker] and readers[value] & ~done]
        for done in downsets
    ]


def _steps_to(
    shape: Shape,
    bits: Sequence[int],
    downsets: Sequence[int],
    ready: Iterable[Sequence[int]],
    masks: Sequence[int],
    outside: Sequence[Sequence[int]],
) -> list[list[tuple[int, int]]]:
    """By downset, the pairs of a smaller downset and a piece that lead to it, ordered by the former."""
    number = {done: i for i, done in enumerate(downsets)}
    asked = [sum({bits[shape.makers[value]] for value in values}) for values in outside]
    begins_with: list[list[int]] = [[] for _ in bits]  # by operator, the pieces of which it is the first
    for p, piece in enumerate(shape.pieces):
        begins_with[piece[0]].append(p)
    found: list[list[tuple[int, int]]] = [[] for _ in downsets]
    for i, ops in enumerate(ready):
        done = downsets[i]
        for p in (p for op in ops for p in begins_with[op]):
            if not done & masks[p] and not asked[p] & ~done:
                found[number[done | masks[p]]].append((i, p))
    return found


def _ints(values: Sequence[int]) -> Ints:
    return np.array(values, np.int64)
