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

from hetsim.costs.fitting.interference import STEADY
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.inference import Inference
from hetsim.runtime.measure.profiler import warm_up
from hetsim.runtime.session import Session
from hetsim.runtime.worker.speed_probe import Steadiness

RUNS_PER_TURN = 3
"""Few, as what counts when plans are compared is the number of turns: a disturbance hits a whole turn, and of six turns
a single disturbed one makes a tie."""

_IN_ONE_TURN = 0.1  # such a part of all patience may be lost in one turn, so that one plan does not take it all


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
    def is_steady(self) -> bool:
        """Whether no core was slower than it may be."""
        return self.slowness <= STEADY


class Turns:
    """Turns of several plans, which wait while something slows a core down.

    A round is one turn of each plan: turns of one round lie close together, and what drifts from round to round drops
    out where plans are compared turn by turn. In a turn a plan is warmed up, then executed until a few executions were
    steady. Meanwhile it is walked serially while a core is slow: so it stays warm, and the next moment in which no core
    is slow finds it ready. Where patience is lost, executions count whatever the cores do.

    Args:
        sessions: The plans, loaded, under any numbers.
        inputs: The model's inputs.
        steadiness: Knows how fast cores are at their best.
        num_turns: How many turns each plan takes, at least 1.
        patience_s: How long to look for steady cores in vain, in seconds.
    """

    def __init__(
        self,
        sessions: Mapping[int, Session],
        inputs: Mapping[str, Array],
        steadiness: Steadiness,
        *,
        num_turns: int,
        patience_s: float,
    ) -> None:
        self._sessions = sessions
        self._inputs = inputs
        self._steadiness = steadiness
        self._num_turns = num_turns
        self._patience_s = patience_s
        self._in_one_turn_s = _IN_ONE_TURN * patience_s
        self._rounds: list[Mapping[int, list[Pair]]] = []

    def take_all(self) -> Iterator[float]:
        """Take turns until all rounds are done; gives before each which part is, from 0 to 1."""
        for number in range(self._num_turns):
            pairs: dict[int, list[Pair]] = {}
            for index, session in self._sessions.items():
                yield (number + len(pairs) / len(self._sessions)) / self._num_turns
                pairs[index] = self._take(session)
            self._rounds.append(pairs)

    def counted(self, index: int) -> list[Pair]:
        """The executions of a plan that count, in order of time: as many of each round."""
        return [pair for pairs in self._rounds for pair in pairs[index]]

    def _take(self, session: Session) -> list[Pair]:
        """A turn of one plan: its executions that count."""
        pairs: list[Pair] = []
        patience_s = min(self._patience_s, self._in_one_turn_s)
        before = warm_up(session, self._inputs)
        while (num_steady := _num_steady(pairs)) < RUNS_PER_TURN and (patience_s > 0 or len(pairs) < RUNS_PER_TURN):
            begin_s = time.monotonic()
            if patience_s > 0 and not self._steadiness.is_steady(before):
                before = session.run(self._inputs, serial=True)
            else:
                run, replay = session.run(self._inputs), session.run(self._inputs, serial=True)
                pairs.append(Pair(run=run, replay=replay, slowness=self._steadiness.slowness(before, replay)))
                pairs, before = _fastest(pairs), replay
            if _num_steady(pairs) == num_steady:
                lost_s = time.monotonic() - begin_s
                patience_s -= lost_s
                self._patience_s -= lost_s
        return pairs


def _num_steady(pairs: list[Pair]) -> int:
    return sum(pair.is_steady for pair in pairs)


def _fastest(pairs: list[Pair]) -> list[Pair]:
    """As many as make a turn, those during which the cores were fastest, in order of time."""
    steadiest = sorted(range(len(pairs)), key=lambda i: pairs[i].slowness)[:RUNS_PER_TURN]
    return [pairs[i] for i in sorted(steadiest)]
