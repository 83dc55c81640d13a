"""A sample of ``python -m tests.verification``, and the faults that it injects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hetsim.models.reference import evaluate
from hetsim.runtime.backends.faults import Fault, write_faulty
from tests.support.models import model_of
from tests.verification.networks import random_network
from tests.verification.trials import draw_trial, stand_in, verify

X = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("scale:0.5", X * 1.5),
        ("scale:0.5:1", [[1, 3, 3], [4, 5, 6]]),
        ("offset:2", X + 2),
        ("offset:2:0", [[3, 2, 3], [4, 5, 6]]),
        ("sign", -X),
        ("rows", X[::-1]),
        ("saturate:4", np.minimum(X, 4)),
        ("nan:0:5", [[1, 2, 3], [4, 5, np.nan]]),
    ],
)
def test_a_fault_alters_the_first_output_of_its_operator(tmp_path: Path, fault: str, expected: np.ndarray) -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["a"], name="3/copy"),
        helper.make_node("Identity", ["a"], ["y"], name="3/behind"),
    ]
    proto = model_of(nodes, shape=[2, 3])
    onnx.save(proto, tmp_path / "segment.onnx")
    altered = write_faulty(tmp_path / "segment.onnx", Fault.parse("copy", fault))
    np.testing.assert_allclose(evaluate(onnx.load(altered), {"x": X})["y"], expected)
    assert write_faulty(tmp_path / "segment.onnx", Fault.parse("other", fault)) == tmp_path / "segment.onnx"


def test_ties_go_to_the_last(tmp_path: Path) -> None:
    node = helper.make_node("ArgMax", ["x"], ["y"], name="best", axis=1)
    proto = model_of([node], shape=[2, 3])
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    onnx.save(proto, tmp_path / "segment.onnx")
    altered = write_faulty(tmp_path / "segment.onnx", Fault.parse("best", "ties"))
    found = evaluate(onnx.load(altered), {"x": np.array([[7, 7, 1], [1, 2, 2]], np.float32)})["y"]
    assert found.tolist() == [[1], [2]]
    with pytest.raises(ValueError, match="no fault 'typo'; there are scale, offset"):
        Fault.parse("best", "typo")


@pytest.mark.engines
@pytest.mark.parametrize("seed", [101, 102])
def test_a_fault_is_named(seed: int) -> None:
    model = random_network(seed)
    trial = draw_trial(seed, model)
    first = verify(model, stand_in(wrong=trial.op, wrong_by=trial.fault)).first_diverging
    assert first is not None
    assert first.label == trial.op


@pytest.mark.engines
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_none_is_named_in_a_clean_network(precision: str) -> None:
    findings = verify(random_network(103), stand_in(precision), num_samples=1)
    assert findings.first_diverging is None
    assert findings.count("failed") == 0
