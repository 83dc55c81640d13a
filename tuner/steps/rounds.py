"""The closed loop: search, measure what was only predicted of the plans found, search again.

Whatever a predictor's bias, a search finds the plans whose predictions err low most. So the segments of its plans are
measured, by a serial replay of each plan, before it is asked again. Each round asks it three times, since one answer a
round learns little: as predictions stand, *hopeful*, with all of them lowered by the device's typical error, and
*careful*, with all of them raised by it. Hopeful plans try what might be better, as upper confidence bounds do in
Bayesian optimisation (N. Srinivas, A. Krause, S. Kakade, M. Seeger, "Gaussian Process Optimization in the Bandit
Setting", ICML 2010); careful ones keep to what is known. The loop ends when even the hopeful search finds nothing that
beats what has been measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.problem import Problem
from hetsim.costs.problems import make_problem, plan_error_s, plan_problem, shifted
from hetsim.costs.profile import Unsupported
from hetsim.costs.profile_file import ProfileFile
from hetsim.models.model import Model
from hetsim.runtime import RefusedError, Runtime
from hetsim.runtime.measure.profiler import Effort, replay
from hetsim.scheduler import effort as scheduling
from hetsim.scheduler.registry import solve
from hetsim.sim.simulate import makespan_s
from hetsim.tuner.progress import Report, Stages
from hetsim.tuner.steps.budget import Budget
from hetsim.tuner.steps.final_measurement import SEARCH_ROUND

NUM_SIGMAS: Mapping[str, float] = {"": 0.0, "hopeful": -1.0, "careful": 1.0}
"""By how many typical errors predictions are raised for each search of a round."""
NUM_FINALISTS = 2
"""So many of the plans that were measured go on to the finals."""

Propose = Callable[[Problem, int], Mapping[str, Plan]]
"""From the problem as it stands and the round's number, from 1, to further plans to measure, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """A plan that a round measured.

    Attributes:
        name: What the plan is called.
        predicted_s: Its makespan as it was predicted.
        error_s: The error bar of that, one standard deviation; 0 where every segment was measured already.
        replayed_s: Its makespan once its segments had been measured.
        num_segments: Its segments.
        num_predicted: Those among them that were only predicted.
    """

    name: str
    predicted_s: float
    error_s: float
    replayed_s: float
    num_segments: int
    num_predicted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round found.

    Attributes:
        number: From 1.
        optimistic_bound_s: The least makespan that the search hoped for, all predictions lowered by their typical
            error.
        tries: The plans that were measured.
        best_s: The best makespan from measured segments by the end of the round, baselines included.
    """

    number: int
    optimistic_bound_s: float
    tries: tuple[Try, ...]
    best_s: float

    @property
    def left(self) -> float:
        """How much faster than the best so far the search had hoped to get, as a fraction; 0 where it did not."""
        return max(0.0, 1 - self.optimistic_bound_s / self.best_s)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the loop leaves.

    Attributes:
        plans: The best of the plans that were measured, best first, by name.
        rounds: What happened.
        ended: Why no more rounds came.
    """

    plans: Mapping[str, Plan]
    rounds: tuple[Round, ...]
    ended: str


def no_more(_problem: Problem, _number: int) -> Mapping[str, Plan]:
    """No further plans."""
    return {}


class Rounds:
    """The loop over one model.

    Args:
        runtime: The devices, awake.
        model: The model.
        platform: The devices with their calibrated numbers.
        file: The profile, covers done; gains the replays of the plans that are found.
        num_rounds: So many rounds at most.
        seed: Of the searches.
        max_evaluations: Candidates that each search may simulate.
        effort: How often segments are measured.
        stages: Where progress is shown.
        propose: Further plans to measure in each round.
    """

    def __init__(
        self,
        runtime: Runtime,
        model: Model,
        platform: Platform,
        file: ProfileFile,
        *,
        num_rounds: int,
        seed: int,
        max_evaluations: int,
        effort: Effort,
        stages: Stages,
        propose: Propose = no_more,
    ) -> None:
        self._runtime = runtime
        self._model = model
        self._platform = platform
        self._file = file
        self._num_rounds = num_rounds
        self._seed = seed
        self._max_evaluations = max_evaluations
        self._effort = effort
        self._stages = stages
        self._propose = propose

    def run(self, baselines: Mapping[str, Plan], budget: Budget, report: Report) -> Found:
        """Go round until nothing better is in sight, or the budget is spent.

        Whatever the budget, one plan is searched for and measured.

        Args:
            baselines: Plans that are executed anyway; those whose segments are all measured set the mark to beat.
            budget: When to end.
            report: Told how far it is.

        Raises:
            ProblemError: If an operator runs on no device.
            DeviceError: If a device failed.
        """
        problem = self._problem()
        best_s = min(
            (self._met_s(plan) for plan in baselines.values() if not _predicted(problem, plan)),
            default=math.inf,
        )
        measured: dict[str, tuple[float, str, Plan]] = {}  # by digest
        rounds: list[Round] = []
        ended = f"that was the last of {self._num_rounds} rounds"
        for number in range(1, self._num_rounds + 1):
            if rounds and budget.spent():
                ended = budget.reason
                break
            optimistic_bound_s, found = self._candidates(number, budget, report)
            new = {name: plan for name, plan in found.items() if plan.digest not in measured}
            if rounds and not new:
                ended = "every plan that the search finds is measured"
                break
            if rounds and optimistic_bound_s >= best_s:
                ended = "nothing better is predicted, error bars included"
                break
            tries = []
            for done, one in self._tries(new, budget if rounds or measured else Budget(), number, report):
                tries.append(done)
                measured[one.digest] = (done.replayed_s, done.name, one)
                best_s = min(best_s, done.replayed_s)
            rounds.append(
                Round(number=number, optimistic_bound_s=optimistic_bound_s, tries=tuple(tries), best_s=best_s)
            )
            self._stages.say(round_description(rounds[-1]))
        self._stages.say(f"search ends: {ended}")
        best = sorted(measured.values(), key=lambda entry: (entry[0], entry[1]))[:NUM_FINALISTS]
        return Found(plans={name: plan for _, name, plan in best}, rounds=tuple(rounds), ended=ended)

    def _candidates(self, number: int, budget: Budget, report: Report) -> tuple[float, dict[str, Plan]]:
        """What the hopeful search hopes for, in seconds, and distinct plans to measure by name.

        Other ways to find plans come in through ``propose``; of plans that do the same the first is kept.
        """
        found: dict[str, Plan] = {}
        optimistic_bound_s = math.inf
        for i, (num_sigmas, by) in enumerate(NUM_SIGMAS.items()):
            if found and budget.spent():
                break
            description = f"search, round {number}" + (f", {num_sigmas}" if num_sigmas else "")
            share = ((number - 1) + i / len(NUM_SIGMAS) / 2) / self._num_rounds
            report(share, description)
            effort = scheduling.Effort(seed=self._seed, max_evaluations=self._max_evaluations, stop=budget.spent)
            plan = accepted(
                self._runtime,
                self._model,
                self._file,
                lambda by=by, effort=effort: solve("search", shifted(self._problem(), by), effort).plan,  # type: ignore[misc]
            )
            found[f"{SEARCH_ROUND}{number}" + (f", {num_sigmas}" if num_sigmas else "")] = plan
            optimistic_bound_s = min(optimistic_bound_s, makespan_s(shifted(self._problem(), min(by, 0.0)), plan))
        found |= self._propose(self._problem(), number)
        distinct = {plan.digest: name for name, plan in reversed(found.items())}
        return optimistic_bound_s, {name: plan for name, plan in found.items() if distinct[plan.digest] == name}

    def _tries(
        self, plans: Mapping[str, Plan], budget: Budget, number: int, report: Report
    ) -> Iterator[tuple[Try, Plan]]:
        """Each plan's replay beside what had been predicted before any of them was replayed."""
        problem = self._problem()
        predictions = {
            name: (self._met_s(plan), plan_error_s(problem, plan), _predicted(problem, plan))
            for name, plan in plans.items()
        }
        for i, (name, plan) in enumerate(plans.items()):
            if i and budget.spent():
                break
            report(((number - 1) + 0.5 + i / len(plans) / 2) / max(self._num_rounds, number), f"replay {name}")
            replay(self._runtime, self._model, plan, self._file, effort=self._effort)
            replayed_s = self._met_s(plan)
            predicted_s, error_s, num_predicted = predictions[name]
            yield (
                Try(
                    name=name,
                    predicted_s=predicted_s,
                    error_s=error_s,
                    replayed_s=replayed_s,
                    num_segments=plan.num_segments,
                    num_predicted=num_predicted,
                ),
                plan,
            )

    def _met_s(self, plan: Plan) -> float:
        """The plan's makespan as far as the profile tells: by its own replay once there is one."""
        return makespan_s(plan_problem(self._model, self._platform, self._file.profile, plan), plan)

    def _problem(self) -> Problem:
        return make_problem(self._model, self._platform, self._file.profile)


