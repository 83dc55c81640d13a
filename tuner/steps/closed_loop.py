"""The closed loop: search, measure the plans that promise most, and search again.

A search tends to find the plans whose predictions are too low, however the predictor is biased. So its plans are
measured, by a serial replay of each, before the next search. Each round asks each scheduler by the costs as they are
expected; where it finds nothing new, by costs that are drawn from what is known of them, which finds plans that may be
better (Thompson sampling: O. Chapelle, L. Li, "An empirical evaluation of Thompson sampling", NIPS 2011). A plan is
measured if it is expected to improve on the best one (expected improvement: D. R. Jones, M. Schonlau, W. J. Welch,
"Efficient global optimization of expensive black-box functions", Journal of Global Optimization 13, 1998), and a
scheduler whose plans promise nothing is not asked again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
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
NUM_FINALISTS, NUM_SPLIT_FINALISTS = 2, 2
"""The number of measured plans that go on to the final measurement, without splits and with them."""
MIN_GAIN = 0.003
"""The least expected improvement that is worth a measurement, as a fraction of the best makespan."""
_PREFIXES = {"search": SEARCH_ROUND, SPLITS: f"{SPLITS}, round "}
"""By scheduler that is asked, how its plans' names begin."""


def propose_by_rounds(context: TuningContext, known: Proposals, deadline: Deadline) -> Proposals:
    """The best plans of the closed loop, best first, without splits and with them, in addition to the known ones.

    Whatever the deadline, one plan is searched for and measured.

    Args:
        context: The devices; the profile gains replays of the plans found.
        known: Plans that are executed anyway; those whose segments are all measured set the makespan to beat.
        deadline: When to end.

    Raises:
        ProblemError: If an operator runs on no device.
        DeviceError: If a device failed.
    """
    with context.stages.stage("search") as report:
        loop = _ClosedLoop(context, report)
        ended = loop.run(known, deadline)
        found = loop.best(NUM_FINALISTS, split=False)
        split = [plan for plan in loop.best(NUM_SPLIT_FINALISTS, split=True).values() if _is_right(context, plan)]
    for run in shared_runs(context.model, split[0]) if split else ():
        context.stages.say(f"splits: {run}")
    for number, plan in enumerate(split, 1):
        name = SPLITS if number == 1 else f"{SPLITS} {number}"
        found[name] = replace(plan, scheduler=name)
    return Proposals(plans={**known.plans, **found}, rounds=tuple(loop.rounds), ended=ended)


