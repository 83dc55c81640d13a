"""Which executions count while some cores are slow, and how long anybody waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from hetsim.runtime import Session
from hetsim.runtime.interference_monitor import InterferenceMonitor
from hetsim.runtime.measure import profiler
from hetsim.runtime.measure.interleaved import RUNS_PER_ROUND, InterleavedRounds
from tests.support.scripted import FREE_S, SHARED_S, Scripted

WARM_UPS = profiler.MOST_PER_WARM_UP * profiler.WARM_UPS
"""Of runs that take no time."""


def taken(
    sessions: Sequence[Scripted], *, num_rounds: int, stall_budget_s: float = 10.0
) -> tuple[InterleavedRounds, list[float]]:
    """Turns that are over, and what they said meanwhile of how much was done."""
    interference_monitor = InterferenceMonitor()
    for session in sessions:
        session.interference_monitor = interference_monitor
    numbered = {i: cast(Session, session) for i, session in enumerate(sessions)}
    rounds = InterleavedRounds(numbered, {}, interference_monitor, num_rounds=num_rounds, stall_budget_s=stall_budget_s)
    return rounds, list(rounds.run_all())


def counted(rounds: InterleavedRounds, index: int = 0) -> list[int]:
    """Numbers of the executions that count."""
    return [int(pair.run.stamps_ns[0, 1]) for pair in rounds.counted(index)]


def a_second_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr("hetsim.runtime.measure.interleaved.time.monotonic", lambda: float(next(clock)))


@pytest.mark.equation("rounds")
def test_rounds_of_one_round_lie_side_by_side() -> None:
    sessions = Scripted(), Scripted()
    rounds, done = taken(sessions, num_rounds=2)
    assert done == [0.0, 0.25, 0.5, 0.75]
    a_round = WARM_UPS + 2 * RUNS_PER_ROUND
    assert [session.num_runs for session in sessions] == [2 * a_round] * 2
    first = [WARM_UPS + 1, WARM_UPS + 3, WARM_UPS + 5]
    for index in (0, 1):
        assert counted(rounds, index) == first + [number + a_round for number in first]
        assert all(pair.is_undisturbed for pair in rounds.counted(index))


@pytest.mark.equation("rounds")
def test_a_plan_waits_warm_until_no_core_is_slow() -> None:
    # After the warm-up come execution 1 and replay 2, execution 3 and replay 4. The core is shared after 4, so it may
    # have been during 3. Serial run 5 finds it still shared, 6 does not; executions 7 and 9 follow.
    session = Scripted([FREE_S] * WARM_UPS + [FREE_S, SHARED_S, SHARED_S])
    rounds, _ = taken([session], num_rounds=1)
    assert counted(rounds) == [WARM_UPS + number for number in (1, 7, 9)]
    assert session.num_runs == WARM_UPS + 10
    assert [pair.slowness for pair in rounds.counted(0)] == [0.0] * RUNS_PER_ROUND


@pytest.mark.equation("rounds")
def test_without_stall_budget_executions_count_whatever_the_cores_do() -> None:
    session = Scripted([FREE_S] * WARM_UPS + [FREE_S, SHARED_S, SHARED_S])
    rounds, _ = taken([session], num_rounds=2, stall_budget_s=0.0)
    first = [WARM_UPS + number for number in (1, 3, 5)]
    assert counted(rounds) == first + [WARM_UPS + 6 + number for number in first]
    assert [pair.is_undisturbed for pair in rounds.counted(0)] == [True, False, False, True, True, True]


@pytest.mark.equation("rounds")
def test_of_what_was_executed_in_vain_the_fastest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    # The stall budget of this round is 2 s. After the warm-up, execution 1, whose replay 2 finds the core shared, takes
    # one, and the serial run 3, which finds it free, the other. What follows counts: replay 5 finds it shared, though
    # less, 7 as before.
    a_second_a_look(monkeypatch)
    session = Scripted([FREE_S] * WARM_UPS + [SHARED_S, FREE_S, 70e-6] + [SHARED_S] * 100)
    rounds, _ = taken([session], num_rounds=1, stall_budget_s=20.0)
    assert session.num_runs == WARM_UPS + 7
    assert [pair.slowness for pair in rounds.counted(0)] == pytest.approx([30 / 45, 25 / 45, 30 / 45])


@pytest.mark.equation("rounds")
def test_one_plan_does_not_take_all_stall_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    a_second_a_look(monkeypatch)
    others, slow = Scripted([FREE_S] * 50), Scripted([SHARED_S] * 1000)
    rounds, _ = taken([others, slow], num_rounds=2, stall_budget_s=100.0)
    waiting = 10  # a tenth, in serial runs of a second
    assert slow.num_runs == 2 * (WARM_UPS + waiting + 2 * RUNS_PER_ROUND)
    assert len(counted(rounds, 0)) == len(counted(rounds, 1)) == 2 * RUNS_PER_ROUND
    assert not any(pair.is_undisturbed for pair in rounds.counted(1))
