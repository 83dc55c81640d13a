"""What it costs that one device wrote what another reads, fitted to segments that were met both ways.

Where devices share a memory, nothing is copied when a tensor changes hands, but its bytes are in the other core's
cache: whoever reads them fetches them from there, and whoever writes them anew next time claims them back. Both add to
the time of the segment that does it. So the same segment takes longer in a plan where its tensors cross, by about

    read_s_per_byte * (bytes it reads that another device wrote)
    + written_s_per_byte * (bytes it writes that another device reads)

with two figures for each device. Every measurement says how many bytes crossed, so the figures follow from segments
that were measured with more of them and with fewer: least squares over the differences from each segment's own mean.

Calibration measures both figures at once, as what a byte takes on a zero-copy link, since each device of its chain
reads what another wrote and writes what another reads (:mod:`runtime.calibrate`). Half of it is the least that either
figure may be: few plans have enough of their time in crossing to tell it from noise. A device that converts what it
hands over pays more, which segments do tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt

from hetsim.machine.platform import Platform
from hetsim.profile import Profile
from hetsim.typical import TypicalTimes

MIN_CONTEXTS = 8
"""A device's figures are fitted to at least so many measurements of segments that were met both ways."""

Rows = npt.NDArray[np.float64]


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


def fit_crossings(profile: Profile, times: TypicalTimes, platform: Platform) -> dict[str, Crossing]:
    """By device of the profile, what crossing costs it: as the profile says, but no less than calibration.

    Args:
        profile: Says how many bytes crossed.
        times: What its segments typically take.
        platform: The devices with their calibrated links.
    """
    found: dict[str, Crossing] = {}
    for device in profile.header.engines:
        least = calibrated_crossing(platform, device)
        rows: list[Rows] = []
        for ops in profile.measured(device):
            met = np.array(
                [
                    (context.read_bytes, context.written_bytes, times[device, ops][name])
                    for name, context in profile.contexts(device, ops).items()
                ]
            )
            if (met[:, :2] != met[0, :2]).any():
                rows.append(met - met.mean(axis=0))
        read = written = 0.0
        if sum(map(len, rows)) >= MIN_CONTEXTS:
            read, written = _least_squares(np.concatenate(rows))
        found[device] = Crossing(
            read_s_per_byte=max(read, least.read_s_per_byte),
            written_s_per_byte=max(written, least.written_s_per_byte),
        )
    return found


def calibrated_crossing(platform: Platform, device: str) -> Crossing:
    """Half of what a byte takes on a device's zero-copy links with others that are measured, on average.

    Copies cost neither side anything, as they wait for a channel of their own.
    """
    others = [other.name for other in platform.devices if other.name != device and other.source is None]
    if not others or device not in platform.device_names:
        return Crossing()

    def half_s_per_byte(source: str, target: str) -> float:
        link = platform.link(source, target)
        return 0.5 / link.bandwidth_bytes_per_s if link.mode == "zero-copy" else 0.0

    return Crossing(
        read_s_per_byte=fmean(half_s_per_byte(other, device) for other in others),
        written_s_per_byte=fmean(half_s_per_byte(device, other) for other in others),
    )


def _least_squares(rows: Rows) -> tuple[float, float]:
    """The two figures of least squared error among those that are 0 or more; rows are read, written, seconds."""
    bytes_, seconds = rows[:, :2], rows[:, 2]
    both = np.linalg.lstsq(bytes_, seconds, rcond=None)[0]
    if (both >= 0).all():
        return float(both[0]), float(both[1])
    alone = [max(0.0, _slope(bytes_[:, i], seconds)) for i in range(2)]
    candidates = [(alone[0], 0.0), (0.0, alone[1])]
    return min(candidates, key=lambda pair: float(((bytes_ @ np.array(pair) - seconds) ** 2).sum()))


def _slope(bytes_: Rows, seconds: Rows) -> float:
    spread = float(bytes_ @ bytes_)
    return float(bytes_ @ seconds) / spread if spread else 0.0
