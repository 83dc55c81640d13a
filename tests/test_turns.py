"""Which executions count while some cores are slow, and how long anybody waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from runtime import Session
from runtime.profiler import MOST_TRIES, WARM_UPS
from runtime.turns import RUNS_PER_TURN, Turns
from runtime.yardstick import Steadiness
from tests.scripted import FREE_S, SHARED_S, Scripted


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
    monkeypatch.setattr("runtime.turns.time.monotonic", lambda: float(next(clock)))


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


def test_without_patience_the_executions_on_the_fastest_cores_count() -> None:
    # As above, but executions go on: 9, 11 and 13 may have met the shared core.
    session = Scripted([FREE_S] * WARM_UPS + [FREE_S, SHARED_S, SHARED_S])
    turns, _ = taken([session], num_turns=1, patience_s=0.0)
    assert counted(turns) == [7, 15, 17]
    slow = Scripted([FREE_S] * WARM_UPS + [SHARED_S] + [70e-6] * 4 + [SHARED_S] * 100)
    turns, _ = taken([slow], num_turns=1, patience_s=0.0)
    assert slow.num_runs == WARM_UPS + 2 * MOST_TRIES * RUNS_PER_TURN
    assert [pair.slowness for pair in turns.counted(0)] == pytest.approx([70 / 45 - 1] * RUNS_PER_TURN)


def test_one_plan_does_not_take_all_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    a_second_a_look(monkeypatch)
    others, slow = Scripted([FREE_S] * 50), Scripted([SHARED_S] * 1000)
    turns, _ = taken([others, slow], num_turns=2, patience_s=100.0)
    waiting = 10  # a tenth, in walks of a second
    assert slow.num_runs == 2 * (WARM_UPS + waiting + 2 * MOST_TRIES * RUNS_PER_TURN)
    assert len(counted(turns, 0)) == len(counted(turns, 1)) == 2 * RUNS_PER_TURN
    assert not any(pair.is_steady for pair in turns.counted(1))
