"""The reference simulator: the timeline of one inference by a plan, or of many, in SimPy.

:mod:`hetsim.sim.processes` states the rules, and docs/model.md has the equations. Durations are the problem's costs, or
come from a function of request and segment, which can draw measured noise.
"""

from __future__ import annotations

from hetsim.core.dataflow import check_plan
from hetsim.core.errors import PlanError
from hetsim.core.load import Load
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.core.timeline import Timeline
from hetsim.sim.processes import Run
from hetsim.sim.segments import DurationFunction, Queues, Record, SegmentFacts


def simulate(
    problem: Problem, plan: Plan, *, load: Load | None = None, duration_s: DurationFunction | None = None
) -> Timeline:
    """The simulated timeline of one or more inferences.

    Hand-overs that take no time have no span. The span of a copy begins when it gets the memory channel, not when it
    starts to wait for it.

    Args:
        problem: The problem; for a plan with splits it is rewritten with them.
        plan: The plan.
        load: The requests. None means one request that is at the devices at time 0.
        duration_s: Durations of segments that replace the problem's costs, cross-device access included.

    Raises:
        PlanError: If the plan is not valid, was made for another model, or puts a segment where it cannot run.
    """
    problem = _checked(problem, plan)
    record = Record()
    Simulator(problem).run(plan.queues, record, load=load, duration_s=duration_s)
    return Timeline(origin="simulated", spans=tuple(record.spans), arrivals_s=tuple(record.arrivals_s))


def makespan_s(problem: Problem, plan: Plan) -> float:
    """When the last segment of one simulated inference ends, in seconds.

    Raises:
        PlanError: As :func:`simulate` does.
    """
    return Simulator(_checked(problem, plan)).run(plan.queues)


def _checked(problem: Problem, plan: Plan) -> Problem:
    """The problem whose operators the plan names, after a check that the plan fits it."""
    problem = problem.for_plan(plan)
    check_plan(problem.graph, plan, device_names=problem.platform.device_names, model_hash=problem.model_hash)
    return problem


class Simulator:
    """Simulates many plans of one problem; analyses each segment once.

    Args:
        problem: The problem. Costs are read once, so create a new simulator when the profile changes.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._facts = SegmentFacts(problem)

    def run(
        self,
        queues: Queues,
        record: Record | None = None,
        *,
        load: Load | None = None,
        duration_s: DurationFunction | None = None,
    ) -> float:
        """When the last segment ends, in seconds. The events are added to ``record`` if it is given.

        The queues are not checked; :func:`makespan_s` checks a plan. They may hold a part of the graph: tensors that
        none of their segments makes are there from the start.

        Raises:
            PlanError: If a device cannot run one of its segments, or devices wait for each other for ever.
        """
        run = Run(self._facts, queues, record, load, duration_s)
        end_s = run.run()
        if run.num_left:
            raise PlanError(f"plan can never finish: {run.num_left} segments wait for each other")
        return end_s
