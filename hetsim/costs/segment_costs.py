"""What segments cost, as far as a profile tells: measured where they were measured, predicted where not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from statistics import median

from hetsim.core.errors import ProblemError
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan, planned_model, resolve
from hetsim.core.platform import Platform
from hetsim.core.problem import Latency, LatencyFunction, Problem
from hetsim.costs.fitting.additive_medians import TypicalTimes, steady_times, typical_times
from hetsim.costs.fitting.predictor import LeftOut, Predictor
from hetsim.costs.fitting.transfer_costs import Crossing, find_border, fit_crossings
from hetsim.costs.hypothetical.device_costs import check_all_known, hypothetical_costs
from hetsim.costs.profile import Context, Profile
from hetsim.costs.split_costs import with_parts
from hetsim.costs.traffic import traffic_function
from hetsim.models.onnx_import import Model

_LEAST_OWN = 0.1
"""So much of what a segment took is its own at least, whatever crossing is believed to have cost."""


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
        times = steady_times(profile)
        return _problem(model, platform, profile, times, _fit_crossings(model, platform, profile, times))
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
    model: Model, platform: Platform, profile: Profile, times: TypicalTimes, crossings: Mapping[str, Crossing]
) -> Problem:
    launch_s = {device.name: device.launch_s for device in platform.devices}
    costs = SegmentCosts(profile, model.graph, launch_s, crossings, times=times)
    measured: LatencyFunction = costs
    if model.base is not None:
        base = SegmentCosts(profile, model.base.graph, launch_s, crossings, times=times)
        measured = with_parts(model, measured, base)
    traffic = traffic_function(profile, model.graph, platform, measured)
    stated = hypothetical_costs(model, platform)
    return Problem(
        graph=model.graph,
        platform=_with_crossings(platform, crossings),
        latency_function=stated.latency_beside(measured),
        traffic_function=None if traffic is None else stated.traffic_beside(traffic),
        error_function=costs.error_s,
        model_hash=model.hash,
    )


def _fit_crossings(model: Model, platform: Platform, profile: Profile, times: TypicalTimes) -> dict[str, Crossing]:
    """What crossing costs each device of a model's profile, rewritten or not."""
    graphs = [one.graph for one in (model, model.base) if one is not None]
    return fit_crossings(profile, times, platform, graphs)


def _with_crossings(platform: Platform, crossings: Mapping[str, Crossing]) -> Platform:
    """The platform whose zero-copy links cost what their writer and their reader pay for each byte."""
    links = dict(platform.links)
    for source in platform.device_names:
        for target in platform.device_names:
            link = platform.link(source, target)
            if source != target and link.mode == "zero-copy" and source in crossings and target in crossings:
                s_per_byte = crossings[source].written_s_per_byte + crossings[target].read_s_per_byte
                links[source, target] = replace(link, bandwidth_bytes_per_s=1 / s_per_byte if s_per_byte else math.inf)
    return replace(platform, links=links)


def _without_crossings(platform: Platform) -> Platform:
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
    times = steady_times(profile)
    crossings = _fit_crossings(model, platform, profile, times)
    problem = _problem(model, platform, profile, times, crossings)
    context = plan_context(profile, plan)
    crossing_s = _crossing_s(model.graph, plan, crossings) if context is None else {}
    own = typical_times(profile) if context is not None and context.startswith("final:") else times

    def costs(device: str, ops: tuple[str, ...]) -> Latency | None:
        here_s = None if context is None else own.get((device, ops), {}).get(context)
        if here_s is not None:
            return Latency(here_s, measured=True)
        found, more_s = problem.latency(device, ops), crossing_s.get((device, ops), 0.0)
        return found if found is None else replace(found, seconds=found.seconds + more_s)

    return replace(
        problem,
        platform=_without_crossings(platform),
        latency_function=costs,
        traffic_function=traffic_function(profile, model.graph, platform, costs),
        _known={},
    )


def _crossing_s(
    graph: Graph, plan: Plan, crossings: Mapping[str, Crossing]
) -> dict[tuple[str, tuple[str, ...]], float]:
    """What each of a plan's segments pays for the tensors that it has from other devices, and makes for them."""
    flow = resolve(graph, plan)
    return {
        (step.segment.device, step.segment.ops): crossings[step.segment.device].seconds(
            find_border(graph, step.segment.ops), read_bytes, written_bytes
        )
        for step, read_bytes, written_bytes in zip(flow.steps, flow.read_bytes, flow.written_bytes, strict=True)
        if step.segment.device in crossings
    }


