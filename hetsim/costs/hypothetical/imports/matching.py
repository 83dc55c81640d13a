"""Which operators of a model the operators of a vendor's profile are.

The rules, in this order:

1. A name of the profile is an operator's or a tensor's, which stands for the operator that makes it. The format's
   reader has taken off what the vendor adds.
2. If the operator of that name is of another type than the profile's, a kernel of several operators is called after its
   last one: those before it up to one of the profile's type belong to it, if nothing else reads them and they have no
   name in the profile. Kernels of no type of their own (OpenVINO's ``Subgraph``) hold all such operators.
3. By order, if the caller asks for it: of each type of which the model and the profile have equally many operators
   left, the first is the first, and so on. Only right where the compiler runs operators in the model's order.
4. A model's operator without a time that compilers fold (an activation, a reshape, a constant that is added, ...) is
   fused into the operator that makes its first input, if nothing else reads that. One that the profile lists as not run
   is fused into one that makes an input of it.

What remains is listed on both sides. A vendor's operator without a match that only moves or converts tensors is
*inserted*.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hetsim.core.graph import Graph, Op
from hetsim.costs.hypothetical.imports.fusing import folded, kernel_of
from hetsim.costs.hypothetical.imports.kinds import INSERTED, is_inserted, kind_class
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


def match(
    profiled: Sequence[OpTime], graph: Graph, *, by: By = "names", not_run: Collection[str] = frozenset()
) -> Matching:
    """Match the operators of a profile, each name once, to those of a model.

    Args:
        profiled: The operators.
        graph: The model's graph.
        by: Whether rule 3 applies.
        not_run: Names of what the profile lists without running it.
    """
    ends = {op.name: _named(op, graph) for op in profiled}
    taken = {name for names in ends.values() for name in names}
    ops_of: dict[str, tuple[str, ...]] = {}
    left: list[OpTime] = []
    for op in profiled:
        found = kernel_of(op, ends[op.name], graph, taken)
        if found:
            ops_of[op.name] = found
            taken.update(found)
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
    fused |= folded(graph, taken, fused, not_run)
    return Matching(
        ops_of=ops_of,
        fused=fused,
        inserted=tuple(op.name for op in left if is_inserted(op.kind)),
        unmatched=tuple(op.name for op in left if not is_inserted(op.kind)),
        untimed=tuple(op.name for op in graph.ops if op.name not in taken and op.name not in fused),
        num_by_order=num_by_order,
    )


def _named(op: OpTime, graph: Graph) -> tuple[str, ...]:
    """The model's operators that a vendor's operator names: one, several that its name joins, or none."""
    named = [name for name in op.candidates if name in graph.by_name and _same_kind(op.kind, graph.by_name[name])]
    if named:
        together = dict.fromkeys(sorted(named, key=graph.position.__getitem__))
        return tuple(together) if ";" in op.name else (named[0],)
    makers = [graph.producer[name] for name in op.candidates if name in graph.producer]
    return tuple(name for name in makers[:1] if _same_kind(op.kind, graph.by_name[name]))


def _same_kind(kind: str, op: Op) -> bool:
    """Whether a vendor's operator may be one of the model's; only what is inserted borrows names of other types."""
    return kind_class(kind) != INSERTED or any(kind_class(own) == INSERTED for own in op.kinds)


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
