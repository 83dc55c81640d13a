"""The recent profiling-based baseline: dynamic programming over single operators' profiles and transfers.

After MOSAIC: Han et al., "MOSAIC: Heterogeneity-, Communication-, and
Constraint-Aware Model Slicing and Execution for Accurate and Efficient Inference", PACT 2019. It knows what each
operator takes alone, and sums: neither what fusing saves nor that devices can run side by side.

On a chain the least sum of operator and transfer times is found exactly, by a Viterbi pass over (operator, device).
MOSAIC slices chains; our extension to branching graphs sweeps over the branches in topological order, solving each
exactly given the devices of the neighbours that are known, until a sweep changes nothing. From the second sweep on the
sum can only fall; one that leaves it as it is may still move operators to devices that cost as much and come first,
next to which others do better.
"""

from __future__ import annotations

from collections.abc import Mapping

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.models.structure import branches
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.segments import plan_from_assignment

MAX_SWEEPS = 21


def individual(problem: Problem, effort: Effort | None = None) -> Plan:
    """The plan with the least sum of single-operator and transfer times found; neighbours on one device merge.

    Ties go to the device that comes first on the platform.

    Args:
        problem: The problem.
        effort: Its deadline. Once it has passed, no further sweep begins.
    """
    until = (effort or Effort()).until()
    device_of: dict[str, str] = {}
    parts = branches(problem.graph)
    for _ in range(MAX_SWEEPS):
        before = dict(device_of)
        for branch in parts:
            device_of.update(_place_branch(problem, branch, device_of))
        if device_of == before or until():
            break
    return plan_from_assignment(problem, "individual", device_of, connected=True)


def sum_s(problem: Problem, device_of: Mapping[str, str]) -> float:
    """What is minimised: every operator's time alone, and every edge's transfer, in seconds."""
    return sum(
        problem.cost_s(device_of[op], (op,))
        + sum(edge_s(problem, other, op, device_of[other], device_of[op]) for other in before)
        for op, before in problem.graph.predecessors.items()
    )


def edge_s(problem: Problem, producer: str, reader: str, source: str, target: str) -> float:
    """Seconds to hand what ``reader`` reads from ``producer`` over from ``source`` to ``target``."""
    if source == target:
        return 0.0
    tensors = problem.graph.tensors_between[producer, reader]
    return sum(problem.hand_over_s(source, target, tensor) for tensor in tensors)


def _place_branch(problem: Problem, branch: tuple[str, ...], known: Mapping[str, str]) -> dict[str, str]:
    """The best devices of one branch's operators, its neighbours' devices given where they are in ``known``."""
    inside = set(branch)
    graph = problem.graph
    steps: list[dict[str, tuple[float, str]]] = []  # for each operator, by device: least seconds so far, device before
    for i, op in enumerate(branch):
        states: dict[str, tuple[float, str]] = {}
        for device in problem.devices_for((op,)):
            here_s = problem.cost_s(device, (op,))
            for other in graph.predecessors[op]:
                if other not in inside and other in known:
                    here_s += edge_s(problem, other, op, known[other], device)
            for other in graph.successors[op]:
                if other not in inside and other in known:
                    here_s += edge_s(problem, op, other, device, known[other])
            came_s, came_from = 0.0, ""
            if i:
                before = branch[i - 1]
                linked = before in graph.predecessors[op]
                came_s, came_from = min(
                    (
                        (so_far_s + (edge_s(problem, before, op, source, device) if linked else 0.0), source)
                        for source, (so_far_s, _) in steps[-1].items()
                    ),
                    key=lambda state: state[0],
                )
            states[device] = (came_s + here_s, came_from)
        steps.append(states)
    device = min(steps[-1], key=lambda name: steps[-1][name][0])
    placed: dict[str, str] = {}
    for op, states in zip(reversed(branch), reversed(steps), strict=True):
        placed[op] = device
        device = states[device][1]
    return placed
