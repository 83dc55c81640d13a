"""Paced devices: an engine computes their outputs ahead, a source gives their times, and refusals are found early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from hetsim.core.plan import Split
from hetsim.core.platform import Device, Platform
from hetsim.core.problem import Latency, Problem
from hetsim.core.sources import Sheet
from hetsim.costs.profile import Header
from hetsim.costs.profile_file import ProfileFile
from hetsim.models.importer import import_model
from hetsim.models.model import Model, random_inputs
from hetsim.models.reference import evaluate
from hetsim.runtime import RefusedError, Runtime
from hetsim.runtime.emulation import Emulation, with_emulated
from hetsim.runtime.measure.acceptance import ask_engines
from hetsim.runtime.outputs_ahead import EngineOutputs
from hetsim.scheduler.splits.placement import split_plan
from hetsim.scheduler.stages import Stage
from tests.support.models import fork_join, make_plan, model_of
from tests.support.split_networks import split_problem, stack

MODEL = fork_join()
INPUTS = random_inputs(MODEL, seed=3)
SHEET = Sheet(peak_ops_per_s={"f32": 1e9}, memory_bytes_per_s=1e9)
PLAN = make_plan(MODEL, cpu=["stem", "left", "join"], npu=["right right2"])


def paced(**options: str) -> Platform:
    """A make-believe CPU beside an NPU whose outputs the make-believe engine computes."""
    return Platform(
        name="desk",
        devices=(
            Device(name="cpu", kind="cpu", nature="emulated", backend="fake"),
            Device(name="npu", kind="npu", nature="emulated", backend="fake", options=options, sheet=SHEET),
        ),
    )


def emulation(platform: Platform, op_s: float = 2e-3) -> Emulation:
    def latency(device: str, ops: tuple[str, ...]) -> Latency:
        return Latency(op_s * len(ops) if device == "npu" else 0.0)

    return Emulation(
        model=MODEL,
        devices=("npu",),
        problem=Problem(graph=MODEL.graph, platform=with_emulated(platform, ["npu"]), latency_function=latency),
        inputs=INPUTS,
        outputs_ahead=EngineOutputs(platform),
    )


@pytest.fixture(scope="module")
def runtime():
    with Runtime(with_emulated(paced(), ["npu"])) as made:
        yield made


def test_a_paced_device_is_emulated_but_not_measured() -> None:
    platform = paced()
    assert [device.name for device in platform.paced_devices] == ["npu"]
    assert [device.is_measured for device in platform.devices] == [True, False]
    assert not with_emulated(platform, ["npu"]).paced_devices
    assert platform.device("npu").label == "npu (emulated)"


def test_its_engine_computes_the_outputs_and_its_own_time_does_not_count(runtime: Runtime) -> None:
    # The engine takes 50 ms for each operator and doubles what "right" makes: neither is what the emulation says.
    found = emulation(paced(op_s="0.05", wrong="right", wrong_by="scale:1"))
    with runtime.load(MODEL, PLAN, emulation=found) as session:
        result = session.run(INPUTS)
    (npu,) = (span for span in result.timeline.compute if span.device == "npu")
    assert 4e-3 - 1e-9 < npu.duration_s < 0.05
    inner = evaluate(MODEL.proto, INPUTS, [MODEL.graph.by_name["right"].outputs[0]])
    (doubled,) = (2 * value for value in inner.values())
    wrong = _rest_of(MODEL, {**INPUTS, MODEL.graph.by_name["right"].outputs[0]: doubled})
    assert np.allclose(result.outputs["y"], wrong, rtol=1e-5)
    assert not np.allclose(result.outputs["y"], evaluate(MODEL.proto, INPUTS)["y"], rtol=1e-2)


def _rest_of(model: Model, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """The output of the model with one inner tensor given."""
    proto = type(model.proto)()
    proto.CopyFrom(model.proto)
    given = next(name for name in values if name not in model.graph.inputs)
    kept = [node for node in proto.graph.node if given not in node.output]
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
    tensor = model.graph.tensors[given]
    proto.graph.input.append(helper.make_tensor_value_info(given, 1, tensor.shape))
    return evaluate(proto, values)["y"]


def test_a_plan_with_splits_is_computed_ahead_as_well() -> None:
    model = stack(3, 3)
    inputs = random_inputs(model, seed=3)
    platform = paced()
    emulated = with_emulated(platform, ["npu"])
    problem = split_problem(model, emulated, {"cpu": 0.0, "npu": 1e-6})
    split = Split(("conv0", "conv1"), "rows", (2,))
    pool = Stage(ops=("pool",), devices=("cpu",))
    plan = split_plan(problem, [Stage(ops=split.ops, devices=("cpu", "npu"), splits=(split,)), pool])
    found = Emulation(
        model=model, devices=("npu",), problem=problem, inputs=inputs, outputs_ahead=EngineOutputs(platform)
    )
    with Runtime(emulated) as runtime, runtime.load(model, plan, emulation=found) as session:
        assert np.allclose(session.run(inputs).outputs["y"], evaluate(model.proto, inputs)["y"], atol=1e-5)


@pytest.mark.parametrize("options", [{"refuse": "Exp"}, {"fail": "right2"}])
def test_what_the_engine_refuses_or_fails_at_is_a_refusal_of_the_segment(
    runtime: Runtime, options: dict[str, str]
) -> None:
    kind = MODEL.graph.by_name["right2"].kind
    options = {"refuse": kind} if "refuse" in options else options
    with pytest.raises(RefusedError) as caught:
        runtime.load(MODEL, PLAN, emulation=emulation(paced(**options)))
    assert (caught.value.device, caught.value.segment) == ("npu", ("right", "right2"))
    assert "\n" not in str(caught.value)


def asked(model: Model, platform: Platform, folder: Path) -> tuple[dict[tuple[str, ...], str], set[tuple[str, ...]]]:
    header = Header(model=model.name, model_hash=model.hash, machine="desk", engines={}, date="2026-01-01")
    with ProfileFile(folder / "p.jsonl", header) as file:
        ask_engines(model, platform, file)
        return dict(file.profile.unsupported("npu")), set(file.profile.refused_alone("npu"))


def test_engines_are_asked_before_anything_is_planned(tmp_path: Path) -> None:
    kind = MODEL.graph.by_name["right2"].kind
    platform = paced(refuse=kind)
    refused, alone = asked(MODEL, platform, tmp_path)
    assert set(refused) == {(op.name,) for op in MODEL.graph.ops if op.kind == kind}
    assert all(f"{kind} is not supported" in reason for reason in refused.values())
    assert alone == set()
    only = replace(platform.device("npu"), options={}, supported_ops=("MatMul",))
    refused, _ = asked(MODEL, platform.with_devices(only), tmp_path / "kinds")
    assert set(refused) == {(op.name,) for op in MODEL.graph.ops if op.kind != "MatMul"}
    none = replace(only, supported_ops=("Softmax",))
    refused, _ = asked(MODEL, platform.with_devices(none), tmp_path / "none")
    assert set(refused) == {(op.name,) for op in MODEL.graph.ops}


def test_quantisation_that_is_refused_by_itself_may_be_taken_in_a_group(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="quantise"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="scale back"),
        helper.make_node("Relu", ["d"], ["y"], name="relu"),
    ]
    constants = [
        helper.make_tensor("scale", 1, [], [0.05]),
        helper.make_tensor("zero", 2, [], [128]),
    ]
    model = import_model(model_of(nodes, weights=constants, opset=19), name="quantised")
    refused, alone = asked(model, paced(refuse="QuantizeLinear"), tmp_path)
    assert refused == {}
    # This engine refuses the kind in larger segments, too.
    assert alone == {("quantise",), ("quantise", "scale back"), ("quantise", "scale back", "relu")}
