"""Compare the measured numbers of two calibrations of a platform."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hetsim.core.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A number that was measured twice.

    Attributes:
        path: Its field in the platform's file.
        before: Its value in the first calibration, in the unit that the field's name ends with.
        after: Its value in the second calibration, in the same unit.
    """

    path: str
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """The second value over the first; 1 if both are equal, also if both are 0 or infinite."""
        if self.before == self.after:
            return 1.0
        return self.after / self.before if self.before else math.inf


def moves(before: Platform, after: Platform) -> tuple[Move, ...]:
    """Every measured number that both platforms have, in the order of the second platform's file."""
    first, second = _numbers(before), _numbers(after)
    return tuple(Move(path=path, before=first[path], after=second[path]) for path in second if path in first)


def _numbers(platform: Platform) -> dict[str, float]:
    found = {f"device.{device.name}.launch_s": device.launch_s for device in platform.devices}
    for (source, target), link in platform.links.items():
        found[f'link."{source}->{target}".setup_s'] = link.setup_s
        found[f'link."{source}->{target}".bandwidth_bytes_per_s'] = link.bandwidth_bytes_per_s
    for name, alone in platform.memory.alone_bytes_per_s.items():
        found[f"memory.alone_bytes_per_s.{name}"] = alone
    found["memory.shared_bytes_per_s"] = platform.memory.shared_bytes_per_s
    found["host.submit_setup_s"] = platform.host.submit_setup_s
    found["host.collect_setup_s"] = platform.host.collect_setup_s
    found["host.bandwidth_bytes_per_s"] = platform.host.bandwidth_bytes_per_s
    return found
