"""Plans executed in turns of a few runs, while no core is slower than it can be.

Each execution lies between two serial walks of the same plan, after which the devices' yardsticks say how fast their
cores are (:mod:`runtime.yardstick`), and fetches how far apart (:mod:`runtime.fetch`). So which executions count is
settled before anybody looks at how long they took.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hetsim.steady import STEADY
from runtime.backends.protocol import Array
from runtime.inference import Inference
from runtime.profiler import MOST_TRIES, warm_up
from runtime.session import Session
from runtime.yardstick import Steadiness

RUNS_PER_TURN = 3
"""Few, as what counts when plans are compared is the number of turns: a disturbance hits a whole turn, and of six turns
a single one widens the interval of their median to wherever it lies."""

FEWEST_TURNS = 6
"""So many turns a plan takes at least, if as many are wanted, however slow it or its cores are."""


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

    A round is one turn of each plan. A plan whose core is slow lets the others of the round go first, and the next
    round begins once all had their turn: so turns of one round lie close together, and what drifts meanwhile drops out
    where plans are compared turn by turn. Once so much time was lost that patience is over, there are no more turns
    than :data:`FEWEST_TURNS`, and what is missing of those is taken whatever the cores do. Of a turn's executions those
    count during which the cores were fastest.

    Args:
        sessions: The plans, loaded, under any numbers.
        inputs: The model's inputs.
        steadiness: Knows how fast cores are at their best.
        num_turns: How many turns each plan takes at most, at least 1.
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
        self._past: list[Mapping[int, list[Pair]]] = []
        self._round: dict[int, list[Pair]] = {index: [] for index in sessions}

    @property
    def done(self) -> float:
        """Which part of the rounds is done, from 0 to 1."""
        wanted = min(self._num_turns, max(FEWEST_TURNS, len(self._past))) if self._is_late else self._num_turns
        return len(self._past) / wanted

    def take_all(self) -> Iterator[float]:
        """Take turns until all rounds are done; gives :attr:`done` before each step."""
        while self.done < 1:
            yield self.done
            self.advance()

    def advance(self) -> None:
        """A turn of each plan that lacks its turn in this round, unless its core is slow."""
        for index, session in self._sessions.items():
            pairs = self._round[index]
            if self._is_enough(pairs):
                continue
            begin_s = time.monotonic()
            if self._is_late:
                pairs += take_turn(session, self._inputs, self._steadiness, at_any_rate=True)
            elif self._steadiness.is_steady(session.run(self._inputs, serial=True)):
                pairs += take_turn(session, self._inputs, self._steadiness)
            if not self._is_enough(pairs):
                self._patience_s -= time.monotonic() - begin_s
        if all(map(self._is_enough, self._round.values())):
            self._past.append({index: _fastest(pairs) for index, pairs in self._round.items()})
            self._round = {index: [] for index in self._sessions}

    def counted(self, index: int) -> list[Pair]:
        """The executions of a plan that count, in order of time: as many of each round."""
        return [pair for past in self._past for pair in past[index]]

    def _is_enough(self, pairs: list[Pair]) -> bool:
        num_counting = len(pairs) if self._is_late else sum(pair.is_steady for pair in pairs)
        return num_counting >= RUNS_PER_TURN

    @property
    def _is_late(self) -> bool:
        return self._patience_s <= 0


def _fastest(pairs: list[Pair]) -> list[Pair]:
    """As many as make a turn, those during which the cores were fastest, in order of time."""
    steadiest = sorted(range(len(pairs)), key=lambda i: pairs[i].slowness)[:RUNS_PER_TURN]
    return [pairs[i] for i in sorted(steadiest)]


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
        slowness = steadiness.slowness(before, replay)
        pairs.append(Pair(run=run, replay=replay, slowness=slowness))
        before = replay
        if not at_any_rate and not steadiness.is_steady(replay):
            break
    return pairs
