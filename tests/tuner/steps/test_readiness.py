"""Profiles from elsewhere, and platforms that moved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from hetsim.core.errors import ProfileError
from hetsim.core.platform import Host, Link, Memory
from hetsim.costs.profile import Header
from hetsim.costs.profile_file import ProfileFile
from hetsim.runtime.machine.drift import moves
from hetsim.runtime.machine.fingerprint import machine_fingerprint
from hetsim.tuner.steps.readiness import profile_for
from tests.support.models import fake_platform, fork_join
from tests.support.problems import platform_of

MODEL, PLATFORM = fork_join(), fake_platform()
HEADER = Header(
    model="fork_join",
    model_hash=MODEL.hash,
    machine=machine_fingerprint(),
    engines=dict.fromkeys(PLATFORM.device_names, "fake engine, any core"),
    date="2026-11-22",
)


def written(path: Path, **changes: object) -> Path:
    with ProfileFile(path, msgspec.structs.replace(HEADER, **changes)):
        return path


def test_a_profile_from_here_is_taken_without_a_word(tmp_path: Path) -> None:
    profile, warnings = profile_for(MODEL, PLATFORM, written(tmp_path / "p.jsonl"), force=False)
    assert profile.header == HEADER
    assert warnings == ()


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({"machine": "a toaster"}, "machine 'a toaster', here it is '"),
        (
            {"engines": {"cpu": "fake engine 0.9, any core", "npu": "fake engine, any core"}},
            "engine of cpu 'fake engine 0.9, any core', here it is 'fake engine, any core'",
        ),
        ({"engines": {"cpu": "fake engine, any core"}}, "engine of npu 'none', here it is 'fake engine, any core'"),
    ],
)
def test_a_profile_from_elsewhere_is_refused_or_warned_of(
    tmp_path: Path, changes: dict[str, object], description: str
) -> None:
    path = written(tmp_path / "p.jsonl", **changes)
    with pytest.raises(ProfileError) as refusal:
        profile_for(MODEL, PLATFORM, path, force=False)
    assert description in str(refusal.value)
    assert "accept it with --force" in str(refusal.value)
    _, warnings = profile_for(MODEL, PLATFORM, path, force=True)
    assert len(warnings) == 1
    assert description in warnings[0]


def test_a_profile_of_another_model_is_refused_whatever_is_said(tmp_path: Path) -> None:
    path = written(tmp_path / "p.jsonl", model_hash="beef")
    for force in (False, True):
        with pytest.raises(ProfileError, match="was taken of another model \\(hash beef\\)"):
            profile_for(MODEL, PLATFORM, path, force=force)


@pytest.mark.equation("calibrate")
def test_what_moved_between_calibrations() -> None:
    before = replace(
        platform_of("cpu", "npu", setup_s=1e-6),
        memory=Memory(alone_bytes_per_s={"cpu": 2e10}, shared_bytes_per_s=4e10),
        host=Host(submit_setup_s=1e-5),
    )
    after = replace(
        before,
        links={**before.links, ("cpu", "npu"): Link(setup_s=3e-6)},
        memory=Memory(alone_bytes_per_s={"cpu": 1e10, "npu": 1e10}, shared_bytes_per_s=4e10),
    )
    ratios = {move.path: move.ratio for move in moves(before, after)}
    assert ratios['link."cpu->npu".setup_s'] == pytest.approx(3.0)
    assert ratios['link."npu->cpu".setup_s'] == 1.0
    assert ratios["memory.alone_bytes_per_s.cpu"] == 0.5
    assert "memory.alone_bytes_per_s.npu" not in ratios  # there was nothing to compare with
    assert ratios["memory.shared_bytes_per_s"] == ratios["host.submit_setup_s"] == 1.0
