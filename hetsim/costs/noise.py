"""Durations with the noise that was measured, drawn under a seed: what makes percentiles of latencies.

Of a plan that was walked, its own walks are drawn; of one that was not, how fast the cores were in others' walks.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.costs.fitting.additive_medians import additive_medians
from hetsim.costs.fitting.interference import around_s, fit_interference
from hetsim.costs.problems import plan_context
from hetsim.costs.profile import Profile
from hetsim.sim.segments import DurationFunction


def measured_noise(problem: Problem, profile: Profile, plan: Plan, *, seed: int) -> DurationFunction:
    """For each request, what the plan's segments take in it: the problem's times, each by a factor drawn at random.

    A factor is a sample over what the segment typically takes in that context. If the plan was replayed, the first
    request draws one of the serial walks, the next takes the walk after it, and so on, after the last the first: what
    slows the machine down lasts, so requests that are near in time meet what walks near in time met. All segments take
    the factors that they had in that walk, as one that the machine slowed down was slow throughout. Otherwise each
    segment draws from all its samples on its own; one without any keeps its time. Runs of samples that keep their
    order are the circular block bootstrap of D. N. Politis, J. P. Romano, "A circular block-resampling procedure for
    stationary data", in: Exploring the Limits of Bootstrap, Wiley 1992.

    Args:
        problem: Gives the times without noise.
        profile: Gives the samples.
        plan: The plan.
        seed: The same seed gives the same durations, in whatever order they are asked for.
    """
    context = plan_context(profile, plan)
    times = additive_medians(profile)
    factors: dict[Segment, np.ndarray] = {}
    for segment in plan.segments:
        measured = profile.contexts(segment.device, segment.ops)
        names = measured if context is None else [context]
        drawn = [np.array(measured[name].samples_s) / times[segment.device, segment.ops][name] for name in names]
        factors[segment] = np.concatenate(drawn) if drawn else np.ones(1)
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
        return problem.cost_s(segment.device, segment.ops) * rows[request][segment]

    return duration_s


def core_noise(problem: Problem, profile: Profile, plan: Plan, *, seed: int) -> DurationFunction:
    """For each request, the problem's times on cores that are as fast as they were in a walk drawn at random.

    Walks beside executions are drawn, of plans on the same devices at least: with two devices, more often than not one
    of the cores is slow where either is for a third of the time. Where there are none, times stay as they are.

    Args:
        problem: Gives the times on cores that are as fast as usual.
        profile: Its ``final`` contexts give the yardsticks.
        plan: The plan.
        seed: The same seed gives the same durations, in whatever order they are asked for.
    """
    interference = fit_interference(profile)
    devices = [device for device in plan.queues if device in interference.usual_s]
    readings_s = [profile.speed_probes_s(device) for device in devices]
    serial_runs: list[tuple[float, ...]] = []
    for context in dict.fromkeys(name for each in readings_s for name in each if name.startswith("final:")):
        if all(context in each for each in readings_s):
            slower = [
                1 / interference.factors(device, around_s(each[context]))
                for device, each in zip(devices, readings_s, strict=True)
            ]
            serial_runs += zip(*(each.tolist() for each in slower), strict=False)

    def duration_s(request: int, segment: Segment) -> float:
        alone_s = problem.cost_s(segment.device, segment.ops)
        if not serial_runs or segment.device not in devices:
            return alone_s
        serial_run = serial_runs[int(np.random.default_rng((seed, request)).integers(len(serial_runs)))]
        return alone_s * serial_run[devices.index(segment.device)]

    return duration_s
