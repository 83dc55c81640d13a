"""Plans executed in turns of a few runs, while no core is slower than it can be.

Each execution lies between two serial walks of the same plan, after which the devices' yardsticks say how fast their
cores are (:mod:`hetsim.runtime.worker.speed_probe`), and fetches how far apart
(:mod:`hetsim.runtime.worker.transfer_probe`). So which executions count is settled before anybody looks at how long
they took.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hetsim.costs.fitting.interference import MAX_SLOWDOWN
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.inference import Inference
from hetsim.runtime.measure.profiler import warm_up
from hetsim.runtime.session import Session
from hetsim.runtime.worker.speed_probe import InterferenceMonitor

RUNS_PER_ROUND = 3
"""Few, as what counts when plans are compared is the number of turns: a disturbance hits a whole turn, and of six turns
a single disturbed one makes a tie."""

_IN_ONE_ROUND = 0.1  # such a part of all patience may be lost in one turn, so that one plan does not take it all


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An execution and a replay just after it.

    Attributes:
        run: The plan as it is planned.
        replay: The plan walked serially.
        slowness: By how much the slowest core was slower than at its best, just before and just after, as a fraction.
    """

    run: Inference
    replay: Inference
    slowness: float

    @property
    def is_undisturbed(self) -> bool:
        """Whether no core was slower than it may be."""
        return self.slowness <= MAX_SLOWDOWN


class InterleavedRounds:
    """Turns of several plans, which wait while something slows a core down.

    A round is one turn of each plan: turns of one round lie close together, and what drifts from round to round drops
    out where plans are compared turn by turn. In a turn a plan is warmed up, then executed until a few executions were
    steady. Meanwhile it is walked serially while a core is slow: so it stays warm, and the next moment in which no core
    is slow finds it ready. Where patience is lost, executions count whatever the cores do.

    Args:
        sessions: The plans, loaded, under any numbers.
        inputs: The model's inputs.
        steadiness: Knows how fast cores are at their best.
        num_rounds: How many turns each plan takes, at least 1.
        stall_budget_s: How long to look for steady cores in vain, in seconds.
    """

    def __init__(
        self,
        sessions: Mapping[int, Session],
        inputs: Mapping[str, Array],
        interference_monitor: InterferenceMonitor,
        *,
        num_rounds: int,
        stall_budget_s: float,
    ) -> None:
        self._sessions = sessions
        self._inputs = inputs
        self._interference_monitor = interference_monitor
        self._num_rounds = num_rounds
        self._stall_budget_s = stall_budget_s
        self._in_one_round_s = _IN_ONE_ROUND * stall_budget_s
        self._rounds: list[Mapping[int, list[Pair]]] = []

    def take_all(self) -> Iterator[float]:
        """Take turns until all rounds are done; gives before each which part is, from 0 to 1."""
        for number in range(self._num_rounds):
            pairs: dict[int, list[Pair]] = {}
            for index, session in self._sessions.items():
                yield (number + len(pairs) / len(self._sessions)) / self._num_rounds
                pairs[index] = self._take(session)
            self._rounds.append(pairs)

    def counted(self, index: int) -> list[Pair]:
        """The executions of a plan that count, in order of time: as many of each round."""
        return [pair for pairs in self._rounds for pair in pairs[index]]

    def _take(self, session: Session) -> list[Pair]:
        """A turn of one plan: its executions that count."""
        pairs: list[Pair] = []
        stall_budget_s = min(self._stall_budget_s, self._in_one_round_s)
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
                pairs, before = _fastest(pairs), replay
            if _num_undisturbed(pairs) == num_undisturbed:
                lost_s = time.monotonic() - begin_s
                stall_budget_s -= lost_s
                self._stall_budget_s -= lost_s
        return pairs


def _num_undisturbed(pairs: list[Pair]) -> int:
    return sum(pair.is_undisturbed for pair in pairs)


def _fastest(pairs: list[Pair]) -> list[Pair]:
    """As many as make a turn, those during which the cores were fastest, in order of time."""
    least_disturbed = sorted(range(len(pairs)), key=lambda i: pairs[i].slowness)[:RUNS_PER_ROUND]
    return [pairs[i] for i in sorted(least_disturbed)]