def _is_right(context: TuningContext, plan: Plan) -> bool:
    """Whether the reference engine gives the same outputs for the rewritten model."""
    differing = first_difference(context.model, plan.rewrites, random_inputs(context.model))
    if differing is not None:
        context.stages.say(f"splits: a plan is rejected, as its tensor {differing!r} differs from the reference")
    return differing is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A plan that a scheduler found, and what is predicted for it.

    Attributes:
        name: Its name.
        scheduler: The scheduler.
        plan: The plan.
        predicted_s: Its makespan as predicted.
        error_s: The standard error of that.
        num_predicted: The number of its segments that were never measured.
    """

    name: str
    scheduler: str
    plan: Plan
    predicted_s: float
    error_s: float
    num_predicted: int

    @property
    def optimistic_s(self) -> float:
        """The lower end of the 95 % interval of its makespan."""
        return self.predicted_s - NUM_ERRORS * self.error_s

    def expected_improvement_s(self, best_s: float) -> float:
        """By how much the plan is expected to be faster than the best one, counting nothing where it is slower."""
        if math.isinf(best_s) or not self.error_s:
            return max(0.0, best_s - self.predicted_s)
        normal, z = NormalDist(), (best_s - self.predicted_s) / self.error_s
        return self.error_s * (z * normal.cdf(z) + normal.pdf(z))


class _ClosedLoop:
    """What has been measured, and the rounds so far."""

    def __init__(self, context: TuningContext, report: Report) -> None:
        self._context = context
        self._report = report
        self._num_rounds = context.options.rounds
        self._schedulers = tuple(_PREFIXES) if context.options.splits else ("search",)
        self._measured: dict[str, tuple[float, str, Plan]] = {}  # by digest: makespan, name, plan
        self.rounds: list[Round] = []

    def best(self, count: int, *, split: bool) -> dict[str, Plan]:
        """By name, the plans with the shortest replays, with or without splits; shortest first."""
        found = [entry for entry in self._measured.values() if bool(entry[2].rewrites) == split]
        return {name: plan for _, name, plan in sorted(found, key=lambda entry: entry[:2])[:count]}

    def run(self, known: Proposals, deadline: Deadline) -> str:
        """Search, measure and search again; returns why that ended."""
        best_s = self._best_known_s(known)
        ended = f"that was the last of {self._num_rounds} rounds"
        for number in range(1, self._num_rounds + 1):
            if self.rounds and deadline.passed():
                ended = deadline.reason
                break
            candidates = self._candidates(number, deadline)
            promising = self._promising(candidates, best_s)
            if not promising:
                ended = f"no new plan is expected to gain {100 * MIN_GAIN:g} %"
                break
            tries = self._measure(promising, deadline, number)
            best_s = min([best_s, *(tried.replayed_s for tried in tries)])
            optimistic_bound_s = min(one.optimistic_s for one in candidates)
            self.rounds.append(Round(number=number, optimistic_bound_s=optimistic_bound_s, tries=tries, best_s=best_s))
            self._context.stages.say(round_description(self.rounds[-1]))
            self._schedulers = tuple(name for name in self._schedulers if name in {one.scheduler for one in promising})
        self._context.stages.say(f"search ends: {ended}")
        return ended

    def _best_known_s(self, known: Proposals) -> float:
        """The shortest makespan of the known plans whose segments are all measured; infinite without any."""
        problem = self._context.problem()
        return min(
            (self._context.makespan_s(plan) for plan in known.plans.values() if not _num_predicted(problem, plan)),
            default=math.inf,
        )

    def _candidates(self, number: int, deadline: Deadline) -> list[Candidate]:
        """New plans of all schedulers that may still gain, at most one of each; of equal plans, the first one."""
        found: dict[str, tuple[str, str, Plan]] = {}  # by digest: name, scheduler, plan
        asked = [(scheduler, sampled) for scheduler in self._schedulers for sampled in (False, True)]
        for i, (scheduler, sampled) in enumerate(asked):
            if found and (deadline.passed() or (sampled and scheduler in {known for _, known, _ in found.values()})):
                continue
            name = f"{_PREFIXES[scheduler]}{number}{', sampled' * sampled}"
            self._report((number - 1 + i / len(asked) / 2) / self._num_rounds, name)
            plan = accepted_plan(
                self._context,
                lambda scheduler=scheduler, sampled=sampled: self._search(  # type: ignore[misc]
                    scheduler, number if sampled else None, deadline
                ),
            )
            if plan is not None and plan.digest not in self._measured:
                found.setdefault(plan.digest, (name, scheduler, plan))
        problem, costs = self._context.problem(), self._context.cost_model()
        return [
            Candidate(
                name=name,
                scheduler=scheduler,
                plan=plan,
                predicted_s=self._context.makespan_s(plan),
                error_s=costs.error_s(plan),
                num_predicted=_num_predicted(problem, plan),
            )
            for name, scheduler, plan in found.values()
        ]

    def _search(self, scheduler: str, seed: int | None, deadline: Deadline) -> Plan:
        """A scheduler's plan by the costs as they are expected, or as they are drawn with a seed."""
        options, costs = self._context.options, self._context.cost_model()
        effort = Effort(seed=options.seed, max_evaluations=options.max_evaluations, stop=deadline.passed)
        return solve(scheduler, (costs if seed is None else costs.sampled(seed)).problem(), effort).plan

    def _promising(self, candidates: Sequence[Candidate], best_s: float) -> list[Candidate]:
        """The candidates to measure, those first that promise most: in the first round all of them."""
        gains_s = {one.name: one.expected_improvement_s(best_s) for one in candidates}
        promising = [one for one in candidates if not self.rounds or gains_s[one.name] >= MIN_GAIN * best_s]
        return sorted(promising, key=lambda one: -gains_s[one.name])

    def _measure(self, candidates: Sequence[Candidate], deadline: Deadline, number: int) -> tuple[Try, ...]:
        """Each plan's replay beside what had been predicted before any of them was replayed."""
        tries: list[Try] = []
        for i, one in enumerate(candidates):
            if tries and deadline.passed():
                break
            self._report((number - 0.5 + i / len(candidates) / 2) / self._num_rounds, f"replay {one.name}")
            self._context.replay(one.plan)
            replayed_s = self._context.makespan_s(one.plan)
            self._measured[one.plan.digest] = (replayed_s, one.name, one.plan)
            tries.append(
                Try(
                    name=one.name,
                    predicted_s=one.predicted_s,
                    error_s=one.error_s,
                    replayed_s=replayed_s,
                    num_segments=one.plan.num_segments,
                    num_predicted=one.num_predicted,
                )
            )
        return tuple(tries)


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
