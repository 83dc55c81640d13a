"""Models that are refused, and what is said of them."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from hetsim.core.errors import ModelError
from hetsim.models import reference
from hetsim.models.importer import import_model, load_model
from hetsim.models.importing import checks
from tests.support.models import RELU, model_of, small_net, weight


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [helper.make_node("Frob", ["x"], ["y"], "f")],
            r"neither ONNX .* nor ONNX Runtime knows operator 'f' \(Frob\);",
        ),
        (
            [helper.make_node("Frob", ["x"], ["y"], domain="org.example")],
            r"knows operator 'Frob_y' \(Frob\) of domain 'org.example'; name the library that has it with --custom-ops",
        ),
        (
            [helper.make_node("Relu", ["missing"], ["y"], "r")],
            r"operator 'r' \(Relu\) reads 'missing', which is no input",
        ),
        (
            [helper.make_node("Add", ["x", "b"], ["a"], "one"), helper.make_node("Relu", ["a"], ["b"], "two"),
             helper.make_node("Neg", ["b"], ["y"])],
            r"its operators form a cycle: 'one' \(Add\) -> 'two' \(Relu\) -> 'one' \(Add\)$",
        ),
        ([helper.make_node("Conv", ["x"], ["y"])], "invalid ONNX: "),
        ([helper.make_node("Add", ["x", "w"], ["y"])], "ONNX Runtime cannot load the model"),
        (
            [helper.make_node("Reshape", ["x", "s"], ["y"], "flat")],
            r"^model 'm': ONNX Runtime cannot run the model: operator 'flat' \(Reshape\): .*cannot be reshaped to the "
            r"requested shape. Input shape:\{1,4,6,6\}, requested shape:\{5\}$",
        ),
    ],
)  # fmt: skip
def test_what_cannot_run_is_named(nodes, message):
    weights = [weight("w", 4), helper.make_tensor("s", TensorProto.INT64, [1], [5])]
    proto = model_of(nodes, weights=weights)
    proto.opset_import.append(helper.make_opsetid("org.example", 1))
    with pytest.raises(ModelError, match=message) as caught:
        import_model(proto, name="m")
    assert str(caught.value).startswith("model 'm': ")
    assert "\n" not in str(caught.value)


def test_unknown_opsets_are_refused():
    with pytest.raises(ModelError, match=r"cannot load the model: .*opset"):
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


def test_weights_behind_the_links_of_a_cache_are_read(tmp_path):
    files, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    files.mkdir()
    snapshot.mkdir(parents=True)
    onnx.save(small_net(), files / "1f3a", save_as_external_data=True, location="net.onnx_data", size_threshold=0)
    (files / "net.onnx_data").rename(files / "77e0")
    (snapshot / "net.onnx").symlink_to("../../blobs/1f3a")
    (snapshot / "net.onnx_data").symlink_to("../../blobs/77e0")
    model = load_model(snapshot / "net.onnx")
    assert model.hash == import_model(small_net(), name="net").hash
    (tmp_path / "elsewhere").write_bytes((files / "77e0").read_bytes())
    (snapshot / "net.onnx_data").unlink()
    (snapshot / "net.onnx_data").symlink_to("../../elsewhere")
    with pytest.raises(ModelError, match=r"net.onnx_data, a link that leads out of its folder"):
        load_model(snapshot / "net.onnx")


def test_custom_operators_need_a_library_that_can_be_loaded(tmp_path):
    with pytest.raises(ModelError, match=r"cannot load the custom operators in .*gone.so"):
        import_model(model_of(RELU), name="m", custom_ops=[tmp_path / "gone.so"])


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
