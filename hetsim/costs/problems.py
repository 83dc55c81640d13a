"""Planning problems from a model, a platform and a profile: the last step from samples to costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from hetsim.core.errors import ProblemError
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.problem import Latency, LatencyFunction, Problem
from hetsim.costs.fitting.additive_medians import AdditiveMedians, additive_medians, interference_free_medians
from hetsim.costs.fitting.transfer_costs import TransferCosts, fit_transfer_costs
from hetsim.costs.hypothetical.device_costs import check_all_known, hypothetical_costs
from hetsim.costs.profile import Profile
from hetsim.costs.segment_costs import SegmentCosts
from hetsim.costs.split_costs import with_parts
from hetsim.costs.traffic import traffic_function
from hetsim.models.model import Model
from hetsim.models.split.planned import planned_model


def make_problem(model: Model, platform: Platform, profile: Profile | None = None) -> Problem:
    """The planning problem for any plan: measured costs where there are measurements, and predictions elsewhere.

    The costs of hypothetical devices come from their data sheet, architecture or file; a platform of such devices alone
    needs no profile.

    Cross-device access costs are subtracted from the segments' latencies. In a plan, segments pay again for what they
    access, by the figures of the zero-copy links (:mod:`hetsim.costs.fitting.transfer_costs`).

    Raises:
        ProblemError: If an operator runs on no device.
        ProfileError: If a device needs measurements and there is no profile, or a file of times does not fit the model.
        PlatformError: If the costs of an architecture cannot be computed.
    """
    if profile is not None:
        return _problem(model, platform, profile, interference_free_medians(profile))
    check_all_known(platform, model)
    stated = hypothetical_costs(model, platform)
    return Problem(
        graph=model.graph,
        platform=platform,
        latency_function=stated.latency_beside(None),
        traffic_function=stated.traffic_beside(None) if math.isfinite(platform.memory.shared_bytes_per_s) else None,
        model_hash=model.hash,
    )


def _problem(model: Model, platform: Platform, profile: Profile, times: AdditiveMedians) -> Problem:
    graphs = [one.graph for one in (model, model.base) if one is not None]
    transfer_costs = fit_transfer_costs(profile, times, platform, graphs)
    launch_s = {device.name: device.launch_s for device in platform.devices}
    costs = SegmentCosts(profile, model.graph, launch_s, transfer_costs, times=times)
    measured: LatencyFunction = costs
    if model.base is not None:
        base = SegmentCosts(profile, model.base.graph, launch_s, transfer_costs, times=times)
        measured = with_parts(model, measured, base)
    traffic = traffic_function(profile, model.graph, platform, measured)
    stated = hypothetical_costs(model, platform)
    return Problem(
        graph=model.graph,
        platform=_with_access_costs(platform, transfer_costs),
        latency_function=stated.latency_beside(measured),
        traffic_function=None if traffic is None else stated.traffic_beside(traffic),
        error_function=costs.error_s,
        model_hash=model.hash,
    )


def _with_access_costs(platform: Platform, transfer_costs: Mapping[str, TransferCosts]) -> Platform:
    """The platform whose zero-copy links between these devices charge segments for each byte, and delay none."""
    links = dict(platform.links)
    names = [name for name in platform.device_names if name in transfer_costs]
    for source in names:
        for target in names:
            link = platform.link(source, target)
            if source != target and link.mode == "zero-copy":
                links[source, target] = replace(
                    link,
                    bandwidth_bytes_per_s=math.inf,
                    read_s_per_byte=transfer_costs[target].read_s_per_byte,
                    written_s_per_byte=transfer_costs[source].written_s_per_byte,
                )
    return replace(platform, links=links)


def plan_context(profile: Profile, plan: Plan) -> str | None:
    """The context of the plan's own serial runs; None if the profile has none of all its segments.

    Serial runs of the final measurement, in interleaved rounds with executions, come before a replay on its own.
    """
    for name in ("final", "replay"):
        context = f"{name}:{plan.digest}"
        if all(profile.samples_s(segment.device, segment.ops, context) for segment in plan.segments):
            return context
    return None


def plan_problem(model: Model, platform: Platform, profile: Profile | None, plan: Plan) -> Problem:
    """The problem for one plan: costs from the plan's own serial runs if there are any, else :func:`make_problem`.

    If the plan has rewrites, the problem's graph is the rewritten one. A profile never contains the plan's parallel
    execution, so a simulation of this problem predicts it. The plan's own serial runs include cross-device access, so
    the links charge nothing for it then. If the plan uses a hypothetical device, its serial runs do not count.

    Raises:
        PlanError: If the plan does not fit the model.
    """
    model = planned_model(model, plan)
    context = None if profile is None else plan_context(profile, plan)
    hypothetical = {device.name for device in platform.hypothetical_devices}
    if profile is None or context is None or not hypothetical.isdisjoint(plan.queues):
        return make_problem(model, platform, profile)
    times = interference_free_medians(profile)
    problem = _problem(model, platform, profile, times)
    own = additive_medians(profile) if context.startswith("final:") else times

    def costs(device: str, ops: tuple[str, ...]) -> Latency | None:
        own_s = own.get((device, ops), {}).get(context)
        return problem.latency(device, ops) if own_s is None else Latency(own_s, measured=True)

    return replace(
        problem,
        platform=_with_access_costs(platform, dict.fromkeys(platform.device_names, TransferCosts())),
        latency_function=costs,
        traffic_function=traffic_function(profile, model.graph, platform, costs),
        _known={},
    )


def shifted(problem: Problem, num_sigmas: float) -> Problem:
    """The problem with every prediction shifted by a number of its device's median relative errors; see SegmentCosts.

    Raises:
        ProblemError: If the costs were not predicted from a profile.
    """
    if not num_sigmas:
        return problem
    if not isinstance(problem.latency_function, SegmentCosts):
        raise ProblemError("only predictions from a profile can be shifted; make the problem with a profile")
    return replace(problem, latency_function=problem.latency_function.shifted(num_sigmas), _known={})


def plan_error_s(problem: Problem, plan: Plan) -> float:
    """The standard error of a plan's makespan in seconds: the segments' standard errors added in quadrature.

    All segments count, also those beside the critical path. Correlation between their errors is left out.
    """
    return math.hypot(*(problem.error_s(segment.device, segment.ops) for segment in plan.segments))
