"""Features of the predictor: an operator's time in a segment depends on itself and on its neighbours inside it.

Engines optimise operators together with their neighbours: a rectifier behind a convolution costs nothing, a pooling
behind both reads the convolution's own layout, and a tensor that crosses the segment's border is converted to the plain
layout, which may cost more than the operator. Operators further away hardly matter. So the time of a segment is
modelled as a sum over its operators, where each summand depends on the operator's *neighbourhood*, the part of the
segment within a few steps of it. The energy of a molecule is expanded over atoms and their neighbourhoods in the same
way: J. Behler, M. Parrinello, "Generalized neural-network representation of high-dimensional potential-energy
surfaces", Physical Review Letters 98, 2007.

A summand in turn is a sum of :class:`Term` s, from terms that all operators of a kind have in common to terms of this
operator in exactly this neighbourhood. :mod:`hetsim.costs.fitting.predictor` fits them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass

from hetsim.core.graph import Graph

RADII = (1, 2, 4)
"""Radii of the neighbourhoods of an operator's own terms, in steps; the last is the largest that matters."""

# Prior standard deviations of coefficients, which maximise the evidence (marginal likelihood) of all zoo profiles
# together; it changes little if any of them is doubled or halved.
_ALONE_SD = 0.03  # of the operator's own time: measurements of it by itself
_KIND_SD = 0.3
_PATTERN_SD = 0.2
_OWN_SD = 0.05
_KIND_S_PER_BYTE = 5e-11
_PATTERN_S_PER_BYTE = 5e-11
_ONE_SIDE, _BOTH_SIDES = 0.85, 0.75  # prior means: part of its time alone that an operator takes beside neighbours


@dataclass(frozen=True, slots=True)
class Term:
    """One unknown coefficient and what it is multiplied with.

    Attributes:
        key: The coefficient; terms with equal keys share one.
        value: What it is multiplied with, in seconds or bytes.
        mean: Its prior mean, in seconds per unit of ``value``.
        sd: Its prior standard deviation.
    """

    key: Hashable
    value: float
    mean: float
    sd: float


class Neighbourhood:
    """The terms of each operator of a graph in a segment.

    Args:
        graph: The graph.
        alone_s: By operator, its time alone in seconds.

    Attributes:
        near: By radius and operator, the mask of the operators within that many steps, itself included.
    """

    def __init__(self, graph: Graph, alone_s: Mapping[str, float]) -> None:
        self._graph = graph
        self._kinds = [op.kind for op in graph.ops]
        self._alone_s = [alone_s.get(op.name, 0.0) for op in graph.ops]
        self._before = [[graph.position[other] for other in graph.predecessors[op.name]] for op in graph.ops]
        self._after = [[graph.position[other] for other in graph.successors[op.name]] for op in graph.ops]
        self._read_bytes = [  # by operator, the producers of its inputs, with bytes
            [(graph.position[graph.producer[t]], graph.tensors[t].num_bytes) for t in op.inputs if t in graph.producer]
            for op in graph.ops
        ]
        self._made_bytes = [sum(graph.tensors[t].num_bytes for t in op.outputs) for op in graph.ops]
        step = [graph.mask((op.name, *graph.predecessors[op.name], *graph.successors[op.name])) for op in graph.ops]
        around = step
        self.near: dict[int, list[int]] = {}
        for radius in range(1, RADII[-1] + 1):
            if radius in RADII:
                self.near[radius] = around
            around = [_grown(mask, step) for mask in around]

    def terms(self, i: int, mask: int, radius: int) -> Iterator[Term]:
        """The terms of operator ``i`` in the segment ``mask`` that depend on its neighbourhood of that radius.

        Args:
            i: The operator's place in the graph.
            mask: The segment, or its part within the radius.
            radius: One of :data:`RADII`.
        """
        alone_s = self._alone_s[i]
        before = [j for j in self._before[i] if mask >> j & 1]
        after = [j for j in self._after[i] if mask >> j & 1]
        if before or after:
            if radius == 1:
                yield from self._kind_terms(i, mask, before, after)
            elif radius == 2:
                yield from self._wider_terms(i, mask, before, after)
        elif radius == 1:
            yield Term(("alone", self._kinds[i]), alone_s, 1.0, _ALONE_SD)
        yield Term((radius, i, mask & self.near[radius][i]), alone_s, 0.0, _OWN_SD)

    def _kind_terms(self, i: int, mask: int, before: list[int], after: list[int]) -> Iterator[Term]:
        """The terms that operators of a kind share beside neighbours of the same kinds."""
        kind, alone_s, pattern = self._kinds[i], self._alone_s[i], self._pattern(i, before, after)
        mean = _BOTH_SIDES if before and after else _ONE_SIDE
        yield Term(("kind", kind, bool(before), bool(after)), alone_s, mean, _KIND_SD)
        yield Term(("pattern", pattern), alone_s, 0.0, _PATTERN_SD)
        read, made = self._border_bytes(i, mask)
        if made:
            yield Term(("made", kind), made, 0.0, _KIND_S_PER_BYTE)
        if read:
            yield Term(("read", kind), read, 0.0, _KIND_S_PER_BYTE)
        if made or read:
            yield Term(("border", pattern), made + read, 0.0, _PATTERN_S_PER_BYTE)

    def _wider_terms(self, i: int, mask: int, before: list[int], after: list[int]) -> Iterator[Term]:
        """The terms that depend on the kinds of the neighbours' neighbours too."""
        beside = sorted(self._kinds_beside(j, mask) for j in (*before, *after))
        wider = (self._pattern(i, before, after), tuple(beside))
        yield Term(("wider", wider), self._alone_s[i], 0.0, _PATTERN_SD)
        num_bytes = sum(self._border_bytes(i, mask))
        if num_bytes:
            yield Term(("wider border", wider), num_bytes, 0.0, _PATTERN_S_PER_BYTE)

    def _border_bytes(self, i: int, mask: int) -> tuple[int, int]:
        """Bytes that operator ``i`` reads from, and writes for, operators outside the segment."""
        stays = bool(self._after[i]) and all(mask >> j & 1 for j in self._after[i])
        read = sum(num_bytes for j, num_bytes in self._read_bytes[i] if not mask >> j & 1)
        return read, 0 if stays else self._made_bytes[i]

    def _pattern(self, i: int, before: list[int], after: list[int]) -> Hashable:
        """The kinds of an operator and its neighbours inside, and on which sides it has neighbours outside."""
        return (
            self._kinds[i],
            tuple(sorted(self._kinds[j] for j in before)),
            len(before) < len(self._before[i]),
            tuple(sorted(self._kinds[j] for j in after)),
            len(after) < len(self._after[i]),
        )

    def _kinds_beside(self, i: int, mask: int) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        return (
            self._kinds[i],
            tuple(sorted(self._kinds[j] for j in self._before[i] if mask >> j & 1)),
            tuple(sorted(self._kinds[j] for j in self._after[i] if mask >> j & 1)),
        )


def _grown(mask: int, step: list[int]) -> int:
    """The operators of a mask and all their neighbours."""
    grown = 0
    while mask:
        lowest = mask & -mask
        grown |= step[lowest.bit_length() - 1]
        mask ^= lowest
    return grown
