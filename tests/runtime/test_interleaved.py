"""Which executions count while some cores are slow, and how long anybody waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from hetsim.runtime import Session
from hetsim.runtime.measure.interleaved import RUNS_PER_TURN, Turns
from hetsim.runtime.measure.profiler import WARM_UPS
from hetsim.runtime.worker.speed_probe import Steadiness
from tests.support.scripted import FREE_S, SHARED_S, Scripted


def taken(sessions: Sequence[Scripted], *, num_turns: int, patience_s: float = 10.0) -> tuple[Turns, list[float]]:
    """Turns that are over, and what they said meanwhile of how much was done."""
    steadiness = Steadiness()
    for session in sessions:
        session.steadiness = steadiness
    numbered = {i: cast(Session, session) for i, session in enumerate(sessions)}
    turns = Turns(numbered, {}, steadiness, num_turns=num_turns, patience_s=patience_s)
    return turns, list(turns.take_all())


def counted(turns: Turns, index: int = 0) -> list[int]:
    """Numbers of the executions that count."""
    return [int(pair.run.stamps_ns[0, 1]) for pair in turns.counted(index)]


def a_second_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr("hetsim.runtime.measure.interleaved.time.monotonic", lambda: float(next(clock)))


def test_turns_of_one_round_lie_side_by_side() -> None:
    sessions = Scripted(), Scripted()
    turns, done = taken(sessions, num_turns=2)
    assert done == [0.0, 0.25, 0.5, 0.75]
    a_turn = WARM_UPS + 2 * RUNS_PER_TURN
    assert [session.num_runs for session in sessions] == [2 * a_turn] * 2
    first = [WARM_UPS + 1, WARM_UPS + 3, WARM_UPS + 5]
    for index in (0, 1):
        assert counted(turns, index) == first + [number + a_turn for number in first]
        assert all(pair.is_steady for pair in turns.counted(index))


def test_a_plan_waits_warm_until_no_core_is_slow() -> None:
    # After the warm-up come execution 7 and replay 8, execution 9 and replay 10. The core is shared after 10, so it may
    # have been during 9. Walk 11 finds it so still, walk 12 no more; executions 13 and 15 follow.
    session = Scripted([FREE_S] * WARM_UPS + [FREE_S, SHARED_S, SHARED_S])
    turns, _ = taken([session], num_turns=1)
    assert counted(turns) == [7, 13, 15]
    assert session.num_runs == 16
    assert [pair.slowness for pair in turns.counted(0)] == [0.0] * RUNS_PER_TURN


def test_without_patience_executions_count_whatever_the_cores_do() -> None:
    session = Scripted([FREE_S] * WARM_UPS + [FREE_S, SHARED_S, SHARED_S])
    turns, _ = taken([session], num_turns=2, patience_s=0.0)
    assert counted(turns) == [7, 9, 11, 19, 21, 23]
    assert [pair.is_steady for pair in turns.counted(0)] == [True, False, False, True, True, True]


def test_of_what_was_executed_in_vain_the_fastest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of 2 seconds of patience in this turn execution 7, whose replay 8 finds the core shared, takes one, and walk 9,
    # which finds it free, the other. What follows counts: replay 11 finds it shared, though less, 13 as before.
    a_second_a_look(monkeypatch)
    session = Scripted([FREE_S] * WARM_UPS + [SHARED_S, FREE_S, 70e-6] + [SHARED_S] * 100)
    turns, _ = taken([session], num_turns=1, patience_s=20.0)
    assert session.num_runs == 13
    assert [pair.slowness for pair in turns.counted(0)] == pytest.approx([30 / 45, 25 / 45, 30 / 45])


def test_one_plan_does_not_take_all_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    a_second_a_look(monkeypatch)
    others, slow = Scripted([FREE_S] * 50), Scripted([SHARED_S] * 1000)
    turns, _ = taken([others, slow], num_turns=2, patience_s=100.0)
    waiting = 10  # a tenth, in walks of a second
    assert slow.num_runs == 2 * (WARM_UPS + waiting + 2 * RUNS_PER_TURN)
    assert len(counted(turns, 0)) == len(counted(turns, 1)) == 2 * RUNS_PER_TURN
    assert not any(pair.is_steady for pair in turns.counted(1))
