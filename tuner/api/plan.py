"""``hetsim.plan``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hetsim.core.errors import PlanError
from hetsim.core.problem import Problem
from hetsim.tuner.api.sources import to_problem
from hetsim.tuner.progress import Report, Silent, Stages

if TYPE_CHECKING:
    from hetsim.scheduler.solution import Solution
    from hetsim.tuner.api.sources import ModelLike, PlatformLike, ProfileLike, ScenarioLike


def plan(
    source: Problem | ModelLike,
    *,
    platform: PlatformLike | None = None,
    profile: ProfileLike | None = None,
    scenario: ScenarioLike = (),
    scheduler: str = "search",
    seed: int = 0,
    max_evaluations: int | None = None,
    time_limit_s: float | None = None,
    stages: Stages | None = None,
) -> Solution:
    """A plan for a task graph or a model, with its makespan, a lower bound and the gap between them.

    Nothing is measured or executed. Ctrl-C ends the planning with the best plan found so far.

    >>> import hetsim
    >>> solution = hetsim.plan("squeezenet", platform="phone", scheduler="heft")
    >>> solution.plan
    <Plan for 'squeezenet' by heft: cpu 22 segments, npu 16 segments>
    >>> solution.gap <= 1
    True

    Args:
        source: A problem; or a model, the name of one of the zoo, or the path of an .onnx file.
        platform: For a model: the devices, a built-in platform's name or a TOML file; None stands for the default.
        profile: For a model: the measurements, or their file. Hypothetical devices need none.
        scenario: Changes to the machine, such as ``"npu.speed=4"`` or ``["npu.count=2", "handover=2x"]``.
        scheduler: One of :func:`hetsim.scheduler.scheduler_names`.
        seed: Seed of random choices.
        max_evaluations: The number of candidates that the scheduler may evaluate; None stands for its own limit.
        time_limit_s: Time that it may take, in seconds; None stands for no limit. Plans then depend on the machine's
            speed.
        stages: Where progress is shown; None shows nothing.

    Returns:
        The solution: ``plan``, ``makespan_s``, ``bound_s``, ``gap`` and how it was found.

    Raises:
        HetsimError: If there is no such scheduler, model or platform, a limit allows nothing, or a profile is missing.
    """
    if max_evaluations is not None and max_evaluations < 1:
        raise PlanError(f"max_evaluations {max_evaluations} allows no candidate; give 1 or more")
    if time_limit_s is not None and not time_limit_s > 0:  # NaN fails too
        raise PlanError(f"time_limit_s {time_limit_s:g} allows no time; give more than 0 seconds")
    from hetsim.scheduler.effort import Effort
    from hetsim.scheduler.registry import solve
    from hetsim.tuner.deadline import stop_on_interrupt

    problem = to_problem(source, platform=platform, profile=profile, scenario=scenario)
    with (stages or Silent()).stage(f"plan with {scheduler}") as report, stop_on_interrupt() as stop:
        effort = Effort(
            seed=seed,
            max_evaluations=max_evaluations,
            time_limit_s=time_limit_s,
            progress=_shown(report),
            stop=stop,
        )
        return solve(scheduler, problem, effort)


def _shown(report: Report) -> Callable[..., None]:
    """The scheduler's progress as a part of its stage, with the best makespan, the bound and the gap so far."""

    def show(done: int, total: int, best_s: float, bound_s: float = 0.0, /) -> None:
        description = f"best {best_s * 1e3:.3f} ms"
        if 0 < bound_s <= best_s:
            description += f", bound {bound_s * 1e3:.3f} ms, gap {(best_s - bound_s) / best_s:.1%}"
        report(done / max(total, 1), description)

    return show
