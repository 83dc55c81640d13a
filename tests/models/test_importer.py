"""Importing models: what comes out of a good one, and what is said of a bad one."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from hetsim.core.graph import Tensor
from hetsim.models.importer import import_model
from hetsim.models.model import random_inputs
from hetsim.models.reference import evaluate
from tests.support.models import FLOAT, RELU, model_of, small_net, weight


def test_a_small_net_is_folded_named_and_counted():
    proto = small_net()
    before = proto.SerializeToString()
    model = import_model(proto, name="small")
    assert proto.SerializeToString() == before
    assert model.name == "small"
    assert [(op.name, op.kind) for op in model.graph.ops] == [
        ("conv", "Conv"),
        ("Relu_c", "Relu"),
        ("Mul_y", "Mul"),
    ]
    conv, relu, mul = model.graph.ops
    assert conv.num_macs == (8 * 6 * 6) * (4 * 3 * 3)
    assert conv.weight_bytes == 4 * (8 * 4 * 3 * 3 + 8)  # the folded normalisation leaves a bias
    assert (relu.num_macs, relu.weight_bytes, mul.weight_bytes) == (0, 0, 4 * 8)
    assert conv.inputs == ("x",)
    assert mul.inputs == relu.outputs
    assert model.graph.tensors["y"] == Tensor("y", (1, 8, 6, 6), "float32")
    inputs = random_inputs(model)
    np.testing.assert_allclose(evaluate(model.proto, inputs)["y"], evaluate(proto, inputs)["y"], rtol=1e-5, atol=1e-5)


def test_the_proto_keeps_its_promises():
    proto = small_net()
    for tensor in proto.graph.initializer:  # as it had to be before IR version 4
        proto.graph.input.append(helper.make_tensor_value_info(tensor.name, FLOAT, tensor.dims))
    proto.ir_version = 3
    model = import_model(proto, name="small")
    graph = model.proto.graph
    onnx.checker.check_model(model.proto, full_check=True)
    assert model.proto.ir_version >= 8
    assert [(entry.domain, entry.version) for entry in model.proto.opset_import] == [("", 17)]
    assert [node.name for node in graph.node] == [op.name for op in model.graph.ops]
    assert [value.name for value in graph.input] == ["x"]
    for value in (*graph.value_info, *graph.output):
        assert tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) == model.graph.tensors[value.name].shape
    assert {value.name for value in graph.value_info} | {"x", "y"} == set(model.graph.tensors)


def test_missing_and_repeated_names_are_made_up():
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "same"),
        helper.make_node("Sigmoid", ["a"], ["b"], "same"),
        helper.make_node("Tanh", ["b"], ["c"]),
        helper.make_node("Abs", ["c"], ["d"], "Exp_y"),
        helper.make_node("Exp", ["d"], ["y"]),
    ]
    model = import_model(model_of(nodes), name="m")
    assert [op.name for op in model.graph.ops] == ["Relu_a", "Sigmoid_b", "Tanh_c", "Exp_y", "Exp_y_"]


@pytest.mark.parametrize(
    ("node", "shape", "shapes", "num_macs"),
    [
        (helper.make_node("Conv", ["x", "w"], ["y"], group=2), (1, 4, 6, 6), (8, 2, 3, 3), 8 * 4 * 4 * 2 * 9),
        (helper.make_node("ConvTranspose", ["x", "w"], ["y"]), (1, 4, 6, 6), (4, 5, 3, 3), 4 * 36 * 5 * 9),
        (helper.make_node("Gemm", ["x", "w"], ["y"], transB=1), (2, 3), (5, 3), 2 * 3 * 5),
        (helper.make_node("Gemm", ["x", "w"], ["y"], transA=1), (3, 2), (3, 5), 2 * 3 * 5),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), (7, 2, 3), (3, 5), 7 * 2 * 3 * 5),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), (3,), (7, 3, 5), 7 * 3 * 5),
        (helper.make_node("Add", ["x", "w"], ["y"]), (2, 3), (3,), 0),
    ],
)
def test_multiply_accumulates(node, shape, shapes, num_macs):
    model = import_model(model_of([node], shape=shape, weights=[weight("w", *shapes)]), name="m")
    assert sum(op.num_macs for op in model.graph.ops) == num_macs


def test_an_old_model_keeps_its_opset():
    nodes = [
        helper.make_node("Dropout", ["x"], ["a"], ratio=0.5),
        helper.make_node("Squeeze", ["a"], ["b"], axes=[0]),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    model = import_model(model_of(nodes, opset=9), name="old")
    assert model.proto.opset_import[0].version == 9
    assert [op.kind for op in model.graph.ops] == ["Squeeze", "Relu"]
    assert model.graph.tensors["y"].shape == (4, 6, 6)


def test_functions_are_inlined():
    body = helper.make_function(
        "local", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    proto = model_of([helper.make_node("Twice", ["x"], ["y"], domain="local")])
    proto.functions.append(body)
    proto.opset_import.append(helper.make_opsetid("local", 1))
    assert [op.kind for op in import_model(proto, name="m").graph.ops] == ["Add"]


def test_an_output_may_be_a_constant_or_an_input():
    proto = model_of([*RELU, helper.make_node("Add", ["w", "w"], ["c"]), helper.make_node("Mul", ["x", "c"], ["z"])],
                     shape=(4,), weights=[weight("w", 4)])  # fmt: skip
    for name in ("c", "z", "x"):
        proto.graph.output.append(helper.make_tensor_value_info(name, FLOAT, None))
    model = import_model(proto, name="m")
    assert model.graph.outputs == ("y", "c", "z", "x")
    assert {op.kind: op.outputs for op in model.graph.ops} == {"Relu": ("y",), "Mul": ("z",), "Identity": ("c",)}
    assert model.graph.by_name["Identity_c"].inputs == ()
    inputs = random_inputs(model)
    values, expected = evaluate(model.proto, inputs), evaluate(proto, inputs)
    for name in model.graph.outputs:
        assert np.array_equal(values[name], expected[name])


def test_machine_learning_operators_are_of_the_standard_too():
    proto = model_of([helper.make_node("Binarizer", ["x"], ["b"], domain="ai.onnx.ml", threshold=0.5),
                      helper.make_node("Relu", ["b"], ["y"])], shape=(4,))  # fmt: skip
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    model = import_model(proto, name="m")
    assert [op.kind for op in model.graph.ops] == ["Binarizer", "Relu"]
    assert [(entry.domain, entry.version) for entry in model.proto.opset_import] == [("", 17), ("ai.onnx.ml", 3)]
