"""What it costs that one device wrote what another reads, and which of them pays it.

Where devices share a memory, nothing is copied when a tensor changes hands, but its bytes are in the other core's
cache: whoever reads them fetches them from there, and whoever writes them anew next time claims them back. Both add to
the time of the segment that does it. Calibration measures both at once, as the time that a byte takes on a zero-copy
link, since each device of its chain reads what another wrote and writes what another reads (:mod:`runtime.calibrate`).
Here half of it is taken to be the writer's and half the reader's.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from hetsim.machine.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """What tensors that change hands cost one device.

    Attributes:
        read_s_per_byte: For each byte that it reads and another device wrote, 0 or more.
        written_s_per_byte: For each byte that it writes and another device reads, 0 or more.
    """

    read_s_per_byte: float = 0.0
    written_s_per_byte: float = 0.0

    def seconds(self, read_bytes: int, written_bytes: int) -> float:
        """What so many bytes add to a segment's time."""
        return self.read_s_per_byte * read_bytes + self.written_s_per_byte * written_bytes


def crossings(platform: Platform) -> dict[str, Crossing]:
    """By device that can be measured, what crossing costs it; with several others the mean of what it pays with each.

    Copies cost neither side anything, as they wait for a channel of their own.
    """
    hypothetical = {device.name for device in platform.hypothetical_devices}
    names = [name for name in platform.device_names if name not in hypothetical]

    def half_s_per_byte(source: str, target: str) -> float:
        link = platform.link(source, target)
        return 0.5 / link.bandwidth_bytes_per_s if link.mode == "zero-copy" else 0.0

    found: dict[str, Crossing] = {}
    for device in names:
        others = [name for name in names if name != device]
        found[device] = Crossing(
            read_s_per_byte=fmean(half_s_per_byte(other, device) for other in others) if others else 0.0,
            written_s_per_byte=fmean(half_s_per_byte(device, other) for other in others) if others else 0.0,
        )
    return found
