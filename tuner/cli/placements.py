"""How a placement is told on the screen."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hetsim.tuner.cli.screen import say

if TYPE_CHECKING:
    from hetsim.runtime.placement.files import Latency, Report

_BUSY = 0.9
"""The least part of a latency that an engine computes if nothing else runs."""


def say_placement(report: Report) -> None:
    """Print where nodes run, what differs from the plan and why, what is lost, and the latency."""
    devices = ", ".join(f"{device} as {place}" for device, place in report.devices.items())
    say(f"{report.model} for {report.engine}: {devices}")
    say(f"{report.num_as_planned} of {report.num_nodes} nodes run where the plan puts them, by the engine's own report")
    groups = Counter((one.device, one.planned, one.found, _short(one.reason)) for one in report.differences)
    for (device, planned, found, reason), count in groups.items():
        nodes = f"{count} node{'s' if count > 1 else ''} of {device}"
        say(f"  {nodes}, planned for {planned}, {'run by ' + found if found else 'not reported'}: {reason}")
    for line in report.lost:
        say(f"lost: {line}")
    for line in _latency(report.latency):
        say(line)
    if report.latency.cpu_s < _BUSY * report.latency.measured_s:
        say(
            f"WARNING: the engine had a processor for {report.latency.cpu_s * 1e3:.3f} ms of each inference: other "
            "programs ran meanwhile, so the measured latency says little"
        )
    if not report.output_error <= report.tolerance:
        say(f"WARNING: outputs differ from the reference engine's by {report.output_error:.1e}")


def _latency(latency: Latency) -> tuple[str, ...]:
    measured = (
        f"as the engine executes it: measured {latency.measured_s * 1e3:.3f} ms "
        f"({latency.low_s * 1e3:.3f} to {latency.high_s * 1e3:.3f}, {latency.num_runs} inferences)"
    )
    if latency.simulated_s is None or latency.error is None:
        return (f"{measured}; not simulated: {latency.why_not_simulated}",)
    times = ", ".join(f"{place} at the times of {device}" for place, device in latency.simulated_on.items())
    lines = [
        f"{measured}, simulated {latency.simulated_s * 1e3:.3f} ms ({latency.error:+.1%}) as "
        f"{_parts(latency.num_segments)}, {times}"
    ]
    if latency.planned_s is not None:
        lines.append(f"by hetsim's own runtime, where devices overlap: simulated {latency.planned_s * 1e3:.3f} ms")
    return tuple(lines)


def _parts(number: int) -> str:
    return "one part" if number == 1 else f"{number} parts one after the other"


def _short(reason: str) -> str:
    """The reason without what differs from node to node."""
    return "fused with another node, see report.json" if reason.startswith("fused ") else reason
