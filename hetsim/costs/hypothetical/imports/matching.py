"""Which operators of a model the operators of a vendor's profile are.

The rules, in this order; a vendor's operator is matched by the first that finds something:

1. One of its candidate names is an operator's name. The format's reader has taken off what the vendor adds.
2. One of them is a tensor's name: it stands for the operator that makes the tensor, and for those before it that a
   compiler folds, as far as one of the vendor's operator type.
3. By order, if the caller asks for it: of each type of which the model and the profile have equally many operators
   left, the first is the first, and so on. Only right where the compiler runs operators in the model's order.

A model's operator that no rule found and that compilers fold (an activation, a reshape, ...) is fused into the operator
which makes its first input, if nothing else reads that. What remains is listed on both sides. A vendor's operator
without a match that only moves or converts tensors is *inserted*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hetsim.core.graph import Graph, Op
from hetsim.costs.hypothetical.imports.kinds import FOLDED, INSERTED, is_inserted, kind_class
from hetsim.io.vendor_profiles.records import OpTime

By = Literal["names", "order"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """Operators of a profile and of a model.

    Attributes:
        ops_of: By the name of a matched operator of the profile, the model's operators, the one that counts first.
        fused: By an operator of the model, the matched one that it is fused into.
        inserted: Operators of the profile that only move or convert tensors, in its order.
        unmatched: Other operators of the profile that are none of the model's, in its order.
        untimed: Operators of the model that have no time, in the model's order.
        num_by_order: Of the matched ones, how many by order alone.
    """

    ops_of: Mapping[str, tuple[str, ...]]
    fused: Mapping[str, str]
    inserted: tuple[str, ...]
    unmatched: tuple[str, ...]
    untimed: tuple[str, ...]
    num_by_order: int = 0


def match(profiled: Sequence[OpTime], graph: Graph, *, by: By = "names") -> Matching:
    """Match the operators of a profile, each name once, to those of a model."""
    ops_of: dict[str, tuple[str, ...]] = {}
    left: list[OpTime] = []
    for op in profiled:
        found = _by_name(op, graph)
        if found:
            ops_of[op.name] = found
        else:
            left.append(op)
    taken = {name for names in ops_of.values() for name in names}
    num_by_order = 0
    if by == "order":
        pairs = _by_order(left, [op for op in graph.ops if op.name not in taken])
        num_by_order = len(pairs)
        ops_of |= {name: (op,) for name, op in pairs.items()}
        left = [op for op in left if op.name not in pairs]
        taken.update(pairs.values())
    fused = {name: names[0] for names in ops_of.values() for name in names[1:]}
    fused |= _folded(graph, taken, fused)
    return Matching(
        ops_of=ops_of,
        fused=fused,
        inserted=tuple(op.name for op in left if is_inserted(op.kind)),
        unmatched=tuple(op.name for op in left if not is_inserted(op.kind)),
        untimed=tuple(op.name for op in graph.ops if op.name not in taken and op.name not in fused),
        num_by_order=num_by_order,
    )


def _by_name(op: OpTime, graph: Graph) -> tuple[str, ...]:
    """The model's operators that a vendor's operator names, the one that counts first; or none."""
    named = [name for name in op.candidates if name in graph.by_name and _same_kind(op.kind, graph.by_name[name])]
    if named:
        together = dict.fromkeys(sorted(named, key=graph.position.__getitem__))
        return tuple(together) if ";" in op.name else (named[0],)
    for name in op.candidates:
        if name in graph.producer:
            chain = _back_to(op.kind, graph.by_name[graph.producer[name]], graph)
            if chain:
                return chain
    return ()


def _same_kind(kind: str, op: Op) -> bool:
    """Whether a vendor's operator may be one of the model's; only what is inserted borrows names of other types."""
    return kind_class(kind) != INSERTED or any(kind_class(own) == INSERTED for own in op.kinds)


def _back_to(kind: str, op: Op, graph: Graph) -> tuple[str, ...]:
    """The operators from one of a type down to ``op``, which follow it and are folded; none if there is no such."""
    chain = [op]
    while kind and kind_class(kind) not in map(kind_class, chain[-1].kinds):
        before = graph.producer.get(chain[-1].inputs[0]) if chain[-1].inputs else None
        if before is None or chain[-1].kind not in FOLDED:
            return ()
        chain.append(graph.by_name[before])
    return tuple(one.name for one in reversed(chain))


def _by_order(profiled: Iterable[OpTime], ops: Iterable[Op]) -> dict[str, str]:
    """By a vendor's operator, the model's at the same place among those of its type, where both have as many."""
    theirs: dict[str, list[str]] = {}
    ours: dict[str, list[str]] = {}
    for one in profiled:
        if not is_inserted(one.kind):
            theirs.setdefault(kind_class(one.kind), []).append(one.name)
    for op in ops:
        ours.setdefault(kind_class(op.kind), []).append(op.name)
    return {
        name: op
        for kind, names in theirs.items()
        if kind and len(names) == len(ours.get(kind, ()))
        for name, op in zip(names, ours[kind], strict=True)
    }


def _folded(graph: Graph, taken: set[str], fused: Mapping[str, str]) -> dict[str, str]:
    """By an operator without a time that compilers fold, the one with a time that it is fused into."""
    host = {name: fused.get(name, name) for name in taken}
    found: dict[str, str] = {}
    given = frozenset(graph.outputs)
    for op in graph.ops:
        if op.name in host or op.kind not in FOLDED or not op.inputs:
            continue
        tensor = op.inputs[0]
        maker = graph.producer.get(tensor)
        if maker in host and graph.consumers[tensor] == (op.name,) and tensor not in given:
            found[op.name] = host[op.name] = host[maker]
    return found
