"""The interference monitor: tells by speed and transfer probes whether something slowed the cores down."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping

from hetsim.costs.fitting.interference import MAX_SLOWDOWN
from hetsim.runtime.inference import Inference


class InterferenceMonitor:
    """Compares the probes of a serial run with the fastest probes of all serial runs so far."""

    def __init__(self) -> None:
        self._sorted_s: dict[tuple[str, str], list[float]] = {}  # by probe and device, all readings, ascending

    def learn(self, inference: Inference) -> None:
        """Take in the probes of a serial run; an inference without probes changes nothing."""
        for probe, readings_s in _probes(inference):
            for device, seconds in readings_s.items():
                insort(self._sorted_s.setdefault((probe, device), []), seconds)

    def slowness(self, *inferences: Inference) -> float:
        """By how much the slowest core was slower than when undisturbed, during some serial runs.

        A device's speed probe and transfer probe, if it has one, count as one piece of work. The undisturbed time of a
        probe is the first decile of its readings: a core that is disturbed for 90 % of the time is still noticed, and
        one exceptionally short reading does not define the undisturbed time.

        Returns:
            The slowdown as a fraction of the undisturbed time. It is 0 if the runs have no probes, and -1 for a core
            of which nothing has been learned yet.
        """
        found: list[float] = []
        for inference in inferences:
            for device in inference.speed_probes_s:
                readings = [
                    (probe, readings_s[device]) for probe, readings_s in _probes(inference) if device in readings_s
                ]
                undisturbed_s = sum(self._undisturbed_s(probe, device) for probe, _ in readings)
                found.append(sum(seconds for _, seconds in readings) / undisturbed_s - 1)
        return max(found, default=0.0)

    def is_undisturbed(self, serial_run: Inference) -> bool:
        """Whether no core was slower than when undisturbed by more than ``interference.MAX_SLOWDOWN``."""
        return self.slowness(serial_run) <= MAX_SLOWDOWN

    def _undisturbed_s(self, probe: str, device: str) -> float:
        known_s = self._sorted_s.get((probe, device))
        return known_s[len(known_s) // 10] if known_s else math.inf


def _probes(inference: Inference) -> tuple[tuple[str, Mapping[str, float]], ...]:
    return ("speed", inference.speed_probes_s), ("transfer", inference.transfer_probes_s)
