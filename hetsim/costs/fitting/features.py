"""What the time of a segment is made of: one sum of terms for its operators and for the tensors that it shares.

**Operators.** Engines optimise operators together with their neighbours: a rectifier behind a convolution costs
nothing, a pooling behind both reads the convolution's own layout. Operators further away hardly matter. So a segment
takes the sum of what its operators take, each depending on its *neighbourhood*, the part of the segment within a few
steps of it. The energy of a molecule is expanded over atoms and their neighbourhoods in the same way: J. Behler,
M. Parrinello, "Generalized neural-network representation of high-dimensional potential-energy surfaces", Physical
Review Letters 98, 2007. What one operator takes is a sum of terms, from terms that all operators of a kind have in
common to terms of this operator in exactly this neighbourhood.

**Shared tensors.** A tensor that several devices access is stored in the model's format, and its bytes may be in the
cache of another core. Who makes or reads it takes longer, by an amount that depends on the device, on the kind of
operator at the segment's border, and on the tensor, as engines choose other kernels for other formats.

**Parts of operators.** An operator of a rewritten model that computes a share of an operator of the base takes that
share of its terms, and what being divided costs. Slices and concatenations take what copying their bytes takes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

from hetsim.core.graph import Graph
from hetsim.costs.fitting.regression import Term
from hetsim.costs.fitting.shared_tensors import SharedTensor
from hetsim.costs.parts import COPY_BYTES_PER_S
from hetsim.models.structure import CHEAP_KINDS

RADII = (1, 2, 4)
"""Radii of the neighbourhoods of an operator's own terms, in steps; the last is the largest that matters."""

# Prior standard deviations of coefficients, which maximise the evidence (marginal likelihood) of all zoo profiles
# together; it changes little if any of them is doubled or halved.
_ALONE_SD = 0.03  # of the operator's own time: measurements of it by itself
_KIND_SD = 0.15
_PATTERN_SD = 0.1
_OWN_SD = 0.1
_KIND_S_PER_BYTE = 3e-10
_PATTERN_S_PER_BYTE = 3e-10
_ACCESS_S = 5e-6
_ACCESS_S_PER_BYTE = 5e-10
_OWN_ACCESS_S_PER_BYTE = 3e-10
_PART_SD = 0.1
_FUSED, _BESIDE = 0.3, 1.0
"""Prior means of the part of its time alone that an operator takes: a cheap one behind another, and any other one."""


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
        mean = _FUSED if before and kind in CHEAP_KINDS else _BESIDE
        yield Term(("kind", kind, bool(before), bool(after)), alone_s, mean, _KIND_SD)
        yield Term(("pattern", pattern), alone_s, 0.0, _PATTERN_SD)
        read, made = self._border_bytes(i, mask)
        if made:
            yield Term(("made outside", kind), made, 0.0, _KIND_S_PER_BYTE)
        if read:
            yield Term(("read outside", kind), read, 0.0, _KIND_S_PER_BYTE)
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


def sharing_terms(tensor: SharedTensor, calibrated_s_per_byte: float) -> Iterator[Term]:
    """What accessing a shared tensor takes: by bytes, for all, for the kind of operator, and for this tensor."""
    side = "made" if tensor.is_made else "read"
    yield Term((side, "access"), 1.0, 0.0, _ACCESS_S)
    yield Term((side, "bytes"), tensor.num_bytes, calibrated_s_per_byte, _ACCESS_S_PER_BYTE)
    yield Term((side, "kind", tensor.kind), tensor.num_bytes, 0.0, _ACCESS_S_PER_BYTE)
    yield Term((side, "tensor", tensor.name), tensor.num_bytes, 0.0, _OWN_ACCESS_S_PER_BYTE)


def part_terms(op: str, kind: str, share: float, alone_s: float) -> Iterator[Term]:
    """What it takes, beyond its share, to compute a share of an operator: less work to spread over lanes and caches."""
    lost = 4 * share * (1 - share)  # nothing for all or nothing of it
    yield Term(("part", kind), lost * alone_s, 0.03, _PART_SD)
    yield Term(("own part", op), lost * alone_s, 0.0, _PART_SD)


def copy_terms(num_bytes: int) -> Iterator[Term]:
    """What slices and concatenations take."""
    yield Term(("copied bytes",), num_bytes, 1 / COPY_BYTES_PER_S, 0.5 / COPY_BYTES_PER_S)
