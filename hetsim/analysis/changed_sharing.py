"""What shared tensors cost in a scenario.

Segments on measured devices pay for shared tensors what their profile says, and links stand for that: a link of twice
the bandwidth or speed halves what its ends pay, and a bandwidth in bytes per second replaces it. A device with links to
several others pays the mean over these. Faster arithmetic does not change what memory costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from hetsim.analysis.change import Change, find_change
from hetsim.core.dataflow import SharingCosts
from hetsim.core.platform import Platform


def changed_sharing(
    sharing: SharingCosts | None, platform: Platform, changes: Sequence[Change], origin: Mapping[str, str]
) -> SharingCosts | None:
    """The costs after the changes.

    Args:
        sharing: The costs before them.
        platform: The devices before them.
        changes: The changes.
        origin: By device after the changes, the device that it is or is a copy of.
    """
    if sharing is None:
        return None
    names = platform.device_names
    read = {name: _factor([_link_factor(changes, other, name) for other in names if other != name]) for name in names}
    made = {name: _factor([_link_factor(changes, name, other) for other in names if other != name]) for name in names}

    def scaled(costs_s: Callable[[str, str], float], factors: Mapping[str, float]) -> Callable[[str, str], float]:
        return lambda device, tensor: factors[origin[device]] * costs_s(origin[device], tensor)

    return SharingCosts(scaled(sharing.read_s, read), scaled(sharing.written_s, made))


def _factor(factors: Sequence[float]) -> float:
    return fmean(factors) if factors else 1.0


def _link_factor(changes: Sequence[Change], source: str, target: str) -> float:
    """By how much a byte over a link costs more after the changes."""
    bandwidth = find_change(changes, "link", f"{source}->{target}", "bandwidth")
    speed = find_change(changes, "link", f"{source}->{target}", "speed")
    every = find_change(changes, "handover")
    factor = 1.0
    if bandwidth is not None:
        factor = 1 / bandwidth.amount if bandwidth.relative else 0.0
    if speed is not None:
        factor /= speed.amount
    return factor if every is None else factor * every.amount
