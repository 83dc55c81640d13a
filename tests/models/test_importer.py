"""Importing models: what comes out of a good one, and what is said of a bad one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hetsim.core.errors import ModelError
from hetsim.core.graph import Tensor
from hetsim.models import checks, reference
from hetsim.models.importer import import_model, load_model
from hetsim.models.model import random_inputs
from hetsim.models.reference import evaluate

FLOAT = TensorProto.FLOAT


def weight(name: str, *shape: int) -> onnx.TensorProto:
    values = np.random.default_rng(len(name)).standard_normal(shape, dtype=np.float32)
    return numpy_helper.from_array(values, name)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    *,
    shape: Sequence[int | str | None] | None = (1, 4, 6, 6),
    weights: Sequence[onnx.TensorProto] = (),
    output: str = "y",
    opset: int = 17,
    dtype: int = FLOAT,
) -> onnx.ModelProto:
    """A model with one input ``x`` and one output of unstated shape."""
    inputs = [helper.make_tensor_value_info("x", dtype, shape)]
    outputs = [helper.make_tensor_value_info(output, FLOAT, None)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])


def small_net() -> onnx.ModelProto:
    """Conv, batch normalisation, rectifier, and a product with a constant that has to be computed first."""
    statistics = [numpy_helper.from_array(np.full(8, v, np.float32), f"bn{i}") for i, v in enumerate((2, 1, 0.5, 1))]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", "bn0", "bn1", "bn2", "bn3"], ["b"], "bn"),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Relu", ["b"], ["unused"]),
        helper.make_node("Add", ["one", "one"], ["two"]),
        helper.make_node("Mul", ["c", "two"], ["y"]),
    ]
    one = numpy_helper.from_array(np.ones((1, 8, 1, 1), np.float32), "one")
    return model_of(nodes, weights=[weight("w", 8, 4, 3, 3), *statistics, one])


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


def test_an_old_model_is_converted():
    nodes = [
        helper.make_node("Dropout", ["x"], ["a"], ratio=0.5),
        helper.make_node("Squeeze", ["a"], ["b"], axes=[0]),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    model = import_model(model_of(nodes, opset=9), name="old")
    assert model.proto.opset_import[0].version == 17
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


RELU = [helper.make_node("Relu", ["x"], ["y"])]


def test_open_sizes_are_settled_by_the_caller():
    model = import_model(model_of(RELU, shape=("batch", 3, None)), name="m", shapes={"x": (2, 3, 5)})
    assert model.graph.tensors["y"].shape == (2, 3, 5)


def test_a_symbol_means_the_same_for_all_inputs():
    proto = model_of([helper.make_node("Add", ["x", "z"], ["y"])], shape=("n", 3))
    proto.graph.input.append(helper.make_tensor_value_info("z", FLOAT, ("n", 3)))
    assert import_model(proto, name="m", shapes={"x": (2, 3)}).graph.tensors["z"].shape == (2, 3)
    with pytest.raises(ModelError, match="--shape z=4,3 makes 'n' 4, but for input 'x' it is 2"):
        import_model(proto, name="m", shapes={"x": (2, 3), "z": (4, 3)})


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


def _branch(name: str) -> onnx.GraphProto:
    output = helper.make_tensor_value_info(name, FLOAT, None)
    return helper.make_graph([helper.make_node("Relu", ["x"], [name])], name, [], [output])


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([helper.make_node("Frob", ["x"], ["y"], "f")], r"'f' \(Frob\) is of a kind that ONNX .* does not have"),
        (
            [helper.make_node("FusedConv", ["x"], ["y"], domain="com.microsoft")],
            r"'FusedConv_y' \(FusedConv\) is of domain 'com.microsoft'",
        ),
        (
            [
                helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
                helper.make_node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
                helper.make_node(
                    "If", ["c"], ["y"], "choice", then_branch=_branch("t"), else_branch=_branch("e")
                ),
            ],
            r"'choice' \(If\) is control flow",
        ),
        (
            [
                helper.make_node("NonZero", ["x"], ["i"], "find"),
                helper.make_node("Cast", ["i"], ["y"], to=FLOAT),
            ],
            r"'find' \(NonZero\) makes 'i', whose shape depends on the data",
        ),
        (
            [
                helper.make_node("SequenceConstruct", ["x", "x"], ["s"], "pair"),
                helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0),
            ],
            r"'pair' \(SequenceConstruct\) makes 's', a sequence_type",
        ),
        ([helper.make_node("Relu", ["missing"], ["y"])], "invalid ONNX: .*missing"),
        ([helper.make_node("Conv", ["x"], ["y"])], "invalid ONNX: "),
        ([helper.make_node("Add", ["x", "w"], ["y"])], "ONNX Runtime cannot load the model"),
        (
            [helper.make_node("Cast", ["x"], ["b"], "cast", to=TensorProto.BFLOAT16),
             helper.make_node("Cast", ["b"], ["y"], to=FLOAT)],
            r"'cast' \(Cast\) makes 'b' of element type BFLOAT16; supported are bool",
        ),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_named(nodes, message):
    with pytest.raises(ModelError, match=message) as caught:
        import_model(model_of(nodes, weights=[weight("w", 4)]), name="m")
    assert str(caught.value).startswith("model 'm': ")
    assert "\n" not in str(caught.value)


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


def test_a_stated_shape_counts_where_it_depends_on_data():
    # Only the input's value says how long the output is; the model's word for it is 2 x 3.
    proto = model_of(
        [helper.make_node("Reshape", ["x", "s"], ["r"]), helper.make_node("Relu", ["r"], ["y"])], shape=(6,)
    )
    proto.graph.input.append(helper.make_tensor_value_info("s", TensorProto.INT64, (2,)))
    with pytest.raises(ModelError, match="'r', whose shape depends on the data"):
        import_model(proto, name="m")
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
    with pytest.raises(ModelError, match="'r', whose shape depends on the data"):
        import_model(proto, name="m", shapes={"x": (8,)})  # that word may have been for another x


def test_an_empty_input_must_be_meant():
    model = import_model(model_of(RELU, shape=(0, 3)), name="m", shapes={"x": (0, 3)})
    assert model.graph.tensors["y"].shape == (0, 3)


def test_machine_learning_operators_are_of_the_standard_too():
    proto = model_of([helper.make_node("Binarizer", ["x"], ["b"], domain="ai.onnx.ml", threshold=0.5),
                      helper.make_node("Relu", ["b"], ["y"])], shape=(4,))  # fmt: skip
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    model = import_model(proto, name="m")
    assert [op.kind for op in model.graph.ops] == ["Binarizer", "Relu"]
    assert [(entry.domain, entry.version) for entry in model.proto.opset_import] == [("", 17), ("ai.onnx.ml", 3)]


def test_opsets_and_types_beyond_us():
    proto = model_of([helper.make_node("SplitToSequence", ["x"], ["y"])])
    proto.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("y", FLOAT, None))
    with pytest.raises(ModelError, match="output 'y' is a sequence_type; hetsim supports only tensors"):
        import_model(proto, name="m")
    with pytest.raises(ModelError, match="the model takes 'x' of element type STRING; supported are bool"):
        import_model(model_of([helper.make_node("Cast", ["x"], ["y"], to=FLOAT)], dtype=TensorProto.STRING), name="m")
    with pytest.raises(ModelError, match=r"cannot load the model: .* FAIL : ONNX Runtime only .*opset"):
        import_model(model_of(RELU, opset=99), name="m")


def test_files_that_are_no_models(tmp_path):
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "text.onnx").write_text("This is not a protobuf message.")
    for path, message in (
        (tmp_path, "is a directory; name the .onnx file in it"),
        (tmp_path / "gone.onnx", r"no model '.*gone.onnx': no such file, and the zoo has bvlc_alexnet, .*transformer"),
        (tmp_path / "empty.onnx", "empty.onnx is not an ONNX model: it has no graph"),
        (tmp_path / "text.onnx", "text.onnx is not an ONNX model"),
        ("resnet51", "no model 'resnet51': no such file, and the zoo has .*resnet50"),
    ):
        with pytest.raises(ModelError, match=message) as caught:
            load_model(path)
        assert "\n" not in str(caught.value)


def test_weights_may_lie_beside_the_model_but_nowhere_else(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "net.onnx"
    onnx.save(small_net(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert load_model(path).hash == import_model(small_net(), name="other").hash

    proto = onnx.load(path, load_external_data=False)
    for tensor in proto.graph.initializer:
        tensor.external_data[0].value = "../weights.bin"
    (folder / "weights.bin").rename(tmp_path / "weights.bin")
    with pytest.raises(ModelError, match="weights"):
        load_model(path)
    onnx.save(proto, path)
    with pytest.raises(ModelError, match="weights"):
        load_model(path)


def test_models_beyond_protobuf_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    onnx.save(small_net(), path)
    monkeypatch.setattr(reference, "MAX_PROTO_BYTES", 1000)
    with pytest.raises(ModelError, match="model 'net': the model with its weights exceeds"):
        load_model(path)
    onnx.save(small_net(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    num_bytes = path.stat().st_size  # without its weights, so they are what is too large
    assert num_bytes < 4 * (8 * 4 * 3 * 3 + 4 * 8 + 8)
    monkeypatch.setattr(checks, "MAX_PROTO_BYTES", num_bytes)
    with pytest.raises(ModelError, match="GB of weights, more than"):
        load_model(path)


def test_the_hash_is_of_structure_and_weights_alone():
    model = import_model(small_net(), name="m")
    other = small_net()
    other.producer_name, other.graph.name, other.doc_string = "someone", "h", "description"
    assert import_model(other, name="n").hash == model.hash
    other.graph.initializer[0].CopyFrom(weight("w", 8, 4, 3, 3))
    assert import_model(other, name="n").hash == model.hash
    values = numpy_helper.to_array(other.graph.initializer[0]) * np.float32(1.001)
    other.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "w"))
    assert import_model(other, name="n").hash != model.hash


def test_the_hash_does_not_depend_on_pythons(tmp_path):
    onnx.save(small_net(), tmp_path / "net.onnx")
    script = "import sys; from hetsim.models.importer import load_model; print(load_model(sys.argv[1]).hash)"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "net.onnx")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert hashes == {f"{load_model(tmp_path / 'net.onnx').hash}\n"}


def test_random_inputs_repeat_and_suit_their_type():
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=FLOAT)]
    floats = import_model(model_of(RELU), name="m")
    first, again, other = (random_inputs(floats, seed=seed)["x"] for seed in (0, 0, 1))
    assert first.dtype == np.float32
    assert first.shape == (1, 4, 6, 6)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    for dtype, name in ((TensorProto.INT64, "int64"), (TensorProto.BOOL, "bool"), (TensorProto.FLOAT16, "float16")):
        values = random_inputs(import_model(model_of(nodes, dtype=dtype), name="m"))["x"]
        assert values.dtype == name
        assert name == "float16" or set(values.ravel().tolist()) == {0, 1}


def test_evaluate_gives_inner_tensors_and_says_what_is_missing():
    proto = small_net()
    image = np.ones((1, 4, 6, 6), np.float32)
    values = evaluate(proto, {"x": image}, ["a", "y"])
    assert list(values) == ["a", "y"]
    assert values["a"].shape == (1, 8, 6, 6)
    with pytest.raises(ModelError, match=r"ONNX Runtime cannot run the model: .*x"):
        evaluate(proto, {})
    with pytest.raises(ModelError, match="ONNX Runtime cannot load the model"):
        evaluate(proto, {"x": image}, ["nothing"])
