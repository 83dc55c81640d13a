"""Planning problems from a model, a platform and a profile: the last step from samples to costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hetsim.core.dataflow import resolve
from hetsim.core.errors import ProblemError
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.problem import ErrorFunction, Latency, LatencyFunction, Problem
from hetsim.costs.fitting.additive_medians import AdditiveMedians, additive_medians, interference_free_medians
from hetsim.costs.fitting.transfer_costs import TransferCosts, find_border, fit_transfer_costs
from hetsim.costs.hypothetical.device_costs import HypotheticalCosts, check_all_known, hypothetical_costs
from hetsim.costs.profile import Profile
from hetsim.costs.segment_costs import SegmentCosts
from hetsim.costs.split_costs import OwnCosts, part_error, with_parts
from hetsim.costs.traffic import traffic_function
from hetsim.models.model import Model
from hetsim.models.split.planned import planned_model
from hetsim.models.split.splitting import ModelSplitting


def make_problem(model: Model, platform: Platform, profile: Profile | None = None) -> Problem:
    """The planning problem for any plan: measured costs where there are measurements, and predictions elsewhere.

    The costs of hypothetical devices come from their data sheet, architecture or file; a platform of such devices alone
    needs no profile.

    Cross-device access costs are subtracted from the segments' times and added to the zero-copy links, where a plan
    pays them for each hand-over (:mod:`hetsim.costs.fitting.transfer_costs`).

    Raises:
        ProblemError: If an operator runs on no device.
        ProfileError: If a device needs measurements and there is no profile, or a file of times does not fit the model.
        PlatformError: If the costs of an architecture cannot be computed.
    """
    if profile is not None:
        times = interference_free_medians(profile)
        return _problem(model, platform, profile, times, _fit_transfer_costs(model, platform, profile, times))
    check_all_known(platform, model)
    return _stated_problem(model, platform, hypothetical_costs(model.base or model, platform))


def _stated_problem(model: Model, platform: Platform, base: HypotheticalCosts) -> Problem:
    """The problem of a model, original or rewritten, on hypothetical devices alone.

    Args:
        model: The model.
        platform: The devices.
        base: Their costs of the original model.
    """
    stated = base.of_parts(model)
    return Problem(
        graph=model.graph,
        platform=platform,
        latency_function=stated.latency_beside(None),
        traffic_function=stated.traffic_beside(None) if math.isfinite(platform.memory.shared_bytes_per_s) else None,
        model_hash=model.hash,
        splitting=ModelSplitting(model, lambda other: _stated_problem(other, platform, base)),
        rewrites=model.splits,
    )


@dataclass(frozen=True, kw_only=True)
class _Base:
    """Costs of an original model, from which those of its parts follow.

    Attributes:
        measured: From the profile.
        stated: Of hypothetical devices.
        knows_parts: Whether the profile has segments of rewritten models.
    """

    measured: SegmentCosts
    stated: HypotheticalCosts
    knows_parts: bool


def _problem(
    model: Model,
    platform: Platform,
    profile: Profile,
    times: AdditiveMedians,
    transfer_costs: Mapping[str, TransferCosts],
    base: _Base | None = None,
) -> Problem:
    """The problem of a model, original or rewritten.

    Args:
        model: The model.
        platform: The devices.
        profile: Their measurements.
        times: Additive medians of the profile.
        transfer_costs: By device, its cross-device access costs.
        base: Costs of the original model, if they are known already.
    """
    original = model.base or model
    launch_s = {device.name: device.launch_s for device in platform.devices}
    if base is None:
        base = _Base(
            measured=SegmentCosts(profile, original.graph, launch_s, transfer_costs, times=times),
            stated=hypothetical_costs(original, platform),
            knows_parts=_knows_parts(profile, original.graph),
        )
    costs: LatencyFunction = base.measured
    error_s: ErrorFunction = base.measured.error_s
    if model.base is not None:
        own = None
        if base.knows_parts:
            found = SegmentCosts(profile, model.graph, launch_s, transfer_costs, times=times)
            own = OwnCosts(measured=found.measured, refuses=found.refuses)
        costs, error_s = with_parts(model, own, base.measured, launch_s), part_error(model, own, base.measured.error_s)
    traffic = traffic_function(profile, model.graph, platform, costs)
    stated = base.stated.of_parts(model)
    return Problem(
        graph=model.graph,
        platform=_with_link_costs(platform, transfer_costs),
        latency_function=stated.latency_beside(costs),
        traffic_function=None if traffic is None else stated.traffic_beside(traffic),
        error_function=error_s,
        model_hash=model.hash,
        splitting=ModelSplitting(
            model, lambda other: _problem(other, platform, profile, times, transfer_costs, base=base)
        ),
        rewrites=model.splits,
    )


def _knows_parts(profile: Profile, graph: Graph) -> bool:
    """Whether a profile has segments, measured or refused, with operators that the graph does not have."""
    return any(
        op not in graph.position
        for device in profile.header.engines
        for ops in (*profile.measured(device), *profile.unsupported(device))
        for op in ops
    )


def _fit_transfer_costs(
    model: Model, platform: Platform, profile: Profile, times: AdditiveMedians
) -> dict[str, TransferCosts]:
    """By device, its cross-device access costs, fitted to the segments of the model and of the one it rewrites."""
    graphs = [one.graph for one in (model, model.base) if one is not None]
    return fit_transfer_costs(profile, times, platform, graphs)


def _with_link_costs(platform: Platform, transfer_costs: Mapping[str, TransferCosts]) -> Platform:
    """The platform whose zero-copy links cost for each byte what their writer and their reader pay."""
    links = dict(platform.links)
    for source in platform.device_names:
        for target in platform.device_names:
            link = platform.link(source, target)
            if source != target and link.mode == "zero-copy" and source in transfer_costs and target in transfer_costs:
                s_per_byte = transfer_costs[source].written_s_per_byte + transfer_costs[target].read_s_per_byte
                links[source, target] = replace(link, bandwidth_bytes_per_s=1 / s_per_byte if s_per_byte else math.inf)
    return replace(platform, links=links)


def _with_free_zero_copy(platform: Platform) -> Platform:
    """The platform whose zero-copy links cost nothing for bytes, for segments whose times include that."""
    links = {
        pair: replace(link, bandwidth_bytes_per_s=math.inf) if link.mode == "zero-copy" else link
        for pair, link in platform.links.items()
    }
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
    """The problem for one plan: costs from the plan's own serial runs if there are any.

    If the plan has rewrites, the problem's graph is the rewritten one. A profile never contains the plan's parallel
    execution, so a simulation of this problem predicts it. Serial runs include cross-device access costs. Without
    serial runs these are added to the segments that pay them, since the plan determines which tensors cross. In both
    cases zero-copy links cost nothing for bytes. If the plan uses a hypothetical device, this is the problem of
    :func:`make_problem`.

    Raises:
        PlanError: If the plan does not fit the model.
    """
    model = planned_model(model, plan)
    hypothetical = {device.name for device in platform.hypothetical_devices}
    if profile is None or not hypothetical.isdisjoint(plan.queues):
        return make_problem(model, platform, profile)
    times = interference_free_medians(profile)
    transfer_costs = _fit_transfer_costs(model, platform, profile, times)
    problem = _problem(model, platform, profile, times, transfer_costs)
    context = plan_context(profile, plan)
    plan_transfer_s = _plan_transfer_s(model.graph, plan, transfer_costs) if context is None else {}
    own = additive_medians(profile) if context is not None and context.startswith("final:") else times

    def costs(device: str, ops: tuple[str, ...]) -> Latency | None:
        own_s = None if context is None else own.get((device, ops), {}).get(context)
        if own_s is not None:
            return Latency(own_s, measured=True)
        found, transfer_s = problem.latency(device, ops), plan_transfer_s.get((device, ops), 0.0)
        return found if found is None else replace(found, seconds=found.seconds + transfer_s)

    return replace(
        problem,
        platform=_with_free_zero_copy(platform),
        latency_function=costs,
        traffic_function=traffic_function(profile, model.graph, platform, costs),
        _known={},
    )


def _plan_transfer_s(
    graph: Graph, plan: Plan, transfer_costs: Mapping[str, TransferCosts]
) -> dict[tuple[str, tuple[str, ...]], float]:
    """By segment, its cross-device access costs in a plan, in seconds."""
    flow = resolve(graph, plan)
    return {
        (step.segment.device, step.segment.ops): transfer_costs[step.segment.device].seconds(
            find_border(graph, step.segment.ops), read_bytes, written_bytes
        )
        for step, read_bytes, written_bytes in zip(flow.steps, flow.read_bytes, flow.written_bytes, strict=True)
        if step.segment.device in transfer_costs
    }


def shifted(problem: Problem, num_sigmas: float) -> Problem:
    """The problem with every prediction shifted by a number of its device's median relative errors; see SegmentCosts.

    Raises:
        ProblemError: If the costs were not predicted from a profile.
    """
    if not num_sigmas:
        return problem
    if not isinstance(problem.latency_function, SegmentCosts):
        raise ProblemError("only predictions from a profile can be shifted; make the problem with a profile")
    costs = problem.latency_function.shifted(num_sigmas)

    def with_factors(rewritten: Problem) -> Problem:
        def latency(device: str, ops: tuple[str, ...]) -> Latency | None:
            found = rewritten.latency(device, ops)
            if found is None or found.is_known:
                return found
            return replace(found, seconds=found.seconds * costs.factors.get(device, 1.0))

        return replace(rewritten, latency_function=latency, _known={})

    return replace(problem, latency_function=costs, splitting=problem.changed_splitting(with_factors), _known={})


def plan_error_s(problem: Problem, plan: Plan) -> float:
    """The standard error of a plan's makespan in seconds: the segments' standard errors added in quadrature.

    All segments count, also those beside the critical path. Correlation between their errors is left out.
    """
    problem = problem.for_plan(plan)
    return math.hypot(*(problem.error_s(segment.device, segment.ops) for segment in plan.segments))
