"""Static shapes: sizes that a model leaves open, those that the caller gives, and those that follow."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from hetsim.core.errors import ModelError
from hetsim.models.importer import import_model
from tests.support.models import FLOAT, RELU, model_of


def test_the_caller_gives_open_sizes():
    model = import_model(model_of(RELU, shape=("batch", 3, None)), name="m", shapes={"x": (2, 3, 5)})
    assert model.graph.tensors["y"].shape == (2, 3, 5)


def test_a_symbol_means_the_same_for_all_inputs():
    proto = model_of([helper.make_node("Add", ["x", "z"], ["y"])], shape=("n", 3))
    proto.graph.input.append(helper.make_tensor_value_info("z", FLOAT, ("n", 3)))
    assert import_model(proto, name="m", shapes={"x": (2, 3)}).graph.tensors["z"].shape == (2, 3)


def test_a_whole_shape_wins_over_names():
    proto = model_of([helper.make_node("MatMul", ["x", "z"], ["y"])], shape=("n", 3))
    proto.graph.input.append(helper.make_tensor_value_info("z", FLOAT, ("m", "n")))
    assert import_model(proto, name="m", shapes={"x": (2, 3), "z": (3, 4)}).graph.tensors["y"].shape == (2, 4)


@pytest.mark.parametrize("name", ["?", "None", ""])
def test_dimensions_without_a_name_have_nothing_to_do_with_each_other(name):
    proto = model_of(RELU, shape=(1, name, name))
    assert import_model(proto, name="m", shapes={"x": (1, 3, 5)}).graph.tensors["y"].shape == (1, 3, 5)
    proto.graph.input.append(helper.make_tensor_value_info("z", FLOAT, (name,)))
    proto.graph.node.append(helper.make_node("Neg", ["z"], ["v"]))
    proto.graph.output.append(helper.make_tensor_value_info("v", FLOAT, None))
    with pytest.raises(ModelError, match=r"input 'z' of shape \(\?\) leaves dimension 0 \(\?\) open"):
        import_model(proto, name="m", shapes={"x": (1, 3, 5)})


@pytest.mark.parametrize(
    ("shape", "shapes", "message"),
    [
        (("batch", 3), {}, r"input 'x' of shape \(batch, 3\) leaves dimension 0 \(batch\) open.*--shape x=1,3$"),
        ((1, None), {}, r"dimension 1 \(\?\) open.*--shape x=1,1$"),
        ((0, 3), {}, r"dimension 0 \(\?\) open"),
        (None, {}, "input 'x' has no shape; give it one, such as --shape x=1,3,224,224"),
        (("n", 3), {"q": (1, 3)}, "--shape names input 'q', but the inputs are x"),
        (("n", 3), {"x": (1, 3, 5)}, r"--shape x=1,3,5 has 3 dimensions, but the input is \(n, 3\); give 2"),
        (("n", 3), {"x": (1, 4)}, r"--shape x=1,4 makes dimension 1 4, but the model fixes the input at \(n, 3\)"),
        (("n", 3), {"x": (-1, 3)}, "makes dimension 0 -1; sizes must not be negative"),
    ],
)
def test_shapes_that_are_open_or_do_not_fit(shape, shapes, message):
    with pytest.raises(ModelError, match=message):
        import_model(model_of(RELU, shape=shape), name="m", shapes=shapes)


def test_a_stated_shape_counts_where_it_depends_on_data():
    # Only the input's value says how long the output is; the model's word for it is 2 x 3.
    proto = model_of(
        [helper.make_node("Reshape", ["x", "s"], ["r"]), helper.make_node("Relu", ["r"], ["y"])], shape=(6,)
    )
    proto.graph.input.append(helper.make_tensor_value_info("s", TensorProto.INT64, (2,)))
    assert import_model(proto, name="m").graph.tensors["y"].is_opaque
    told = {"r": onnx.ModelProto(), "y": onnx.ModelProto()}
    for name, model_told in told.items():  # a rectifier keeps shapes: who knows its output's knows its input's
        model_told.CopyFrom(proto)
        value = helper.make_tensor_value_info(name, FLOAT, (2, 3))
        if name == "r":
            model_told.graph.value_info.append(value)
        else:
            model_told.graph.output[0].CopyFrom(value)
        model = import_model(model_told, name="m")
        assert [model.graph.tensors[tensor].shape for tensor in ("r", "y")] == [(2, 3), (2, 3)]
    proto = told["r"]
    proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", FLOAT, ("n",)))
    model = import_model(proto, name="m", shapes={"x": (8,)})  # that word may have been for another x
    assert model.graph.tensors["y"].is_opaque


def test_an_empty_input_must_be_meant():
    model = import_model(model_of(RELU, shape=(0, 3)), name="m", shapes={"x": (0, 3)})
    assert model.graph.tensors["y"].shape == (0, 3)
