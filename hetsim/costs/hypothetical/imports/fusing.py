"""Which operators of a model run as one kernel of a vendor's: rules 2 and 4 of :mod:`matching`."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hetsim.core.graph import Graph, Op
from hetsim.costs.hypothetical.imports.kinds import ADDING, FOLDED, WITHOUT_TYPE, kind_class
from hetsim.io.vendor_profiles.records import OpTime


def kernel_of(op: OpTime, named: tuple[str, ...], graph: Graph, taken: Collection[str]) -> tuple[str, ...]:
    """The model's operators that a vendor's operator runs, the one that counts first; none if the types do not fit.

    Args:
        op: The vendor's operator.
        named: The model's operators that it names.
        graph: The model's graph.
        taken: Operators that some operator of the profile names.
    """
    if len(named) != 1:
        return named
    end, kind = graph.by_name[named[0]], kind_class(op.kind)
    if not kind or kind in map(kind_class, end.kinds):
        return named
    if kind in WITHOUT_TYPE:
        return (end.name, *(name for name in _alone_before(end, graph, taken) if name != end.name))
    before = _alone_before(end, graph, taken, until=kind)
    begins = [name for name in before if kind in map(kind_class, graph.by_name[name].kinds)]
    if begins:
        return (begins[0], *(name for name in before if name != begins[0]))
    return named if end.name in op.candidates else ()


def folded(graph: Graph, taken: Collection[str], fused: Mapping[str, str], not_run: Collection[str]) -> dict[str, str]:
    """By an operator without a time, the one with a time that it is fused into.

    Args:
        graph: The model's graph.
        taken: Operators that have a time, or belong to a kernel that has one.
        fused: By those of the second sort, the one that has the time.
        not_run: Operators that the profile lists as not run; what alone leads to one of them belongs to it.
    """
    host = {name: fused.get(name, name) for name in taken}
    listed = {
        name for own in not_run if own in graph.by_name for name in _alone_before(graph.by_name[own], graph, taken)
    }
    found: dict[str, str] = {}
    for op in graph.ops:
        if op.name in host or not op.inputs:
            continue
        makers = [graph.producer[tensor] for tensor in op.inputs if graph.producer.get(tensor) in host]
        if makers and (op.name in listed or (_is_folded(op) and _reads_alone(op, graph))):
            last = max(makers, key=graph.position.__getitem__)
            found[op.name] = host[op.name] = host[last if op.name in listed else makers[0]]
    return found


def _is_folded(op: Op) -> bool:
    return op.kind in FOLDED or (op.kind in ADDING and len(op.inputs) == 1)


def _reads_alone(op: Op, graph: Graph) -> bool:
    """Whether the operator makes its first input from another operator's, which nobody else reads."""
    tensor = op.inputs[0]
    return tensor in graph.producer and graph.consumers[tensor] == (op.name,) and tensor not in graph.outputs


def _alone_before(end: Op, graph: Graph, taken: Collection[str], until: str = "") -> list[str]:
    """An operator and those before it that lead to it alone and are not taken, in the graph's order.

    Nothing before an operator of the class ``until`` is among them.
    """
    found = {end.name}
    for op in reversed(graph.ops[: graph.position[end.name]]):
        readers = [reader for tensor in op.outputs for reader in graph.consumers[tensor]]
        open_readers = [
            reader for reader in readers if not until or until not in map(kind_class, graph.by_name[reader].kinds)
        ]
        is_inside = readers and found.issuperset(readers) and not set(op.outputs) & set(graph.outputs)
        if op.name not in taken and is_inside and open_readers:
            found.add(op.name)
    return sorted(found, key=graph.position.__getitem__)
