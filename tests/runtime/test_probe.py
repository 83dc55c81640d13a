"""Devices are believed only after a probe; what breaks a plan's assumptions is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from hetsim.core.errors import ModelError
from hetsim.core.plan import whole_plan
from hetsim.io.platform_file import load_platform
from hetsim.models.importer import import_model
from hetsim.models.model import Model
from hetsim.models.ranges.interval import Interval
from hetsim.models.ranges.propagation import ValueRanges
from hetsim.models.values.trust import Trust
from hetsim.runtime import RefusedError, Runtime
from hetsim.runtime.probe.check import is_exempt
from hetsim.runtime.probe.probes import make_probe
from hetsim.runtime.probe.values import batch, num_batches
from hetsim.runtime.probe.verdicts import Verdict, Verdicts

PLATFORM = load_platform("cpu+npu")


def net(text: str) -> Model:
    return import_model(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]> {text}'), name="net")


def on(runtime: Runtime, device: str, model: Model, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with runtime.load(model, whole_plan(model.graph, device)) as session:
        return dict(session.run(inputs).outputs)


MOD = net("n (int64[3] a, int64[3] b) => (int64[3] y) { y = Mod(a, b) }")
RELU = net("n (float[4] x) => (float[4] y) { y = Relu(x) }")
WRAPS = net("n (uint8[4] a, uint8[4] b) => (float[4] y) { t = Sub(a, b) y = Cast<to = 1>(t) }")
LOST = net("n (float[4] x) => (float[4] y) { t = Log(x) y = Relu(t) }")


@pytest.fixture(scope="module")
def runtime():  # type: ignore[no-untyped-def]
    with Runtime(PLATFORM) as made:
        yield made


@pytest.mark.engines
def test_a_device_that_deviates_is_refused_with_a_value(runtime: Runtime) -> None:
    with pytest.raises(
        RefusedError,
        match=r"^device 'npu' .* refuses segment .*: it computes Mod of int64 differently from the reference: "
        r"-?\d+ at \[\d+\] for -?\d+, -?\d+ instead of -?\d+; accept it with --accept npu:Mod$",
    ) as refusal:
        runtime.load(MOD, whole_plan(MOD.graph, "npu"))
    assert refusal.value.segment == (MOD.graph.ops[0].name,)
    values = {"a": np.array([-7, 5, 2**40 + 1]), "b": np.array([4, -3, 1000])}
    assert np.array_equal(on(runtime, "cpu", MOD, values)["y"], np.mod(values["a"], values["b"]))


@pytest.mark.engines
@pytest.mark.parametrize("model", [WRAPS, LOST], ids=["saturates", "loses NaN"])
def test_operators_are_judged_by_the_values_that_reach_them(runtime: Runtime, model: Model) -> None:
    with pytest.raises(RefusedError, match="differently from the reference"):
        runtime.load(model, whole_plan(model.graph, "npu"))


@pytest.mark.engines
def test_a_relu_of_finite_values_stays_and_values_that_are_not_finite_are_refused(runtime: Runtime) -> None:
    plan = whole_plan(RELU.graph, "npu")
    bad = {"x": np.array([1, np.nan, -2, 3], np.float32)}
    with runtime.load(RELU, plan) as session:
        with pytest.raises(
            ModelError, match=r"input 'x' has 1 value\(s\) that are not finite, the first nan, .*nothing"
        ):
            session.run(bad)
        assert session.run({"x": np.array([1, 0, -2, 3], np.float32)}).outputs["y"].tolist() == [1, 0, 0, 3]
    assert np.isnan(on(runtime, "cpu", RELU, bad)["y"][1])  # no device of this plan rests on finite values


@pytest.mark.engines
def test_what_is_trusted_decides() -> None:
    small = Trust(ranges={"a": Interval(0, 100), "b": Interval(1, 100)})
    with Runtime(PLATFORM, trust=small) as careful, careful.load(MOD, whole_plan(MOD.graph, "npu")) as session:
        assert session.run({"a": np.array([7, 8, 9]), "b": np.array([4, 5, 6])}).outputs["y"].tolist() == [3, 3, 3]
        with pytest.raises(ModelError, match=r"input 'a' has the value 101, but the plan rests on values from 0 to"):
            session.run({"a": np.array([7, 101, 9]), "b": np.array([4, 5, 6])})
    with Runtime(PLATFORM, trust=Trust(accepted=frozenset({("npu", "Mod")}))) as accepting:
        accepting.load(MOD, whole_plan(MOD.graph, "npu")).close()
    with Runtime(PLATFORM, trust=Trust(finite=False)) as doubting, pytest.raises(RefusedError, match="Relu of float32"):
        doubting.load(RELU, whole_plan(RELU.graph, "npu"))


@pytest.mark.engines
def test_zeros_that_would_divide_integers_are_refused(runtime: Runtime) -> None:
    with (
        runtime.load(MOD, whole_plan(MOD.graph, "cpu")) as session,
        pytest.raises(ModelError, match=r"input 'b' has zeros, but the model divides integers by it"),
    ):
        session.run({"a": np.array([7, 8, 9]), "b": np.array([4, 0, 6])})


def test_the_reference_engine_and_devices_that_compute_nothing_need_no_probe() -> None:
    assert [device.name for device in PLATFORM.devices if is_exempt(device)] == ["cpu"]


def test_equal_signatures_share_a_probe() -> None:
    texts = [
        f"n (float[1, {channels}, {size}, {size}] x) => (float[1, {channels}, {size}, {size}] y) {{ y = Relu(x) }}"
        for channels, size in ((64, 56), (128, 28))
    ]
    keys = {make_probe(model, ValueRanges(model, Trust()), (model.graph.ops[0].name,)).key for model in map(net, texts)}
    assert len(keys) == 1


def test_values_are_within_the_interval_and_repeat() -> None:
    ranges = ValueRanges(MOD, Trust(ranges={"a": Interval(-5, 5)}))
    probe = make_probe(MOD, ranges, (MOD.graph.ops[0].name,))
    for number in range(num_batches(probe)):
        first, again = batch(probe, number, "f32"), batch(probe, number, "f32")
        assert all(np.array_equal(first[name], again[name]) for name in first)
        dividend, divisor = first.values()
        assert np.abs(dividend).max() <= 127  # the class of the interval
        assert divisor.all()


def test_verdicts_are_found_again_and_broken_lines_passed_over(tmp_path: Path) -> None:
    Verdicts("engine 1", tmp_path).add("k", "Mod", Verdict(deviates="3 instead of 4"))
    (path,) = tmp_path.iterdir()
    with open(path, "a") as file:
        file.write('{"engine": "engine 1", "key')
    Verdicts("engine 1", tmp_path).add("l", "Add", Verdict())
    found = Verdicts("engine 1", tmp_path)
    assert found.get("k") == Verdict(deviates="3 instead of 4")
    assert found.get("l") == Verdict()
    assert Verdicts("engine 2", tmp_path).get("k") is None
    assert sum(1 for line in path.read_text().splitlines() if line.startswith("{") and _is_json(line)) == 2


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


SMALL = net("n (float[64] x) => (float[64] y) { y = Softplus(x) }")
HIDDEN = net(
    "n (bool[2, 8] m) => (float[2] y) <float lo = {-inf}, float z = {0}, int64[1] axis = {1}> {"
    " t = Where(m, lo, z) y = ReduceMax<keepdims = 0>(t, axis) }"
)


@pytest.mark.engines
@pytest.mark.parametrize("model", [SMALL, HIDDEN], ids=["small results", "rows of infinities"])
def test_small_results_and_whole_rows_are_looked_at(runtime: Runtime, model: Model) -> None:
    with pytest.raises(RefusedError, match="differently from the reference"):
        runtime.load(model, whole_plan(model.graph, "npu"))
