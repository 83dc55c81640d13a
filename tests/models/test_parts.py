"""Parts of a model side by side compute what they compute within it."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from hetsim.models.importer import import_model
from hetsim.models.model import random_inputs
from hetsim.models.nodes import names_read, rename_tensors
from hetsim.models.reference import evaluate
from hetsim.models.segments.parts import side_by_side
from tests.support.models import fork_join, model_of

MODEL = fork_join()


def test_each_operator_alone_computes_what_it_does_in_the_model() -> None:
    inputs = random_inputs(MODEL)
    values = inputs | evaluate(MODEL.proto, inputs, [op.outputs[0] for op in MODEL.graph.ops])
    parts = side_by_side(MODEL, [(op.name,) for op in MODEL.graph.ops])
    found = evaluate(parts.model.proto, parts.feed(values))
    assert len(found) == len(MODEL.graph.ops)
    for i, op in enumerate(MODEL.graph.ops):
        assert np.allclose(found[f"{i}/{op.outputs[0]}"], values[op.outputs[0]])


def test_parts_of_several_operators_and_the_same_one_twice() -> None:
    pair = side_by_side(MODEL, [("right", "right2"), ("left",)])
    assert pair.ops == (("0/right", "0/right2"), ("1/left",))
    inputs = random_inputs(pair.model)
    found = evaluate(pair.model.proto, inputs)
    assert np.allclose(found["1/l"], -inputs["1/s"])
    twice = side_by_side(MODEL, [("right",), ("right",)]).model
    assert set(twice.graph.inputs) == {"0/s", "1/s"}
    assert sum(op.weight_bytes for op in twice.graph.ops) == 2 * 256


def test_a_node_reads_what_its_inner_graphs_take_from_outside() -> None:
    branch = helper.make_graph(
        [helper.make_node("Add", ["outer", "own"], ["sum"])],
        "branch",
        [],
        [helper.make_tensor_value_info("sum", onnx.TensorProto.FLOAT, [1])],
        [helper.make_tensor("own", onnx.TensorProto.FLOAT, [1], [1.0])],
    )
    node = helper.make_node("If", ["condition"], ["y"], then_branch=branch, else_branch=branch)
    assert names_read(node) == ("condition", "outer")
    rename_tensors(node, lambda name: {"outer": "0/outer", "y": "0/y"}.get(name, name))
    assert names_read(node) == ("condition", "0/outer")
    assert node.output == ["0/y"]


def test_a_region_stays_one_operator() -> None:
    nodes = [
        helper.make_node("Neg", ["x"], ["a"], name="neg"),
        helper.make_node("SplitToSequence", ["a"], ["s"], name="split", axis=0),
        helper.make_node("ConcatFromSequence", ["s"], ["y"], name="join", axis=0),
    ]
    model = import_model(model_of(nodes, shape=[4, 2]), name="sequence")
    neg, region = model.graph.ops
    assert len(region.kinds) == 2
    pair = side_by_side(model, [(neg.name,), (region.name,)])
    assert [op.kind for op in pair.model.graph.ops] == ["Neg", region.kind]
    assert [node.op_type for node in pair.model.nodes_of(pair.ops[1][0])] == list(region.kinds)
    inputs = random_inputs(pair.model)
    found = evaluate(pair.model.proto, inputs)
    assert np.allclose(found[f"1/{region.outputs[0]}"], inputs["1/a"])
