"""Which segments exact planning chooses from, when it may fuse: a stated family, since there are too many of all.

- every operator by itself;
- *pieces*: connected stretches of a branch, between two articulation operators;
- *runs*: whole blocks one after the other, each up to and including its articulation operator; of many blocks only
  some stretches (:mod:`hetsim.scheduler.stretches`);
- *opened runs*: an articulation operator and the whole blocks after it. The block that it ends is spread over devices
  while its own segment is still open.

Not among them are segments that join parts of several branches, or that take whole blocks with a part of another.
"""

from __future__ import annotations

from dataclasses import dataclass

from hetsim.core.graph import Graph
from hetsim.models.structure import articulation_ops, blocks

LONG_PIECE = 16
"""Of branches with more operators only stretches up to this long are pieces, and the whole branch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A block of the graph.

    Attributes:
        before: The articulation operator before it; empty for the first block.
        inside: The operators between, in topological order.
        join: The articulation operator that ends it; empty if none does.
    """

    before: str
    inside: tuple[str, ...]
    join: str

    @property
    def ops(self) -> tuple[str, ...]:
        """All operators of the block."""
        return (*self.inside, self.join) if self.join else self.inside


def parts(graph: Graph) -> tuple[Part, ...]:
    """The graph's blocks in order; only the last may be without a join."""
    joins = frozenset(articulation_ops(graph))
    found: list[Part] = []
    before = ""
    for block in blocks(graph):
        join = block[-1] if block[-1] in joins else ""
        found.append(Part(before=before, inside=block[:-1] if join else block, join=join))
        before = join
    return tuple(found)


def pieces(graph: Graph, inside: tuple[str, ...], *, fused: bool) -> tuple[tuple[int, ...], ...]:
    """What may run as one segment inside a block, as places in ``inside``: single operators first, then by length.

    Args:
        graph: The graph.
        inside: Operators between two articulation operators.
        fused: Whether stretches of branches are among them.
    """
    single = tuple((i,) for i in range(len(inside)))
    if not fused:
        return single
    place = {op: i for i, op in enumerate(inside)}
    chains: dict[str, list[int]] = {}
    for op in inside:
        before = graph.predecessors[op]
        joins = len(before) == 1 and before[0] in place and len(graph.successors[before[0]]) == 1
        chains[op] = chains[before[0]] if joins else []
        chains[op].append(place[op])
    distinct = {chain[0]: chain for chain in chains.values()}
    longer = [
        tuple(chain[start:end])
        for chain in distinct.values()
        for start in range(len(chain))
        for end in (*range(start + 2, min(start + LONG_PIECE, len(chain)) + 1), *_whole(start, len(chain)))
    ]
    return single + tuple(sorted(longer, key=lambda piece: (len(piece), piece)))


def _whole(start: int, length: int) -> tuple[int, ...]:
    """Where the whole of a long branch ends, for its first operator."""
    return (length,) if start == 0 and length > LONG_PIECE else ()
