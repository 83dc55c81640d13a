"""``hetsim.explain``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hetsim.core.errors import ProblemError
from hetsim.core.problem import Problem
from hetsim.tuner.api.sources import to_plan, to_problem
from hetsim.tuner.progress import Silent, Stages

if TYPE_CHECKING:
    from hetsim.tuner.api.sources import ModelLike, PlanLike, PlatformLike, ProfileLike, ScenarioLike
    from hetsim.tuner.explanation import Explanation


def explain(
    source: Problem | ModelLike,
    plan: PlanLike,
    *,
    platform: PlatformLike | None = None,
    profile: ProfileLike | None = None,
    scenario: ScenarioLike = (),
    factor: float = 1.1,
    replan: int = 0,
    scheduler: str = "search",
    seed: int = 0,
    max_evaluations: int | None = None,
    planning_problem: Problem | None = None,
    stages: Stages | None = None,
) -> Explanation:
    """Why a plan takes as long as it does: its critical path, and what each operator, device or link would save.

    >>> import hetsim
    >>> solution = hetsim.plan("squeezenet", platform="phone", scheduler="heft")
    >>> found = hetsim.explain("squeezenet", solution.plan, platform="phone", factor=2)
    >>> found.timeline.makespan_s == solution.makespan_s and found.effects[0].saved_s > 0
    True

    Args:
        source: A problem; or a model, the name of one of the zoo, or the path of an .onnx file.
        plan: The plan, or its file.
        platform: For a model: the devices, as for :func:`hetsim.plan`.
        profile: For a model: the measurements, or their file.
        scenario: Changes to the machine that hold in all that follows.
        factor: How many times as fast each thing is made in turn, more than 1.
        replan: For how many of the changes that save most the model is also planned again.
        scheduler: The scheduler that plans again.
        seed: Seed of its random choices.
        max_evaluations: The number of candidates that each planning may evaluate; None stands for its own limit.
        planning_problem: Costs as any plan may meet them, to plan again with; None stands for what ``source`` gives.
        stages: Where progress is shown; None shows nothing.

    Raises:
        HetsimError: If the factor makes nothing faster, the plan is not valid, or anything is malformed.
    """
    from hetsim.scheduler.effort import Effort
    from hetsim.tuner import explanation

    if not 1 < factor < math.inf:  # NaN fails too
        raise ProblemError(f"factor {factor:g} makes nothing faster; give more than 1")
    found = to_plan(plan)
    problem = to_problem(source, platform=platform, profile=profile, scenario=scenario, plan=found)
    if planning_problem is None and replan:  # other plans do not have this plan's serial runs
        planning_problem = to_problem(source, platform=platform, profile=profile, scenario=scenario)
    return explanation.explain(
        problem,
        found.in_order(problem.for_plan(found).graph),
        factor=factor,
        stages=stages or Silent(),
        replan=replan,
        planning_problem=planning_problem,
        scheduler=scheduler,
        effort=Effort(seed=seed, max_evaluations=max_evaluations),
    )
