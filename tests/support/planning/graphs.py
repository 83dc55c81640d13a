"""Small graphs with one output for each operator, by hand and drawn by Hypothesis."""

from __future__ import annotations

import networkx as nx
from hypothesis import strategies as st

from hetsim.core.graph import Graph, Op, Tensor


def graph_of(preds: dict[str, tuple[str, ...]], *, kinds: dict[str, str] | None = None, outputs: str = "") -> Graph:
    """A graph in which each operator reads one tensor of each of its predecessors, or the input where it has none.

    Without ``outputs`` the graph gives what nobody reads; with it, what the operators of these letters make.
    """
    read = {before for names in preds.values() for before in names}
    made = tuple(outputs) or tuple(name for name in preds if name not in read)
    ops = tuple(
        Op(
            name=name,
            kind=(kinds or {}).get(name, "Conv"),
            inputs=tuple(f"t{before}" for before in before_all) or ("x",),
            outputs=(f"t{name}",),
        )
        for name, before_all in preds.items()
    )
    tensors = {name: Tensor(name, (1, 2)) for name in ("x", *(f"t{name}" for name in preds))}
    return Graph(name="g", ops=ops, tensors=tensors, inputs=("x",), outputs=tuple(f"t{name}" for name in made))


DIAMOND = graph_of({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ("d",)})


@st.composite
def random_graphs(draw: st.DrawFn, max_ops: int = 8) -> Graph:
    """Graphs of up to ``max_ops`` operators with any edges, kinds, and extra outputs."""
    names = "abcdefghijkl"[: draw(st.integers(1, max_ops))]
    preds = {name: tuple(before for before in names[:i] if draw(st.booleans()))[-3:] for i, name in enumerate(names)}
    kinds = {name: draw(st.sampled_from(("Conv", "Relu", "Add"))) for name in names}
    extra = draw(st.sets(st.sampled_from(names), max_size=2))
    read = {before for before_all in preds.values() for before in before_all}
    return graph_of(preds, kinds=kinds, outputs="".join(n for n in names if n not in read or n in extra))


def as_networkx(graph: Graph) -> nx.DiGraph:
    edges = nx.DiGraph()
    edges.add_nodes_from(op.name for op in graph.ops)
    edges.add_edges_from((before, op.name) for op in graph.ops for before in graph.predecessors[op.name])
    return edges