def lean(problem: Problem, by: float) -> Problem:
    """The problem with every prediction raised by so many of its device's typical errors; lowered if negative.

    Raises:
        ProblemError: If its costs were not predicted from a profile.
    """
    if not by:
        return problem
    if not isinstance(problem.latency_function, SegmentCosts):
        raise ProblemError("only costs that come from a profile have predictions to lean on")
    return replace(problem, latency_function=problem.latency_function.leaning(by), _known={})


def plan_error_s(problem: Problem, plan: Plan) -> float:
    """The error bar of a plan's makespan, one standard deviation in seconds: those of its segments in quadrature.

    All count, also those that nobody waits for. That errors of one plan go together is left out.
    """
    return math.hypot(*(problem.error_s(segment.device, segment.ops) for segment in plan.segments))


class SegmentCosts:
    """Costs for a :class:`~hetsim.core.problem.Problem`, as the profile stands now.

    A segment that was measured costs the median of what it typically takes in its contexts, each less what crossing
    cost there; where it was walked beside executions, those contexts alone count. One that was not is predicted from
    those that were (:mod:`hetsim.costs.fitting.predictor`). A device cannot run a segment if it refused some of its operators, or if
    one of them was never measured there.

    Args:
        profile: The profile.
        graph: The model's graph.
        launch_s: Each device's launch cost in seconds; absent devices count as 0.
        crossings: What tensors that change hands cost each device; absent devices pay nothing.
        times: What the profile's segments typically take, if that is known already.
    """

    def __init__(
        self,
        profile: Profile,
        graph: Graph,
        launch_s: Mapping[str, float] | None = None,
        crossings: Mapping[str, Crossing] | None = None,
        *,
        times: TypicalTimes | None = None,
    ) -> None:
        self._graph = graph
        self._launch_s = dict(launch_s or {})
        self._measured_s: dict[str, dict[tuple[str, ...], float]] = {}
        self._refused: dict[str, list[int]] = {}
        self._predictors: dict[str, Predictor] = {}
        self._factors: dict[str, float] = {}
        times = times or steady_times(profile)
        for device in profile.header.engines:
            crossing = (crossings or {}).get(device, Crossing())
            self._measured_s[device] = {
                ops: self._without_crossing_s(ops, profile.contexts(device, ops), times[device, ops], crossing)
                for ops in profile.measured(device)
                if all(op in graph.position for op in ops)
            }
            self._refused[device] = [
                graph.mask(ops) for ops in profile.unsupported(device) if all(op in graph.position for op in ops)
            ]

    def __call__(self, device: str, ops: tuple[str, ...]) -> Latency | None:
        measured_s = self._measured_s.get(device)
        if not measured_s:
            return None
        if ops in measured_s:
            return Latency(measured_s[ops], measured=True)
        outside = ~self._graph.mask(ops)
        if any(refused & outside == 0 for refused in self._refused[device]):
            return None
        predictor = self.predictor(device)
        return Latency(predictor.seconds(ops) * self._factors.get(device, 1.0)) if predictor.able(ops) else None

    def error_s(self, device: str, ops: tuple[str, ...]) -> float:
        """The error bar of a prediction, one standard deviation in seconds; 0 where there is nothing predicted."""
        latency = self(device, ops)
        return 0.0 if latency is None or latency.measured else self.predictor(device).error_s(ops)

    def leaning(self, by: float) -> SegmentCosts:
        """The same costs with predictions raised by so many typical errors, lowered if negative; not below a half.

        A device's typical error is the median absolute one of leaving out, relative to the segment's time.
        """
        other = copy(self)
        other._factors = {
            device: max(0.5, 1.0 + by * median(abs(one.relative_error) for one in left_out))
            for device, left_out in self.left_out.items()
            if left_out
        }
        return other

    def _without_crossing_s(
        self, ops: tuple[str, ...], contexts: Mapping[str, Context], times: Mapping[str, float], crossing: Crossing
    ) -> float:
        """What a segment takes where nothing crosses, in seconds."""
        border = find_border(self._graph, ops)
        beside = {name: context for name, context in contexts.items() if name.startswith("final:")}
        return median(
            max(
                _LEAST_OWN * times[name],
                times[name] - crossing.seconds(border, context.read_bytes, context.written_bytes),
            )
            for name, context in (beside or contexts).items()
        )

    def predictor(self, device: str) -> Predictor:
        """The device's predictor, fitted when it is first needed.

        Raises:
            KeyError: If nothing was measured on the device.
        """
        if device not in self._predictors:
            measured_s = self._measured_s[device]
            self._predictors[device] = Predictor(self._graph, measured_s, self._launch_s.get(device, 0.0))
        return self._predictors[device]

    @property
    def left_out(self) -> dict[str, tuple[LeftOut, ...]]:
        """By device, each measured segment of several operators as the others predict it."""
        return {device: self.predictor(device).left_out() for device, found in self._measured_s.items() if found}
