"""Proposers that only plan: the baselines, and one run of the search, without splits and with them."""

from __future__ import annotations

from collections.abc import Collection

from hetsim.core.problem import Problem
from hetsim.scheduler.registry import SINGLE, make_plan, scheduler_names
from hetsim.tuner.context import TuningContext
from hetsim.tuner.deadline import Deadline
from hetsim.tuner.steps.proposals import SPLITS, Proposals, accepted_plan

BASELINES = ("type_based", "individual", "partition_tuner")
"""Baselines whose plans are executed beside those of all single devices and of the search. The other schedulers are
compared in simulation only: to execute a plan takes many times as long as to simulate it, and would not change the
result, since ``tune`` returns the plan that measured best."""

SEARCH = "search"


def executed_names(problem: Problem, also: Collection[str] = ()) -> tuple[str, ...]:
    """The schedulers whose plans are executed: single devices, :data:`BASELINES`, the search, and ``also``."""
    wanted = (*BASELINES, *also, SEARCH)
    return tuple(name for name in scheduler_names(problem) if name.startswith(SINGLE) or name in wanted)


def propose_baselines(context: TuningContext, known: Proposals, deadline: Deadline) -> Proposals:
    """The plans of every scheduler but the search.

    Raises:
        ProblemError: If an operator runs on no device.
        DeviceError: If a device failed.
    """
    names = [name for name in executed_names(context.problem(), context.options.also) if name != SEARCH]
    return _planned(context, known, names, deadline)


def propose_searched(context: TuningContext, known: Proposals, deadline: Deadline) -> Proposals:
    """The plans that the search finds by the problem as it stands, without splits and with them; nothing is measured.

    The plan with splits is left out if it has none.

    Raises:
        ProblemError: If an operator runs on no device.
        DeviceError: If a device failed.
    """
    limit = context.options.max_evaluations
    found = _planned(context, known, [SEARCH], deadline, max_evaluations=limit)
    if not context.options.splits:
        return found
    with_splits = _planned(context, found, [SPLITS], deadline, max_evaluations=limit)
    plan = with_splits.plans.get(SPLITS)
    return with_splits if plan is not None and plan.rewrites else found


def _planned(
    context: TuningContext,
    known: Proposals,
    names: Collection[str],
    deadline: Deadline,
    max_evaluations: int | None = None,
) -> Proposals:
    plans = {}
    with context.stages.stage("plan") as report:
        for number, name in enumerate(names):
            report(number / len(names), name)
            plan = accepted_plan(
                context,
                lambda name=name: make_plan(  # type: ignore[misc]
                    name,
                    context.problem(),
                    seed=context.options.seed,
                    max_evaluations=max_evaluations,
                    stop=deadline.interrupted,
                ),
            )
            if plan is not None:
                plans[name] = plan
    return known.with_plans(plans)
