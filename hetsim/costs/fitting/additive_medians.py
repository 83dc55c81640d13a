"""What segments typically take: medians that add up.

The median of a sum is not the sum of medians. Durations have long tails to one side, now one segment's and now
another's, so a walk of thirty segments takes 2 to 4 % longer than the medians of its segments add up to. A plan is
such a sum. So each context's medians are scaled by one factor, the median of its walks over the sum of its medians:
what a segment takes on its own then differs from its median by that much, and what they take together is right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median

import numpy as np

from hetsim.costs.fitting.interference import STEADY, Floats, Steady, around_s, find_steady
from hetsim.costs.profile import Key, Profile

TypicalTimes = Mapping[tuple[str, tuple[str, ...]], Mapping[str, float]]
"""By device and operators, then by context, in seconds."""


def steady_times(profile: Profile) -> TypicalTimes:
    """What each segment typically takes in each context on cores that are as fast as usual."""
    return typical_times(profile, find_steady(profile))


def typical_times(profile: Profile, steady: Steady | None = None) -> TypicalTimes:
    """What each segment typically takes in each context in which it was measured, as the profile stands now.

    Walks are told apart by their context; those of a cover by their device as well, since both devices' have one name.
    Where segments of a walk have different numbers of samples, as when it was interrupted, medians stay as they are.

    Args:
        profile: The samples.
        steady: Brings them to how fast cores usually were, and leaves out walks that met other cores, but no more than
            half of them; without it, all count as they are.
    """
    walks: dict[tuple[str, str], list[tuple[Key, list[float]]]] = {}
    for device, ops in profile.segments():
        for name, context in profile.contexts(device, ops).items():
            walks.setdefault(_walk(name, device), []).append(((device, ops), context.samples_s))
    yardsticks_s = {device: profile.yardsticks_s(device) for device in steady.usual_s} if steady else {}
    found: dict[Key, dict[str, float]] = {}
    for (name, _), segments in walks.items():
        if len({len(samples_s) for _, samples_s in segments}) != 1:
            for key, samples_s in segments:
                found.setdefault(key, {})[name] = median(samples_s)
            continue
        samples = np.array([samples_s for _, samples_s in segments])
        if steady is not None:
            beside = {device: yardsticks_s.get(device, {}).get(name, ()) for device in {key[0] for key, _ in segments}}
            samples = _steadied(samples, [key[0] for key, _ in segments], beside, steady)
        medians = np.median(samples, axis=1)
        typical = medians * float(np.median(samples.sum(axis=0)) / medians.sum())
        for (key, _), seconds in zip(segments, typical.tolist(), strict=True):
            found.setdefault(key, {})[name] = seconds
    return found


def _steadied(
    samples: Floats, devices: list[str], yardsticks_s: Mapping[str, tuple[float, ...]], steady: Steady
) -> Floats:
    """Walks, as columns, brought to the usual pace of their cores; those that met another one are left out."""
    num_walks = samples.shape[1]
    if any(len(found) != num_walks for found in yardsticks_s.values()):
        return samples
    readings = {device: around_s(found) for device, found in yardsticks_s.items()}
    off = np.max([np.abs(steady.slowness(device, found)) for device, found in readings.items()], axis=0)
    most = max(math.log1p(STEADY), float(np.sort(off)[(num_walks - 1) // 2]))
    factors = {device: steady.factors(device, found) for device, found in readings.items()}
    counted: Floats = (samples * np.array([factors[device] for device in devices]))[:, off <= most]
    return counted


def _walk(context: str, device: str) -> tuple[str, str]:
    return context, device if context.startswith("cover:") else ""
