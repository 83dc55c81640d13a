"""Check whether a profile is still valid: each device runs the whole model again, and the times are compared."""

from __future__ import annotations

from dataclasses import dataclass

from hetsim.core.plan import whole_plan
from hetsim.core.statistics import Summary, summarize
from hetsim.costs.profile import Profile
from hetsim.models.model import Model, random_inputs
from hetsim.runtime.measure.profiler import Effort, Progress, run_serially
from hetsim.runtime.runtime import Runtime
from hetsim.runtime.worker_pool import RefusedError

WHOLE = "configuration:whole"
_MAX_SLOWDOWN = 0.02
"""Medians of two sessions differ by up to this fraction on an undisturbed machine (docs/accuracy.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """A device whose time for the whole model differs from its profile.

    Attributes:
        device: Its name.
        before: The time in the profile.
        now: The time now.
    """

    device: str
    before: Summary
    now: Summary

    def __str__(self) -> str:
        before, now = self.before, self.now
        return (
            f"{self.device} now takes {now.median_s / before.median_s:.2f} times as long for the whole model as in the "
            f"profile: {_interval(now)} against {_interval(before)}; measure anew into another folder, or find out "
            "what has changed"
        )


def recheck(
    runtime: Runtime, model: Model, profile: Profile, *, effort: Effort, progress: Progress | None = None
) -> tuple[Contradiction, ...]:
    """Run the whole model serially on each device; returns the devices whose profile no longer holds.

    Two medians contradict each other if their 95 % intervals do not overlap and they differ by more than 2 %. Devices
    without a serial run of the whole model in the profile are passed over. Nothing is recorded.

    Args:
        runtime: The devices.
        model: The model.
        profile: Its profile.
        effort: How often to run.
        progress: Told how much of the work is done, and what comes next.

    Raises:
        DeviceError: If a device failed.
    """
    report = progress or (lambda _done, _text: None)
    ops = tuple(op.name for op in model.graph.ops)
    found = []
    for number, device in enumerate(runtime.platform.device_names):
        before = profile.summary(device, ops, WHOLE)
        if before is None:
            continue
        report(number / len(runtime.platform.devices), f"{device}: whole, again")
        try:
            serial_runs = run_serially(
                runtime, model, whole_plan(model.graph, device), random_inputs(model, trust=runtime.trust), effort
            )
        except RefusedError:
            continue
        now = summarize([float(one.occupied_s[0]) for one in serial_runs])
        if contradict(before, now):
            found.append(Contradiction(device=device, before=before, now=now))
    return tuple(found)


def contradict(before: Summary, now: Summary) -> bool:
    """Whether two medians of the same quantity cannot both be right.

    >>> contradict(summarize([1.0] * 9), summarize([1.5] * 9))
    True
    """
    apart = now.low_s > before.high_s or now.high_s < before.low_s
    return apart and abs(now.median_s / before.median_s - 1) > _MAX_SLOWDOWN


def _interval(found: Summary) -> str:
    return f"{found.median_s * 1e3:.2f} ms ({found.low_s * 1e3:.2f} - {found.high_s * 1e3:.2f})"
