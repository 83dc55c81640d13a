"""The settings of a worker process."""

from __future__ import annotations

from dataclasses import dataclass

from hetsim.core.platform import Device


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a worker process is told when it starts.

    Attributes:
        device: The device that it drives.
        index: The device's index on the platform.
        wake_fds: The event descriptor of each device, by index.
        spin_s: How long a step that waits for another device spins before it sleeps.
        idle_spin_s: How long the wait for the next request spins before it sleeps.
        cache_bytes: Weights of compiled segments that stay loaded although no plan needs them.
    """

    device: Device
    index: int
    wake_fds: tuple[int, ...]
    spin_s: float
    idle_spin_s: float
    cache_bytes: int
