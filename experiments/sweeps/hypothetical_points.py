"""Points of a sweep over hypothetical hardware: the changes at each point, and the plans that are made for it.

A point and its plans are plain values that can be sent between processes; :func:`plan_point` makes the plans of a point
in any process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from hetsim.analysis.scenario import parse_scenario
from hetsim.core.errors import PlanError, ProblemError
from hetsim.core.plan import Plan, Segment, Split
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
from hetsim.scheduler.splits.bound import split_bound
from hetsim.sim.compiled import CompiledSimulator
from hetsim.sim.simulate import makespan_s
from hetsim.tuner.steps.proposals import SPLITS
from hetsim.tuner.steps.scheduler_plans import executed_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A model on a machine as measured, which the points of a sweep change.

    Attributes:
        model: Name of the zoo, or path of an .onnx file.
        platform: The machine as TOML.
        profile: Path of the profile, which all workers must be able to read; empty if no device is measured.
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
        schedulers: Schedulers that plan, besides exact planning; None stands for those whose plans ``hetsim tune``
            executes on emulated devices.
        max_evaluations: Candidates that a search simulates.
    """

    settings: tuple[str, ...]
    schedulers: tuple[str, ...] | None = None
    max_evaluations: int = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class PointPlans:
    """The plans of a point.

    Attributes:
        queues: By scheduler, its plan: by device, the operators of each segment.
        rewrites: By scheduler, the splits of its plan; schedulers without splits are absent.
    """

    queues: dict[str, dict[str, tuple[tuple[str, ...], ...]]]
    rewrites: dict[str, tuple[Split, ...]] = field(default_factory=dict)


def plan_point(base: Base, point: Point) -> PointPlans:
    """The plans that schedulers make for a point."""
    problem = problem_at(base, point.settings)
    proof = proof_at(base, point.settings)
    names = (*executed_names(problem), SPLITS) if point.schedulers is None else point.schedulers
    plans = {"exact": proof.plan}
    for name in names:
        plans[name] = make_plan(name, problem, seed=base.seed, max_evaluations=point.max_evaluations)
    return PointPlans(
        queues={
            name: {device: tuple(segment.ops for segment in queue) for device, queue in plan.queues.items()}
            for name, plan in plans.items()
        },
        rewrites={name: plan.rewrites for name, plan in plans.items() if plan.rewrites},
    )


@lru_cache(maxsize=2)
def base_problem(base: Base) -> Problem:
    """The problem as measured."""
    model = load_model(base.model, seed=base.seed)
    profile = load_profile(Path(base.profile)) if base.profile else None
    return make_problem(model, parse_platform(base.platform, source="of the sweep"), profile)


@lru_cache(maxsize=256)
def problem_at(base: Base, settings: tuple[str, ...]) -> Problem:
    """The problem as changed."""
    return parse_scenario(settings).problem(base_problem(base))


