"""How `hetsim plan` plans: a budget that people give, a bar with best, bound and gap, the best so far on Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable

from hetsim.core.errors import PlanError
from hetsim.core.problem import Problem
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.registry import solve
from hetsim.scheduler.solution import Solution
from hetsim.tuner.progress import Report, Stages
from hetsim.tuner.steps.deadline import stop_on_interrupt


def solve_on_screen(
    scheduler: str,
    problem: Problem,
    stages: Stages,
    *,
    seed: int = 0,
    max_evaluations: int | None = None,
    time_limit_s: float | None = None,
) -> Solution:
    """What a scheduler makes of a problem; Ctrl-C stops it and gives the best so far, a second one ends the program.

    Args:
        scheduler: Its name.
        problem: What to plan.
        stages: Where progress is shown.
        seed: Of random choices.
        max_evaluations: Candidates that it may evaluate; None stands for its own limit.
        time_limit_s: Seconds that it may take; None stands for no limit but its own.

    Raises:
        PlanError: If there is no such scheduler, or a budget allows nothing.
    """
    if max_evaluations is not None and max_evaluations < 1:
        raise PlanError(f"--max-evaluations {max_evaluations} allows no candidate; give 1 or more")
    if time_limit_s is not None and not time_limit_s > 0:  # NaN fails too
        raise PlanError(f"--time-limit {time_limit_s:g} allows no time; give more than 0 seconds")
    with stages.stage(f"plan with {scheduler}") as report, stop_on_interrupt() as stop:
        effort = Effort(
            seed=seed,
            max_evaluations=max_evaluations,
            time_limit_s=time_limit_s,
            progress=_shown(report),
            stop=stop,
        )
        return solve(scheduler, problem, effort)


def _shown(report: Report) -> Callable[..., None]:
    """Progress of a scheduler as a part of its stage, with what is known so far in words."""

    def show(done: int, total: int, best_s: float, bound_s: float = 0.0, /) -> None:
        description = f"best {best_s * 1e3:.3f} ms"
        if 0 < bound_s <= best_s:
            description += f", bound {bound_s * 1e3:.3f} ms, gap {(best_s - bound_s) / best_s:.1%}"
        report(done / max(total, 1), description)

    return show
