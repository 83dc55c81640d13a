"""The whole model on one device: what every other plan has to beat."""

from __future__ import annotations

from hetsim.core.errors import ProblemError
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.scheduler.segments import plan_from_assignment


def whole_model_devices(problem: Problem) -> tuple[str, ...]:
    """Names of the devices that can run every operator, by itself or all as one, in the platform's order."""
    ops = tuple(op.name for op in problem.graph.ops)
    return tuple(
        name
        for name in problem.platform.device_names
        if all(problem.latency(name, (op,)) is not None for op in ops) or problem.latency(name, ops) is not None
    )


def single_device(problem: Problem, device: str) -> Plan:
    """The plan that runs the whole graph on ``device`` as one segment, or operator by operator if it refuses that.

    Raises:
        ProblemError: If there is no such device, or it cannot run some operator.
    """
    runnable = whole_model_devices(problem)
    if device not in runnable:
        raise ProblemError(
            f"{device!r} cannot run all of {problem.graph.name!r}; these can: {', '.join(runnable) or 'none alone'}"
        )
    return plan_from_assignment(problem, f"single:{device}", {op.name: device for op in problem.graph.ops})
