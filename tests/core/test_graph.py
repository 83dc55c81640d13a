"""Graphs: what they refuse, who feeds whom, and convexity against its definition."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.errors import ModelError
from hetsim.core.graph import Graph, Op, Tensor
from tests.support.planning.graphs import DIAMOND, as_networkx, random_graphs


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
        ([_op("a", ("y",), ("z",)), _op("b", ("x",), ("y",))], ("z",), "'a' reads 'y' before any operator makes it"),
        ([_op("a", ("x",), ("y",)), _op("b", ("x",), ("y",))], ("y",), "'y' is made twice, the second time by 'b'"),
        ([_op("a", ("x",), ("x",))], ("x",), "'x' is made twice"),
        ([_op("a", ("x",), ("y",))], ("z",), "has no tensor 'z': no operator makes it"),
        ([_op("a", ("x",), ("w",))], ("w",), "has no tensor 'w'"),
    ],
)
def test_malformed_graphs_are_refused(ops, outputs, message):
    tensors = {name: Tensor(name, (1,)) for name in "xyz"}
    with pytest.raises(ModelError, match=message):
        Graph(name="g", ops=tuple(ops), tensors=tensors, inputs=("x",), outputs=outputs)


def test_a_label_shows_the_first_operator_that_computes():
    ops = (
        Op(name="cut", kind="Slice", inputs=("x",), outputs=("s",), role="slice"),
        Op(name="slice of life", kind="Slice", inputs=("s",), outputs=("y",)),
    )
    tensors = {name: Tensor(name, (1, 2)) for name in "xsy"}
    graph = Graph(name="g", ops=ops, tensors=tensors, inputs=("x",), outputs=("y",))
    assert graph.label(("cut", "slice of life")) == "slice of life +1"
    assert graph.label(("slice of life",)) == "slice of life"
    assert graph.label(("cut",)) == "cut"
