"""Partitions of a graph's operators into parts that can each run as one unit.

Every partition holds all operators once. Parts are convex, their operators are in topological order, and parts are in
the order of their first operators. Branch extraction follows PartitionTuner (Yu et al., ETRI Journal 45(2), 2023).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hetsim.core.graph import Graph

Parts = tuple[tuple[str, ...], ...]

# fmt: off
CHEAP_KINDS = frozenset((
    "Abs", "Add", "BatchNormalization", "Cast", "Celu", "Clip", "Div", "Dropout",
    "Elu", "Erf", "Exp", "Flatten", "Gelu", "HardSigmoid", "HardSwish", "Identity",
    "LeakyRelu", "Log", "Mish", "Mul", "Neg", "Not", "PRelu", "Pow",
    "Reciprocal", "Relu", "Reshape", "Round", "Selu", "Sigmoid", "Softplus", "Sqrt",
    "Squeeze", "Sub", "Sum", "Tanh", "ThresholdedRelu", "Unsqueeze",
))
# fmt: on
"""Kinds that cost little compared with the operator before them: elementwise, or without arithmetic."""


def articulation_ops(graph: Graph) -> tuple[str, ...]:
    """Operators through which every path from the graph's inputs to its outputs passes, in topological order.

    An operator is one of them if and only if no edge passes over it in topological order, so one sweep finds them all.
    A path starts at an operator that reads an input of the graph, or nothing. It ends at an operator that makes an
    output of the graph, or that no other reads.
    """
    inputs, outputs = frozenset(graph.inputs), frozenset(graph.outputs)
    starts = (
        i for i, op in enumerate(graph.ops) if not graph.predecessors[op.name] or not inputs.isdisjoint(op.inputs)
    )
    reach = max(starts, default=0)  # the last position that an edge from before the current operator reaches
    found: list[str] = []
    for i, op in enumerate(graph.ops):
        if reach <= i:
            found.append(op.name)
        after = graph.successors[op.name]
        ends = not after or not outputs.isdisjoint(op.outputs)
        reach = max(reach, len(graph.ops) if ends else graph.position[after[-1]])
    return tuple(found)


def fused_chains(graph: Graph) -> Parts:
    """Each operator with the cheap operators that follow it, as engines fuse a convolution and its activation.

    Operators of :data:`CHEAP_KINDS` join a chain if they read nothing else and only the last operator is read from
    outside. So an activation of several operators, such as x * sigmoid(x), is in one chain with what makes its x. A
    chain that begins with a cheap operator ends where it forks.
    """
    chains: list[tuple[str, ...]] = []
    taken: set[str] = set()
    for op in graph.ops:
        if op.name not in taken:
            chains.append(_with_cheap_ones(graph, op.name))
            taken.update(chains[-1])
    return tuple(chains)


def _with_cheap_ones(graph: Graph, first: str) -> tuple[str, ...]:
    """An operator with as many cheap ones behind it as read nothing else and leave one exit."""
    inside, num_joined = [first], 1
    readers = dict.fromkeys(graph.successors[first])
    may_fork = graph.by_name[first].kind not in CHEAP_KINDS
    while may_fork or len(readers) == 1:
        ready = [op for op in readers if graph.by_name[op].kind in CHEAP_KINDS and _within(graph, op, inside)]
        if not ready:
            break
        op = min(ready, key=graph.position.__getitem__)
        inside.append(op)
        del readers[op]
        readers |= dict.fromkeys(graph.successors[op])
        others = frozenset(inside) - {op}
        if not any(others.intersection(graph.predecessors[reader]) for reader in readers):
            num_joined = len(inside)
    return tuple(inside[:num_joined])


def _within(graph: Graph, op: str, ops: Collection[str]) -> bool:
    return all(before in ops for before in graph.predecessors[op])


def branches(graph: Graph) -> Parts:
    """Maximal chains between forks and joins.

    An operator joins the branch of its predecessor if it has no other predecessor and is its only successor.
    """
    branch_of: dict[str, list[str]] = {}
    found: list[list[str]] = []
    for op in graph.ops:
        before = graph.predecessors[op.name]
        if len(before) == 1 and len(graph.successors[before[0]]) == 1:
            branch_of[op.name] = branch_of[before[0]]
        else:
            branch_of[op.name] = []
            found.append(branch_of[op.name])
        branch_of[op.name].append(op.name)
    return tuple(map(tuple, found))


def blocks(graph: Graph) -> Parts:
    """The operators after one articulation operator up to and including the next; the rest makes a last block.

    Blocks run one after the other by their dependencies: each starts only when the one before has ended.
    """
    ends = [graph.position[op] + 1 for op in articulation_ops(graph)]
    names = tuple(op.name for op in graph.ops)
    parts = (names[start:end] for start, end in zip([0, *ends], [*ends, len(names)], strict=True))
    return tuple(part for part in parts if part)


def branch_levels(graph: Graph) -> tuple[Parts, ...]:
    """Branches grouped by their depth in the graph of branches, the longest path to them from its sources.

    Branches of one level do not depend on each other and may run in parallel. Within a level they are in the order of
    :func:`branches`.
    """
    depth: dict[str, int] = {}
    levels: list[list[tuple[str, ...]]] = []
    for branch in branches(graph):
        level = max((depth[before] + 1 for before in graph.predecessors[branch[0]]), default=0)
        depth.update(dict.fromkeys(branch, level))
        levels.extend([] for _ in range(level + 1 - len(levels)))
        levels[level].append(branch)
    return tuple(tuple(level) for level in levels)


def runs(parts: Sequence[tuple[str, ...]], length: int) -> Parts:
    """Consecutive parts joined ``length`` at a time; the last run may be shorter.

    Runs of blocks are convex; runs of other partitions need not be.

    Raises:
        ValueError: If ``length`` is below 1.
    """
    if length < 1:
        raise ValueError(f"length must be >= 1, got {length}")
    return tuple(
        tuple(op for part in parts[start : start + length] for op in part) for start in range(0, len(parts), length)
    )
