"""Before anything is measured: is the machine fit for it, and does an earlier profile still hold?"""

from __future__ import annotations

from hetsim.core.platform import Platform
from hetsim.costs.profile import Profile
from hetsim.models.model import Model
from hetsim.runtime import Runtime
from hetsim.runtime.machine.self_check import self_check
from hetsim.runtime.measure.profiler import Effort
from hetsim.runtime.measure.recheck import recheck
from hetsim.tuner.progress import Stages


def check_machine(platform: Platform, stages: Stages) -> tuple[str, ...]:
    """What would spoil measurements here and now, said as warnings; none of the devices may be at work.

    Returns:
        The warnings, one line each.
    """
    return _warned(self_check(platform), stages)


def check_profile(
    runtime: Runtime, model: Model, profile: Profile, *, effort: Effort, stages: Stages
) -> tuple[str, ...]:
    """Where devices contradict a profile of theirs that was begun earlier, said as warnings.

    Returns:
        The warnings, one line each; none for a profile that holds nothing yet.

    Raises:
        DeviceError: If a device failed.
    """
    if not profile.num_segments:
        return ()
    with stages.stage("compare with the profile") as report:
        found = recheck(runtime, model, profile, effort=effort, progress=report)
    return _warned(tuple(map(str, found)), stages)


def _warned(warnings: tuple[str, ...], stages: Stages) -> tuple[str, ...]:
    for description in warnings:
        stages.say(f"WARNING: {description}")
    return warnings
