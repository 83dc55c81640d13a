"""``tune`` with a device whose outputs an engine computes at emulated times."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hetsim.core.errors import PlanError, PlatformError
from hetsim.core.platform import Device, Link, Platform
from hetsim.core.sources import Sheet
from hetsim.costs.profile_file import load_profile
from hetsim.io.plan_file import load_plan
from hetsim.io.platform_file import load_platform
from hetsim.tuner.api.export import export
from hetsim.tuner.api.verify import verify
from hetsim.tuner.pipeline import tune
from hetsim.tuner.report.outcome import Outcome
from tests.support.models import fork_join, make_plan
from tests.support.tuning import CALIBRATION, QUICK

pytestmark = pytest.mark.slow
MODEL = fork_join()


def desk(**options: str) -> Platform:
    """A make-believe CPU that takes 4 ms for each operator beside a paced NPU that takes microseconds by its sheet."""
    sheet = Sheet(peak_ops_per_s={"f32": 1e9}, memory_bytes_per_s=1e9)
    npu = Device(name="npu", kind="npu", nature="emulated", backend="fake", options=options, launch_s=1e-3, sheet=sheet)
    cpu = Device(name="cpu", kind="cpu", nature="emulated", backend="fake", options={"op_s": "0.004"})
    links = {("cpu", "npu"): Link(setup_s=1e-4), ("npu", "cpu"): Link(setup_s=2e-4)}
    return Platform(name="desk", devices=(cpu, npu), links=links, calibration=CALIBRATION)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    out = tmp_path_factory.mktemp("paced")
    options = replace(QUICK, max_evaluations=200)
    return tune(MODEL, desk(refuse="Sigmoid", op_s="0.02"), out, options=options), out


def test_plans_use_both_devices_and_keep_off_what_is_refused(tuned: tuple[Outcome, Path]) -> None:
    outcome, out = tuned
    plan = load_plan(out / "plans" / "search.json")
    assert {op for segment in plan.queues["npu"] for op in segment.ops}.isdisjoint({"right2"})
    assert plan.queues["npu"]
    assert outcome.outputs_match
    rows = {row.name: row for row in outcome.plans}
    assert "single:npu" not in rows
    # Four operators of the engine's 20 ms each are on the NPU, and do not count.
    assert rows["search"].measured_s < 4 * 0.02


def test_what_was_refused_and_where_times_come_from_is_in_the_files(tuned: tuple[Outcome, Path]) -> None:
    outcome, out = tuned
    measured = load_profile(out / "profile.jsonl")
    assert set(measured.unsupported("npu")) == {("right2",)}
    assert measured.header.engines["npu"].startswith("fake engine")
    assert not measured.measured("npu")
    (warning,) = (text for text in outcome.warnings if text.startswith("npu (emulated): nothing is measured on it"))
    assert warning in json.loads((out / "summary.json").read_text())["warnings"]
    kept = load_platform(out / "platform.toml")
    assert kept.paced_devices == (kept.device("npu"),)
    assert kept.link("npu", "cpu").setup_s == 2e-4


def test_verify_computes_on_its_engine() -> None:
    found = verify(MODEL, platform=desk(wrong="left", wrong_by="scale:0.01"), num_samples=1)
    assert [(one.device, one.first_diverging and one.first_diverging.kind) for one in found.devices] == [
        ("cpu", None),
        ("npu", "Neg"),
    ]


def test_a_bundle_cannot_hold_it(tmp_path: Path) -> None:
    plan = make_plan(MODEL, cpu=["stem", "left", "join"], npu=["right right2"])
    with pytest.raises((PlatformError, PlanError), match="is emulated: its engine is not the one"):
        export(MODEL, plan, out=tmp_path / "bundle", platform=desk())
    assert not (tmp_path / "bundle").exists()
