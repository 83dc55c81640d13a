"""What a byte of a shared tensor costs by calibration, before a profile says more."""

from __future__ import annotations

from statistics import fmean

from hetsim.core.platform import Platform


def calibrated_s_per_byte(platform: Platform, device: str) -> tuple[float, float]:
    """What a device takes to read and to write a byte that another measured device accesses, in seconds.

    Calibration measures the sum of reading and writing as the cost of a byte on a zero-copy link, since each device of
    its chain reads what another wrote and writes what another reads (:mod:`hetsim.runtime.measure.calibrate`). Half of
    it is taken for either, averaged over the other devices. Copies cost neither side anything, since they use a channel
    of their own.
    """
    others = [other.name for other in platform.devices if other.name != device and other.source is None]

    def half_s_per_byte(source: str, target: str) -> float:
        link = platform.link(source, target)
        return 0.5 / link.bandwidth_bytes_per_s if link.mode == "zero-copy" else 0.0

    if not others:
        return 0.0, 0.0
    return fmean(half_s_per_byte(other, device) for other in others), fmean(
        half_s_per_byte(device, other) for other in others
    )
