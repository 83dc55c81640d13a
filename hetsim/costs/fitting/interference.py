"""Measurements from cores that are not always equally fast, brought to how fast they usually were.

After each serial walk every device notes what its yardstick took, a piece of arithmetic that never changes
(:mod:`hetsim.runtime.worker.speed_probe`). When other machines use the same physical core it takes longer, and so does
the walk. So

    seconds, had the core been as usual = seconds * (usual yardstick / yardstick) ** exponent

with one exponent for each device: by how much walks feel what the yardstick feels, fitted to what the same segments
took beside shorter and longer yardsticks. A device of which the yardstick says nothing gets an exponent near 0. This is
regression adjustment by a control variate: S. S. Lavenberg, P. D. Welch, "A perspective on the use of control variables
to increase the efficiency of Monte Carlo simulations", Management Science 27(3), 1981.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt

from hetsim.costs.profile import Profile

MAX_SLOWDOWN = 0.06
"""A core is steady while its yardstick takes no longer than usual by more than this fraction."""

_NOISE = 0.05  # where yardsticks differ by less than this, as a logarithm, they tell little and the exponent is near 0
_FARTHEST = 0.7  # twice as slow or fast; what is further off was interrupted, not slow

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interference:
    """How fast each device's core usually was, and how much that matters.

    Attributes:
        usual_s: By device, what its yardstick usually takes, in seconds.
        exponent: By device, by which power of the yardstick walks get longer; 0 to 3.
    """

    usual_s: Mapping[str, float]
    exponent: Mapping[str, float]

    def slowness(self, device: str, speed_probe_s: Floats) -> Floats:
        """The logarithm of how many times as long as usual a device's yardstick took."""
        return np.clip(np.log(speed_probe_s / self.usual_s[device]), -_FARTHEST, _FARTHEST)

    def factors(self, device: str, speed_probe_s: Floats) -> Floats:
        """What durations are to be multiplied with to be as usual."""
        return np.exp(-self.exponent[device] * self.slowness(device, speed_probe_s))


def fit_interference(profile: Profile) -> Interference:
    """What the walks of a profile say.

    Usual is the median over the walks beside executions (``final`` contexts), if there are any: they are what is to be
    predicted. Otherwise it is the median over all.
    """
    usual_s, exponent = {}, {}
    for device in profile.header.engines:
        speed_probes_s = profile.speed_probes_s(device)
        finals = [one for context, one in speed_probes_s.items() if context.startswith("final:")]
        readings_s = [one for each in finals or speed_probes_s.values() for one in each]
        if readings_s:
            usual_s[device] = median(readings_s)
            exponent[device] = _exponent(profile, device)
    return Interference(usual_s=usual_s, exponent=exponent)


def _exponent(profile: Profile, device: str) -> float:
    """The slope of logarithms of durations over those of yardsticks, within each segment, which counts by its time."""
    speed_probes_s = {context: around_s(found) for context, found in profile.speed_probes_s(device).items()}
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
    """Median yardstick and median duration of the walks with the shorter and with the longer yardsticks."""
    order = np.argsort(speed_probes_s, kind="stable")
    middle = len(order) // 2
    return [
        (float(np.median(speed_probes_s[half])), float(np.median(samples_s[half])))
        for half in (order[:middle], order[middle:])
        if len(half)
    ]


def around_s(speed_probe_s: Sequence[float]) -> Floats:
    """The yardstick around each walk: the geometric mean of what it took before and after, for the first just after."""
    after = np.log(np.array(speed_probe_s))
    before = np.concatenate([after[:1], after[:-1]])
    around: Floats = np.exp((before + after) / 2)
    return around


def _deviations(values: Floats) -> Floats:
    """The logarithms' differences from their mean."""
    logarithms = np.log(values)
    found: Floats = np.clip(logarithms - logarithms.mean(), -_FARTHEST, _FARTHEST)
    return found
