"""Models that are refused, and what is said of them."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from hetsim.core.errors import ModelError
from hetsim.models import reference
from hetsim.models.importing import checks
from hetsim.models.importer import import_model, load_model
from tests.support.models import FLOAT, RELU, model_of, small_net, weight


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


def test_unknown_opsets_and_types_are_refused():
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
