"""What the time of a segment is made of: one sum of terms for its operators and for the tensors that it shares.

**Operators.** Engines optimise operators together with their neighbours: a rectifier behind a convolution costs
nothing, a pooling behind both reads the convolution's own layout. Operators further away hardly matter. So a segment
takes the sum of what its operators take, each depending on its *neighbourhood*, the part of the segment within two
steps of it. The energy of a molecule is expanded over atoms and their neighbourhoods in the same way: J. Behler,
M. Parrinello, "Generalized neural-network representation of high-dimensional potential-energy surfaces", Physical
Review Letters 98, 2007. Neighbourhoods are alike if the kinds of their operators are.

**Shared tensors.** A tensor that several devices access is stored in the model's format, and its bytes may be in the
cache of another core. Who makes or reads it takes longer, by an amount that depends on the device and on the tensor, as
engines choose other kernels for other formats.

**Parts of operators.** An operator of a rewritten model that computes a share of an operator of the base takes that
share of its terms. Slices and concatenations take what copying their bytes takes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

from hetsim.core.graph import Graph
from hetsim.costs.fitting.regression import Term
from hetsim.costs.fitting.shared_tensors import SharedTensor
from hetsim.costs.parts import COPY_BYTES_PER_S
from hetsim.models.structure import CHEAP_KINDS

# Prior standard deviations of coefficients, which maximise the evidence (marginal likelihood) of all zoo profiles
# together; it changes little if any of them is doubled or halved.
_ALONE_SD = 0.03  # of the operator's own time: measurements of it by itself
_KIND_SD = 0.15
_ALIKE_SD = 0.1
_ALIKE_S_PER_BYTE = 3e-10
_ACCESS_S_PER_BYTE = 5e-10
_OWN_ACCESS_S_PER_BYTE = 3e-10
_FUSED, _BESIDE = 0.3, 1.0
"""Prior means of the part of its time alone that an operator takes: a cheap one behind another, and any other one."""


class Neighbourhood:
    """The terms of each operator of a graph in a segment.

    Args:
        graph: The graph.
        alone_s: By operator, its time alone in seconds.

    Attributes:
        near: By operator, the mask of the operators within two steps, itself included.
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
        self.near = [_grown(mask, step) for mask in step]

    def terms(self, i: int, mask: int) -> Iterator[Term]:
        """The terms of operator ``i`` in the segment ``mask``, or in the part of it that is near."""
        kind, alone_s = self._kinds[i], self._alone_s[i]
        before = [j for j in self._before[i] if mask >> j & 1]
        after = [j for j in self._after[i] if mask >> j & 1]
        if not before and not after:
            yield Term(("alone", kind), alone_s, 1.0, _ALONE_SD)
            return
        mean = _FUSED if before and kind in CHEAP_KINDS else _BESIDE
        yield Term(("kind", kind, bool(before), bool(after)), alone_s, mean, _KIND_SD)
        alike = self._alike(i, mask, before, after)
        yield Term(("alike", alike), alone_s, 0.0, _ALIKE_SD)
        num_bytes = self._border_bytes(i, mask)
        if num_bytes:
            yield Term(("border", alike), num_bytes, 0.0, _ALIKE_S_PER_BYTE)

    def _border_bytes(self, i: int, mask: int) -> int:
        """Bytes that operator ``i`` reads from operators outside the segment, or writes for them."""
        stays = bool(self._after[i]) and all(mask >> j & 1 for j in self._after[i])
        read = sum(num_bytes for j, num_bytes in self._read_bytes[i] if not mask >> j & 1)
        return read if stays else read + self._made_bytes[i]

    def _alike(self, i: int, mask: int, before: list[int], after: list[int]) -> Hashable:
        """What alike neighbourhoods have in common: kinds, and on which sides the operator has neighbours outside."""
        return (
            self._kinds_beside(i, before, after),
            len(before) < len(self._before[i]),
            len(after) < len(self._after[i]),
            tuple(
                sorted(
                    self._kinds_beside(
                        j,
                        [k for k in self._before[j] if mask >> k & 1],
                        [k for k in self._after[j] if mask >> k & 1],
                    )
                    for j in (*before, *after)
                )
            ),
        )

    def _kinds_beside(
        self, i: int, before: list[int], after: list[int]
    ) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        kinds = self._kinds
        return kinds[i], tuple(sorted(kinds[j] for j in before)), tuple(sorted(kinds[j] for j in after))


def _grown(mask: int, step: list[int]) -> int:
    """The operators of a mask and all their neighbours."""
    grown = 0
    while mask:
        lowest = mask & -mask
        grown |= step[lowest.bit_length() - 1]
        mask ^= lowest
    return grown


def sharing_terms(tensor: SharedTensor, calibrated_s_per_byte: float) -> Iterator[Term]:
    """What accessing a shared tensor takes by its bytes: on the device, and for this tensor."""
    side = "made" if tensor.is_made else "read"
    yield Term((side, "bytes"), tensor.num_bytes, calibrated_s_per_byte, _ACCESS_S_PER_BYTE)
    yield Term((side, "tensor", tensor.name), tensor.num_bytes, 0.0, _OWN_ACCESS_S_PER_BYTE)


def copy_term(num_bytes: int) -> Term:
    """What slices and concatenations take."""
    return Term(("copied bytes",), num_bytes, 1 / COPY_BYTES_PER_S, 0.5 / COPY_BYTES_PER_S)