@lru_cache(maxsize=256)
def proof_at(base: Base, settings: tuple[str, ...]) -> Solution:
    """The plan and the bound of exact planning for the problem as changed."""
    return solve("exact", problem_at(base, settings))


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """All plans that were made for any point of a sweep; each point takes its best plan from them.

    So a better machine never has a slower best plan merely because a search found less there.

    Attributes:
        base: The model and machine that points change.
        plans: Distinct plans, in the order in which they were made.
    """

    base: Base
    plans: tuple[Plan, ...]
    _known_s: dict[tuple[tuple[str, ...], str], float] = field(default_factory=dict, repr=False, compare=False)
    _simulators: dict[tuple[str, ...], CompiledSimulator] = field(default_factory=dict, repr=False, compare=False)

    def joined(self, found: Iterable[PointPlans]) -> Candidates:
        """These plans and those of more points."""
        plans = {plan.digest: plan for plan in self.plans}
        for plan in candidates(self.base, found).plans:
            plans.setdefault(plan.digest, plan)
        return Candidates(
            base=self.base, plans=tuple(plans.values()), _known_s=self._known_s, _simulators=self._simulators
        )

    def latency_s(self, settings: tuple[str, ...], plan: Plan) -> float:
        """Simulated latency of a plan on the machine as changed, in seconds.

        Raises:
            PlanError: If that machine cannot run it.
        """
        key = settings, plan.digest
        if key not in self._known_s:
            if plan.rewrites:  # hardly two plans have the same
                self._known_s[key] = makespan_s(problem_at(self.base, settings), plan)
            else:
                if settings not in self._simulators:
                    self._simulators[settings] = CompiledSimulator(problem_at(self.base, settings))
                self._known_s[key] = self._simulators[settings].run(plan.queues)
        return self._known_s[key]

    @property
    def has_splits(self) -> bool:
        """Whether some plan splits operators."""
        return any(plan.rewrites for plan in self.plans)

    def fastest(
        self, settings: tuple[str, ...], device: str | None = None, *, min_devices: int = 1, splits: bool = True
    ) -> Plan | None:
        """The fastest plan, or None if no plan qualifies.

        Among equally fast plans, the one with the fewest devices wins, then the one with the fewest segments, then the
        first.

        Args:
            settings: The changes of the machine.
            device: The only device that the plan may use; None allows all.
            min_devices: How many devices the plan must use at least.
            splits: Whether it may split operators.
        """
        problem = problem_at(self.base, settings)
        runnable = []
        for plan in self.plans:
            allowed = {*problem.platform.device_names} if device is None else {device}
            if not set(plan.queues) <= allowed or len(plan.queues) < min_devices or (plan.rewrites and not splits):
                continue
            try:
                runnable.append((self.latency_s(settings, plan), len(plan.queues), plan.num_segments, plan))
            except (PlanError, ProblemError):  # a segment, or a slice, that this machine refuses
                continue
        return min(runnable, key=lambda entry: entry[:3])[3] if runnable else None

    def limit_s(self, settings: tuple[str, ...], *, splits: bool) -> float:
        """Lower bound in seconds over all plans that these segments can form: by critical path and load, or by load.

        The segments are those of exact planning's space and those of all plans of this sweep.

        Args:
            settings: The changes of the machine.
            splits: Whether segments may be divided among devices, so that the load alone bounds them.
        """
        problem = problem_at(self.base, settings)
        names = set(problem.platform.device_names)
        plans = [plan for plan in self.plans if set(plan.queues) <= names]
        if splits:
            return split_bound(problem, [plan for plan in plans if self._runs(settings, plan)])[0]
        family = Decomposition(problem, fused=not problem.fusing_gains_nothing).segments()
        others = [segment for plan in self.plans if not plan.rewrites for segment in plan.segments]
        return lower_bound(problem, dict.fromkeys([*family, *(s for s in others if s.device in names)]))

    def bound_s(self, settings: tuple[str, ...], plan: Plan) -> float:
        """Lower bound in seconds over plans of exact planning's space and of the segments of ``plan``.

        If the plan splits operators, other splits count as well, and the load alone bounds them.
        """
        problem = problem_at(self.base, settings)
        if plan.rewrites:
            bound_s, _ = split_bound(problem, [plan])
        else:
            bound_s, _ = bound_beside(problem, plan, proof_at(self.base, settings))
        return min(bound_s, self.latency_s(settings, plan))

    def _runs(self, settings: tuple[str, ...], plan: Plan) -> bool:
        """Whether the machine as changed runs a plan."""
        try:
            self.latency_s(settings, plan)
        except (PlanError, ProblemError):
            return False
        return True


def candidates(base: Base, found: Iterable[PointPlans], renamed: Mapping[str, str] | None = None) -> Candidates:
    """The distinct plans of points, with devices renamed if the machine has other names for them."""
    problem = base_problem(base)
    plans: dict[str, Plan] = {}
    for plans_of_point in found:
        for scheduler, queues in plans_of_point.queues.items():
            plan = Plan(
                model=problem.graph.name,
                model_hash=problem.model_hash,
                scheduler=scheduler,
                queues={device: tuple(Segment(device, ops) for ops in queue) for device, queue in queues.items()},
                rewrites=plans_of_point.rewrites.get(scheduler, ()),
            ).renamed(renamed or {})
            plans.setdefault(plan.digest, plan)
    return Candidates(base=base, plans=tuple(plans.values()))
