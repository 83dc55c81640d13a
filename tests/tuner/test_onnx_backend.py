"""The ONNX backend: open sizes, sequences and optional values are those of the inputs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from hetsim.core.errors import ModelError
from hetsim.io.platform_file import load_platform
from hetsim.runtime import Runtime
from hetsim.tuner.onnx_backend import backend_on


def model_of(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]> {text}')


@pytest.fixture(scope="module")
def runtime():  # type: ignore[no-untyped-def]
    with Runtime(load_platform("cpu+npu")) as made:
        yield made


@pytest.mark.engines
def test_open_sizes_are_those_of_the_first_inputs(runtime: Runtime) -> None:
    model = backend_on(runtime).prepare(model_of("n (float[N, 3] x) => (float[N, 3] y) { t = Abs(x) y = Add(t, x) }"))
    assert model.made is None
    x = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)
    assert np.array_equal(model.run([x])[0], np.abs(x) + x)
    assert model.made is not None
    assert model.made[0].graph.tensors["x"].shape == (2, 3)
    with pytest.raises(ModelError, match=r"input 'x' must be float32 of shape \[2, 3\], got float32 \[1, 3\]"):
        model.run([x[:1]])


@pytest.mark.engines
def test_sequences_and_what_is_empty_go_in_and_out(runtime: Runtime) -> None:
    backend = backend_on(runtime)
    sequences = backend.prepare(
        model_of("n (seq(float[2]) s, float[2] x) => (seq(float[2]) y) { y = SequenceInsert(s, x) }")
    )
    first, second = np.array([1, 2], np.float32), np.array([3, 4], np.float32)
    made = sequences.run([[first], second])[0]
    assert [array.tolist() for array in made] == [[1, 2], [3, 4]]
    empty = backend.prepare(model_of("n (float[0, 3] x) => (float[0, 3] y) { y = Abs(x) }"))
    assert empty.run([np.zeros((0, 3), np.float32)])[0].shape == (0, 3)


@pytest.mark.engines
def test_what_is_refused_is_refused_before_anything_runs(runtime: Runtime) -> None:
    proto = model_of("n (float[3] x) => (float[3] y) { y = NoSuchOperator(x) }")
    with pytest.raises(ModelError, match="NoSuchOperator"):
        backend_on(runtime).prepare(proto)
