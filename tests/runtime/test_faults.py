"""Real faults of worker processes: noticed, named, and nothing left behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import numpy as np
import pytest

from hetsim.core.errors import DeviceError, PlanError
from hetsim.models.model import random_inputs
from hetsim.models.reference import evaluate
from hetsim.runtime import Runtime, Session
from hetsim.runtime.faults.nan import check_numbers
from hetsim.runtime.faults.standby import standby
from tests.support.models import fake_platform, fork_join, make_plan
from tests.support.programs.processes import in_child, limit_files, processes_with, shared_memory

MODEL = fork_join()
PLAN = make_plan(MODEL, cpu=["stem", "left", "join"], npu=["right right2"])
INPUTS = random_inputs(MODEL)
RIGHT = evaluate(MODEL.proto, INPUTS)["y"]


@pytest.fixture(scope="module", autouse=True)
def little_to_collect() -> Iterator[None]:
    """What other tests have made is not looked through again around each test."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    gc.collect()
    before = shared_memory()
    yield
    gc.collect()
    assert shared_memory() == before


def failure_of(session: Session) -> DeviceError:
    """The error that a pending request ends with."""
    try:
        while not session.collect(5.0):
            pass
    except DeviceError as error:
        return error
    raise AssertionError("the request ended well")


@pytest.mark.parametrize(
    ("number", "fate"), [(signal.SIGKILL, "was ended by signal 9"), (signal.SIGSTOP, "was stopped")]
)
@pytest.mark.parametrize("victim", ["cpu", "npu"])
def test_a_worker_that_a_signal_ends_or_stops_is_named(victim: str, number: int, fate: str) -> None:
    with Runtime(fake_platform(op_s="0.25")) as runtime, runtime.load(MODEL, PLAN) as session:
        session.submit(INPUTS)
        while not session.running_on("cpu"):
            time.sleep(0.001)
        os.kill(runtime.pids[victim], number)
        error = failure_of(session)
        assert error.device == victim
        assert fate in str(error)
        assert error.segment == (("stem",) if victim == "cpu" else ())  # the npu was still waiting for it


def test_a_segment_that_takes_far_longer_than_before_is_named() -> None:
    with Runtime(fake_platform(hang="right2")) as runtime, runtime.load(MODEL, PLAN) as session:
        session.run(INPUTS)
        session.submit(INPUTS)
        error = failure_of(session)
        assert (error.device, error.segment) == ("npu", ("right", "right2"))  # and not the cpu, which waits for it
        assert "hangs in segment 'right' of 2: it has been there for more than 0.4 s" in str(error)


def test_a_segment_that_has_always_been_slow_is_no_fault() -> None:
    with Runtime(fake_platform(op_s="0.2"), slow_s=0.05) as runtime, runtime.load(MODEL, PLAN) as session:
        for _ in range(2):  # the second run is compared with the first
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


def test_the_segment_that_makes_what_is_no_number_is_named() -> None:
    with (
        Runtime(fake_platform(nan="right2")) as runtime,
        runtime.load(MODEL, PLAN) as session,
        pytest.raises(DeviceError, match=r"'npu' failed in segment 'right' of 2: .* not numbers \(NaN\)") as caught,
    ):
        check_numbers(runtime, MODEL, PLAN, INPUTS, [session.run(INPUTS)])
    assert caught.value.segment == ("right", "right2")


def test_a_model_whose_right_outputs_are_no_numbers_is_no_fault(runtime: Runtime) -> None:
    nowhere = {name: np.full_like(array, np.nan) for name, array in INPUTS.items()}
    with runtime.load(MODEL, PLAN) as session:
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
        from hetsim.models.model import random_inputs
        from tests.support.models import fake_platform, fork_join, make_plan
        model = fork_join()
        plan = make_plan(model, cpu=["stem", "left", "join"], npu=["right right2"])
        inputs = random_inputs(model)
        runtime = Runtime(fake_platform(op_s="0.05"))
        session = runtime.load(model, plan, num_slots=2)
        session.run(inputs)
        session.submit(inputs)
        print("busy", flush=True)
        time.sleep(60)
    """
    variable = f"HETSIM_TEST_ORPHANS={os.getpid()}"
    name, _, value = variable.partition("=")
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], env={**os.environ, name: value}, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    with parent.stdout:
        assert parent.stdout.readline() == b"busy\n"
        assert len(processes_with(variable)) == 3
        parent.kill()
        parent.wait()
    deadline_s = time.monotonic() + 10
    while processes_with(variable) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert processes_with(variable) == []


def _exhaust_shared_memory() -> None:
    before = shared_memory()
    limit_files(1 << 20)
    with Runtime(fake_platform()) as runtime:
        with pytest.raises(PlanError, match=r"no [0-9]+ MiB of shared memory for the plan's tensors"):
            runtime.load(MODEL, PLAN, num_slots=1000)
        assert shared_memory() == before
        with runtime.load(MODEL, PLAN) as session:
            assert np.allclose(session.run(INPUTS).outputs["y"], RIGHT, atol=1e-6)


def test_shared_memory_that_cannot_be_had_is_an_error_and_the_runtime_lives_on() -> None:
    in_child(_exhaust_shared_memory)
