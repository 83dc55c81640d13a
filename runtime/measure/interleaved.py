"""Measure several plans in interleaved rounds, while no core is disturbed.

In each round a plan runs in parallel a few times, between two serial runs. After a serial run the speed probes tell how
fast the devices' cores are (:mod:`hetsim.runtime.worker.probes.speed`), and the transfer probes how fast hand-overs are
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
class Round:
    """Parallel runs of one plan between two serial ones.

    Attributes:
        runs: The parallel runs, :data:`RUNS_PER_ROUND` of them, in order of time.
        replays: The serial runs just before and just after them.
        slowness: By how much the slowest core was slower than when undisturbed in these serial runs, as a fraction.
    """

    runs: tuple[Inference, ...]
    replays: tuple[Inference, Inference]
    slowness: float

    @property
    def is_undisturbed(self) -> bool:
        """Whether no core was slower than ``interference.MAX_SLOWDOWN`` allows."""
        return self.slowness <= MAX_SLOWDOWN


class InterleavedRounds:
    """Rounds in which several plans run one after the other, and which wait while a core is disturbed.

    The runs of one round lie close together in time, so comparing plans round by round removes slow drift of the
    machine. In its round a plan is warmed up and then run, again and again until no core was disturbed. While a core is
    disturbed the plan runs serially, which keeps it warm. Once the stall budget is spent, the round counts even if it
    was disturbed.

    Args:
        sessions: The plans, loaded, under any numbers.
        inputs: The model's inputs.
        interference_monitor: Tells which runs were undisturbed.
        num_rounds: Number of rounds, at least 1.
        stall_budget_s: Time that may be spent without getting an undisturbed round, over all rounds, in seconds.
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
        self._rounds: dict[int, list[Round]] = {index: [] for index in sessions}

    def run_all(self) -> Iterator[float]:
        """Run all rounds; yields the fraction done, from 0 to 1, before each plan of each round."""
        running: Collection[int] = self._sessions
        for number in range(self._num_rounds):
            medians_s: dict[int, float] = {}
            for index in [index for index in self._sessions if index in running]:
                yield (number + len(medians_s) / len(running)) / self._num_rounds
                done = self._run_round(self._sessions[index])
                self._rounds[index].append(done)
                medians_s[index] = median(run.latency_s for run in done.runs)
            running = self._after_round(medians_s)
            if not running:
                break

    def rounds_of(self, index: int) -> list[Round]:
        """The rounds of a plan, in order of time."""
        return self._rounds[index]

    def runs_of(self, index: int) -> list[Inference]:
        """The parallel runs of a plan that count, in order of time; :data:`RUNS_PER_ROUND` of each of its rounds."""
        return [run for each in self._rounds[index] for run in each.runs]

    def _run_round(self, session: Session) -> Round:
        """One round of one plan: the first one that is undisturbed, or the least disturbed one."""
        stall_budget_s = min(self._stall_budget_s, self._budget_per_round_s)
        warm_up(session, self._inputs, 1, serial=False)
        before = session.run(self._inputs, serial=True)
        best: Round | None = None
        while True:
            begin_s = time.monotonic()
            if stall_budget_s > 0 and not self._interference_monitor.is_undisturbed(before):
                before = session.run(self._inputs, serial=True)
            else:
                done = self._between(before, session)
                best = done if best is None or done.slowness < best.slowness else best
                if best.is_undisturbed or stall_budget_s <= 0:
                    return best
                before = done.replays[1]
            stalled_s = time.monotonic() - begin_s
            stall_budget_s -= stalled_s
            self._stall_budget_s -= stalled_s

    def _between(self, before: Inference, session: Session) -> Round:
        """Parallel runs, and a serial one after them."""
        runs = tuple(session.run(self._inputs) for _ in range(RUNS_PER_ROUND))
        replays = before, session.run(self._inputs, serial=True)
        return Round(runs=runs, replays=replays, slowness=self._interference_monitor.slowness(*replays))
