"""Points of a sweep over hardware that nobody has: what is changed at each, and which plans are made for it.

A point and what is found there are plain values that travel between processes; :func:`plan_point` makes one the
other wherever it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from hetsim.analysis.scenario import parse_scenario
from hetsim.core.errors import PlanError
from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.costs.problems import make_problem
from hetsim.costs.profile_file import load_profile
from hetsim.io.platform_file import parse_platform
from hetsim.models.importer import load_model
from hetsim.scheduler.bounds import lower_bound
from hetsim.scheduler.exact.decomposition import Decomposition
from hetsim.scheduler.exact.exact import bound_beside
from hetsim.scheduler.registry import make_plan, solve
from hetsim.scheduler.solution import Solution
from hetsim.sim.compiled import CompiledSimulator
from hetsim.tuner.steps.scheduler_plans import executed_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A model on a machine as measured: what all points of a sweep change.

    Attributes:
        model: Name of the zoo, or path of an .onnx file.
        platform: The machine as TOML.
        profile: Path of the profile, which whoever plans must be able to read.
        seed: Draws the weights of networks of the zoo.
    """

    model: str
    platform: str
    profile: str
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One machine to plan for.

    Attributes:
        settings: The changes, as for ``--set``.
        schedulers: Whose plans are made besides exact planning's; None stands for all that are worth executing.
        max_evaluations: Candidates that a search simulates.
    """

    settings: tuple[str, ...]
    schedulers: tuple[str, ...] | None = None
    max_evaluations: int = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found at a point.

    Attributes:
        queues: By scheduler, the plan that it made: by device, the operators of each segment.
    """

    queues: dict[str, dict[str, tuple[tuple[str, ...], ...]]]


def plan_point(base: Base, point: Point) -> Found:
    """The plans that schedulers make for a point."""
    problem = problem_at(base, point.settings)
    proof = proof_at(base, point.settings)
    names = executed_names(problem) if point.schedulers is None else point.schedulers
    plans = {"exact": proof.plan}
    for name in names:
        plans[name] = make_plan(name, problem, seed=base.seed, max_evaluations=point.max_evaluations)
    return Found(
        queues={
            name: {device: tuple(segment.ops for segment in queue) for device, queue in plan.queues.items()}
            for name, plan in plans.items()
        },
    )


@lru_cache(maxsize=2)
def base_problem(base: Base) -> Problem:
    """The problem as measured."""
    model = load_model(base.model, seed=base.seed)
    return make_problem(model, parse_platform(base.platform, source="of the sweep"), load_profile(Path(base.profile)))


@lru_cache(maxsize=256)
def problem_at(base: Base, settings: tuple[str, ...]) -> Problem:
    """The problem as changed."""
    return parse_scenario(settings).problem(base_problem(base))


@lru_cache(maxsize=256)
def proof_at(base: Base, settings: tuple[str, ...]) -> Solution:
    """What exact planning proves of the problem as changed."""
    return solve("exact", problem_at(base, settings))


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """All plans that were made for any point of a sweep: each point takes its best from them.

    So a better machine never loses because a search was unlucky at it.

    Attributes:
        base: What is changed.
        plans: Distinct plans, in the order in which they were made.
    """

    base: Base
    plans: tuple[Plan, ...]
    _known_s: dict[tuple[tuple[str, ...], str], float] = field(default_factory=dict, repr=False, compare=False)
    _simulators: dict[tuple[str, ...], CompiledSimulator] = field(default_factory=dict, repr=False, compare=False)

    def joined(self, found: Iterable[Found]) -> Candidates:
        """These and what else was found."""
        plans = {plan.digest: plan for plan in self.plans}
        for plan in candidates(self.base, found).plans:
            plans.setdefault(plan.digest, plan)
        return Candidates(
            base=self.base, plans=tuple(plans.values()), _known_s=self._known_s, _simulators=self._simulators
        )

    def latency_s(self, settings: tuple[str, ...], plan: Plan) -> float:
        """What a plan takes on the machine as changed, in seconds.

        Raises:
            PlanError: If that machine cannot run it.
        """
        key = settings, plan.digest
        if key not in self._known_s:
            if settings not in self._simulators:
                self._simulators[settings] = CompiledSimulator(problem_at(self.base, settings))
            self._known_s[key] = self._simulators[settings].run(plan.queues)
        return self._known_s[key]

    def fastest(self, settings: tuple[str, ...], device: str | None = None, *, min_devices: int = 1) -> Plan | None:
        """The fastest plan, or None if there is none; of equal ones the simplest, then the one made first.

        Args:
            settings: The machine.
            device: The one device that plans may use; None stands for all.
            min_devices: How many devices must have work in them.
        """
        problem = problem_at(self.base, settings)
        runnable = []
        for plan in self.plans:
            allowed = {*problem.platform.device_names} if device is None else {device}
            if not set(plan.queues) <= allowed or len(plan.queues) < min_devices:
                continue
            try:
                runnable.append((self.latency_s(settings, plan), len(plan.queues), plan.num_segments, plan))
            except PlanError:  # a segment that this machine refuses
                continue
        return min(runnable, key=lambda one: one[:3])[3] if runnable else None

    def limit_s(self, settings: tuple[str, ...]) -> float:
        """No plan takes less by critical path and load: of exact planning's space, and of the segments of all these."""
        problem = problem_at(self.base, settings)
        family = Decomposition(problem, fused=not problem.additive).segments()
        names = problem.platform.device_names
        others = [segment for plan in self.plans for segment in plan.segments if segment.device in names]
        return lower_bound(problem, dict.fromkeys([*family, *others]))

    def bound_s(self, settings: tuple[str, ...], plan: Plan) -> float:
        """No plan takes less, of the space that exact planning searches and of the plan's own segments."""
        problem = problem_at(self.base, settings)
        bound_s, _ = bound_beside(problem, plan, proof_at(self.base, settings))
        return min(bound_s, self.latency_s(settings, plan))


def candidates(base: Base, found: Iterable[Found], renamed: Mapping[str, str] | None = None) -> Candidates:
    """The distinct plans that were found, with devices renamed where a machine calls them otherwise."""
    problem = base_problem(base)
    plans: dict[str, Plan] = {}
    for one in found:
        for scheduler, queues in one.queues.items():
            plan = Plan(
                model=problem.graph.name,
                model_hash=problem.model_hash,
                scheduler=scheduler,
                queues={device: tuple(Segment(device, ops) for ops in queue) for device, queue in queues.items()},
            ).renamed(renamed or {})
            plans.setdefault(plan.digest, plan)
    return Candidates(base=base, plans=tuple(plans.values()))
