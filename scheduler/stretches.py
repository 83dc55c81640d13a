"""Which stretches of a row are candidates for one segment: all of a short row, and of a long one about n log n.

A row of ``n`` parts has ``n (n + 1) / 2`` stretches. What all of them cost together grows with the cube of ``n``, as
each is as long as the row on average. So of a long row only these are looked at: those of up to :data:`SHORT` parts;
those of a power of two of parts, at every eighth of their length; and the whole row. Each operator is then in some
hundred short stretches, and in eight or so of each power of two.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_WORK = 750_000
"""All stretches are candidates as long as they have no more operators than this together."""
SHORT = 16
"""Of longer rows, all stretches of up to so many parts are candidates."""
OVERLAP = 8
"""Longer ones begin at every so many-th part of their length."""


def stretch_ends(sizes: Sequence[int]) -> tuple[Sequence[int], ...]:
    """By first part, where its candidate stretches end, ascending: numbers of the part after the last.

    >>> [list(ends) for ends in stretch_ends([1, 1, 1])]
    [[1, 2, 3], [2, 3], [3]]

    Args:
        sizes: By part of the row, its number of operators.
    """
    count = len(sizes)
    if work_of_all(sizes) <= MAX_WORK:
        return tuple(range(start + 1, count + 1) for start in range(count))
    ends = [set(range(start + 1, min(start + SHORT, count) + 1)) for start in range(count)]
    length = 2 * SHORT
    while length < count:
        for start in range(0, count - length + 1, length // OVERLAP):
            ends[start].add(start + length)
        length *= 2
    ends[0].add(count)
    return tuple(sorted(some) for some in ends)


def work_of_all(sizes: Sequence[int]) -> int:
    """How many operators all stretches of a row have together.

    >>> work_of_all([1, 2])  # 1, 2, and both
    6
    """
    return sum((i + 1) * (len(sizes) - i) * size for i, size in enumerate(sizes))
