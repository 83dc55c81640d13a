"""Additive medians: medians of segments' times that add up to the median time of a serial run.

The median of a sum is not the sum of medians. Durations have long upper tails, so a serial run of thirty segments takes
2 to 4 % longer than the sum of its segments' medians. A plan is such a sum. So the medians of one context are all
multiplied by one factor: the median time of its serial runs over the sum of its medians.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median

import numpy as np

from hetsim.costs.fitting.interference import MAX_SLOWDOWN, Floats, Interference, fit_interference, speed_probe_around_s
from hetsim.costs.profile import Key, Profile

AdditiveMedians = Mapping[tuple[str, tuple[str, ...]], Mapping[str, float]]
"""By device and operators, then by context, in seconds."""


def interference_free_medians(profile: Profile) -> AdditiveMedians:
    """The additive medians of samples that are corrected for interference, by segment and context."""
    return additive_medians(profile, fit_interference(profile))


def additive_medians(
    profile: Profile, interference: Interference | None = None, *, additive: bool = True
) -> AdditiveMedians:
    """The additive median of each segment in each context in which it was measured.

    The serial runs of one context belong together; for profiling configurations those of one device, since devices
    share the configurations' names. If the segments of a context have different numbers of samples, as after an
    interruption, their plain medians count.

    Args:
        profile: The samples.
        interference: Corrects the samples to the usual speed of the cores and leaves out serial runs on cores of
            another speed, but at most half of them; None uses all samples as they are.
        additive: Whether the medians are made to add up, which experiments switch off.
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
            samples = _without_interference(samples, [key[0] for key, _ in segments], beside, interference)
        medians = np.median(samples, axis=1)
        factor = float(np.median(samples.sum(axis=0)) / medians.sum()) if additive else 1.0
        for (key, _), seconds in zip(segments, (medians * factor).tolist(), strict=True):
            found.setdefault(key, {})[name] = seconds
    return found


def _without_interference(
    samples: Floats, devices: list[str], speed_probes_s: Mapping[str, tuple[float, ...]], interference: Interference
) -> Floats:
    """Serial runs, as columns, corrected to the usual speed of their cores, without those on cores of another speed."""
    num_serial_runs = samples.shape[1]
    if any(len(found) != num_serial_runs for found in speed_probes_s.values()):
        return samples
    readings = {device: speed_probe_around_s(found) for device, found in speed_probes_s.items()}
    deviation = np.max([np.abs(interference.slowness(device, found)) for device, found in readings.items()], axis=0)
    limit = max(math.log1p(MAX_SLOWDOWN), float(np.sort(deviation)[(num_serial_runs - 1) // 2]))
    factors = {device: interference.factors(device, found) for device, found in readings.items()}
    corrected: Floats = (samples * np.array([factors[device] for device in devices]))[:, deviation <= limit]
    return corrected


def _serial_run(context: str, device: str) -> tuple[str, str]:
    return context, device if context.startswith("configuration:") else ""
