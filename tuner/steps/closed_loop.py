"""The closed loop: search, measure the predicted segments of the plans found, and search again.

A search tends to find the plans whose predictions are too low, however the predictor is biased. So the segments of its
plans are measured, by a serial replay of each plan, before the next search. Each round searches three times, since one
plan per round gives little information: with predictions as they are, *optimistic*, with every prediction lowered by
one standard error of its device, and *pessimistic*, with every prediction increased by it. Optimistic plans explore
what may be better, as upper confidence bounds do in Bayesian optimisation (N. Srinivas, A. Krause, S. Kakade,
M. Seeger, "Gaussian Process Optimization in the Bandit Setting", ICML 2010); pessimistic ones prefer what is known. The
loop ends when even the optimistic search finds nothing that beats what has been measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.costs.problems import plan_error_s, shifted
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.registry import solve
from hetsim.sim.simulate import makespan_s
from hetsim.tuner.context import TuningContext
from hetsim.tuner.progress import Report
from hetsim.tuner.steps.deadline import Deadline
from hetsim.tuner.steps.proposals import SEARCH_ROUND, Proposals, Round, Try, accepted_plan

NUM_SIGMAS: Mapping[str, float] = {"": 0.0, "optimistic": -1.0, "pessimistic": 1.0}
"""By how many standard errors predictions are increased in each search of a round; the first one has no name."""
NUM_FINALISTS = 2
"""The number of measured plans that go on to the final measurement."""
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
        return _ClosedLoop(context, report).run(known, deadline)


class _ClosedLoop:
    """What has been measured, and the rounds so far."""

    def __init__(self, context: TuningContext, report: Report) -> None:
        self._context = context
        self._num_rounds = context.options.rounds
        self._report = report
        self._measured: dict[str, tuple[float, str, Plan]] = {}  # by digest: makespan, name, plan
        self._rounds: list[Round] = []

    def run(self, known: Proposals, deadline: Deadline) -> Proposals:
        best_s = self._best_known_s(known)
        ended = f"that was the last of {self._num_rounds} rounds"
        for number in range(1, self._num_rounds + 1):
            if self._rounds and deadline.passed():
                ended = deadline.reason
                break
            optimistic_bound_s, found = self._candidates(number, deadline)
            new = {name: plan for name, plan in found.items() if plan.digest not in self._measured}
            if self._rounds and not new:
                ended = "every plan that the search finds is measured"
                break
            if self._rounds and optimistic_bound_s >= best_s:
                ended = "nothing better is predicted, error bars included"
                break
            tries = tuple(self._measure(new, deadline, number))
            best_s = min([best_s, *(tried.replayed_s for tried in tries)])
            self._rounds.append(Round(number=number, optimistic_bound_s=optimistic_bound_s, tries=tries, best_s=best_s))
            self._context.stages.say(round_description(self._rounds[-1]))
        self._context.stages.say(f"search ends: {ended}")
        best = sorted(self._measured.values(), key=lambda entry: (entry[0], entry[1]))[:NUM_FINALISTS]
        plans = {**known.plans, **{name: plan for _, name, plan in best}}
        return Proposals(plans=plans, rounds=tuple(self._rounds), ended=ended)

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
        for i, (label, num_sigmas) in enumerate(NUM_SIGMAS.items()):
            if found and deadline.passed():
                break
            suffix = f", {label}" if label else ""
            self._report(((number - 1) + i / len(NUM_SIGMAS) / 2) / self._num_rounds, f"search, round {number}{suffix}")
            effort = Effort(seed=options.seed, max_evaluations=options.max_evaluations, stop=deadline.passed)
            plan = accepted_plan(
                context,
                lambda num_sigmas=num_sigmas, effort=effort: (  # type: ignore[misc]
                    solve("search", shifted(context.problem(), num_sigmas), effort).plan
                ),
            )
            if plan is not None:
                found[f"{SEARCH_ROUND}{number}{suffix}"] = plan
                lowered = shifted(context.problem(), min(num_sigmas, 0.0))
                optimistic_bound_s = min(optimistic_bound_s, makespan_s(lowered, plan))
        first_names = {plan.digest: name for name, plan in reversed(found.items())}
        return optimistic_bound_s, {name: plan for name, plan in found.items() if first_names[plan.digest] == name}

    def _measure(self, plans: Mapping[str, Plan], deadline: Deadline, number: int) -> Iterator[Try]:
        """Each plan's replay beside what had been predicted before any of them was replayed."""
        context = self._context
        problem = context.problem()
        predictions = {
            name: (context.makespan_s(plan), plan_error_s(problem, plan), _num_predicted(problem, plan))
            for name, plan in plans.items()
        }
        for i, (name, plan) in enumerate(plans.items()):
            if i and self._rounds and deadline.passed():  # the first round is measured in any case
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
