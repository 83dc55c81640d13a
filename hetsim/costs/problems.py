"""Planning problems from a model, a platform and a profile."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from hetsim.core.dataflow import resolve
from hetsim.core.errors import ProblemError
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.problem import Latency, LatencyFunction, Problem
from hetsim.costs.fitting.additive_medians import AdditiveMedians, additive_medians, undisturbed_medians
from hetsim.costs.fitting.transfer_costs import TransferCosts, find_border, fit_transfer_costs
from hetsim.costs.hypothetical.device_costs import check_all_known, hypothetical_costs
from hetsim.costs.profile import Profile
from hetsim.costs.segment_costs import SegmentCosts
from hetsim.costs.split_costs import with_parts
from hetsim.costs.traffic import traffic_function
from hetsim.models.model import Model
from hetsim.models.split.planned import planned_model


def make_problem(model: Model, platform: Platform, profile: Profile | None = None) -> Problem:
    """The planning problem that a profile gives, as it stands now: measured costs, and predictions for the rest.

    Hypothetical devices take what their data sheet, architecture or file says; where there are no others, no profile is
    needed.

    What it costs that tensors change hands is taken out of the segments' times and put into the zero-copy links, where
    a plan pays it if it hands over (:mod:`hetsim.costs.fitting.transfer_costs`).

    Raises:
        ProblemError: If some operator runs on no device.
        ProfileError: If a device is to be measured and there is no profile, or a file of times does not fit the model.
        PlatformError: If an architecture cannot be worked out.
    """
    if profile is not None:
        times = undisturbed_medians(profile)
        return _problem(model, platform, profile, times, _fit_transfer_costs(model, platform, profile, times))
    check_all_known(platform, model)
    stated = hypothetical_costs(model, platform)
    return Problem(
        graph=model.graph,
        platform=platform,
        latency_function=stated.latency_beside(None),
        traffic_function=stated.traffic_beside(None) if math.isfinite(platform.memory.shared_bytes_per_s) else None,
        model_hash=model.hash,
    )


def _problem(
    model: Model,
    platform: Platform,
    profile: Profile,
    times: AdditiveMedians,
    transfer_costs: Mapping[str, TransferCosts],
) -> Problem:
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
        platform=_with_transfer_costs(platform, transfer_costs),
        latency_function=stated.latency_beside(measured),
        traffic_function=None if traffic is None else stated.traffic_beside(traffic),
        error_function=costs.error_s,
        model_hash=model.hash,
    )


def _fit_transfer_costs(
    model: Model, platform: Platform, profile: Profile, times: AdditiveMedians
) -> dict[str, TransferCosts]:
    """What crossing costs each device of a model's profile, rewritten or not."""
    graphs = [one.graph for one in (model, model.base) if one is not None]
    return fit_transfer_costs(profile, times, platform, graphs)


def _with_transfer_costs(platform: Platform, transfer_costs: Mapping[str, TransferCosts]) -> Platform:
    """The platform whose zero-copy links cost what their writer and their reader pay for each byte."""
    links = dict(platform.links)
    for source in platform.device_names:
        for target in platform.device_names:
            link = platform.link(source, target)
            if source != target and link.mode == "zero-copy" and source in transfer_costs and target in transfer_costs:
                s_per_byte = transfer_costs[source].written_s_per_byte + transfer_costs[target].read_s_per_byte
                links[source, target] = replace(link, bandwidth_bytes_per_s=1 / s_per_byte if s_per_byte else math.inf)
    return replace(platform, links=links)


def _without_transfer_costs(platform: Platform) -> Platform:
    """The platform whose zero-copy links take no time for bytes: where segments' own times have that in them."""
    links = {
        pair: replace(link, bandwidth_bytes_per_s=math.inf) if link.mode == "zero-copy" else link
        for pair, link in platform.links.items()
    }
    return replace(platform, links=links)


def plan_context(profile: Profile, plan: Plan) -> str | None:
    """The context in which the plan's own segments were timed, one device active at a time; None where none was.

    Replays that took turns with the plan's executions come before a replay on its own.
    """
    for name in ("final", "replay"):
        context = f"{name}:{plan.digest}"
        if all(profile.samples_s(segment.device, segment.ops, context) for segment in plan.segments):
            return context
    return None


def plan_problem(model: Model, platform: Platform, profile: Profile | None, plan: Plan) -> Problem:
    """The problem as one plan meets it: costs from the plan's own serial replays if there are any.

    If the plan rests on rewrites, the problem's graph is the rewritten one. The plan's parallel execution never enters
    a profile, so a simulation from this predicts it. What crossing costs is in a replay's times already; without a
    replay it is added to the segments that pay it, since a plan says what crosses. Either way zero-copy links take no
    time for bytes. Where the plan uses a hypothetical device, it is the problem of :func:`make_problem`.

    Raises:
        PlanError: If the plan does not fit the model.
    """
    model = planned_model(model, plan)
    hypothetical = {device.name for device in platform.hypothetical_devices}
    if profile is None or not hypothetical.isdisjoint(plan.queues):
        return make_problem(model, platform, profile)
    times = undisturbed_medians(profile)
    transfer_costs = _fit_transfer_costs(model, platform, profile, times)
    problem = _problem(model, platform, profile, times, transfer_costs)
    context = plan_context(profile, plan)
    transfer_cost_s = _transfer_cost_s(model.graph, plan, transfer_costs) if context is None else {}
    own = additive_medians(profile) if context is not None and context.startswith("final:") else times

    def costs(device: str, ops: tuple[str, ...]) -> Latency | None:
        here_s = None if context is None else own.get((device, ops), {}).get(context)
        if here_s is not None:
            return Latency(here_s, measured=True)
        found, more_s = problem.latency(device, ops), transfer_cost_s.get((device, ops), 0.0)
        return found if found is None else replace(found, seconds=found.seconds + more_s)

    return replace(
        problem,
        platform=_without_transfer_costs(platform),
        latency_function=costs,
        traffic_function=traffic_function(profile, model.graph, platform, costs),
        _known={},
    )


def _transfer_cost_s(
    graph: Graph, plan: Plan, transfer_costs: Mapping[str, TransferCosts]
) -> dict[tuple[str, tuple[str, ...]], float]:
    """What each of a plan's segments pays for the tensors that it has from other devices, and makes for them."""
    flow = resolve(graph, plan)
    return {
        (step.segment.device, step.segment.ops): transfer_costs[step.segment.device].seconds(
            find_border(graph, step.segment.ops), read_bytes, written_bytes
        )
        for step, read_bytes, written_bytes in zip(flow.steps, flow.read_bytes, flow.written_bytes, strict=True)
        if step.segment.device in transfer_costs
    }


def shifted(problem: Problem, by: float) -> Problem:
    """The problem with every prediction raised by so many of its device's typical errors; lowered if negative.

    Raises:
        ProblemError: If its costs were not predicted from a profile.
    """
    if not by:
        return problem
    if not isinstance(problem.latency_function, SegmentCosts):
        raise ProblemError("only costs that come from a profile have predictions to lean on")
    return replace(problem, latency_function=problem.latency_function.shifted(by), _known={})


def plan_error_s(problem: Problem, plan: Plan) -> float:
    """The error bar of a plan's makespan, one standard deviation in seconds: those of its segments in quadrature.

    All count, also those that nobody waits for. That errors of one plan go together is left out.
    """
    return math.hypot(*(problem.error_s(segment.device, segment.ops) for segment in plan.segments))
