"""One worker's loop in this process, under a clock of ours."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from hetsim.core.dataflow import resolve
from hetsim.core.platform import Device
from hetsim.models.segments.files import SegmentStore
from hetsim.runtime.backends.fake import FakeBackend
from hetsim.runtime.worker.arena import ABORTED, SUBMITTED, Arena, plan_layout
from hetsim.runtime.worker.loaded import LoadedProgram, SegmentFailed
from hetsim.runtime.worker.process import start_worker
from hetsim.runtime.worker.program import build_programs
from hetsim.runtime.worker.settings import Settings
from hetsim.runtime.worker.waiter import Aborted, Waiter
from tests.support.clock import Clock
from tests.support.models import fake_platform, fork_join, make_plan


class Bench:
    """One device of a two-device plan: the test plays the other device and the caller."""

    def __init__(self, folder: Path, **options: str) -> None:
        self.model = fork_join()
        plan = make_plan(self.model, cpu=["stem", "left", "join"], npu=["right right2"])
        self.flow = resolve(self.model.graph, plan)
        layout = plan_layout(self.flow, num_devices=2, num_slots=1)
        program = build_programs(self.flow, layout, self.model, SegmentStore(self.model, folder), ("cpu", "npu"))["cpu"]
        self.clock = Clock()
        device = Device(name="cpu", kind="cpu", backend="fake", options=options)
        backend = FakeBackend(device, sleep=self.clock.sleep)
        self.arena = Arena(layout)
        self.caller, self.control = os.pipe()
        self.settings = Settings(
            device=device,
            index=0,
            wake_fds=(os.eventfd(0), os.eventfd(0)),
            spin_s=1e-3,
            idle_spin_s=1e-6,
            cache_bytes=0,
        )
        self.parked = 0
        self.on_park = lambda: None
        self.loaded = LoadedProgram(
            program,
            self.arena,
            [backend.compile(task.path) for task in program.tasks],
            self.settings,
            clock_ns=self.clock,
        )
        self.waiter = Waiter(self.arena, self.settings, self.caller, clock_ns=self.clock, park=self.park)

    def park(self, timeout_s: float) -> None:
        self.parked += 1
        self.clock.sleep(timeout_s)
        self.on_park()

    def say(self) -> None:
        """The caller has a message."""
        os.write(self.control, b"x")

    def close(self) -> None:
        del self.loaded
        self.arena.close()
        for fd in (self.caller, self.control, *self.settings.wake_fds):
            os.close(fd)


@pytest.fixture
def bench(tmp_path: Path):
    made = Bench(tmp_path, op_s="0.5")
    yield made
    made.close()


def test_a_request_runs_in_order_and_waits_for_the_other_device(bench: Bench) -> None:
    cells, layout = bench.arena.cells, bench.arena.layout
    x = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)
    bench.arena.array(0, bench.model.graph.tensors["x"])[...] = x
    steps = {step.segment.ops[0]: i for i, step in enumerate(bench.flow.steps)}

    def other_device() -> None:
        # While we sleep in front of "join", the other device makes r2 and counts up.
        if cells[layout.done(steps["left"])] == 1 and cells[layout.done(steps["right"])] == 0:
            assert cells[layout.parked(0)] == 1
            bench.arena.array(0, bench.model.graph.tensors["r2"])[...] = 0.25
            cells[layout.done(steps["right"])] = 1

    bench.on_park = other_device
    cells[SUBMITTED] = 1
    reported: list[int] = []

    def report(request: int) -> None:
        reported.append(request)
        bench.say()

    bench.loaded.serve(bench.waiter, report)

    assert reported == [1]
    assert np.allclose(bench.arena.array(0, bench.model.graph.tensors["y"]), -np.abs(x) - 0.25)
    stamps = [
        cells[layout.stamp(0, steps[op]) : layout.stamp(0, steps[op]) + 2].tolist() for op in ("stem", "left", "join")
    ]
    for start_ns, end_ns in stamps:
        assert end_ns - start_ns == pytest.approx(0.5e9, abs=1e3)  # the fake engine's half second, on our clock
    assert stamps[0][1] <= stamps[1][0]
    assert stamps[1][1] <= stamps[2][0]
    assert cells[layout.parked(0)] == 0
    assert cells[layout.current(0)] == 0


def test_waiting_gives_up_when_another_worker_did(bench: Bench) -> None:
    def abort() -> None:
        bench.arena.cells[ABORTED] = 1

    bench.on_park = abort
    bench.arena.cells[SUBMITTED] = 1
    with pytest.raises(Aborted):
        bench.loaded.serve(bench.waiter, lambda _: None)


def test_waiting_gives_up_when_the_caller_is_gone(bench: Bench) -> None:
    os.close(bench.control)
    try:
        with pytest.raises(Aborted):
            bench.loaded.serve(bench.waiter, lambda _: None)
    finally:
        bench.control = os.open(os.devnull, os.O_RDONLY)


def test_a_segment_that_raises_is_named_and_everyone_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path, fail="left")
    bench.arena.cells[SUBMITTED] = 1
    with pytest.raises(SegmentFailed) as caught:
        bench.loaded.serve(bench.waiter, lambda _: None)
    assert bench.flow.steps[caught.value.step].segment.ops == ("left",)
    assert caught.value.reason == "RuntimeError: told to fail"
    assert bench.arena.cells[ABORTED] == 1
    assert os.eventfd_read(bench.settings.wake_fds[1]) == 1
    bench.close()


def test_a_caller_that_was_interrupted_amid_a_load_ends_the_worker_quietly() -> None:
    device = fake_platform().devices[0]
    wake_fd = os.eventfd(0, os.EFD_NONBLOCK)
    worker = start_worker(
        Settings(device=device, index=0, wake_fds=(wake_fd,), spin_s=0.0, idle_spin_s=0.0, cache_bytes=0)
    )
    try:
        assert worker.control.recv()[0] == "ready"
        worker.control.send(("load", 1, None))  # and no descriptor of memory, but
        worker.control.send(("exit",))
        assert worker.process.wait(10.0) == 0
    finally:
        worker.process.kill()
        worker.control.close()
        os.close(wake_fd)
