"""Targets: what is planned for and executed on real devices, and on changed ones that are emulated."""

from __future__ import annotations

from pathlib import Path

import pytest

from hetsim.analysis.scenario import Scenario, parse_scenario
from hetsim.core.errors import PlatformError, ProfileError
from hetsim.costs.problems import make_problem
from hetsim.costs.profile import Profile
from hetsim.io.platform_file import load_platform
from hetsim.models.model import random_inputs
from hetsim.tuner.steps.profiling import profile_model
from hetsim.tuner.target import make_target
from tests.support.models import fake_platform, fork_join, make_plan
from tests.support.tuning import tuning_context

MODEL = fork_join()
PLATFORM = fake_platform(op_s="0.004")
INPUTS = random_inputs(MODEL)
OPS = tuple(op.name for op in MODEL.graph.ops)
ON_NPU = make_plan(MODEL, npu=[" ".join(OPS)])


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """A complete profile of the model."""
    with tuning_context(MODEL, PLATFORM, tmp_path_factory.mktemp("target")) as context:
        profile_model(context)
        return context.file.profile


def test_real_devices_are_planned_for_by_their_profile(profile: Profile) -> None:
    target = make_target(MODEL, PLATFORM, Scenario(), profile=profile, inputs=INPUTS)
    assert not target.is_emulated
    assert target.emulation is None
    assert target.platform is PLATFORM
    assert target.serial_runs_file == "profile.jsonl"
    assert target.problem(profile).cost_s("npu", OPS) == make_problem(MODEL, PLATFORM, profile).cost_s("npu", OPS)


def test_a_changed_device_is_emulated_with_the_costs_that_are_planned_with(profile: Profile) -> None:
    target = make_target(MODEL, PLATFORM, parse_scenario(["npu.speed=4"]), profile=profile, inputs=INPUTS)
    assert target.is_emulated
    assert target.platform.device("npu").nature == "emulated"
    assert target.platform.device("npu").backend == "emulated"
    assert target.platform.device("cpu").backend == "fake"
    assert target.serial_runs_file == "emulated.jsonl"
    as_it_is_s = make_problem(MODEL, PLATFORM, profile).cost_s("npu", OPS)
    assert target.problem(profile).cost_s("npu", OPS) == pytest.approx(as_it_is_s / 4)
    # No serial run of this plan is in the profile, so its costs are those of the emulation.
    assert target.plan_problem(profile, ON_NPU).cost_s("npu", OPS) == pytest.approx(as_it_is_s / 4)


def test_devices_without_an_engine_are_emulated_without_any_change() -> None:
    target = make_target(MODEL, load_platform("phone"), Scenario(), profile=None, inputs=INPUTS)
    assert {device.backend for device in target.platform.devices} == {"emulated"}


def test_what_cannot_be_emulated_is_refused(profile: Profile) -> None:
    with pytest.raises(PlatformError, match="can be planned for and simulated, but not executed"):
        make_target(MODEL, PLATFORM, parse_scenario(["memory.bandwidth=2x"]), profile=profile, inputs=INPUTS)
    with pytest.raises(ProfileError, match="emulated devices need --profile FILE"):
        make_target(MODEL, PLATFORM, parse_scenario(["npu.speed=4"]), profile=None, inputs=INPUTS)


def test_a_plan_is_simulated_by_its_own_serial_runs(tmp_path: Path) -> None:
    with tuning_context(MODEL, PLATFORM, tmp_path) as context:
        profile_model(context)
        before_s = context.makespan_s(ON_NPU)
        name = context.replay(ON_NPU)
        assert context.file.profile.samples_s("npu", OPS, name)
        assert context.plan_problem(ON_NPU).latency("npu", OPS).measured  # type: ignore[union-attr]
        assert context.makespan_s(ON_NPU) == pytest.approx(before_s, rel=0.5)
