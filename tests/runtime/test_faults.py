"""Faults, injected for real: noticed in time, named, nothing left behind, what was measured kept."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from experiments.several_requests import LoadLine
from experiments.shared.records import Record
from hetsim.core.errors import DeviceError, HetsimError, PlanError, ProfileError
from hetsim.costs.profile import Header, Samples
from hetsim.costs.profile_file import ProfileFile, load_profile
from hetsim.io.files import write_atomically
from hetsim.io.folder_lock import lock_folder
from hetsim.io.plan_file import save_plan
from hetsim.models.model import random_inputs
from hetsim.models.reference import evaluate
from hetsim.runtime import Runtime, Session
from hetsim.runtime.nan import check_numbers
from hetsim.runtime.standby import standby
from hetsim.tuner.pipeline import tune
from tests.support.models import fake_platform, fork_join, make_plan

MODEL = fork_join()
PLAN = make_plan(MODEL, cpu=["stem", "left", "join"], npu=["right right2"])
INPUTS = random_inputs(MODEL)
RIGHT = evaluate(MODEL.proto, INPUTS)["y"]
HEADER = Header(model="m", model_hash="0" * 64, machine="here", engines={"cpu": "fake engine"}, date="2026-11-25")


def record(number: int) -> Samples:
    return Samples(device="cpu", ops=(f"op{number}",), context="cover", samples_s=(1e-3 + number,))


def processes_with(word: str) -> list[int]:
    """Processes on this machine that have ``word`` in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if word.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                pass  # it has just ended, or is another user's
    return found


def litter() -> list[str]:
    """What is left in shared memory: named files, and descriptors of memory that this process still holds."""
    held = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    named = [path.name for path in Path("/dev/shm").iterdir() if "hetsim" in path.name]
    return named + [target for target in held if "memfd:hetsim" in target]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    gc.collect()
    before = litter()
    yield
    gc.collect()
    assert litter() == before


def failure_of(session: Session) -> tuple[DeviceError, float]:
    """What a request that is under way ends with, and after how many seconds."""
    start_s = time.monotonic()
    try:
        while not session.collect(5.0):
            pass
    except DeviceError as error:
        return error, time.monotonic() - start_s
    raise AssertionError("the request ended well")


@pytest.mark.parametrize(
    ("number", "fate"), [(signal.SIGKILL, "was ended by signal 9"), (signal.SIGSTOP, "was stopped")]
)
@pytest.mark.parametrize("victim", ["cpu", "npu"])
def test_a_worker_that_a_signal_ends_or_stops_is_named_within_a_second(victim: str, number: int, fate: str) -> None:
    with Runtime(fake_platform(op_s="0.25")) as runtime, runtime.load(MODEL, PLAN) as session:
        session.submit(INPUTS)
        while not session.running_on("cpu"):
            time.sleep(0.001)
        os.kill(runtime.pids[victim], number)
        error, seconds = failure_of(session)
        assert seconds < 1.0
        assert error.device == victim
        assert fate in str(error)
        assert error.segment == (("stem",) if victim == "cpu" else ())  # the npu was still waiting for it


def test_a_segment_that_takes_far_longer_than_before_is_named_within_a_second() -> None:
    with Runtime(fake_platform(hang="right2")) as runtime, runtime.load(MODEL, PLAN) as session:
        session.run(INPUTS)
        session.submit(INPUTS)
        error, seconds = failure_of(session)
        assert seconds < 1.0
        assert (error.device, error.segment) == ("npu", ("right", "right2"))  # and not the cpu, which waits for it
        assert "hangs in segment 'right' of 2: it has been there for more than 0.4 s" in str(error)


def test_a_segment_that_has_always_been_slow_is_no_fault() -> None:
    with Runtime(fake_platform(op_s="0.2"), slow_s=0.05) as runtime, runtime.load(MODEL, PLAN) as session:
        for _ in range(3):
            session.run(INPUTS)


def test_a_worker_that_is_stopped_for_a_moment_is_forgiven() -> None:
    with Runtime(fake_platform(op_s="0.05")) as runtime, runtime.load(MODEL, PLAN) as session:
        session.submit(INPUTS)
        os.kill(runtime.pids["cpu"], signal.SIGSTOP)
        session.poll(0.01)
        os.kill(runtime.pids["cpu"], signal.SIGCONT)
        found = ()
        while not found:
            found = session.collect(1.0)
        assert np.allclose(found[0].outputs["y"], RIGHT, atol=1e-6)


@pytest.mark.parametrize(
    ("fault", "reason"), [("fail", "RuntimeError: told to fail"), ("misshape", "ValueError: could not broadcast")]
)
def test_an_engine_that_raises_or_gives_other_shapes_is_named(fault: str, reason: str) -> None:
    with (
        Runtime(fake_platform(**{fault: "right2"})) as runtime,
        runtime.load(MODEL, PLAN) as session,
        pytest.raises(DeviceError, match=rf"'npu' failed in segment 'right' of 2: {reason}"),
    ):
        session.run(INPUTS)


def test_numbers_that_are_none_are_an_infinite_error() -> None:
    from hetsim.tuner.steps.expected_outputs import find_expected_outputs

    with Runtime(fake_platform(nan="right2")) as runtime, runtime.load(MODEL, PLAN) as session:
        assert find_expected_outputs(MODEL).error(session.run(INPUTS).outputs) == float("inf")


