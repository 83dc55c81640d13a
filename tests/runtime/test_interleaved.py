"""Which executions count while some cores are slow, and how long anybody waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from hetsim.runtime import Session
from hetsim.runtime.interference_monitor import InterferenceMonitor
from hetsim.runtime.measure.interleaved import RUNS_PER_ROUND, InterleavedRounds
from hetsim.runtime.measure.profiler import MOST_WARM_UPS
from tests.support.scripted import FREE_S, SHARED_S, Scripted

WARM_UPS = MOST_WARM_UPS
"""Of runs that take no time; a serial run follows."""
A_ROUND = WARM_UPS + 1 + RUNS_PER_ROUND + 1


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
    return [int(run.stamps_ns[0, 0]) for run in rounds.runs_of(index)]


def a_second_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr("hetsim.runtime.measure.interleaved.time.monotonic", lambda: float(next(clock)))


def numbers(after: int) -> list[int]:
    """Of the parallel runs of a round that come after so many other runs."""
    return [after + number for number in range(1, RUNS_PER_ROUND + 1)]


@pytest.mark.equation("rounds")
def test_rounds_of_one_round_lie_side_by_side() -> None:
    sessions = Scripted(), Scripted()
    rounds, done = taken(sessions, num_rounds=2)
    assert done == [0.0, 0.25, 0.5, 0.75]
    assert [session.num_runs for session in sessions] == [2 * A_ROUND] * 2
    for index in (0, 1):
        assert counted(rounds, index) == numbers(WARM_UPS + 1) + numbers(A_ROUND + WARM_UPS + 1)
        assert all(each.is_undisturbed for each in rounds.rounds_of(index))


@pytest.mark.equation("rounds")
def test_a_plan_waits_warm_until_no_core_is_slow() -> None:
    # The core is shared when the parallel runs have ended, so it may have been during them. A serial run finds it still
    # shared, the next one does not; parallel runs and a serial one follow.
    session = Scripted([FREE_S, SHARED_S, SHARED_S])
    rounds, _ = taken([session], num_rounds=1)
    in_vain = WARM_UPS + 1 + RUNS_PER_ROUND + 1
    assert counted(rounds) == numbers(in_vain + 2)
    assert session.num_runs == in_vain + 2 + RUNS_PER_ROUND + 1
    assert [each.slowness for each in rounds.rounds_of(0)] == [0.0]


@pytest.mark.equation("rounds")
def test_without_stall_budget_rounds_count_whatever_the_cores_do() -> None:
    session = Scripted([FREE_S, SHARED_S])
    rounds, _ = taken([session], num_rounds=2, stall_budget_s=0.0)
    assert counted(rounds) == numbers(WARM_UPS + 1) + numbers(A_ROUND + WARM_UPS + 1)
    assert [each.is_undisturbed for each in rounds.rounds_of(0)] == [False, True]


@pytest.mark.equation("rounds")
def test_of_what_was_executed_in_vain_the_least_disturbed_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    # The stall budget of this round is 2 s. The first parallel runs, after which the core is shared, take one; the
    # serial run that finds it free takes the other. What follows finds it shared again, though less.
    a_second_a_look(monkeypatch)
    session = Scripted([FREE_S, SHARED_S, FREE_S, 70e-6] + [SHARED_S] * 100)
    rounds, _ = taken([session], num_rounds=1, stall_budget_s=20.0)
    assert session.num_runs == A_ROUND + 1 + RUNS_PER_ROUND + 1
    assert counted(rounds) == numbers(A_ROUND + 1)
    assert [each.slowness for each in rounds.rounds_of(0)] == pytest.approx([25 / 45], rel=0.01)


@pytest.mark.equation("rounds")
def test_one_plan_does_not_take_all_stall_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    a_second_a_look(monkeypatch)
    others, slow = Scripted([FREE_S] * 50), Scripted([SHARED_S] * 1000)
    rounds, _ = taken([others, slow], num_rounds=2, stall_budget_s=100.0)
    waiting = 10  # a tenth, in serial runs of a second
    assert slow.num_runs == 2 * (A_ROUND + waiting)
    assert len(counted(rounds, 0)) == len(counted(rounds, 1)) == 2 * RUNS_PER_ROUND
    assert not any(each.is_undisturbed for each in rounds.rounds_of(1))
