"""What the time of a segment is made of: terms of operators, of shared tensors, of parts of operators."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.graph import Graph
from hetsim.core.plan import Split
from hetsim.costs.fitting.features import Neighbourhood, copy_term, sharing_terms
from hetsim.costs.fitting.regression import Term
from hetsim.costs.fitting.shared_tensors import SharedTensor, shared_tensor
from hetsim.costs.parts import COPY_BYTES_PER_S
from hetsim.models.split.rewrite import rewrite
from tests.support.problems import graph_of, graphs
from tests.support.split_networks import stack

# conv feeds relu, which feeds pool and add; pool feeds add.
GRAPH = graph_of(
    {"conv": (), "relu": ("conv",), "pool": ("relu",), "add": ("relu", "pool")},
    kinds={"conv": "Conv", "relu": "Relu", "pool": "MaxPool", "add": "Add"},
    num_bytes={"conv": 100, "relu": 30, "pool": 7, "add": 2},
)
ALONE_S = {"conv": 4.0, "relu": 1.0, "pool": 2.0, "add": 0.5}


def terms(op: str, *segment: str, graph: Graph = GRAPH) -> list[Term]:
    """All terms of an operator in a segment."""
    around = Neighbourhood(graph, {name: ALONE_S.get(name, 1.0) for name in graph.position})
    return list(around.terms(graph.position[op], graph.mask(segment)))


def expected_s(found: list[Term]) -> float:
    """What the priors say of the terms' sum."""
    return sum(term.value * term.mean for term in found)


@pytest.mark.equation("features")
def test_an_operator_alone_is_expected_to_take_its_time_alone() -> None:
    found = terms("conv", "conv")
    assert expected_s(found) == 4.0
    # One coefficient for all of a kind alone, and nothing of a border.
    assert [(term.key, term.value) for term in found] == [(("alone", "Conv"), 4.0)]
    # Whatever else the segment has, if none of it is a neighbour.
    assert next(term.key for term in terms("conv", "conv", "pool")) == found[0].key


@pytest.mark.equation("features")
def test_cheap_operators_behind_others_are_expected_to_take_less() -> None:
    assert expected_s(terms("relu", "conv", "relu")) == pytest.approx(0.3 * 1.0)
    assert expected_s(terms("relu", "relu", "pool")) == pytest.approx(1.0)  # nothing is before it
    assert expected_s(terms("conv", "conv", "relu")) == pytest.approx(4.0)
    assert expected_s(terms("pool", "relu", "pool")) == pytest.approx(2.0)  # not cheap


@pytest.mark.equation("features")
def test_bytes_at_the_border_count_for_the_operator_there() -> None:
    def at_border(op: str, *segment: str) -> list[float]:
        return [term.value for term in terms(op, *segment) if term.key[0] == "border"]  # type: ignore[index]

    assert at_border("relu", "conv", "relu") == [30]
    assert at_border("relu", "relu", "pool") == [130]
    assert at_border("relu", "conv", "relu", "pool", "add") == []
    # The model's own input and output: what nobody made is not read at a border, what nobody reads is made there.
    assert at_border("conv", "conv", "relu") == []
    assert at_border("add", "relu", "add") == [9]


@pytest.mark.equation("features")
def test_operators_of_a_kind_share_terms_as_far_as_their_neighbours_are_alike() -> None:
    names = [f"{kind.lower()}{i}" for i in range(4) for kind in ("Conv", "Relu")]
    before = [(), *((name,) for name in names)]
    kinds = {name: "Conv" if "conv" in name else "Relu" for name in names}
    graph = graph_of(dict(zip(names, before, strict=False)), kinds=kinds)

    def keys(op: str, *segment: str) -> set[object]:
        return {term.key for term in terms(op, *segment, graph=graph)}

    inner = keys("relu1", "conv1", "relu1")
    assert keys("relu0", "conv0", "relu0") == inner
    assert keys("relu1", "conv1", "relu1", "relu3") == inner  # far away
    # With another operator two steps away, only those of the kind are the same.
    assert {key[0] for key in inner & keys("relu1", "relu0", "conv1", "relu1")} == {"kind"}  # type: ignore[index]


@given(graph=graphs(), data=st.data())
@pytest.mark.equation("features")
def test_terms_depend_on_the_segment_within_two_steps_alone(graph: Graph, data: st.DataObject) -> None:
    around = Neighbourhood(graph, {op.name: 1.0 for op in graph.ops})
    mask = data.draw(st.integers(1, 2 ** len(graph.ops) - 1))
    for i in (i for i in range(len(graph.ops)) if mask >> i & 1):
        near = around.near[i]
        assert list(around.terms(i, mask)) == list(around.terms(i, mask & near))
        steps = {i}
        for _ in range(2):
            names = [graph.ops[j].name for j in steps]
            beside = [other for name in names for other in (*graph.predecessors[name], *graph.successors[name])]
            steps |= {graph.position[other] for other in beside}
        assert near == sum(1 << j for j in steps)


@pytest.mark.equation("sharing")
def test_a_shared_tensor_is_expected_to_cost_what_calibration_says() -> None:
    read = list(sharing_terms(SharedTensor(False, 1000, "t"), 1e-9))
    assert expected_s(read) == pytest.approx(1e-6)
    # Reading and making have nothing in common; all tensors have.
    made = {term.key for term in sharing_terms(SharedTensor(True, 1000, "t"), 1e-9)}
    assert made.isdisjoint(term.key for term in read)
    others = {term.key for term in sharing_terms(SharedTensor(False, 10, "u"), 1e-9)}
    assert len(others & {term.key for term in read}) == 1
    assert [term.value for term in read] == [1000, 1000]


@pytest.mark.equation("parts")
def test_copies_are_expected_to_take_their_bytes() -> None:
    assert expected_s([copy_term(4000)]) == pytest.approx(4000 / COPY_BYTES_PER_S)


def test_what_a_part_makes_is_a_part_of_the_base_s_tensor() -> None:
    # Convolutions of 3 x 3 on 8 rows: the upper part of the first two slices rows of the image.
    model = stack(3, 3, 1)
    found = rewrite(model, (Split(("conv0", "conv1"), "rows", (4,)),)).model
    made, cut = "conv1[rows 0:4]", "slice t0[rows 0:6]"
    (tensor,), (sliced,) = (found.graph.by_name[op].outputs for op in (made, cut))
    (whole,) = model.graph.by_name["conv1"].outputs
    assert shared_tensor(found, tensor, is_made=True) == SharedTensor(True, 4 * 4 * 5 * 4, whole)
    # What is sliced for a part is a tensor of its own.
    assert shared_tensor(found, sliced, is_made=False) == SharedTensor(False, 4 * 6 * 5 * 4, sliced)


def test_a_tensor_is_described_by_its_side_size_and_name() -> None:
    model = stack(3, 3, 1)
    tensor = model.graph.by_name["conv2"].outputs[0]
    num_bytes = model.graph.tensors[tensor].num_bytes
    assert shared_tensor(model, tensor, is_made=True) == SharedTensor(True, num_bytes, tensor)
    assert shared_tensor(model, tensor, is_made=False) == SharedTensor(False, num_bytes, tensor)
