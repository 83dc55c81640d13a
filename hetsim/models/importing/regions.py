"""Regions: operators that must stay together, since shared memory cannot hold what flows between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import networkx as nx
import onnx

from hetsim.models.nodes import names_read


def find_regions(nodes: Sequence[onnx.NodeProto], crosses: Callable[[str], bool]) -> tuple[tuple[int, ...], ...]:
    """The nodes in groups, in topological order; a group of several nodes is a region.

    A tensor that cannot cross from one segment to another ties its maker to all its readers. A region also holds every
    operator on a path that leaves it and comes back, so that it can run as one.

    Args:
        nodes: The nodes in topological order.
        crosses: By tensor that a node makes, whether shared memory can hold it: its size is known, and its elements are
            numbers.

    Returns:
        The indices of each group's nodes, ascending.
    """
    maker = {tensor: i for i, node in enumerate(nodes) for tensor in filter(None, node.output)}
    edges = [
        (maker[tensor], i, tensor) for i, node in enumerate(nodes) for tensor in names_read(node) if tensor in maker
    ]
    tied = nx.Graph()
    tied.add_nodes_from(range(len(nodes)))
    tied.add_edges_from((i, j) for i, j, tensor in edges if not crosses(tensor))
    if not tied.number_of_edges():
        return tuple((i,) for i in range(len(nodes)))
    group_of = {i: number for number, members in enumerate(nx.connected_components(tied)) for i in members}
    flow = nx.DiGraph()
    flow.add_nodes_from(group_of.values())
    flow.add_edges_from((group_of[i], group_of[j]) for i, j, _ in edges if group_of[i] != group_of[j])
    # Groups on a cycle of groups are one region: a path leaves one of them and comes back.
    whole = nx.condensation(flow)
    place = whole.graph["mapping"]
    members: dict[int, list[int]] = {}
    for i in range(len(nodes)):
        members.setdefault(place[group_of[i]], []).append(i)
    order = nx.lexicographical_topological_sort(whole, key=lambda number: members[number][0])
    return tuple(tuple(members[number]) for number in order)
