"""Correction of measurements for interference: other machines that slow down the physical cores of this one.

After each serial run every device measures its speed probe, a fixed piece of arithmetic
(:mod:`hetsim.runtime.worker.probes.speed`). Interference makes both the probe and the serial run longer. So

    seconds at the usual speed = seconds * (usual speed probe / speed probe) ** exponent

with one exponent for each device, which says how strongly its segments depend on the speed of the core. It is fitted to
samples of the same segments beside shorter and longer speed probes, and near 0 for a device whose segments do not
depend on it. This is regression adjustment by a control variate: S. S. Lavenberg, P. D. Welch, "A perspective on the
use of control variables to increase the efficiency of Monte Carlo simulations", Management Science 27(3), 1981.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt

from hetsim.costs.profile import Profile

MAX_SLOWDOWN = 0.06
"""A run is undisturbed if slow cores are expected to have made it longer by at most this fraction."""

_NOISE = 0.05
"""Noise of the logarithm of a speed probe: smaller differences have little influence on the exponent."""
_MAX_DEVIATION = 0.7
"""Logarithms are clipped to this, a factor of two: larger deviations are interruptions, not slow cores."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interference:
    """The usual speed of each device's core, and how durations depend on the speed.

    Attributes:
        usual_s: By device, its usual speed probe in seconds.
        exponent: By device, the power of the speed probe that durations are proportional to; 0 to 3.
    """

    usual_s: Mapping[str, float]
    exponent: Mapping[str, float]

    def slowness(self, device: str, speed_probe_s: Floats) -> Floats:
        """The logarithm of a device's speed probes over its usual one."""
        return np.clip(np.log(speed_probe_s / self.usual_s[device]), -_MAX_DEVIATION, _MAX_DEVIATION)

    def factors(self, device: str, speed_probe_s: Floats) -> Floats:
        """The factors that correct durations to the usual speed."""
        return np.exp(-self.exponent[device] * self.slowness(device, speed_probe_s))


def fit_interference(profile: Profile) -> Interference:
    """The interference in a profile's serial runs.

    The usual speed probe is the median over the serial runs of final measurements if there are any, since executions
    beside these are to be predicted. Otherwise it is the median over all serial runs.
    """
    usual_s, exponent = {}, {}
    for device in profile.header.engines:
        speed_probes_s = profile.speed_probes_s(device)
        final_s = [one for context, one in speed_probes_s.items() if context.startswith("final:")]
        readings_s = [one for each in final_s or speed_probes_s.values() for one in each]
        if readings_s:
            usual_s[device] = median(readings_s)
            exponent[device] = _exponent(profile, device)
    return Interference(usual_s=usual_s, exponent=exponent)


def _exponent(profile: Profile, device: str) -> float:
    """The slope of logarithms of durations over those of speed probes within segments, each weighted by its time."""
    speed_probes_s = {context: speed_probe_around_s(found) for context, found in profile.speed_probes_s(device).items()}
    both, squares, weights = 0.0, 0.0, 0.0
    for ops in profile.measured(device):
        met = [
            (speed_probes_s[name], np.array(context.samples_s))
            for name, context in profile.contexts(device, ops).items()
            if len(speed_probes_s.get(name, ())) == len(context.samples_s)
        ]
        if met:
            halves = [half for found in met for half in _halves(*found)]
            slower, longer = (_deviations(np.array(side)) for side in zip(*halves, strict=True))
            weight = float(np.median([seconds for _, seconds in halves]))
            both += weight * float(slower @ longer)
            squares += weight * float(slower @ slower)
            weights += weight
    return min(max(both / (squares + _NOISE**2 * weights), 0.0), 3.0) if squares else 0.0


def _halves(speed_probes_s: Floats, samples_s: Floats) -> list[tuple[float, float]]:
    """Median speed probe and median duration of the serial runs with the shorter and with the longer probes."""
    order = np.argsort(speed_probes_s, kind="stable")
    middle = len(order) // 2
    return [
        (float(np.median(speed_probes_s[half])), float(np.median(samples_s[half])))
        for half in (order[:middle], order[middle:])
        if len(half)
    ]


def speed_probe_around_s(speed_probe_s: Sequence[float]) -> Floats:
    """The speed probe around each serial run, in seconds: the geometric mean of those before and after it.

    There is none before the first serial run, so there only the one after it counts.
    """
    after = np.log(np.array(speed_probe_s))
    before = np.concatenate([after[:1], after[:-1]])
    around: Floats = np.exp((before + after) / 2)
    return around


def _deviations(values: Floats) -> Floats:
    """The differences of the values' logarithms from their mean."""
    logarithms = np.log(values)
    found: Floats = np.clip(logarithms - logarithms.mean(), -_MAX_DEVIATION, _MAX_DEVIATION)
    return found
