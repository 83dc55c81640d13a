"""How long a segment may take, and which time counts."""

from __future__ import annotations

import numpy as np
import pytest

from hetsim.core.dataflow import resolve
from hetsim.core.errors import DeviceError
from hetsim.runtime.hang_detector import CHECK_INTERVAL_S, HangDetector, SegmentClock
from hetsim.runtime.inference import PendingRequest
from hetsim.runtime.worker.arena import Arena, plan_layout
from tests.support.models import chain, make_plan

MODEL = chain(2)
FLOW = resolve(MODEL.graph, make_plan(MODEL, cpu=["op0 op1"]))


def test_a_segment_may_take_fifty_times_its_longest_run_but_never_less_than_the_least() -> None:
    clock = SegmentClock(2, min_limit_s=0.4)
    assert clock.limit_s(0) == float("inf")  # until a run has finished
    clock.learn(np.array([[0, 1_000_000], [0, 20_000_000]]))
    clock.learn(np.array([[0, 2_000_000], [0, 10_000_000]]))
    assert clock.longest_s(1) == pytest.approx(0.02)
    assert clock.limit_s(0) == pytest.approx(0.4)
    assert clock.limit_s(1) == pytest.approx(1.0)


def test_time_in_a_segment_adds_up_until_another_run() -> None:
    clock = SegmentClock(1, min_limit_s=0.4)
    clock.learn(np.array([[0, 1_000_000]]))
    assert not clock.is_over("cpu", (0, 2), 9.0)  # the time before the segment was first seen
    assert not clock.is_over("cpu", (0, 2), 0.25)
    assert clock.is_over("cpu", (0, 2), 0.25)
    assert not clock.is_over("cpu", (0, 3), 0.25)


class Processes:
    """The one device's process waits for its core for as long as the test says."""

    def __init__(self) -> None:
        self.waited_s = 0.0

    def core_wait_s(self, name: str) -> float:  # noqa: ARG002
        return self.waited_s


@pytest.mark.parametrize("waits_for_core", [False, True])
def test_waiting_for_a_core_is_no_hang(monkeypatch: pytest.MonkeyPatch, waits_for_core: bool) -> None:
    arena, processes, now_s = Arena(plan_layout(FLOW, num_devices=1, num_slots=1)), Processes(), 100.0
    detector = HangDetector(processes, FLOW, arena, {"cpu": 0}, stall_s=1e9, slow_s=0.4)
    detector.learn(np.array([[0, 1_000_000]]))
    arena.cells[arena.layout.current(0)] = 1
    pending = {1: PendingRequest(0, 0, {"cpu"}, None)}
    found: list[DeviceError] = []
    for _ in range(4):
        monkeypatch.setattr("hetsim.runtime.hang_detector.time.monotonic", lambda now_s=now_s: now_s)
        found += filter(None, [detector.check(pending, ())])
        now_s += CHECK_INTERVAL_S
        processes.waited_s += CHECK_INTERVAL_S if waits_for_core else 0.0
    arena.close()
    assert bool(found) is not waits_for_core
    assert all("hangs in segment 'op0' of 2: it has been there for more than 0.4 s" in str(error) for error in found)


def test_a_process_that_is_stopped_at_two_checks_is_named() -> None:
    arena = Arena(plan_layout(FLOW, num_devices=1, num_slots=1))
    detector = HangDetector(Processes(), FLOW, arena, {"cpu": 0}, stall_s=1e9, slow_s=0.4)
    pending = {1: PendingRequest(0, 0, {"cpu"}, None)}
    assert detector.check(pending, ("cpu",)) is None
    assert detector.check(pending, ()) is None
    assert detector.check(pending, ("cpu",)) is None
    assert "the process of device 'cpu' was stopped" in str(detector.check(pending, ("cpu",)))
    arena.close()
