"""What a device works on at one time: an operator, and those that its compiler works into it."""

from __future__ import annotations

from collections.abc import Collection

from hetsim.core.graph import Graph

Kernel = tuple[str, ...]


def kernels(graph: Graph, ops: tuple[str, ...], folded_ops: Collection[str]) -> list[Kernel]:
    """The kernels of a segment, in an order in which they can run: each runs where the last of its operators stands.

    An operator of ``folded_ops`` goes into the kernel that makes one of its inputs, the first such in its own order,
    if its maker makes nothing else, nobody else reads it, and the caller does not get it. The tensor between them then
    never leaves the multipliers.

    Args:
        graph: The graph.
        ops: The segment's operators in topological order.
        folded_ops: Kinds of operators.
    """
    head: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    given = frozenset(graph.outputs)
    for op in ops:
        host = op
        if graph.by_name[op].kind in folded_ops:
            for tensor in graph.by_name[op].inputs:
                maker = graph.producer.get(tensor)
                if (
                    maker in head
                    and graph.by_name[maker].outputs == (tensor,)
                    and graph.consumers[tensor] == (op,)
                    and tensor not in given
                ):
                    host = head[maker]
                    break
        head[op] = host
        members.setdefault(host, []).append(op)
    return sorted((tuple(own) for own in members.values()), key=lambda own: graph.position[own[-1]])
