"""Partitions: closed forms on small graphs, and what holds for all of them on random ones."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.graph import Graph, Op, Tensor
from hetsim.models.structure import articulation_ops, blocks, branch_levels, branches, fused_chains, runs
from tests.support.planning.graphs import DIAMOND, as_networkx, graph_of, random_graphs

FIRE = graph_of(  # SqueezeNet's fire module between two pools
    {
        "p": (),
        "s": ("p",),
        "r": ("s",),
        "u": ("r",),
        "v": ("u",),
        "w": ("r",),
        "y": ("w",),
        "c": ("v", "y"),
        "q": ("c",),
    },
    kinds={"p": "MaxPool", "r": "Relu", "v": "Relu", "y": "Relu", "c": "Concat", "q": "MaxPool"},
)


def test_a_fire_module_by_hand():
    assert articulation_ops(FIRE) == ("p", "s", "r", "c", "q")
    assert blocks(FIRE) == (("p",), ("s",), ("r",), ("u", "v", "w", "y", "c"), ("q",))
    assert branches(FIRE) == (("p", "s", "r"), ("u", "v"), ("w", "y"), ("c", "q"))
    assert branch_levels(FIRE) == ((("p", "s", "r"),), (("u", "v"), ("w", "y")), (("c", "q"),))
    assert fused_chains(FIRE) == (("p",), ("s", "r"), ("u", "v"), ("w", "y"), ("c",), ("q",))


def test_a_shortcut_leaves_its_end_points_only():
    graph = graph_of({"a": (), "b": ("a",), "c": ("b",), "d": ("c", "a")}, kinds={"d": "Add"})
    assert articulation_ops(graph) == ("a", "d")
    assert branches(graph) == (("a",), ("b", "c"), ("d",))
    assert fused_chains(graph) == (("a",), ("b",), ("c",), ("d",))  # d adds two tensors: it is no one's tail


def test_an_activation_of_several_operators_is_in_the_chain_of_what_it_activates():
    kinds = {"h": "HardSigmoid", "m": "Mul", "e": "Erf", "n": "Mul", "s": "Sigmoid"}
    graph = graph_of({"a": (), "h": ("a",), "m": ("a", "h"), "b": ("m",)}, kinds=kinds)  # x * hard sigmoid(x)
    assert fused_chains(graph) == (("a", "h", "m"), ("b",))
    graph = graph_of({"a": (), "e": ("a",), "n": ("e", "a"), "m": ("n",), "b": ("m",)}, kinds=kinds)  # GELU
    assert fused_chains(graph) == (("a", "e", "n", "m"), ("b",))
    graph = graph_of({"a": (), "s": ("a",), "m": ("a", "s"), "b": ("m", "a")}, kinds=kinds)  # b reads what a makes
    assert fused_chains(graph) == (("a",), ("s",), ("m",), ("b",))
    graph = graph_of({"h": (), "s": ("h",), "m": ("h", "s")}, kinds=kinds)  # nothing here costs much
    assert fused_chains(graph) == (("h",), ("s",), ("m",))
    graph = graph_of({"a": (), "p": ("a",), "s": ("p",), "m": ("a", "s")}, kinds=kinds)  # p costs something
    assert fused_chains(graph) == (("a",), ("p", "s"), ("m",))


def test_a_second_input_passes_by_what_comes_before_it():
    ops = (
        Op(name="a", kind="Conv", inputs=("x",), outputs=("ta",)),
        Op(name="b", kind="Add", inputs=("ta", "y"), outputs=("tb",)),
        Op(name="c", kind="Relu", inputs=("tb",), outputs=("tc",)),
    )
    tensors = {name: Tensor(name, (1,)) for name in ("x", "y", "ta", "tb", "tc")}
    graph = Graph(name="g", ops=ops, tensors=tensors, inputs=("x", "y"), outputs=("tc",))
    assert articulation_ops(graph) == ("b", "c")
    assert blocks(graph) == (("a", "b"), ("c",))
    assert branches(graph) == (("a", "b", "c"),)


def test_an_early_output_passes_by_what_comes_after_it():
    chain = {"a": (), "b": ("a",), "c": ("b",)}
    assert articulation_ops(graph_of(chain)) == ("a", "b", "c")
    graph = graph_of(chain, outputs="bc")
    assert articulation_ops(graph) == ("a", "b")
    assert blocks(graph) == (("a",), ("b",), ("c",))


def test_unrelated_chains_have_no_articulation_and_make_one_block():
    graph = graph_of({"a": (), "b": (), "c": ("a",), "d": ("b",)})
    assert articulation_ops(graph) == ()
    assert blocks(graph) == (("a", "b", "c", "d"),)
    assert branch_levels(graph) == ((("a", "c"), ("b", "d")),)


def test_runs_join_consecutive_parts():
    assert runs(blocks(DIAMOND), 2) == (("a", "b", "c", "d"), ("e",))
    assert runs(blocks(DIAMOND), 9) == (("a", "b", "c", "d", "e"),)
    assert runs((), 3) == ()
    with pytest.raises(ValueError, match="length must be >= 1, got 0"):
        runs(blocks(DIAMOND), 0)


@given(graph=random_graphs(), length=st.integers(1, 4))
def test_partitions_are_complete_disjoint_convex_and_ordered(graph, length):
    level_parts = tuple(branch for level in branch_levels(graph) for branch in level)
    assert sorted(level_parts) == sorted(branches(graph))
    for parts in (fused_chains(graph), branches(graph), blocks(graph), runs(blocks(graph), length)):
        assert sorted(op for part in parts for op in part) == sorted(op.name for op in graph.ops)
        assert all(part and graph.is_convex(part) and part == graph.ordered(part) for part in parts)
        starts = [graph.position[part[0]] for part in parts]
        assert starts == sorted(starts)


@given(graph=random_graphs())
def test_articulation_ops_are_those_whose_removal_cuts_every_path(graph):
    edges = as_networkx(graph)
    for op in graph.ops:
        if "x" in op.inputs:
            edges.add_edge("source", op.name)
        if op.outputs[0] in graph.outputs:
            edges.add_edge(op.name, "sink")
    cuts = (op.name for op in graph.ops if not nx.has_path(nx.restricted_view(edges, [op.name], []), "source", "sink"))
    assert articulation_ops(graph) == tuple(cuts)


@given(graph=random_graphs())
def test_everything_else_comes_before_or_after_an_articulation_op(graph):
    edges = as_networkx(graph)
    for op in articulation_ops(graph):
        assert {op} | nx.ancestors(edges, op) | nx.descendants(edges, op) == set(edges)


@given(graph=random_graphs())
def test_branches_are_maximal_and_their_levels_are_longest_paths(graph):
    home = {op: branch for branch in branches(graph) for op in branch}
    quotient = nx.DiGraph()
    quotient.add_nodes_from(branches(graph))
    for op in graph.ops:
        for before in graph.predecessors[op.name]:
            alone = len(graph.predecessors[op.name]) == len(graph.successors[before]) == 1
            assert (home[before] == home[op.name]) == alone
            if not alone:
                quotient.add_edge(home[before], home[op.name])
    for depth, level in enumerate(branch_levels(graph)):
        for branch in level:
            above = quotient.subgraph({branch} | nx.ancestors(quotient, branch))
            assert nx.dag_longest_path_length(above) == depth
