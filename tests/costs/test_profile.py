"""Profiles, and their files, which survive a crash at any point."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from hetsim.core.errors import ProfileError
from hetsim.core.plan import Split
from hetsim.costs.profile import Context, Profile, SerialRuns, Unsupported
from hetsim.costs.profile_file import ProfileFile, load_profile, parse_profile
from tests.support.profiles import HEADER, names, samples


def test_records_are_on_disk_when_add_returns_and_resume_adds_to_them(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "profile.jsonl"
    with ProfileFile(path, HEADER) as file:
        file.add(samples("01", 3.0, 1.0))
        assert load_profile(path).samples_s("cpu", names("01")) == (3.0, 1.0)
        file.add(Unsupported(device="npu", ops=names("2"), reason="no kernel"))
    with ProfileFile(path, HEADER) as file:
        assert file.profile.num_samples == 2
        file.add(samples("01", 2.0))
        file.add(samples("01", 9.0, context="replay:f00"))
    profile = load_profile(str(path))
    assert profile.header == HEADER
    assert profile.samples_s("cpu", names("01")) == (3.0, 1.0, 2.0, 9.0)
    assert profile.samples_s("cpu", names("01"), "configuration:single") == (3.0, 1.0, 2.0)
    assert profile.samples_s("cpu", names("01"), "replay:none") == ()
    assert profile.measured("cpu") == (names("01"),)
    assert profile.measured("npu") == ()
    assert profile.unsupported("npu") == {names("2"): "no kernel"}
    found = profile.summary("cpu", names("01"), "configuration:single")
    assert found is not None
    assert found.median_s == 2.0
    assert profile.summary("npu", names("01")) is None


def test_new_serial_runs_of_a_configuration_replace_the_earlier_ones(tmp_path: Path) -> None:
    path = tmp_path / "profile.jsonl"
    with ProfileFile(path, HEADER) as file:
        file.add(SerialRuns(device="cpu", context="configuration:single", speed_probe_s=(1.0,)))
        file.add(samples("0", 1.0))
        file.add(samples("1", 1.0))  # interrupted after this
        file.add(samples("1", 5.0, context="replay:f00"))
        file.add(samples("0", 7.0, device="npu"))
        file.add(SerialRuns(device="cpu", context="configuration:single", speed_probe_s=(2.0, 3.0)))
        file.add(samples("0", 4.0, 6.0))
        profile = file.profile
    for found in (profile, load_profile(path)):
        assert found.samples_s("cpu", names("0")) == (4.0, 6.0)
        assert found.samples_s("cpu", names("1")) == (5.0,)
        assert found.samples_s("npu", names("0")) == (7.0,)  # the configuration of that name on another device
        assert found.speed_probes_s("cpu") == {"configuration:single": (2.0, 3.0)}
        assert found.speed_probes_s("npu") == {}


def test_further_replays_are_appended_with_their_speed_probes() -> None:
    profile = Profile(header=HEADER)
    for seconds in (1.0, 2.0):
        profile.add(SerialRuns(device="cpu", context="replay:f00", speed_probe_s=(seconds,)))
        profile.add(samples("0", seconds, context="replay:f00"))
    assert profile.samples_s("cpu", names("0")) == (1.0, 2.0)
    assert profile.speed_probes_s("cpu") == {"replay:f00": (1.0, 2.0)}
    assert profile.without("f00").speed_probes_s("cpu") == {}


def test_a_final_belongs_to_its_own_executions_alone() -> None:
    profile = Profile(header=HEADER)
    profile.add(samples("0", 1.0, 2.0, context="replay:x"))
    profile.add(samples("0", 3.0, context="replay:x"))
    profile.add(samples("0", 4.0, context="final:x"))
    profile.add(samples("0", 5.0, context="final:x"))
    assert profile.samples_s("cpu", names("0"), "replay:x") == (1.0, 2.0, 3.0)
    assert profile.samples_s("cpu", names("0"), "final:x") == (5.0,)


def test_a_profile_of_final_measurements_alone() -> None:
    profile = Profile(header=HEADER)
    for context in ("configuration:single", "replay:f00", "final:f00"):
        profile.add(SerialRuns(device="cpu", context=context, speed_probe_s=(1.0,)))
        profile.add(samples("0", 2.0, context=context))
    profile.add(samples("1", 2.0))
    beside = profile.beside_executions()
    assert beside.segments() == (("cpu", names("0")),)
    assert list(beside.contexts("cpu", names("0"))) == list(beside.speed_probes_s("cpu")) == ["final:f00"]


def test_shared_tensors_and_splits_survive_the_file(tmp_path: Path) -> None:
    path, split = tmp_path / "profile.jsonl", Split(names("01"), "rows", (4,))
    record = SerialRuns(device="cpu", context="final:f00", speed_probe_s=(1.0,), splits=((split.ops, "rows", (4,)),))
    with ProfileFile(path, HEADER) as file:
        file.add(record)
        file.add(msgspec.structs.replace(samples("0", 1.0, context="final:f00"), shared=("t0", "t1")))
        file.add(samples("0", 1.0))
        profile = file.profile
    for found in (profile, load_profile(path)):
        assert found.contexts("cpu", names("0")) == {
            "final:f00": Context([1.0], ("t0", "t1")),
            "configuration:single": Context([1.0], ()),
        }
        assert found.splits("final:f00") == (split,)
        assert found.splits("configuration:single") == ()
        assert found.revision == 3
        assert found.contexts_named("final:") == ("final:f00",)
    assert profile.beside_executions().splits("final:f00") == (split,)


def test_file_cut_at_every_byte_of_its_last_record_resumes(tmp_path: Path) -> None:
    path = tmp_path / "profile.jsonl"
    with ProfileFile(path, HEADER) as file:
        file.add(samples("0", 1.0))
        kept = path.read_bytes()
        file.add(samples("1", 2.0))
    whole = path.read_bytes()
    for length in range(len(kept), len(whole)):
        path.write_bytes(whole[:length])
        assert load_profile(path).measured("cpu") == (names("0"),)
        with ProfileFile(path, HEADER) as file:
            assert file.profile.measured("cpu") == (names("0"),)
            file.add(samples("1", 2.0))
        assert path.read_bytes() == whole


def test_file_cut_anywhere_in_its_header_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "profile.jsonl"
    whole = msgspec.json.encode(HEADER) + b"\n"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with ProfileFile(path, HEADER) as file:
            assert file.profile.num_samples == 0
        assert path.read_bytes() == whole
    path.write_bytes(whole[:-1])
    with pytest.raises(ProfileError, match="is empty; measure anew with: hetsim profile MODEL"):
        load_profile(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_hash": "def"}, "another model hash: it has 'abc', this run needs 'def'"),
        ({"machine": "there"}, "another machine: it has 'here', this run needs 'there'"),
        ({"engines": {"cpu": "ORT 2"}}, "another engine of cpu: it has 'ORT 1.32 f32', this run needs 'ORT 2'"),
        ({"engines": {"gpu": "ORT 2"}}, "another engine of gpu: it has 'none'"),
    ],
)
def test_profile_with_another_header_is_refused_and_not_changed(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "profile.jsonl"
    with ProfileFile(path, HEADER):
        pass
    before = path.read_bytes()
    with pytest.raises(ProfileError, match=message):
        ProfileFile(path, msgspec.structs.replace(HEADER, **change))
    assert path.read_bytes() == before
    with ProfileFile(path, msgspec.structs.replace(HEADER, date="later", model="renamed")):
        pass  # neither dates nor names count, and the refusal above let go of the lock


HEADER_LINE = msgspec.json.encode(HEADER).decode()
SAMPLES_LINE = '{"record":"samples","device":"cpu","ops":["op0"],"context":"c","samples_s":[%s]}'


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEADER_LINE, "{"], "line 2 is malformed"),
        ([HEADER_LINE, "", SAMPLES_LINE % "1.0"], "line 2 is malformed"),
        ([HEADER_LINE, "\x00" * 20], "line 2 is malformed"),
        ([HEADER_LINE, '{"record":"note"}'], "line 2 is malformed: Invalid value 'note'"),
        ([HEADER_LINE, (SAMPLES_LINE % "1.0").replace("context", "contxt")], "line 2 is malformed: .*contxt"),
        ([HEADER_LINE, SAMPLES_LINE % "0.0"], "line 2 .*not a positive number of seconds"),
        ([HEADER_LINE, SAMPLES_LINE % "1.0, -1.0"], "line 2 .*not a positive number of seconds"),
        ([HEADER_LINE, SAMPLES_LINE % "NaN"], "line 2 is malformed"),
        ([HEADER_LINE, SAMPLES_LINE % ""], "line 2 .*at least one operator and one duration"),
        ([HEADER_LINE, "[" * 100_000], "line 2 is malformed"),
        ([HEADER_LINE, HEADER_LINE], "second header in line 2"),
        ([SAMPLES_LINE % "1.0"], "does not begin with a header"),
        ([HEADER_LINE.replace('"format":4', '"format":1')], "has format 1, this version reads format 4; measure anew"),
        ([], "is empty"),
    ],
)
def test_malformed_profile_is_one_line_with_its_place(lines: list[str], message: str) -> None:
    with pytest.raises(ProfileError, match=message) as caught:
        parse_profile("".join(f"{line}\n" for line in lines).encode(), source="p.jsonl")
    assert str(caught.value).startswith("profile p.jsonl")
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_text_are_malformed() -> None:
    with pytest.raises(ProfileError, match="line 1 is malformed"):
        parse_profile(b"\xff\xfe\n", source="p.jsonl")


def test_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"No such file or directory; make one with: hetsim profile MODEL --out"):
        load_profile(tmp_path / "none.jsonl")


def test_path_that_cannot_be_written_is_a_profile_error(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot write profile"):
        ProfileFile(tmp_path, HEADER)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ProfileError, match="cannot write profile"):
        ProfileFile(tmp_path / "file" / "profile.jsonl", HEADER)


@pytest.mark.parametrize("bad", [(), (0.0,), (-1.0,), (float("nan"),), (float("inf"),)])
def test_record_that_could_not_be_read_back_is_not_written(bad: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="duration"):
        samples("0", *bad)


def test_file_is_locked_against_other_processes_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "profile.jsonl"
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from hetsim.costs.profile_file import ProfileFile, load_profile\n"
        "path = Path(sys.argv[1])\n"
        "with ProfileFile(path, load_profile(path).header):\n"
        "    print('locked', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with ProfileFile(path, HEADER):
        pass
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(ProfileError, match="is being written by another process"):
            ProfileFile(path, HEADER)
        other.kill()  # even a killed process lets go of the lock
    with ProfileFile(path, HEADER) as file:
        file.add(samples("0", 1.0))
