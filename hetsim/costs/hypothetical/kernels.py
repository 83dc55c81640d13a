"""Kernels of a segment: what a device runs as one, an operator and those that its compiler folds into it."""

from __future__ import annotations

from collections.abc import Collection

from hetsim.core.graph import Graph

Kernel = tuple[str, ...]


def kernels(graph: Graph, ops: tuple[str, ...], folded_ops: Collection[str]) -> list[Kernel]:
    """The kernels of a segment in an order in which they can run, which is the order of their last operators.

    An operator of ``folded_ops`` is folded into the kernel that produces one of its inputs, the first possible one in
    the order of its inputs. This needs a producer with no other output, and a tensor that has no other reader and is
    not an output of the model. The tensor between the two then never leaves the multipliers.

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
