"""The final measurement as a race: plans that are surely slower leave it, and it ends once the fastest is known.

This is elimination in rounds (E. Even-Dar, S. Mannor, Y. Mansour, "Action elimination and stopping conditions for the
multi-armed bandit and reinforcement learning problems", Journal of Machine Learning Research 7, 2006), with paired
comparisons: runs of one round are close in time, so that drift of the machine cancels. A difference of 1 % does not
matter, so that looking after each round need not make intervals wider.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np

from hetsim.core.statistics import Estimate, shift

TIE = 0.01
"""Plans tie that are shown to differ by no more than this fraction."""
MIN_ROUNDS = 6
"""Rounds that a comparison needs: from six on, paired differences have a 95 % interval."""
_FEW_ROUNDS, _FAR = 3, 0.05
"""A plan leaves after so few rounds if it was slower by this fraction in each."""

Relation = Literal["slower", "tie", "undecided"]
Key = TypeVar("Key", bound=Hashable)


def find_ratio(mine_s: Sequence[float], others_s: Sequence[float]) -> Estimate:
    """How many times as long one plan takes as another.

    Args:
        mine_s: By round, the median latency of the one plan, in seconds.
        others_s: The same of the other; rounds that only one of them has are left out.

    Raises:
        ValueError: If they have no round in common.
    """
    found = shift([math.log(mine / other) for mine, other in zip(mine_s, others_s, strict=False)])
    return Estimate(*(math.exp(each) for each in (found.median, found.low, found.high)))


def find_relation(found: Estimate, num_rounds: int) -> Relation:
    """What a ratio to the fastest plan's time shows."""
    if num_rounds >= MIN_ROUNDS and found.low >= 1 - TIE and found.high <= 1 + TIE:
        return "tie"
    return "slower" if found.low > 1 else "undecided"


def find_fastest(medians_s: Mapping[Key, Sequence[float]]) -> Key:
    """The plan with the lowest median of those that have most rounds; of equal ones the first.

    Plans with fewer rounds left the race, since another one was surely faster.

    Args:
        medians_s: By plan and round, its median latency in seconds; at least one plan.
    """
    return min(medians_s, key=lambda plan: (-len(medians_s[plan]), float(np.median(medians_s[plan]))))


def find_standings(
    medians_s: Mapping[Key, Sequence[float]], rivals_s: Collection[Sequence[float]] = ()
) -> tuple[Key, dict[Key, Relation]]:
    """The fastest plan, and by each other plan what is shown of it.

    A plan that is surely slower than any other is slower than the fastest, even if the two have few rounds in common.

    Args:
        medians_s: By plan and round, its median latency in seconds; at least one plan.
        rivals_s: The same of further plans that took part.
    """
    fastest = find_fastest(medians_s)
    all_s = (*medians_s.values(), *rivals_s)
    found: dict[Key, Relation] = {}
    for plan, mine_s in medians_s.items():
        if plan == fastest:
            continue
        found[plan] = _against(mine_s, medians_s[fastest])
        if found[plan] == "undecided" and any(_against(mine_s, other_s) == "slower" for other_s in all_s):
            found[plan] = "slower"
    return fastest, found


def _against(mine_s: Sequence[float], others_s: Sequence[float]) -> Relation:
    return find_relation(find_ratio(mine_s, others_s), min(len(mine_s), len(others_s)))


class Race:
    """Round by round, which plans go on.

    Args:
        numbers: The plans, under any numbers.

    Attributes:
        running: The plans that have not left.
        medians_s: By plan and round, its median latency in seconds.
    """

    def __init__(self, numbers: Collection[int]) -> None:
        self.running = set(numbers)
        self.medians_s: dict[int, list[float]] = {number: [] for number in numbers}

    def after_round(self, medians_s: Mapping[int, float]) -> set[int]:
        """The plans that go on after a round; none if the fastest is known to within :data:`TIE`.

        Args:
            medians_s: By plan that ran in the round, its median latency in seconds.
        """
        for number, median_s in medians_s.items():
            self.medians_s[number].append(median_s)
        raced = [number for number in self.running if len(self.medians_s[number]) >= _FEW_ROUNDS]
        if not raced:
            return self.running
        fastest = find_fastest({number: self.medians_s[number] for number in raced})
        ratios = {number: find_ratio(self.medians_s[number], self.medians_s[fastest]) for number in raced}
        self.running -= {number for number in raced if self._leaves(ratios[number], number, fastest)}
        is_known = self._num_common(*self.running) >= MIN_ROUNDS and all(
            ratios[number].low >= 1 - TIE for number in self.running
        )
        if is_known:
            self.running = set()
        return self.running

    def _leaves(self, found: Estimate, number: int, fastest: int) -> bool:
        num_rounds = self._num_common(number, fastest)
        return found.low > 1 + _FAR if num_rounds < MIN_ROUNDS else find_relation(found, num_rounds) == "slower"

    def _num_common(self, *numbers: int) -> int:
        return min(len(self.medians_s[number]) for number in numbers)
