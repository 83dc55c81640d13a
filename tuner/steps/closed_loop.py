"""The closed loop: search, measure the predicted segments of the plans found, and search again.

A search tends to find the plans whose predictions are too low, however the predictor is biased. So the segments of its
plans are measured, by a serial replay of each plan, before the next search. Each round searches twice: with costs as
they are expected, and with costs that are drawn from what is known of them, which finds plans that may be better. The
latter is Thompson sampling (O. Chapelle, L. Li, "An empirical evaluation of Thompson sampling", NIPS 2011).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.costs.cost_model import CostModel
from hetsim.models.model import random_inputs
from hetsim.models.split.check import first_difference
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.registry import solve
from hetsim.tuner.context import TuningContext
from hetsim.tuner.deadline import Deadline
from hetsim.tuner.progress import Report
from hetsim.tuner.report.shared_runs import shared_runs
from hetsim.tuner.steps.proposals import SEARCH_ROUND, SPLITS, Proposals, Round, Try, accepted_plan

NUM_ERRORS = 1.96
"""The optimistic bound is so many standard errors below the prediction: 95 % of predictions are within as many."""
NUM_FINALISTS, NUM_SPLIT_FINALISTS = 2, 3
"""The number of measured plans that go on to the final measurement, without splits and with them."""
TIME_SHARE = 0.3
"""Part of the time left that the rounds may use if a search for splits follows, which gains more."""


def propose_by_rounds(context: TuningContext, known: Proposals, deadline: Deadline) -> Proposals:
    """The best plans of the closed loop, best first, in addition to the known ones.

    Whatever the deadline, one plan is searched for and measured.

    Args:
        context: The devices; the profile gains replays of the plans found.
        known: Plans that are executed anyway; those whose segments are all measured set the makespan to beat.
        deadline: When to end.

    Raises:
        ProblemError: If an operator runs on no device.
        DeviceError: If a device failed.
    """
    if context.options.splits:
        deadline = deadline.part(TIME_SHARE)
    with context.stages.stage("search") as report:
        loop = _ClosedLoop(context, report, "search", SEARCH_ROUND)
        ended = loop.run(known, deadline)
    return Proposals(
        plans={**known.plans, **{name: plan for _, name, plan in loop.best(NUM_FINALISTS)}},
        rounds=tuple(loop.rounds),
        ended=ended,
    )


def propose_splits(context: TuningContext, known: Proposals, deadline: Deadline) -> Proposals:
    """The best plans of a closed loop of the scheduler of splits, as ``splits``, ``splits 2`` and so on.

    There are none where the scheduler splits nothing.

    Args:
        context: The devices; the profile gains replays of the plans found.
        known: What was proposed before.
        deadline: When to end.

    Raises:
        DeviceError: If a device failed.
    """
    if deadline.passed():
        return known
    with context.stages.stage("splits") as report:
        loop = _ClosedLoop(context, report, SPLITS, f"{SPLITS}, round ")
        loop.run(known, deadline)
        found = [plan for _, _, plan in loop.best(NUM_SPLIT_FINALISTS) if plan.rewrites and _is_right(context, plan)]
        for run in shared_runs(context.model, found[0]) if found else ():
            context.stages.say(f"splits: {run}")
    names = (SPLITS, *(f"{SPLITS} {number}" for number in range(2, len(found) + 1)))
    return known.with_plans({name: replace(plan, scheduler=name) for name, plan in zip(names, found, strict=False)})


def _is_right(context: TuningContext, plan: Plan) -> bool:
    """Whether the reference engine gives the same outputs for the rewritten model."""
    differing = first_difference(context.model, plan.rewrites, random_inputs(context.model))
    if differing is not None:
        context.stages.say(f"splits: a plan is rejected, as its tensor {differing!r} differs from the reference")
    return differing is None


class _ClosedLoop:
    """What has been measured, and the rounds so far."""

    def __init__(self, context: TuningContext, report: Report, scheduler: str, prefix: str) -> None:
        self._context = context
        self._scheduler = scheduler
        self._prefix = prefix
        self._num_rounds = context.options.rounds
        self._report = report
        self._measured: dict[str, tuple[float, str, Plan]] = {}  # by digest: makespan, name, plan
        self.rounds: list[Round] = []

    def best(self, count: int) -> list[tuple[float, str, Plan]]:
        """The plans with the shortest replays: makespan in seconds, name and plan."""
        return sorted(self._measured.values(), key=lambda entry: (entry[0], entry[1]))[:count]

    def run(self, known: Proposals, deadline: Deadline) -> str:
        """Search, measure and search again; returns why that ended."""
        best_s = self._best_known_s(known)
        ended = f"that was the last of {self._num_rounds} rounds"
        for number in range(1, self._num_rounds + 1):
            if self.rounds and deadline.passed():
                ended = deadline.reason
                break
            optimistic_bound_s, found = self._candidates(number, deadline)
            new = {name: plan for name, plan in found.items() if plan.digest not in self._measured}
            if self.rounds and f"{self._prefix}{number}" not in new:
                ended = "every plan that the search finds is measured"
                break
            if self.rounds and optimistic_bound_s >= best_s:
                ended = "nothing better is predicted, error bars included"
                break
            tries = tuple(self._measure(new, deadline, number))
            best_s = min([best_s, *(tried.replayed_s for tried in tries)])
            self.rounds.append(Round(number=number, optimistic_bound_s=optimistic_bound_s, tries=tries, best_s=best_s))
            self._context.stages.say(round_description(self.rounds[-1]))
        self._context.stages.say(f"{self._scheduler} ends: {ended}")
        return ended

    def _best_known_s(self, known: Proposals) -> float:
        """The shortest makespan of the known plans whose segments are all measured; infinite without any."""
        problem = self._context.problem()
        return min(
            (self._context.makespan_s(plan) for plan in known.plans.values() if not _num_predicted(problem, plan)),
            default=math.inf,
        )

    def _candidates(self, number: int, deadline: Deadline) -> tuple[float, dict[str, Plan]]:
        """The optimistic bound, in seconds, and distinct plans to measure by name; of equal plans, the first one."""
        context, options = self._context, self._context.options
        found: dict[str, Plan] = {}
        optimistic_bound_s = math.inf
        for sampled in (False, True):
            if found and deadline.passed():
                break
            suffix = ", sampled" if sampled else ""
            self._report(((number - 1) + sampled / 4) / self._num_rounds, f"{self._scheduler}, round {number}{suffix}")
            effort = Effort(seed=options.seed, max_evaluations=options.max_evaluations, stop=deadline.passed)
            plan = accepted_plan(
                context,
                lambda sampled=sampled, effort=effort: (  # type: ignore[misc]
                    solve(self._scheduler, self._costs(number if sampled else None).problem(), effort).plan
                ),
            )
            if plan is not None and plan.digest not in {known.digest for known in found.values()}:
                found[f"{self._prefix}{number}{suffix}"] = plan
                error_s = context.cost_model().error_s(plan)
                optimistic_bound_s = min(optimistic_bound_s, context.makespan_s(plan) - NUM_ERRORS * error_s)
        return optimistic_bound_s, found

    def _costs(self, seed: int | None) -> CostModel:
        """The costs as they are expected, or drawn with a seed."""
        costs = self._context.cost_model()
        return costs if seed is None else costs.sampled(seed)

    def _measure(self, plans: Mapping[str, Plan], deadline: Deadline, number: int) -> Iterator[Try]:
        """Each plan's replay beside what had been predicted before any of them was replayed."""
        context = self._context
        problem = context.problem()
        predictions = {
            name: (context.makespan_s(plan), context.cost_model().error_s(plan), _num_predicted(problem, plan))
            for name, plan in plans.items()
        }
        for i, (name, plan) in enumerate(plans.items()):
            if i and self.rounds and deadline.passed():  # the first round is measured in any case
                break
            self._report(((number - 1) + 0.5 + i / len(plans) / 2) / self._num_rounds, f"replay {name}")
            context.replay(plan)
            predicted_s, error_s, num_predicted = predictions[name]
            tried = Try(
                name=name,
                predicted_s=predicted_s,
                error_s=error_s,
                replayed_s=context.makespan_s(plan),
                num_segments=plan.num_segments,
                num_predicted=num_predicted,
            )
            self._measured[plan.digest] = (tried.replayed_s, name, plan)
            yield tried


def round_description(one: Round) -> str:
    """A round in a few lines: what was predicted, what was measured, and the optimistic bound."""
    lines = [
        f"{tried.name}: predicted {_ms(tried.predicted_s)}"
        + (f" \N{PLUS-MINUS SIGN} {_ms(tried.error_s)}" if tried.num_predicted else "")
        + f" ms, {_ms(tried.replayed_s)} ms once measured "
        f"({tried.num_predicted} of {tried.num_segments} segments were predictions)"
        for tried in one.tries
    ]
    lines.append(
        f"round {one.number}: best so far {_ms(one.best_s)} ms; optimistic bound {_ms(one.optimistic_bound_s)} ms"
    )
    return "\n".join(lines)


def _num_predicted(problem: Problem, plan: Plan) -> int:
    """The number of a plan's segments that were never measured."""
    problem = problem.for_plan(plan)
    latencies = (problem.latency(segment.device, segment.ops) for segment in plan.segments)
    return sum(latency is None or not latency.measured for latency in latencies)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"
