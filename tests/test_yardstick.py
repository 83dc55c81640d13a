"""How fast cores are at the moment, and which walks count while some are slow."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, cast

import numpy as np
import pytest

from hetsim.model import random_inputs
from hetsim.plan import Plan, resolve, whole_plan
from runtime import Runtime, Session
from runtime.inference import Inference
from runtime.profiler import MOST_TRIES, WARM_UPS, Effort, walk
from runtime.turns import FEWEST_TURNS, RUNS_PER_TURN, Turns, take_turn
from runtime.yardstick import Steadiness, make_yardstick
from tests.models import chain, fake_platform, make_plan

MODEL = chain(3)
PLAN = whole_plan(MODEL.graph, "npu")
FLOW = resolve(MODEL.graph, PLAN)
FREE_S, SHARED_S = 45e-6, 75e-6


def walked(
    yardsticks_s: Mapping[str, float], fetches_s: Mapping[str, float] | None = None, *, end_ns: int = 1
) -> Inference:
    return Inference(
        outputs={},
        taken_up_ns=0,
        submitted_ns=0,
        collected_ns=0,
        stamps_ns=np.array([[0, end_ns]]),
        flow=FLOW,
        yardsticks_s=yardsticks_s,
        fetches_s=fetches_s or {},
    )


class Scripted:
    """A runtime and its one session, whose core is as fast after each serial walk as the test says; free at the end."""

    def __init__(self, yardsticks_s: Sequence[float] = ()) -> None:
        self.steadiness = Steadiness()
        self._coming = list(yardsticks_s)
        self.num_runs = 0

    def load(self, *_: Any) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def run(self, _inputs: Mapping[str, Any], *, serial: bool = False) -> Inference:
        yardsticks_s = {"npu": self._coming.pop(0) if self._coming else FREE_S} if serial else {}
        self.num_runs += 1
        inference = walked(yardsticks_s, end_ns=1_000_000 + self.num_runs)
        self.steadiness.learn(inference)
        return inference


def test_slowness_is_beside_what_a_tenth_of_readings_is_faster_than() -> None:
    steadiness = Steadiness()
    assert steadiness.slowness(walked({})) == 0.0
    assert steadiness.slowness(walked({"cpu": 1.0})) < 0  # nothing to go by
    for reading in (0.5, *[1.0] * 4, *[1.6] * 15):  # one lucky reading, and a core that is shared most of the time
        steadiness.learn(walked({"cpu": reading, "npu": 1.0}))
    assert steadiness.slowness(walked({"cpu": 1.6})) == pytest.approx(0.6)
    assert steadiness.slowness(walked({"cpu": 1.1, "npu": 1.3})) == pytest.approx(0.3)
    assert steadiness.is_steady(walked({"cpu": 1.05}))
    assert not steadiness.is_steady(walked({"cpu": 1.1}))


def test_cores_that_lie_far_apart_are_slow_where_devices_hand_over() -> None:
    steadiness = Steadiness()
    for far in (False, True):
        steadiness.learn(walked({"cpu": 1.0, "npu": 1.0}, {"cpu": 0.4 if far else 0.1, "npu": 0.1}))
    assert steadiness.slowness(walked({"cpu": 1.0})) == 0.0  # alone
    assert steadiness.slowness(walked({"cpu": 1.0, "npu": 1.0}, {"cpu": 0.1, "npu": 0.1})) == 0.0
    assert steadiness.slowness(walked({"cpu": 1.0, "npu": 1.0}, {"cpu": 0.1, "npu": 0.4})) == pytest.approx(0.3 / 1.1)


@pytest.mark.parametrize(
    ("slow_walks", "num_walks"),
    [(0, 12), (3, 15), (12, 24), (100, 24)],  # wanted are 12; no more than twice as many are made
)
def test_walks_on_a_slow_core_do_not_count_until_there_are_twice_as_many(slow_walks: int, num_walks: int) -> None:
    runtime = Scripted([FREE_S] * WARM_UPS + [SHARED_S] * slow_walks)
    walks = walk(cast(Runtime, runtime), MODEL, PLAN, {}, Effort(repeats=12))
    assert len(walks) == num_walks
    assert MOST_TRIES == 2


def test_executions_are_steady_between_two_walks_on_fast_cores() -> None:
    # After the warm-up come execution 7, replay 8, execution 9, replay 10 and so on. The core is shared after 10 and
    # 12, so it may have been during 9, 11 and 13.
    session = Scripted([FREE_S] * WARM_UPS + [FREE_S, SHARED_S, SHARED_S])
    pairs = take_turn(cast(Session, session), {}, session.steadiness, at_any_rate=True)
    assert [pair.is_steady for pair in pairs] == [True, False, False, False, True, True]
    assert [pair.run.stamps_ns[0, 1] - 1_000_000 for pair in pairs] == [7, 9, 11, 13, 15, 17]


def test_a_turn_ends_once_enough_were_steady_or_a_core_is_slow() -> None:
    session = Scripted([FREE_S] * WARM_UPS)
    assert len(take_turn(cast(Session, session), {}, session.steadiness)) == RUNS_PER_TURN
    session = Scripted([FREE_S] * WARM_UPS + [FREE_S, SHARED_S])
    assert len(take_turn(cast(Session, session), {}, session.steadiness)) == 2
    session = Scripted([FREE_S] * WARM_UPS + [SHARED_S] * 100)
    pairs = take_turn(cast(Session, session), {}, session.steadiness, at_any_rate=True)
    assert len(pairs) == MOST_TRIES * RUNS_PER_TURN


def turns_of(sessions: Sequence[Scripted], num_turns: int) -> Turns:
    steadiness = Steadiness()
    for session in sessions:
        session.steadiness = steadiness
    numbered = {i: cast(Session, session) for i, session in enumerate(sessions)}
    return Turns(numbered, {}, steadiness, num_turns=num_turns, patience_s=10.0)


def test_a_plan_whose_core_is_slow_lets_the_others_of_its_round_go_first() -> None:
    quick, slow = Scripted(), Scripted([FREE_S] + [SHARED_S] * 2)
    turns = turns_of([quick, slow], num_turns=2)
    slow.run({}, serial=True)  # so that it is known how fast the core may be
    for _ in range(2):
        turns.advance()
        assert turns.done == 0
    a_turn = 1 + WARM_UPS + 2 * RUNS_PER_TURN
    assert (quick.num_runs, slow.num_runs) == (a_turn, 3)  # the quick one waits as well, the slow one looked twice
    turns.advance()
    assert turns.done == 0.5
    turns.advance()
    assert turns.done == 1
    assert (quick.num_runs, slow.num_runs) == (2 * a_turn, 3 + 2 * a_turn)
    assert [len(turns.counted(i)) for i in (0, 1)] == [2 * RUNS_PER_TURN] * 2
    assert all(pair.slowness == 0 for i in (0, 1) for pair in turns.counted(i))


def test_a_plan_of_whose_turn_a_part_was_steady_makes_up_for_the_rest() -> None:
    session = Scripted([FREE_S] * (1 + WARM_UPS) + [FREE_S, SHARED_S])  # the second replay, so one pair was steady
    turns = turns_of([session], num_turns=1)
    turns.advance()
    assert turns.done == 0
    turns.advance()
    assert turns.done == 1
    assert [pair.slowness for pair in turns.counted(0)] == [0.0] * RUNS_PER_TURN


def test_turns_end_on_a_core_that_stays_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr("runtime.turns.time.monotonic", lambda: 1e3 * next(clock))  # longer than anybody is patient
    session = Scripted([FREE_S] * 20 + [SHARED_S] * (1 + WARM_UPS) + [70e-6] * 4 + [SHARED_S] * 1000)
    turns = turns_of([session], num_turns=2)
    for _ in range(20):
        session.run({}, serial=True)
    while turns.done < 1:
        turns.advance()
    counted = turns.counted(0)
    assert len(counted) == 2 * RUNS_PER_TURN
    # The least slow of each round: in the second there are no others.
    assert [pair.slowness for pair in counted] == pytest.approx([70 / 45 - 1] * 3 + [75 / 45 - 1] * 3)


@pytest.mark.parametrize("plan", [PLAN, make_plan(MODEL, cpu=["op0", "op2"], npu=["op1"])], ids=["alone", "both"])
def test_each_device_of_a_serial_walk_reads_what_another_wrote(plan: Plan) -> None:
    with Runtime(fake_platform()) as runtime, runtime.load(MODEL, plan) as session:
        inputs = random_inputs(MODEL)
        assert session.run(inputs).fetches_s == {}
        for _ in range(3):
            walk = session.run(inputs, serial=True)
            assert set(walk.yardsticks_s) == set(plan.queues)
            assert set(walk.fetches_s) == (set(plan.queues) if len(plan.queues) > 1 else set())
            assert all(0 < seconds < 1 for seconds in walk.fetches_s.values())


def test_once_patience_is_over_a_few_turns_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr("runtime.turns.time.monotonic", lambda: next(clock))
    a_turn = 1 + WARM_UPS + RUNS_PER_TURN  # serial walks
    for num_steady, num_turns in ((2, FEWEST_TURNS), (FEWEST_TURNS + 1, FEWEST_TURNS + 1)):
        session = Scripted([FREE_S] * (20 + num_steady * a_turn) + [SHARED_S] * 1000)
        turns = turns_of([session], num_turns=12)
        for _ in range(20):
            session.run({}, serial=True)
        while turns.done < 1:
            turns.advance()
        assert turns.done == 1
        assert len(turns.counted(0)) == num_turns * RUNS_PER_TURN


def test_a_yardstick_leaves_the_process_on_its_cores() -> None:
    cores = os.sched_getaffinity(0)
    for named in ((), tuple(cores)[:1], tuple(cores)):
        assert make_yardstick(named)() > 0
        assert os.sched_getaffinity(0) == cores
