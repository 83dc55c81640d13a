"""Graphs: what they refuse, who feeds whom, and convexity against its definition."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.errors import ModelError
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


def test_tensor_sizes_follow_shape_and_type():
    assert Tensor("t", (1, 3, 224, 224)).num_bytes == 3 * 224 * 224 * 4
    assert Tensor("t", (), "float16").num_bytes == 2
    assert Tensor("t", (5, 0), "int64").num_bytes == 0


def test_neighbours_come_in_a_fixed_order():
    assert DIAMOND.predecessors["d"] == ("b", "c")
    assert DIAMOND.successors["a"] == ("b", "c")
    assert DIAMOND.consumers["ta"] == ("b", "c")
    assert DIAMOND.consumers["te"] == ()
    assert DIAMOND.producer == {f"t{op}": op for op in "abcde"}
    assert DIAMOND.ordered(["e", "a", "e", "c"]) == ("a", "c", "e")
    assert DIAMOND.mask(["a", "d"]) == 0b1001


def test_a_segment_gives_what_others_read_and_what_the_caller_gets():
    assert DIAMOND.inputs_of(["b", "d"]) == ("ta", "tc")
    assert DIAMOND.outputs_of(["a", "b"]) == ("ta", "tb")
    assert DIAMOND.outputs_of(["d", "e"]) == ("te",)
    assert DIAMOND.inputs_of("abcde") == ("x",)


@pytest.mark.parametrize(
    ("ops", "convex"), [("", True), ("ad", False), ("abd", False), ("abc", True), ("abcd", True), ("bc", True)]
)
def test_convexity_of_sets_in_a_diamond(ops, convex):
    assert DIAMOND.is_convex(ops) == convex


@given(graph=random_graphs(), data=st.data())
def test_convex_means_that_nothing_outside_lies_between(graph, data):
    ops = data.draw(st.sets(st.sampled_from([op.name for op in graph.ops])))
    edges = as_networkx(graph)
    between = {op for op in edges if nx.ancestors(edges, op) & ops and nx.descendants(edges, op) & ops}
    assert graph.is_convex(ops) == (between <= ops)


def _op(name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Op:
    return Op(name=name, kind="Relu", inputs=inputs, outputs=outputs)


@pytest.mark.parametrize(
    ("ops", "outputs", "message"),
    [
        ([_op("a", ("x",), ("y",)), _op("a", ("y",), ("z",))], ("z",), "two operators named 'a'"),
        ([_op("a", ("y",), ("z",)), _op("b", ("x",), ("y",))], ("z",), "'a' reads 'y' before anything makes it"),
        ([_op("a", ("x",), ("y",)), _op("b", ("x",), ("y",))], ("y",), "'y' is made twice, the second time by 'b'"),
        ([_op("a", ("x",), ("x",))], ("x",), "'x' is made twice"),
        ([_op("a", ("x",), ("y",))], ("z",), "says nothing about tensor 'z'"),
        ([_op("a", ("x",), ("w",))], ("w",), "says nothing about tensor 'w'"),
    ],
)
def test_malformed_graphs_are_refused(ops, outputs, message):
    tensors = {name: Tensor(name, (1,)) for name in "xyz"}
    with pytest.raises(ModelError, match=message):
        Graph(name="g", ops=tuple(ops), tensors=tensors, inputs=("x",), outputs=outputs)
