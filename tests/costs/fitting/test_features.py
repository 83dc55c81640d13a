"""What the time of a segment is made of: terms of operators, of shared tensors, of parts of operators."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.graph import Graph
from hetsim.core.plan import Split
from hetsim.costs.fitting.features import RADII, Neighbourhood, copy_terms, part_terms, sharing_terms
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
    i, mask = graph.position[op], graph.mask(segment)
    return [term for radius in RADII for term in around.terms(i, mask, radius)]


def expected_s(found: list[Term]) -> float:
    """What the priors say of the terms' sum."""
    return sum(term.value * term.mean for term in found)


@pytest.mark.equation("features")
def test_an_operator_alone_is_expected_to_take_its_time_alone() -> None:
    found = terms("conv", "conv")
    assert expected_s(found) == 4.0
    # One coefficient for all of a kind alone, and one of its own by radius: nothing of a border.
    assert [term.key[0] for term in found] == ["alone", 1, 2, 4]  # type: ignore[index]
    assert {term.value for term in found} == {4.0}
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
    def at_border(op: str, *segment: str) -> dict[object, float]:
        wanted = ("made outside", "read outside", "border", "wider border")
        return {t.key[0]: t.value for t in terms(op, *segment) if t.key[0] in wanted}  # type: ignore[index]

    assert at_border("relu", "conv", "relu") == {"made outside": 30, "border": 30, "wider border": 30}
    assert at_border("relu", "relu", "pool") == {
        "read outside": 100,
        "made outside": 30,
        "border": 130,
        "wider border": 130,
    }
    assert at_border("relu", "conv", "relu", "pool", "add") == {}
    # The model's own input and output: what nobody made is not read at a border, what nobody reads is made there.
    assert at_border("conv", "conv", "relu") == {}
    assert at_border("add", "relu", "add") == {"read outside": 7, "made outside": 2, "border": 9, "wider border": 9}


@pytest.mark.equation("features")
def test_operators_of_a_kind_share_terms_as_far_as_their_neighbours_are_alike() -> None:
    names = [f"{kind.lower()}{i}" for i in range(4) for kind in ("Conv", "Relu")]
    before = [(), *((name,) for name in names)]
    kinds = {name: "Conv" if "conv" in name else "Relu" for name in names}
    graph = graph_of(dict(zip(names, before, strict=False)), kinds=kinds)

    def keys(op: str, *segment: str) -> set[object]:
        return {term.key for term in terms(op, *segment, graph=graph)}

    inner, other = keys("relu1", "conv1", "relu1"), keys("relu0", "conv0", "relu0")
    assert {key[0] for key in inner & other} == {  # type: ignore[index]
        *("kind", "pattern", "wider"),
        *("made outside", "border", "wider border"),
    }
    # Those of the operator itself are its own, but the same in another segment that is alike near it.
    assert keys("relu0", "conv0", "relu0", "relu3") == other
    # With another operator two steps away, those that look no further are the same.
    assert {key[0] for key in inner & keys("relu1", "relu0", "conv1", "relu1")} == {  # type: ignore[index]
        *("kind", "pattern", "made outside", "border"),
        1,
    }


@given(graph=graphs(), data=st.data())
@pytest.mark.equation("features")
def test_terms_depend_on_the_segment_within_the_radius_alone(graph: Graph, data: st.DataObject) -> None:
    around = Neighbourhood(graph, {op.name: 1.0 for op in graph.ops})
    mask = data.draw(st.integers(1, 2 ** len(graph.ops) - 1))
    for i in range(len(graph.ops)):
        for radius in RADII if mask >> i & 1 else ():
            near = around.near[radius][i]
            assert list(around.terms(i, mask, radius)) == list(around.terms(i, mask & near, radius))
            steps = {i}
            for _ in range(radius):
                steps |= {
                    graph.position[other]
                    for j in steps
                    for other in (
                        *graph.predecessors[graph.ops[j].name],
                        *graph.successors[graph.ops[j].name],
                    )
                }
            assert near == sum(1 << j for j in steps)


@pytest.mark.equation("sharing")
def test_a_shared_tensor_is_expected_to_cost_what_calibration_says() -> None:
    read = list(sharing_terms(SharedTensor(False, 1000, "Conv", "t"), 1e-9))
    assert expected_s(read) == pytest.approx(1e-6)
    # Reading and making have nothing in common; tensors of one kind, and all, have.
    made = {term.key for term in sharing_terms(SharedTensor(True, 1000, "Conv", "t"), 1e-9)}
    assert made.isdisjoint(term.key for term in read)
    others = {term.key for term in sharing_terms(SharedTensor(False, 10, "Conv", "u"), 1e-9)}
    assert len(others & {term.key for term in read}) == 3
    assert [term.value for term in read] == [1.0, 1000, 1000, 1000]


@pytest.mark.equation("parts")
def test_parts_of_operators_are_expected_to_lose_a_little() -> None:
    assert expected_s(list(part_terms("conv", "Conv", 0.5, 2.0))) == pytest.approx(0.03 * 2.0)
    assert expected_s(list(part_terms("conv", "Conv", 1.0, 2.0))) == 0.0
    assert expected_s(list(copy_terms(4000))) == pytest.approx(4000 / COPY_BYTES_PER_S)


def test_what_a_part_makes_is_a_part_of_the_base_s_tensor() -> None:
    # Convolutions of 3 x 3 on 8 rows: the upper part of the first two slices rows of the image.
    model = stack(3, 3, 1)
    found = rewrite(model, (Split(("conv0", "conv1"), "rows", (4,)),)).model
    made, cut = "conv1[rows 0:4]", "slice t0[rows 0:6]"
    (tensor,), (sliced,) = (found.graph.by_name[op].outputs for op in (made, cut))
    (whole,) = model.graph.by_name["conv1"].outputs
    assert shared_tensor(found, tensor, is_made=True) == SharedTensor(True, 4 * 4 * 5 * 4, "Conv", whole)
    # What is sliced for a part is a tensor of its own.
    assert shared_tensor(found, sliced, is_made=False) == SharedTensor(False, 4 * 6 * 5 * 4, "Conv", sliced)


def test_a_tensor_is_described_by_the_operator_on_the_segment_s_side() -> None:
    model = stack(3, 3, 1)
    tensor = model.graph.by_name["conv2"].outputs[0]
    num_bytes = model.graph.tensors[tensor].num_bytes
    assert shared_tensor(model, tensor, is_made=True) == SharedTensor(True, num_bytes, "Conv", tensor)
    assert shared_tensor(model, tensor, is_made=False) == SharedTensor(False, num_bytes, "GlobalAveragePool", tensor)
