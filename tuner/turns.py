"""Plans executed in turns of a few runs, while no core is slower than it can be.

Each execution lies between two serial walks of the same plan, after which the devices' yardsticks say how fast their
cores are (:mod:`runtime.yardstick`). So which executions count is settled before anybody looks at how long they took.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from hetsim.steady import STEADY
from runtime import Inference, Session
from runtime.backends.protocol import Array
from runtime.profiler import MOST_TRIES, warm_up
from runtime.yardstick import Steadiness

RUNS_PER_TURN = 3
"""Few, as what counts when plans are compared is the number of turns: a disturbance hits a whole turn, and of six turns
a single one widens the interval of their median to wherever it lies."""


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
    """Turns of several plans, put off while something slows a core down.

    Each time round, a plan that lacks steady executions walks once; if a core was slow then, the others come first.
    Once so much time was lost that patience is over, turns are taken whatever the cores do. Of all executions of a plan
    those count during which the cores were fastest.

    Args:
        sessions: The plans, loaded, under any numbers.
        inputs: The model's inputs.
        steadiness: Knows how fast cores are at their best.
        num_turns: How many turns' executions count of each plan.
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
        self._wanted = num_turns * RUNS_PER_TURN
        self._pairs: dict[int, list[Pair]] = {index: [] for index in sessions}
        self._patience_s = patience_s

    @property
    def done(self) -> float:
        """Which part is done of the plan that lacks most, from 0 to 1."""
        return min(map(self._num_done, self._sessions)) / self._wanted

    def go_round(self) -> None:
        """A turn of each plan that lacks executions, unless its cores are slow."""
        for index, session in self._sessions.items():
            num_done = self._num_done(index)
            if num_done == self._wanted:
                continue
            begin_s = time.monotonic()
            if self._is_late:
                self._pairs[index] += take_turn(session, self._inputs, self._steadiness, at_any_rate=True)
            elif self._steadiness.is_steady(session.run(self._inputs, serial=True).yardsticks_s):
                self._pairs[index] += take_turn(session, self._inputs, self._steadiness)
            if self._num_done(index) == num_done:
                self._patience_s -= time.monotonic() - begin_s

    def counted(self, index: int) -> list[Pair]:
        """The executions of a plan that count, in order of time."""
        pairs = self._pairs[index]
        fastest = sorted(range(len(pairs)), key=lambda i: pairs[i].slowness)[: self._wanted]
        return [pairs[i] for i in sorted(fastest)]

    def _num_done(self, index: int) -> int:
        pairs = self._pairs[index]
        return min(self._wanted, len(pairs) if self._is_late else sum(pair.is_steady for pair in pairs))

    @property
    def _is_late(self) -> bool:
        return self._patience_s <= 0


def take_turn(
    session: Session, inputs: Mapping[str, Array], steadiness: Steadiness, *, at_any_rate: bool = False
) -> list[Pair]:
    """A turn of one plan: it is warmed up, then executed until a few executions were steady.

    Args:
        session: The plan, loaded.
        inputs: The model's inputs.
        steadiness: Knows how fast cores are at their best.
        at_any_rate: Go on while a core is slow, until there are twice as many; otherwise the turn ends then.
    """
    pairs: list[Pair] = []
    before = warm_up(session, inputs)
    while sum(pair.is_steady for pair in pairs) < RUNS_PER_TURN and len(pairs) < MOST_TRIES * RUNS_PER_TURN:
        run, replay = session.run(inputs), session.run(inputs, serial=True)
        slowness = steadiness.slowness(before.yardsticks_s, replay.yardsticks_s)
        pairs.append(Pair(run=run, replay=replay, slowness=slowness))
        before = replay
        if not at_any_rate and not steadiness.is_steady(replay.yardsticks_s):
            break
    return pairs
