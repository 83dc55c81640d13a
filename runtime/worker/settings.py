"""What the process behind a device is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass

from hetsim.core.platform import Device


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a worker is set up.

    Attributes:
        device: The device it drives.
        index: The device's number on the platform.
        wake_fds: Every device's event descriptor, by number.
        spin_s: How long a step's wait spins before it sleeps.
        idle_spin_s: How long the wait for the next request spins.
        cache_bytes: Compiled segments that no plan needs are let go beyond this many bytes of weights.
    """

    device: Device
    index: int
    wake_fds: tuple[int, ...]
    spin_s: float
    idle_spin_s: float
    cache_bytes: int
