"""What segments cost, as far as a profile tells: measured where they were measured, predicted where not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hetsim.machine.platform import Platform
from hetsim.model.graph import Graph
from hetsim.model.onnx_import import Model
from hetsim.plan import Plan
from hetsim.problem import Latency, LatencyFunction, Problem
from hetsim.profile import Profile
from hetsim.statistics import summarize


def make_problem(model: Model, platform: Platform, profile: Profile) -> Problem:
    """The planning problem that a profile gives, as it stands now: measured costs, and predictions for the rest.

    Raises:
        ProblemError: If the profile has some operator on no device.
    """
    launch_s = {device.name: device.launch_s for device in platform.devices}
    costs = latency_function(profile, model.graph, launch_s)
    return Problem(graph=model.graph, platform=platform, latency_function=costs, model_hash=model.hash)


CONTEXTS_OF_A_PLAN = ("final", "replay")
"""Contexts in which a plan's own segments are timed, one device active at a time; the first that there is counts."""


def plan_problem(model: Model, platform: Platform, profile: Profile, plan: Plan) -> Problem:
    """The problem as one plan meets it: costs from the plan's own serial replays wherever there are any.

    The plan's parallel execution never enters a profile, so a simulation from this predicts it.
    """
    for name in CONTEXTS_OF_A_PLAN:
        context = f"{name}:{plan.digest}"
        if all(profile.samples_s(segment.device, segment.ops, context) for segment in plan.segments):
            return _context_problem(model, platform, profile, context)
    return make_problem(model, platform, profile)


def _context_problem(model: Model, platform: Platform, profile: Profile, context: str) -> Problem:
    problem = make_problem(model, platform, profile)

    def costs(device: str, ops: tuple[str, ...]) -> Latency | None:
        here = profile.summary(device, ops, context)
        return problem.latency(device, ops) if here is None else Latency(here.median_s, measured=True)

    return replace(problem, latency_function=costs, _known={})


def latency_function(profile: Profile, graph: Graph, launch_s: Mapping[str, float] | None = None) -> LatencyFunction:
    """Costs for a :class:`~hetsim.problem.Problem`, as the profile stands now.

    A segment that was measured costs its median. One that was not is predicted: its operators are covered with measured
    segments, largest first (ties by place in the graph), and their medians are summed, less the launches that one
    segment saves. Boundaries that vanish inside it are not credited, so the prediction leans high.

    Args:
        profile: The profile.
        graph: The model's graph.
        launch_s: Each device's launch cost in seconds; absent devices count as 0.
    """
    return _CoverPredictor(profile, graph, launch_s or {})


class _CoverPredictor:
    """Latency of a segment from measurements of it or of its parts."""

    def __init__(self, profile: Profile, graph: Graph, launch_s: Mapping[str, float]) -> None:
        self._graph = graph
        self._launch_s = dict(launch_s)
        self._median_s: dict[tuple[str, tuple[str, ...]], float] = {}
        self._pieces: dict[str, list[tuple[int, float]]] = {}
        self._refused: dict[str, list[int]] = {}
        for device in profile.header.engines:
            pieces: list[tuple[int, int, int, float]] = []
            for ops in profile.measured(device):
                if all(op in graph.position for op in ops):
                    median_s = summarize(profile.samples_s(device, ops)).median_s
                    self._median_s[device, ops] = median_s
                    pieces.append((-len(ops), graph.position[ops[0]], graph.mask(ops), median_s))
            self._pieces[device] = [(mask, median_s) for _, _, mask, median_s in sorted(pieces)]
            self._refused[device] = [graph.mask(ops) for ops in profile.unsupported(device)]

    def __call__(self, device: str, ops: tuple[str, ...]) -> Latency | None:
        if (device, ops) in self._median_s:
            return Latency(self._median_s[device, ops], measured=True)
        left = self._graph.mask(ops)
        if any(refused & ~left == 0 for refused in self._refused.get(device, ())):
            return None
        total_s = 0.0
        num_pieces = 0
        for mask, median_s in self._pieces.get(device, ()):
            if mask & ~left == 0:
                left &= ~mask
                total_s += median_s
                num_pieces += 1
                if not left:
                    saved_s = self._launch_s.get(device, 0.0) * (num_pieces - 1)
                    return Latency(max(total_s - saved_s, 0.0))
        return None