def accepted(runtime: Runtime, model: Model, file: ProfileFile, make: Callable[[], Plan]) -> Plan:
    """A plan that all engines accept: what they refuse is noted in the profile, and the plan is made anew.

    Raises:
        DeviceError: If a device failed.
    """
    while True:
        plan = make()
        try:
            runtime.load(model, plan).close()
        except RefusedError as refusal:
            file.add(Unsupported(device=refusal.device, ops=refusal.segment, reason=str(refusal)))
        else:
            return plan


def round_description(one: Round) -> str:
    """A round in a few lines: what was predicted, what it was once measured, and what is left to hope for."""
    lines = [
        f"{tried.name}: predicted {_ms(tried.predicted_s)}"
        + (f" \N{PLUS-MINUS SIGN} {_ms(tried.error_s)}" if tried.num_predicted else "")
        + f" ms, {_ms(tried.replayed_s)} ms once measured "
        f"({tried.num_predicted} of {tried.num_segments} segments were predictions)"
        for tried in one.tries
    ]
    lines.append(f"round {one.number}: best so far {_ms(one.best_s)} ms; hoped for {_ms(one.optimistic_bound_s)} ms")
    return "\n".join(lines)


def _predicted(problem: Problem, plan: Plan) -> int:
    """How many of a plan's segments were never measured."""
    latencies = (problem.latency(segment.device, segment.ops) for segment in plan.segments)
    return sum(latency is None or not latency.measured for latency in latencies)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"
