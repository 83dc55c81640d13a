"""The interference monitor: tells by speed and transfer probes whether something slowed a run down."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass

from hetsim.costs.fitting.interference import MAX_SLOWDOWN
from hetsim.runtime.inference import Inference

_NUM_WARM_UPS = 2
"""The first serial runs of a session take longer whatever the cores do."""
_PRIOR = 0.1
"""Durations are expected to follow the probes; this sum of squared deviations of the probes' logarithms, as of forty
runs beside probes that vary by 5 %, weighs as much as that."""
_MAX_DEVIATION = 0.7
"""Larger deviations of logarithms are interruptions, and cut off here."""


class InterferenceMonitor:
    """Compares the probes of a serial run with the fastest probes of all serial runs so far.

    How strongly runs follow the probes is learned as well, by regression within the runs of each session: on some
    processors probes have two durations, 12 % apart, and networks take 2 % longer beside the longer ones.
    """

    def __init__(self) -> None:
        self._sorted_s: dict[tuple[str, str], list[float]] = {}  # by probe and device, all readings, ascending
        self._sessions: dict[int, _Deviations] = {}
        self._squares, self._products = 0.0, 0.0  # of deviations within each session, summed over sessions

    def learn(self, inference: Inference, session: int = 0) -> None:
        """Take in the probes of a serial run; an inference without probes changes nothing.

        Args:
            inference: The run.
            session: The number of the session that it is of.
        """
        for probe, readings_s in _probes(inference):
            for device, seconds in readings_s.items():
                insort(self._sorted_s.setdefault((probe, device), []), seconds)
        if inference.speed_probes_s:
            probes_s = sum(sum(readings_s.values()) for _, readings_s in _probes(inference))
            x, t = math.log(probes_s), math.log(inference.latency_s)
            squares, products = self._sessions.setdefault(session, _Deviations()).learn(x, t)
            self._squares += squares
            self._products += products

    def slowness(self, *inferences: Inference) -> float:
        """By how much slow cores are expected to have made the slowest of some serial runs longer, as a fraction.

        A device's speed probe and transfer probe, if it has one, count as one piece of work. The undisturbed time of a
        probe is the first decile of its readings: a core that is disturbed for 90 % of the time is still noticed, and
        one exceptionally short reading does not define the undisturbed time.

        Returns:
            The fraction. It is 0 if the runs have no probes, and -1 for a core of which nothing has been learned yet.
        """
        slowness = max((self._probe_slowness(each) for each in inferences if each.speed_probes_s), default=0.0)
        return slowness if slowness <= 0 else (1 + slowness) ** self.exponent - 1

    def is_undisturbed(self, serial_run: Inference) -> bool:
        """Whether slow cores have made it longer by no more than ``interference.MAX_SLOWDOWN``."""
        return self.slowness(serial_run) <= MAX_SLOWDOWN

    @property
    def exponent(self) -> float:
        """The power of the probes that durations are proportional to, from 0 to 1; 1 until others are seen."""
        return min(1.0, max(0.0, (self._products + _PRIOR) / (self._squares + _PRIOR)))

    def _probe_slowness(self, inference: Inference) -> float:
        """By how much the probes of the slowest device took longer than when undisturbed, as a fraction."""
        found: list[float] = []
        for device in inference.speed_probes_s:
            readings = [(probe, readings_s[device]) for probe, readings_s in _probes(inference) if device in readings_s]
            undisturbed_s = sum(self._undisturbed_s(probe, device) for probe, _ in readings)
            found.append(sum(seconds for _, seconds in readings) / undisturbed_s - 1)
        return max(found)

    def _undisturbed_s(self, probe: str, device: str) -> float:
        known_s = self._sorted_s.get((probe, device))
        return known_s[len(known_s) // 10] if known_s else math.inf


@dataclass(slots=True)
class _Deviations:
    """The serial runs of one session so far.

    Attributes:
        num_runs: Their number.
        mean_x: The mean logarithm of their probes, without warm-ups.
        mean_t: The mean logarithm of their durations, likewise.
    """

    num_runs: int = 0
    mean_x: float = 0.0
    mean_t: float = 0.0

    def learn(self, x: float, t: float) -> tuple[float, float]:
        """What a run adds to the sums of x' x' and of x' t', where x' and t' are deviations from its means."""
        self.num_runs += 1
        number = self.num_runs - _NUM_WARM_UPS
        if number <= 0:
            return 0.0, 0.0
        dx, dt = (_cut_off(each) if number > 1 else 0.0 for each in (x - self.mean_x, t - self.mean_t))
        self.mean_x += (x if number == 1 else dx) / number
        self.mean_t += (t if number == 1 else dt) / number
        weight = (number - 1) / number
        return weight * dx * dx, weight * dx * dt


def _cut_off(deviation: float) -> float:
    return min(_MAX_DEVIATION, max(-_MAX_DEVIATION, deviation))


def _probes(inference: Inference) -> tuple[tuple[str, Mapping[str, float]], ...]:
    return ("speed", inference.speed_probes_s), ("transfer", inference.transfer_probes_s)
