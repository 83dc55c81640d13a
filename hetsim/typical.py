"""What segments typically take: medians that add up.

The median of a sum is not the sum of medians. Durations have long tails to one side, now one segment's and now
another's, so a walk of thirty segments takes 2 to 4 % longer than the medians of its segments add up to. A plan is
such a sum. So each context's medians are scaled by one factor, the median of its walks over the sum of its medians:
what a segment takes on its own then differs from its median by that much, and what they take together is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

import numpy as np

from hetsim.profile import Profile

TypicalTimes = Mapping[tuple[str, tuple[str, ...]], Mapping[str, float]]
"""By device and operators, then by context, in seconds."""


def typical_times(profile: Profile) -> TypicalTimes:
    """What each segment typically takes in each context in which it was measured, as the profile stands now.

    Walks are told apart by their context; those of a cover by their device as well, since both devices' have one name.
    Where segments of a walk have different numbers of samples, as when it was interrupted, medians stay as they are.
    """
    walks: dict[tuple[str, str], list[list[float]]] = {}
    for device, ops in profile.segments():
        for name, context in profile.contexts(device, ops).items():
            walks.setdefault(_walk(name, device), []).append(context.samples_s)
    factors = {walk: _factor(samples_s) for walk, samples_s in walks.items()}
    return {
        (device, ops): {
            name: median(context.samples_s) * factors[_walk(name, device)]
            for name, context in profile.contexts(device, ops).items()
        }
        for device, ops in profile.segments()
    }


def _walk(context: str, device: str) -> tuple[str, str]:
    return context, device if context.startswith("cover:") else ""


def _factor(samples_s: list[list[float]]) -> float:
    """The median walk over the sum of its segments' medians; samples are in the order of walks."""
    if len({len(one) for one in samples_s}) != 1:
        return 1.0
    return float(np.median(np.sum(samples_s, axis=0))) / sum(map(median, samples_s))
