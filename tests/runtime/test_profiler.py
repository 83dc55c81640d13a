"""The profiler on fake devices: what is run, what is recorded, what is not measured twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hetsim.core.errors import ProblemError, ProfileError
from hetsim.core.plan import Plan
from hetsim.costs.fitting.additive_medians import additive_medians
from hetsim.costs.fitting.interference import fit_interference
from hetsim.costs.problems import make_problem, plan_problem
from hetsim.costs.profile_file import ProfileFile, load_profile
from hetsim.models.model import Model
from hetsim.runtime import Runtime
from hetsim.runtime.measure.configurations import profiling_configurations
from hetsim.runtime.measure.profiler import Effort, make_header, measure_configurations, replay
from hetsim.sim.simulate import makespan_s
from tests.support.models import chain, fake_platform, fork_join, make_plan

EFFORT = Effort(repeats=3, warm_ups=1, stall_budget_s=0.0)
MODEL = fork_join()
PLAN = make_plan(MODEL, cpu=["stem", "left", "join"], npu=["right right2"])


def measure(runtime: Runtime, path: Path, model: Model = MODEL) -> None:
    with ProfileFile(path, make_header(runtime, model)) as file:
        measure_configurations(runtime, model, file, effort=EFFORT)


@pytest.fixture(scope="module")
def slow_runtime() -> Iterator[Runtime]:
    with Runtime(fake_platform(op_s="0.001")) as made:
        yield made


def test_configurations_are_partitions_from_operators_to_the_whole_each_once() -> None:
    found = profiling_configurations(MODEL.graph)
    names = [op.name for op in MODEL.graph.ops]
    assert next(iter(found)) == "operators"
    assert found["whole"] == (tuple(names),)
    assert len(set(found.values())) == len(found)
    for parts in found.values():
        assert sorted(op for part in parts for op in part) == sorted(names)
    assert [name for name in profiling_configurations(chain(9).graph) if name.startswith("runs")] == [
        "runs of 2 blocks",
        "runs of 4 blocks",
        "runs of 8 blocks",
    ]


def test_every_configuration_of_every_device_is_sampled(slow_runtime: Runtime, tmp_path: Path) -> None:
    measure(slow_runtime, tmp_path / "p.jsonl")
    profile = load_profile(tmp_path / "p.jsonl")
    for device in ("cpu", "npu"):
        for name, parts in profiling_configurations(MODEL.graph).items():
            for ops in parts:
                samples_s = profile.samples_s(device, ops, f"configuration:{name}")
                assert len(samples_s) >= 3  # more where something slowed the cores down
                assert min(samples_s) >= 0.001 * len(ops)  # the fake engine takes a millisecond an operator


def test_a_finished_profile_is_not_measured_again(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    measure(runtime, path)
    before = path.read_bytes()
    measure(runtime, path)
    assert path.read_bytes() == before


def test_an_interrupted_profile_goes_on_where_it_stopped(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    measure(runtime, path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:8]) + lines[8][:20])  # killed in the middle of the eighth record
    measure(runtime, path)
    assert set(lines[:8]) <= set(path.read_bytes().splitlines(keepends=True))
    assert load_profile(path).num_segments == load_profile_of(lines, tmp_path).num_segments


def load_profile_of(lines: list[bytes], folder: Path):  # type: ignore[no-untyped-def]
    (folder / "whole.jsonl").write_bytes(b"".join(lines))
    return load_profile(folder / "whole.jsonl")


def test_refused_operators_are_recorded_and_run_elsewhere(tmp_path: Path) -> None:
    platform = fake_platform()
    picky = replace(platform.device("npu"), options={"refuse": "Sigmoid"})
    path = tmp_path / "p.jsonl"
    with (
        Runtime(platform.with_devices(picky)) as runtime,
        ProfileFile(path, make_header(runtime, MODEL)) as file,
    ):
        measure_configurations(runtime, MODEL, file, effort=EFFORT)
        profile = file.profile
    assert ("right2",) in profile.unsupported("npu")
    assert "Sigmoid is not supported" in profile.unsupported("npu")["right2",]
    problem = make_problem(MODEL, platform, profile)
    assert problem.devices_for(("right2",)) == ("cpu",)
    assert problem.latency("npu", ("right", "right2")) is None
    assert problem.devices_for(("right",)) == ("cpu", "npu")


def test_an_operator_that_runs_nowhere_is_named_with_every_reason(tmp_path: Path) -> None:
    with (
        Runtime(fake_platform(refuse="Sigmoid")) as picky,
        pytest.raises(ProblemError, match=r"'right2' \(Sigmoid\) runs on no device: .*Sigmoid is not supported"),
    ):
        measure(picky, tmp_path / "p.jsonl")


@pytest.mark.equation("held-out")
def test_a_replayed_plan_is_simulated_from_its_own_replay(slow_runtime: Runtime, tmp_path: Path) -> None:
    runtime, platform = slow_runtime, slow_runtime.platform
    with ProfileFile(tmp_path / "p.jsonl", make_header(runtime, MODEL)) as file:
        measure_configurations(runtime, MODEL, file, effort=EFFORT)
        context = replay(runtime, MODEL, PLAN, file, effort=EFFORT)
        before = file.profile.num_samples
        assert replay(runtime, MODEL, PLAN, file, effort=EFFORT) == context  # there already
        assert file.profile.num_samples == before
        problem = plan_problem(MODEL, platform, file.profile, PLAN)
        for segment in PLAN.segments:
            own_s = additive_medians(file.profile, fit_interference(file.profile))[segment.device, segment.ops][context]
            # Fake devices share for nothing, so what the transfer probes say moves little.
            assert problem.cost_s(segment.device, segment.ops) == pytest.approx(own_s, rel=0.02)
        # stem, then left beside right+right2, then join: 1 + max(1, 2) + 1 ms and a little
        assert makespan_s(problem, PLAN) >= 0.004


def test_a_profile_of_another_model_is_refused(runtime: Runtime, tmp_path: Path) -> None:
    measure(runtime, tmp_path / "p.jsonl")
    with pytest.raises(ProfileError, match="was taken with another model hash"):
        measure(runtime, tmp_path / "p.jsonl", chain(4))


def test_a_plan_never_replayed_costs_what_the_profile_says(runtime: Runtime, tmp_path: Path) -> None:
    measure(runtime, tmp_path / "p.jsonl")
    profile = load_profile(tmp_path / "p.jsonl")
    platform = fake_platform()
    known, planned = make_problem(MODEL, platform, profile), plan_problem(MODEL, platform, profile, PLAN)
    assert isinstance(PLAN, Plan)
    for segment in PLAN.segments:
        assert known.cost_s(segment.device, segment.ops) == planned.cost_s(segment.device, segment.ops)
