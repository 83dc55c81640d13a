"""Why a plan takes as long as it does: its critical path, and what would shorten it or make another plan better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hetsim.analysis.critical_path import CriticalPath, critical_path
from hetsim.analysis.scenario import Scenario
from hetsim.analysis.sensitivity import Effect, sensitivity
from hetsim.core.interface.notebook import html_table
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.problem import Problem
from hetsim.core.timeline import Timeline
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.registry import solve
from hetsim.sim.simulate import makespan_s, simulate
from hetsim.tuner.progress import Stages

MAX_SHOWN = 15
"""Changes in the table and in the chart; the JSON has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replanned:
    """What the best plan known gains in a scenario.

    Attributes:
        scenario: The scenario, which is one change.
        makespan_s: Of the best plan in it.
        saved_s: By how much that is shorter than the best plan without it.
        is_other_plan: Whether another plan is best then.
    """

    scenario: Scenario
    makespan_s: float
    saved_s: float
    is_other_plan: bool


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a plan's latency is made of.

    Attributes:
        platform: The devices.
        timeline: The plan, simulated.
        path: Its critical path.
        factor: How many times as fast things were made.
        effects: What that does to the plan, most saved first.
        best_s: Latency of the best plan known without any change, in seconds; None if nothing was planned again.
        replanned: What it does to the best plan, in the order of ``effects``.
    """

    platform: Platform
    timeline: Timeline
    path: CriticalPath
    factor: float
    effects: tuple[Effect, ...]
    best_s: float | None = None
    replanned: tuple[Replanned, ...] = ()

    def __repr__(self) -> str:
        best = f"; most saves {self.effects[0].scenario.description}" if self.effects else ""
        return (
            f"<Explanation: {self.timeline.makespan_s * 1e3:.3f} ms, critical path of {len(self.path.segments)} "
            f"segments, {len(self.effects)} changes{best}>"
        )

    def _repr_html_(self) -> str:
        before_s = self.timeline.makespan_s
        rows = [
            (
                effect.scenario.description,
                f"{effect.on_path_s * 1e3:.3f}",
                f"{effect.saved_s * 1e3:.3f}",
                f"{effect.saved_s / before_s:.1%}" if before_s > 0 else "",
            )
            for effect in self.shown
        ]
        columns = ("change", "on the critical path, ms", "saves, ms", "of the makespan")
        return html_table(columns, rows) + self.timeline._repr_html_()

    @property
    def shown(self) -> tuple[Effect, ...]:
        """The effects worth showing: those that save time and those that were planned again, at most 15."""
        again = {entry.scenario for entry in self.replanned}
        worth = [effect for effect in self.effects if effect.saved_s != 0 or effect.scenario in again]
        return tuple(worth[:MAX_SHOWN])


def explain(
    problem: Problem,
    plan: Plan,
    *,
    factor: float,
    stages: Stages,
    replan: int = 0,
    planning_problem: Problem | None = None,
    scheduler: str = "search",
    effort: Effort | None = None,
) -> Explanation:
    """Why the plan takes as long as it does.

    Args:
        problem: Costs as the plan meets them.
        plan: The plan.
        factor: How many times as fast each thing is made, more than 0.
        stages: Where progress is shown.
        replan: For how many of the changes that save most the problem is also planned again.
        planning_problem: Costs as any plan may meet them; None stands for ``problem``.
        scheduler: The scheduler that plans again.
        effort: How hard.

    Raises:
        PlanError: If the plan is not valid for the problem, or there is no such scheduler.
    """
    problem = problem.for_plan(plan)
    timeline = simulate(problem, plan)
    path = critical_path(problem.graph, plan, timeline, problem.platform)
    with stages.stage("simulate changes") as report:
        effects = sensitivity(
            problem, plan, path, factor=factor, progress=lambda done, total: report(done / total, f"{done} of {total}")
        )
    found = Explanation(platform=problem.platform, timeline=timeline, path=path, factor=factor, effects=effects)
    if not replan:
        return found
    listed = [effect.scenario for effect in effects[:replan]]
    best_s, replanned = _replanned(planning_problem or problem, plan, listed, scheduler, effort, stages)
    return replace(found, best_s=best_s, replanned=replanned)


def _replanned(
    problem: Problem,
    plan: Plan,
    listed: Sequence[Scenario],
    scheduler: str,
    effort: Effort | None,
    stages: Stages,
) -> tuple[float, tuple[Replanned, ...]]:
    """The best latency as things are, and after each change.

    What is best is chosen among the given plan and all that were made for any of the changes, so that no change looks
    worse than another because a search was unlucky.
    """
    changed = [problem, *(scenario.problem(problem) for scenario in listed)]
    plans = {plan.digest: plan}
    with stages.stage(f"plan again with {scheduler}") as report:
        for number, one in enumerate(changed):
            report(number / len(changed), listed[number - 1].description if number else "as it is")
            made = solve(scheduler, one, effort).plan
            plans.setdefault(made.digest, made)
    best = [min((makespan_s(one, p), i) for i, p in enumerate(plans.values())) for one in changed]
    (best_s, first), *rest = best
    return best_s, tuple(
        Replanned(scenario=scenario, makespan_s=after_s, saved_s=best_s - after_s, is_other_plan=which != first)
        for scenario, (after_s, which) in zip(listed, rest, strict=True)
    )
