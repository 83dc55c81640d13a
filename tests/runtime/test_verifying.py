"""Verification on fake devices: isolated and accumulated deviations, refusals, failures, chunks, plans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hetsim.core.plan import Plan, Segment, Split
from hetsim.models.importer import import_model
from hetsim.models.model import Model, random_inputs
from hetsim.models.split.rewrite import rewrite
from hetsim.runtime.devices import Devices
from hetsim.runtime.verifying.chunks import Reference, batches, chunks
from hetsim.runtime.verifying.devices import RestartableDevices
from hetsim.runtime.verifying.verify import verify_devices, verify_plan
from tests.support.models import chain, fake_platform, fork_join, images, make_plan

FORK_JOIN = fork_join()
INPUTS = [random_inputs(FORK_JOIN, seed=seed) for seed in (0, 1)]


@contextmanager
def devices(*names: str, **options: str) -> Iterator[RestartableDevices]:
    with RestartableDevices(Devices, fake_platform(*(names or ("npu",)), **options)) as found:
        yield found


def verdicts(model: Model, inputs: list[dict[str, np.ndarray]], **options: str) -> Mapping[str, str]:
    with devices(**options) as found:
        (findings,) = verify_devices(found, model, inputs)
    return {one.label: one.verdict for one in findings.ops}


def test_a_right_device_agrees_in_every_operator() -> None:
    with devices("cpu", "npu") as found:
        both = verify_devices(found, FORK_JOIN, INPUTS)
        (npu,) = verify_devices(found, FORK_JOIN, INPUTS, names=["npu"])
    assert [one.device for one in both] == ["cpu", "npu"]
    assert npu.device == "npu"
    for device in both:
        assert {one.verdict for one in device.ops} == {"agrees"}
        assert device.engine == "fake engine"
        (output,) = device.outputs
        assert output.difference.deviation.relative < 1e-5
        assert output.top1 == 1.0  # the largest of eight features in each of four rows


def test_a_wrong_operator_is_isolated_and_its_error_accumulates() -> None:
    with devices(wrong="left", wrong_by="offset:0.5:3") as found:
        (npu,) = verify_devices(found, FORK_JOIN, INPUTS)
    ops = {one.label: one for one in npu.ops}
    assert npu.first_diverging is ops["left"]
    assert {name: one.verdict for name, one in ops.items() if name != "left"} == dict.fromkeys(
        ("stem", "right", "right2", "join"), "agrees"
    )
    left, join = ops["left"], ops["join"]
    assert left.isolated is not None
    assert left.isolated.deviation.max_abs == pytest.approx(0.5)
    assert left.isolated.deviation.index == (0, 3)
    assert join.isolated is not None
    assert join.isolated.deviation.max_abs < 1e-6
    assert join.accumulated is not None
    assert join.accumulated.deviation.max_abs == pytest.approx(0.5)
    (output,) = npu.outputs
    assert output.difference.deviation.max_abs == pytest.approx(0.5)
    assert output.diverges is None


def test_what_an_engine_refuses_is_computed_elsewhere_and_the_rest_is_compared() -> None:
    with devices(refuse="MatMul", wrong="stem", wrong_by="offset:1") as found:
        (npu,) = verify_devices(found, FORK_JOIN, INPUTS)
    ops = {one.label: one for one in npu.ops}
    assert (ops["right"].verdict, ops["right"].reason) == ("refused", "MatMul is not supported")
    assert ops["right"].isolated is None
    assert [ops[name].verdict for name in ("left", "right2", "join")] == ["agrees"] * 3
    weights = numpy_helper.to_array(FORK_JOIN.weights["w"])
    accumulated = ops["right"].accumulated
    assert accumulated is not None  # of an input that is 1 too large everywhere
    assert accumulated.deviation.max_abs == pytest.approx(np.abs(weights.sum(axis=0)).max(), rel=1e-4)


def test_an_operator_at_which_the_device_fails_is_named_and_others_are_compared() -> None:
    with devices(fail="right2") as found:
        (npu,) = verify_devices(found, FORK_JOIN, INPUTS)
    ops = {one.label: one for one in npu.ops}
    assert ops["right2"].verdict == "failed"
    assert ops["right2"].reason == "RuntimeError: told to fail"
    assert {one.verdict for name, one in ops.items() if name != "right2"} == {"agrees"}


def test_refusals_without_a_name_are_found_by_halves() -> None:
    """A worker that cannot bind its segments does not say which one it is."""
    assert verdicts(FORK_JOIN, INPUTS, misbind="left") == {
        **dict.fromkeys(("stem", "right", "right2", "join"), "agrees"),
        "left": "refused",
    }


def test_chunks_are_small_and_do_not_change_what_is_found() -> None:
    model = chain(9)
    inputs = [random_inputs(model)]
    assert [len(ops) for ops in chunks(model.graph, max_ops=4)] == [4, 4, 1]
    assert [len(ops) for ops in chunks(model.graph, max_bytes=300)] == [2, 2, 2, 2, 1]  # 128 bytes an operator
    assert [len(ops) for ops in chunks(model.graph, max_bytes=1)] == [1] * 9
    with devices(wrong="op5", wrong_by="scale:0.25") as found:
        whole = verify_devices(found, model, inputs)
        parts = verify_devices(found, model, inputs, chunk_ops=2)
    assert whole == parts


def test_large_models_are_evaluated_for_the_tensors_in_question_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = chain(9)
    inputs = [random_inputs(model)]
    resident = Reference(model, inputs).borders([("op3", "op4")])
    monkeypatch.setattr("hetsim.runtime.verifying.chunks._RESIDENT_BYTES", 0)
    again = Reference(model, inputs).borders([("op3", "op4")])
    assert set(again[0]) == {"t0", "t3", "t5"} == set(resident[0])
    assert all((again[0][name] == resident[0][name]).all() for name in again[0])


def test_batches_hold_parts_in_their_order() -> None:
    graph = chain(6).graph
    parts = [("op0", "op1"), ("op2",), ("op3", "op4", "op5")]
    assert list(batches(graph, parts, max_parts=2)) == [parts[:2], parts[2:]]
    assert list(batches(graph, [])) == []


def test_random_numbers_are_not_compared() -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["r"], name="draw"),
        helper.make_node("Add", ["x", "r"], ["y"], name="add"),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    proto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    model = import_model(proto, name="random")
    plan = make_plan(model, npu=["draw", "add"])
    with devices() as found:
        (npu,) = verify_devices(found, model, [random_inputs(model)])
        planned = verify_plan(found, model, plan, [random_inputs(model)])
    for findings in (npu.ops, planned.segments):
        assert [one.verdict for one in findings] == ["random", "agrees"]
    assert not planned.diverges


def test_integers_are_exact_and_ties_count() -> None:
    nodes = [
        helper.make_node("Sign", ["x"], ["s"], name="sign"),
        helper.make_node("ArgMax", ["s"], ["y"], name="best", axis=1),
    ]
    model = _model(nodes, TensorProto.INT64, [3, 1])
    inputs = [{"x": np.array([[1, 2, -1], [-1, 1, 2], [3, 1, 1]], np.float32)}]
    with devices(wrong="best", wrong_by="ties") as found:
        (npu,) = verify_devices(found, model, inputs)
    assert npu.first_diverging is not None
    assert str(npu.first_diverging).startswith("'best' (ArgMax): tensor 'y': 2 at [2, 0] instead of 0")


def test_a_plan_is_verified_by_segment() -> None:
    plan = replace(make_plan(FORK_JOIN, cpu=["stem left", "join"], npu=["right right2"]), scheduler="by hand")
    with devices("cpu", "npu", wrong="right", wrong_by="nan:0:2") as found:
        planned = verify_plan(found, FORK_JOIN, plan, INPUTS)
    stem, right, join = planned.segments
    assert (stem.label, stem.device, stem.kind) == ("stem +1", "cpu", "")
    assert [one.verdict for one in planned.segments] == ["agrees", "diverges", "agrees"]
    assert planned.first_diverging is right
    assert join.accumulated is not None
    assert np.isnan(join.accumulated.deviation.found)
    (output,) = planned.outputs
    assert output.diverges
    assert planned.plan == "by hand"


def test_a_plan_with_splits_is_compared_with_the_whole_operators() -> None:
    model = images()
    split = Split(ops=("first", "relu"), axis="rows", at=(3,))
    ops = [op.name for op in rewrite(model, (split,)).model.graph.ops]
    assert len(ops) > len(model.graph.ops)
    queue = tuple(Segment("npu", (op,)) for op in ops)
    plan = Plan(model=model.name, queues={"npu": queue}, rewrites=(split,))
    with devices("npu") as found:
        planned = verify_plan(found, model, plan, [random_inputs(model)])
    assert {one.verdict for one in planned.segments} == {"agrees"}
    assert [one.diverges for one in planned.outputs] == [False]


def test_a_plan_with_a_refused_segment_has_no_outputs() -> None:
    plan = make_plan(FORK_JOIN, npu=["stem left", "right right2", "join"])
    with devices("npu", refuse="MatMul") as found:
        planned = verify_plan(found, FORK_JOIN, plan, INPUTS)
    assert [one.verdict for one in planned.segments] == ["agrees", "refused", "agrees"]
    assert planned.outputs == ()
    assert planned.diverges


def _model(nodes: list[onnx.NodeProto], output_type: int, output_shape: list[int]) -> Model:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 3])],
        [helper.make_tensor_value_info("y", output_type, output_shape)],
    )
    return import_model(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), name="g")
