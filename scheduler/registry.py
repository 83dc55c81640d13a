"""The schedulers by name. A new algorithm is a file of its own and an entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hetsim.errors import PlanError
from hetsim.plan import Plan
from hetsim.problem import Problem
from scheduler.cpop import cpop
from scheduler.genetic import genetic
from scheduler.heft import heft
from scheduler.individual import individual
from scheduler.ios import ios
from scheduler.partition_tuner import partition_tuner
from scheduler.peft import peft
from scheduler.search import MAX_EVALUATIONS, Progress, search
from scheduler.single_device import single_device, whole_model_devices
from scheduler.type_based import type_based

SINGLE = "single:"
"""What names of single devices' plans start with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How hard an algorithm that searches may try.

    Attributes:
        seed: Of its random choices.
        max_evaluations: Candidates that it may evaluate, at least 0.
        progress: Told now and then how far it is, or None.
    """

    seed: int = 0
    max_evaluations: int = MAX_EVALUATIONS
    progress: Progress | None = None


_ALGORITHMS: Mapping[str, Callable[[Problem, Effort], Plan]] = {
    "type_based": lambda problem, _: type_based(problem),
    "individual": lambda problem, _: individual(problem),
    "partition_tuner": lambda problem, _: partition_tuner(problem),
    "heft": lambda problem, _: heft(problem),
    "cpop": lambda problem, _: cpop(problem),
    "peft": lambda problem, _: peft(problem),
    "ios": lambda problem, _: ios(problem),
    "genetic": lambda problem, effort: genetic(
        problem, seed=effort.seed, max_evaluations=effort.max_evaluations, progress=effort.progress
    ),
    "search": lambda problem, effort: search(
        problem, seed=effort.seed, max_evaluations=effort.max_evaluations, progress=effort.progress
    ),
}


def algorithm_names() -> tuple[str, ...]:
    """The algorithms that there are for any problem."""
    return tuple(_ALGORITHMS)


def scheduler_names(problem: Problem) -> tuple[str, ...]:
    """What :func:`make_plan` knows: ``single:DEVICE`` for each device that runs all operators, then the algorithms."""
    return (*(SINGLE + name for name in whole_model_devices(problem)), *_ALGORITHMS)


def make_plan(
    name: str,
    problem: Problem,
    *,
    seed: int = 0,
    max_evaluations: int = MAX_EVALUATIONS,
    progress: Progress | None = None,
) -> Plan:
    """The plan that the scheduler of that name makes; the same arguments always give the same plan.

    Args:
        name: One of :func:`scheduler_names`.
        problem: What to plan.
        seed: For schedulers that choose at random.
        max_evaluations: For schedulers that search, the candidates that they may evaluate.
        progress: For schedulers that search, called now and then with the candidates evaluated, their largest
            number, and the best time so far in seconds.

    Raises:
        PlanError: If there is no such scheduler for this problem.
    """
    if name not in scheduler_names(problem):
        raise PlanError(
            f"no scheduler {name!r} for {problem.graph.name!r}; choose from {', '.join(scheduler_names(problem))}"
        )
    if name.startswith(SINGLE):
        return single_device(problem, name.removeprefix(SINGLE))
    return _ALGORITHMS[name](problem, Effort(seed=seed, max_evaluations=max_evaluations, progress=progress))
