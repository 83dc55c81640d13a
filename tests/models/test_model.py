"""Models: their hash, random inputs, and the outputs of the reference engine."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hetsim.core.errors import ModelError
from hetsim.models.importer import import_model, load_model
from hetsim.models.model import random_inputs
from hetsim.models.reference import evaluate
from tests.support.models import FLOAT, RELU, model_of, small_net, weight
from tests.support.programs.hash_seeds import printed_under


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
    hashes = {printed_under(seed, script, str(tmp_path / "net.onnx")) for seed in ("1", "2")}
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
        assert name != "bool" or set(values.ravel().tolist()) == {0, 1}


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
