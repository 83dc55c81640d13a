"""Measure several plans in interleaved rounds, while no core is disturbed.

Each parallel run lies between two serial runs of the same plan. After a serial run the speed probes tell how fast the
devices' cores are (:mod:`hetsim.runtime.worker.probes.speed`), and the transfer probes how fast hand-overs are
(:mod:`hetsim.runtime.worker.probes.transfer`). So the probes alone decide which parallel runs count, and not their
durations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from hetsim.costs.fitting.interference import MAX_SLOWDOWN
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.inference import Inference
from hetsim.runtime.interference_monitor import InterferenceMonitor
from hetsim.runtime.measure.profiler import warm_up
from hetsim.runtime.session import Session

RUNS_PER_ROUND = 3
"""Parallel runs of a plan in a round. There are few, as comparing plans depends on the number of rounds: interference
disturbs all runs of a round alike, and with six rounds a single disturbed one makes a tie."""

_BUDGET_PER_ROUND = 0.1  # fraction of the stall budget that one plan may use in one round, so that others get some


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A parallel run and the serial run just after it.

    Attributes:
        run: The parallel run.
        replay: The serial run.
        slowness: By how much the slowest core was slower than when undisturbed, in the serial runs just before and just
            after the parallel one, as a fraction.
    """

    run: Inference
    replay: Inference
    slowness: float

    @property
    def is_undisturbed(self) -> bool:
        """Whether no core was slower than ``interference.MAX_SLOWDOWN`` allows."""
        return self.slowness <= MAX_SLOWDOWN


class InterleavedRounds:
    """Rounds in which several plans run one after the other, and which wait while a core is disturbed.

    In each round every plan runs a few times. The runs of one round lie close together in time, so comparing plans
    round by round removes slow drift of the machine. In a round a plan is warmed up, then run until a few parallel runs
    were undisturbed. While a core is disturbed the plan runs serially, which keeps it warm. Once the stall budget is
    spent, parallel runs count even if disturbed.

    Args:
        sessions: The plans, loaded, under any numbers.
        inputs: The model's inputs.
        interference_monitor: Tells which runs were undisturbed.
        num_rounds: Number of rounds, at least 1.
        stall_budget_s: Time that may be spent without getting an undisturbed run, over all rounds, in seconds.
        after_round: Told after each round the median latency of each plan in it, in seconds; returns the plans that go
            on. None lets all go on.
    """

    def __init__(
        self,
        sessions: Mapping[int, Session],
        inputs: Mapping[str, Array],
        interference_monitor: InterferenceMonitor,
        *,
        num_rounds: int,
        stall_budget_s: float,
        after_round: Callable[[Mapping[int, float]], Collection[int]] | None = None,
    ) -> None:
        self._sessions = sessions
        self._inputs = inputs
        self._interference_monitor = interference_monitor
        self._num_rounds = num_rounds
        self._stall_budget_s = stall_budget_s
        self._budget_per_round_s = _BUDGET_PER_ROUND * stall_budget_s
        self._after_round = after_round or (lambda medians_s: medians_s)
        self._rounds: list[Mapping[int, list[Pair]]] = []

    def run_all(self) -> Iterator[float]:
        """Run all rounds; yields the fraction done, from 0 to 1, before each plan of each round."""
        running: Collection[int] = self._sessions
        for number in range(self._num_rounds):
            pairs: dict[int, list[Pair]] = {}
            for index in [index for index in self._sessions if index in running]:
                yield (number + len(pairs) / len(running)) / self._num_rounds
                pairs[index] = self._run_round(self._sessions[index])
            self._rounds.append(pairs)
            running = self._after_round(
                {index: median(pair.run.latency_s for pair in found) for index, found in pairs.items()}
            )
            if not running:
                break

    def counted(self, index: int) -> list[Pair]:
        """The parallel runs of a plan that count, in order of time; :data:`RUNS_PER_ROUND` of each of its rounds."""
        return [pair for pairs in self._rounds for pair in pairs.get(index, ())]

    def _run_round(self, session: Session) -> list[Pair]:
        """One round of one plan: its parallel runs that count."""
        pairs: list[Pair] = []
        stall_budget_s = min(self._stall_budget_s, self._budget_per_round_s)
        before = warm_up(session, self._inputs)
        while (num_undisturbed := _num_undisturbed(pairs)) < RUNS_PER_ROUND and (
            stall_budget_s > 0 or len(pairs) < RUNS_PER_ROUND
        ):
            begin_s = time.monotonic()
            if stall_budget_s > 0 and not self._interference_monitor.is_undisturbed(before):
                before = session.run(self._inputs, serial=True)
            else:
                run, replay = session.run(self._inputs), session.run(self._inputs, serial=True)
                pairs.append(Pair(run=run, replay=replay, slowness=self._interference_monitor.slowness(before, replay)))
                pairs, before = _least_disturbed(pairs), replay
            if _num_undisturbed(pairs) == num_undisturbed:
                stalled_s = time.monotonic() - begin_s
                stall_budget_s -= stalled_s
                self._stall_budget_s -= stalled_s
        return pairs


def _num_undisturbed(pairs: list[Pair]) -> int:
    return sum(pair.is_undisturbed for pair in pairs)


def _least_disturbed(pairs: list[Pair]) -> list[Pair]:
    """The least disturbed runs, as many as a round needs, in order of time."""
    chosen = sorted(range(len(pairs)), key=lambda i: pairs[i].slowness)[:RUNS_PER_ROUND]
    return [pairs[i] for i in sorted(chosen)]
