"""The real engines, in their worker processes: what is spread over two of them computes what one computes."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest

from hetsim.core.plan import Plan, Segment
from hetsim.io.platform_file import load_platform
from hetsim.models.importer import load_model
from hetsim.models.model import random_inputs
from hetsim.models.reference import evaluate
from hetsim.models.structure import fused_chains
from hetsim.runtime import Runtime
from hetsim.runtime.measure.calibrate import calibrate
from hetsim.scheduler.segments import queues_from_assignment
from hetsim.sim.check import check_timeline
from hetsim.tuner.steps.expected_outputs import find_expected_outputs, tolerance

pytestmark = pytest.mark.engines
PLATFORM = load_platform("cpu+npu")


@pytest.fixture(scope="module")
def runtime():  # type: ignore[no-untyped-def]
    with Runtime(PLATFORM) as made:
        yield made


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "mobilenet_v2", "transformer"])
def test_random_placements_compute_what_the_reference_computes(runtime: Runtime, name: str) -> None:
    model = load_model(name)
    truth = find_expected_outputs(model, seed=3)
    names = tuple(op.name for op in model.graph.ops)
    alone = []
    for device in PLATFORM.device_names:
        whole = Plan(model=name, model_hash=model.hash, queues={device: (Segment(device, names),)})
        with runtime.load(model, whole) as session:
            alone.append(truth.error(session.run(truth.inputs).outputs))
    assert alone[0] <= 1e-5  # the reference engine itself, but with its optimisations
    generator = random.Random(name)
    for share in (0.2, 0.5):
        device_of = {}
        for unit in fused_chains(model.graph):
            device_of |= dict.fromkeys(unit, "npu" if generator.random() < share else "cpu")
        plan = Plan(model=name, model_hash=model.hash, queues=queues_from_assignment(model.graph, device_of, {}))
        assert len(plan.queues) == 2
        with runtime.load(model, plan) as session:
            session.run(random_inputs(model, seed=4))  # other values in every buffer first
            result = session.run(truth.inputs)
        assert truth.error(result.outputs) <= tolerance(PLATFORM, alone)
        check_timeline(model.graph, PLATFORM, plan, result.timeline)


def test_stale_values_would_be_noticed(runtime: Runtime) -> None:  # noqa: ARG001  (the machine is warm)
    """The check above is worth something: another input's output is far from the right one."""
    model = load_model("squeezenet")
    truth = find_expected_outputs(model, seed=3)
    other = evaluate(model.proto, random_inputs(model, seed=4))
    assert truth.error(other) > 1000 * tolerance(PLATFORM, [1.0])


@pytest.mark.equation("calibrate")
def test_a_platform_is_calibrated_with_numbers_that_make_sense(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"_ROUNDS": 5, "_STALL_BUDGET_S": 0.0, "_HOST_REQUESTS": 5, "_MATRIX": (2048, 2048)}
    for name, value in small.items():
        monkeypatch.setattr(f"hetsim.runtime.measure.calibrate.{name}", value)
    found = calibrate(runtime)
    assert found.calibration is not None
    for device in found.devices:
        stream_s = 4 * 2048**2 / found.memory.alone_bytes_per_s[device.name]
        assert 0 < device.launch_s < stream_s < math.inf  # a tiny segment is done before 16 MiB are read
    assert set(found.links) == {("cpu", "npu"), ("npu", "cpu")}
    for link in found.links.values():
        assert 0 <= link.setup_s < math.inf
        assert link.bandwidth_bytes_per_s > 0
    assert 0 < found.memory.shared_bytes_per_s < math.inf


def test_weights_are_shared_as_a_file_and_not_copied_into_segments(tmp_path: Path) -> None:
    from hetsim.models.segments.files import SegmentStore

    model = load_model("squeezenet")
    store = SegmentStore(model, tmp_path)
    paths = [store.path(model, chain) for chain in fused_chains(model.graph)]
    total = sum(op.weight_bytes for op in model.graph.ops)
    assert (tmp_path / "weights.bin").stat().st_size >= 0.9 * total
    assert sum(path.stat().st_size for path in paths) < 0.1 * total
    assert np.all([path.stat().st_size < 20_000 for path in paths])
