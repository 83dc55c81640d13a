"""What segments cost, as far as a profile tells: measured where they were measured, predicted where not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import median

from hetsim.crossing import Crossing, fit_crossings
from hetsim.machine.platform import Platform
from hetsim.model.graph import Graph
from hetsim.model.onnx_import import Model
from hetsim.plan import Plan
from hetsim.problem import Latency, LatencyFunction, Problem
from hetsim.profile import Context, Profile
from hetsim.traffic import traffic_function
from hetsim.typical import TypicalTimes, typical_times


def make_problem(model: Model, platform: Platform, profile: Profile) -> Problem:
    """The planning problem that a profile gives, as it stands now: measured costs, and predictions for the rest.

    What it costs that tensors change hands is taken out of the segments' times and put into the zero-copy links, where
    a plan pays it if it hands over (:mod:`hetsim.crossing`). A link keeps its bandwidth where the profile cannot tell.

    Raises:
        ProblemError: If the profile has some operator on no device.
    """
    return _problem(model, platform, profile, typical_times(profile))


def _problem(model: Model, platform: Platform, profile: Profile, times: TypicalTimes) -> Problem:
    launch_s = {device.name: device.launch_s for device in platform.devices}
    crossings = fit_crossings(profile, times)
    costs = latency_function(profile, model.graph, launch_s, crossings, times=times)
    return Problem(
        graph=model.graph,
        platform=_with_crossings(platform, crossings),
        latency_function=costs,
        traffic_function=traffic_function(profile, model.graph, platform, costs),
        model_hash=model.hash,
    )


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


def plan_problem(model: Model, platform: Platform, profile: Profile, plan: Plan) -> Problem:
    """The problem as one plan meets it: costs from the plan's own serial replays wherever there are any.

    The plan's parallel execution never enters a profile, so a simulation from this predicts it. What crossing costs is
    in these segments' times already, so zero-copy links take no time for bytes.
    """
    context = plan_context(profile, plan)
    if context is None:
        return make_problem(model, platform, profile)
    return _context_problem(model, platform, profile, context)


def _context_problem(model: Model, platform: Platform, profile: Profile, context: str) -> Problem:
    times = typical_times(profile)
    problem = _problem(model, platform, profile, times)

    def costs(device: str, ops: tuple[str, ...]) -> Latency | None:
        here_s = times.get((device, ops), {}).get(context)
        return problem.latency(device, ops) if here_s is None else Latency(here_s, measured=True)

    return replace(
        problem,
        platform=_without_crossings(platform),
        latency_function=costs,
        traffic_function=traffic_function(profile, model.graph, platform, costs),
        _known={},
    )


def latency_function(
    profile: Profile,
    graph: Graph,
    launch_s: Mapping[str, float] | None = None,
    crossings: Mapping[str, Crossing] | None = None,
    *,
    times: TypicalTimes | None = None,
) -> LatencyFunction:
    """Costs for a :class:`~hetsim.problem.Problem`, as the profile stands now.

    A segment that was measured costs the median of what it typically takes in its contexts, each less what crossing
    cost there. One that
    was not is predicted: its operators are covered with measured segments, largest first (ties by place in the graph),
    and what these cost is summed, less the launches that one segment saves. Boundaries that vanish inside it are not
    credited, so the prediction leans high.

    Args:
        profile: The profile.
        graph: The model's graph.
        launch_s: Each device's launch cost in seconds; absent devices count as 0.
        crossings: What tensors that change hands cost each device; absent devices pay nothing.
        times: What the profile's segments typically take, if that is known already.
    """
    return _CoverPredictor(profile, graph, launch_s or {}, crossings or {}, times or typical_times(profile))


class _CoverPredictor:
    """Latency of a segment from measurements of it or of its parts."""

    def __init__(
        self,
        profile: Profile,
        graph: Graph,
        launch_s: Mapping[str, float],
        crossings: Mapping[str, Crossing],
        times: TypicalTimes,
    ) -> None:
        self._graph = graph
        self._launch_s = dict(launch_s)
        self._measured_s: dict[tuple[str, tuple[str, ...]], float] = {}
        self._pieces: dict[str, list[tuple[int, float]]] = {}
        self._refused: dict[str, list[int]] = {}
        for device in profile.header.engines:
            crossing = crossings.get(device, Crossing())
            pieces: list[tuple[int, int, int, float]] = []
            for ops in profile.measured(device):
                if all(op in graph.position for op in ops):
                    seconds = _without_crossing_s(profile.contexts(device, ops), times[device, ops], crossing)
                    self._measured_s[device, ops] = seconds
                    pieces.append((-len(ops), graph.position[ops[0]], graph.mask(ops), seconds))
            self._pieces[device] = [(mask, seconds) for _, _, mask, seconds in sorted(pieces)]
            self._refused[device] = [
                graph.mask(ops) for ops in profile.unsupported(device) if all(op in graph.position for op in ops)
            ]

    def __call__(self, device: str, ops: tuple[str, ...]) -> Latency | None:
        if (device, ops) in self._measured_s:
            return Latency(self._measured_s[device, ops], measured=True)
        left = self._graph.mask(ops)
        if any(refused & ~left == 0 for refused in self._refused.get(device, ())):
            return None
        total_s = 0.0
        num_pieces = 0
        for mask, seconds in self._pieces.get(device, ()):
            if mask & ~left == 0:
                left &= ~mask
                total_s += seconds
                num_pieces += 1
                if not left:
                    saved_s = self._launch_s.get(device, 0.0) * (num_pieces - 1)
                    return Latency(max(total_s - saved_s, 0.0))
        return None


def _without_crossing_s(contexts: Mapping[str, Context], times: Mapping[str, float], crossing: Crossing) -> float:
    """What a segment takes where nothing crosses, in seconds; never below 0."""
    return max(
        0.0,
        median(
            times[name] - crossing.seconds(context.read_bytes, context.written_bytes)
            for name, context in contexts.items()
        ),
    )
