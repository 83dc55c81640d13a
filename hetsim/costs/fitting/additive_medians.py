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

from hetsim.costs.fitting.interference import MAX_SLOWDOWN, Floats, Interference, around_s, fit_interference
from hetsim.costs.profile import Key, Profile

AdditiveMedians = Mapping[tuple[str, tuple[str, ...]], Mapping[str, float]]
"""By device and operators, then by context, in seconds."""


def undisturbed_medians(profile: Profile) -> AdditiveMedians:
    """What each segment typically takes in each context on cores that are as fast as usual."""
    return additive_medians(profile, fit_interference(profile))


def additive_medians(profile: Profile, interference: Interference | None = None) -> AdditiveMedians:
    """What each segment typically takes in each context in which it was measured, as the profile stands now.

    Walks are told apart by their context; those of a cover by their device as well, since both devices' have one name.
    Where segments of a walk have different numbers of samples, as when it was interrupted, medians stay as they are.

    Args:
        profile: The samples.
        steady: Brings them to how fast cores usually were, and leaves out walks that met other cores, but no more than
            half of them; without it, all count as they are.
    """
    serial_runs: dict[tuple[str, str], list[tuple[Key, list[float]]]] = {}
    for device, ops in profile.segments():
        for name, context in profile.contexts(device, ops).items():
            serial_runs.setdefault(_serial_run(name, device), []).append(((device, ops), context.samples_s))
    speed_probes_s = {device: profile.speed_probes_s(device) for device in interference.usual_s} if interference else {}
    found: dict[Key, dict[str, float]] = {}
    for (name, _), segments in serial_runs.items():
        if len({len(samples_s) for _, samples_s in segments}) != 1:
            for key, samples_s in segments:
                found.setdefault(key, {})[name] = median(samples_s)
            continue
        samples = np.array([samples_s for _, samples_s in segments])
        if interference is not None:
            beside = {
                device: speed_probes_s.get(device, {}).get(name, ()) for device in {key[0] for key, _ in segments}
            }
            samples = _undisturbed(samples, [key[0] for key, _ in segments], beside, interference)
        medians = np.median(samples, axis=1)
        additive = medians * float(np.median(samples.sum(axis=0)) / medians.sum())
        for (key, _), seconds in zip(segments, additive.tolist(), strict=True):
            found.setdefault(key, {})[name] = seconds
    return found


def _undisturbed(
    samples: Floats, devices: list[str], speed_probes_s: Mapping[str, tuple[float, ...]], interference: Interference
) -> Floats:
    """Walks, as columns, brought to the usual pace of their cores; those that met another one are left out."""
    num_serial_runs = samples.shape[1]
    if any(len(found) != num_serial_runs for found in speed_probes_s.values()):
        return samples
    readings = {device: around_s(found) for device, found in speed_probes_s.items()}
    off = np.max([np.abs(interference.slowness(device, found)) for device, found in readings.items()], axis=0)
    most = max(math.log1p(MAX_SLOWDOWN), float(np.sort(off)[(num_serial_runs - 1) // 2]))
    factors = {device: interference.factors(device, found) for device, found in readings.items()}
    counted: Floats = (samples * np.array([factors[device] for device in devices]))[:, off <= most]
    return counted


def _serial_run(context: str, device: str) -> tuple[str, str]:
    return context, device if context.startswith("configuration:") else ""
