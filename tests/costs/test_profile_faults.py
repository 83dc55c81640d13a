"""Profile files on a full disk, cut anywhere, and written by two processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hetsim.core.errors import ProfileError
from hetsim.costs.profile import Header, Samples
from hetsim.costs.profile_file import ProfileFile, load_profile
from hetsim.io.files import write_atomically
from tests.support.programs.processes import in_child, limit_files

pytestmark = pytest.mark.processes
HEADER = Header(model="m", model_hash="0" * 64, machine="here", engines={"cpu": "fake engine"}, date="2026-11-25")


def record(number: int) -> Samples:
    return Samples(device="cpu", ops=(f"op{number}",), context="configuration:operators", samples_s=(1e-3 + number,))


def _fill_disk(path: Path) -> None:
    with pytest.raises(OSError, match="File too large"), ProfileFile(path, HEADER) as file:  # noqa: PT012
        file.add(record(0))
        limit_files(path.stat().st_size + 20)  # the next record stops in its middle
        file.add(record(1))
    with pytest.raises(OSError, match="File too large"):
        write_atomically(path.parent / "plan.json", b"x" * 10_000)


def test_a_full_disk_leaves_what_was_measured_and_no_half_file(tmp_path: Path) -> None:
    path = tmp_path / "profile.jsonl"
    in_child(_fill_disk, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["profile.jsonl"]
    with ProfileFile(path, HEADER) as file:
        assert file.profile.segments() == (("cpu", ("op0",)),)
        file.add(record(1))
    assert load_profile(path).num_samples == 2


def test_a_profile_cut_at_any_byte_goes_on_from_its_whole_records(tmp_path: Path) -> None:
    path = tmp_path / "profile.jsonl"
    with ProfileFile(path, HEADER) as file:
        for number in range(3):
            file.add(record(number))
    content = path.read_bytes()
    for end in range(len(content) + 1):
        path.write_bytes(content[:end])
        with ProfileFile(path, HEADER) as file:
            whole = max(0, content[:end].count(b"\n") - 1)
            assert file.profile.num_samples == whole
            for number in range(whole, 3):
                file.add(record(number))
        assert path.read_bytes() == content


def test_a_folder_is_one_tools_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "profile.jsonl"

    def second() -> None:
        with pytest.raises(ProfileError, match="is being written by another process"), ProfileFile(path, HEADER):
            pass

    with ProfileFile(path, HEADER) as file:
        file.add(record(0))
        in_child(second)
    assert load_profile(path).num_samples == 1