def test_the_segment_that_makes_what_is_no_number_is_named() -> None:
    with (
        Runtime(fake_platform(nan="right2")) as runtime,
        runtime.load(MODEL, PLAN) as session,
        pytest.raises(DeviceError, match=r"'npu' failed in segment 'right' of 2: .* not numbers \(NaN\)") as caught,
    ):
        check_numbers(runtime, MODEL, PLAN, INPUTS, [session.run(INPUTS)])
    assert caught.value.segment == ("right", "right2")


def test_a_model_whose_right_outputs_are_no_numbers_is_no_fault() -> None:
    nowhere = {name: np.full_like(array, np.nan) for name, array in INPUTS.items()}
    with Runtime(fake_platform()) as runtime, runtime.load(MODEL, PLAN) as session:
        check_numbers(runtime, MODEL, PLAN, nowhere, [session.run(nowhere)])


@pytest.mark.parametrize(("victim", "number"), [("cpu", signal.SIGKILL), ("npu", signal.SIGSTOP)])
def test_a_device_on_standby_finishes_what_others_failed_at(victim: str, number: int) -> None:
    platform = fake_platform(op_s="0.05")
    with (
        standby(platform, MODEL, "cpu") as spare,
        Runtime(platform) as runtime,
        runtime.load(MODEL, PLAN) as session,
    ):
        session.submit(INPUTS)
        os.kill(runtime.pids[victim], number)
        failure_of(session)
        assert np.allclose(spare.run(INPUTS).outputs["y"], RIGHT, atol=1e-6)


def test_workers_end_when_their_caller_is_killed() -> None:
    script = """
        import sys, time
        from hetsim.runtime import Runtime
        from tests.runtime.test_faults import INPUTS, MODEL, PLAN
        from tests.support.models import fake_platform
        runtime = Runtime(fake_platform(op_s="0.05"))
        session = runtime.load(MODEL, PLAN, num_slots=2)
        session.run(INPUTS)
        session.submit(INPUTS)
        print("busy", flush=True)
        time.sleep(60)
    """
    word = f"HETSIM_TEST_ORPHANS={os.getpid()}"
    name, _, value = word.partition("=")
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], env={**os.environ, name: value}, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    with parent.stdout:
        assert parent.stdout.readline() == b"busy\n"
        assert len(processes_with(word)) == 3
        parent.kill()
        parent.wait()
    deadline_s = time.monotonic() + 10
    while processes_with(word) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert processes_with(word) == []


def in_child(work, *arguments: object) -> None:
    """Run ``work`` in a process whose limits are its own."""
    child = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    child.start()
    child.join()
    assert child.exitcode == 0


def _limit_files(num_bytes: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as on a full disk: an error, not a signal
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))


def _exhaust_shared_memory() -> None:
    before = litter()
    _limit_files(1 << 20)
    with Runtime(fake_platform()) as runtime:
        with pytest.raises(PlanError, match=r"no [0-9]+ MiB of shared memory for the plan's tensors"):
            runtime.load(MODEL, PLAN, num_slots=1000)
        assert litter() == before
        with runtime.load(MODEL, PLAN) as session:
            assert np.allclose(session.run(INPUTS).outputs["y"], RIGHT, atol=1e-6)


def test_shared_memory_that_cannot_be_had_is_an_error_and_the_runtime_lives_on() -> None:
    in_child(_exhaust_shared_memory)


def _fill_disk(path: Path) -> None:
    with pytest.raises(OSError, match="File too large"), ProfileFile(path, HEADER) as file:  # noqa: PT012
        file.add(record(0))
        _limit_files(path.stat().st_size + 20)  # the next record stops in its middle
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


_HOLDER = """
import sys; from pathlib import Path; from hetsim.io.folder_lock import lock_folder
held = lock_folder(Path(sys.argv[1])); print("held", flush=True); sys.stdin.read()
"""


def test_two_runs_do_not_fill_one_folder(tmp_path: Path) -> None:
    message = "is being filled by another process"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(HetsimError, match=message):
            tune(MODEL, fake_platform(), tmp_path)
        with pytest.raises(HetsimError, match=message):
            Record(tmp_path / "rows.csv", LoadLine, settings={}, command="")
        other.kill()
    assert list(tmp_path.iterdir()) == []
    held = lock_folder(tmp_path)
    assert lock_folder(tmp_path) is held  # a command may keep two records in its folder


@pytest.mark.engines
def test_run_finishes_on_the_standby_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnx

    from hetsim.tuner.cli.app import app

    onnx.save(MODEL.proto, tmp_path / "fork_join.onnx")
    (tmp_path / "p.toml").write_text(
        'name = "p"\n[device.cpu]\nkind = "cpu"\nbackend = "fake"\n'
        '[device.npu]\nkind = "npu"\nbackend = "fake"\noptions = {fail = "right2"}\n'
    )
    save_plan(PLAN, tmp_path / "plan.json")
    command = ["run", str(tmp_path / "fork_join.onnx"), "--plan", str(tmp_path / "plan.json"), "--platform"]
    command += [str(tmp_path / "p.toml"), "--requests", "2"]
    with pytest.raises(DeviceError, match="'npu' failed in segment 'right'"):
        app(command, standalone_mode=False)
    app([*command, "--on-fault", "cpu", "--outputs", str(tmp_path / "y.npz")], standalone_mode=False)
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "WARNING: device 'npu' failed in segment 'right' of 2: RuntimeError: told to fail; 'cpu' does it alone" in said
    )
    assert np.allclose(np.load(tmp_path / "y.npz")["y"], RIGHT, atol=1e-6)
