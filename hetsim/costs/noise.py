"""Durations with measured noise, drawn with a seed, for percentiles of simulated latencies.

For a plan with serial runs of its own these are drawn. For other plans the interference on the cores is drawn, as it
was during other plans' serial runs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.costs.cost_model import plan_context
from hetsim.costs.fitting.additive_medians import additive_medians
from hetsim.costs.fitting.interference import fit_interference, speed_probe_around_s
from hetsim.costs.profile import Profile
from hetsim.sim.segments import DurationFunction


def measured_noise(problem: Problem, profile: Profile, plan: Plan, *, seed: int) -> DurationFunction:
    """By request, the time of each of the plan's segments: the problem's time multiplied by a random factor.

    A factor is a sample divided by the additive median of its segment and context. If the profile has serial runs of
    the plan, the first request uses a serial run drawn at random, the next request the serial run after it, and so on
    cyclically. All segments of a request use the factors of one serial run, since interference slows all of a run, and
    requests that follow each other use serial runs that followed each other, since interference lasts. This is the
    circular block bootstrap of D. N. Politis, J. P. Romano, "A circular block-resampling procedure for stationary
    data", in: Exploring the Limits of Bootstrap, Wiley 1992. Without serial runs of the plan, each segment draws from
    all its samples independently; a segment without samples keeps its time.

    Args:
        problem: Gives the times without noise.
        profile: Gives the samples.
        plan: The plan.
        seed: The same seed gives the same durations, whatever the order of the calls.
    """
    problem = problem.for_plan(plan)
    context = plan_context(profile, plan)
    times = additive_medians(profile)
    factors: dict[Segment, np.ndarray] = {}
    for segment in plan.segments:
        measured = profile.contexts(segment.device, segment.ops)
        names = measured if context is None else [context]
        drawn = [np.array(measured[name].samples_s) / times[segment.device, segment.ops][name] for name in names]
        factors[segment] = np.concatenate(drawn) if drawn else np.ones(1)
    usual_s = problem.segment_times_s(plan.segments)
    numbers = {segment: i for i, segment in enumerate(plan.segments)}
    num_serial_runs = {len(drawn) for drawn in factors.values()}
    serial_runs_match = context is not None and len(num_serial_runs) == 1
    first = int(np.random.default_rng(seed).integers(min(num_serial_runs))) if serial_runs_match else 0
    rows: dict[int, Mapping[Segment, float]] = {}

    def row(request: int) -> Mapping[Segment, float]:
        if serial_runs_match:
            return {segment: float(drawn[(first + request) % len(drawn)]) for segment, drawn in factors.items()}
        chosen = np.random.default_rng((seed, request)).random(len(numbers))
        return {segment: float(drawn[int(chosen[numbers[segment]] * len(drawn))]) for segment, drawn in factors.items()}

    def duration_s(request: int, segment: Segment) -> float:
        if request not in rows:
            rows[request] = row(request)
        return usual_s[segment] * rows[request][segment]

    return duration_s


def interference_noise(problem: Problem, profile: Profile, plan: Plan, *, seed: int) -> DurationFunction:
    """By request, the problem's times under the interference of a serial run that is drawn at random.

    The serial runs of final measurements are drawn, of plans that use at least the devices of this plan: devices that
    are disturbed independently must be drawn together, or a plan on two devices would too seldom meet a slow core. If
    there are none, times stay as they are.

    Args:
        problem: Gives the times on cores of their usual speed.
        profile: Its ``final`` contexts give the speed probes.
        plan: The plan.
        seed: The same seed gives the same durations, whatever the order of the calls.
    """
    problem = problem.for_plan(plan)
    usual_s = problem.segment_times_s(plan.segments)
    interference = fit_interference(profile)
    devices = [device for device in plan.queues if device in interference.usual_s]
    readings_s = [profile.speed_probes_s(device) for device in devices]
    serial_runs: list[tuple[float, ...]] = []
    for context in dict.fromkeys(name for each in readings_s for name in each if name.startswith("final:")):
        if all(context in each for each in readings_s):
            slower = [
                1 / interference.factors(device, speed_probe_around_s(each[context]))
                for device, each in zip(devices, readings_s, strict=True)
            ]
            serial_runs += zip(*(each.tolist() for each in slower), strict=False)

    def duration_s(request: int, segment: Segment) -> float:
        alone_s = usual_s[segment]
        if not serial_runs or segment.device not in devices:
            return alone_s
        serial_run = serial_runs[int(np.random.default_rng((seed, request)).integers(len(serial_runs)))]
        return alone_s * serial_run[devices.index(segment.device)]

    return duration_s
