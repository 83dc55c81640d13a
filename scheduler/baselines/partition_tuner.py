"""PartitionTuner, after the paper.

Yu et al., "PartitionTuner: An operator scheduler for deep-learning compilers supporting multiple
heterogeneous processing units", ETRI Journal 45(2), 2023, doi 10.4218/etrij.2021-0446. Its four steps:

1. Branch extraction: the graph falls into branches, sequential ones and parallel ones of the same level.
2. Backend finding: in each branch, dynamic programming over the device at each position. A stretch of operators costs
   its measured time as one group wherever that beats the sum of its members.
3. Graph partitioning: neighbours with one backend become one segment.
4. Partition scheduling: parallel branches that each sit on one processing unit run side by side. We choose the units
   so that the level ends soonest, and do so only where that beats one branch after the other, each at its best.

What a group that was never measured would take is not asked; on a hypothetical device every group's time is known.
Ties go to the first device on the platform.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.models.structure import branch_levels
from hetsim.scheduler.segments import plan_from_assignment

MAX_ASSIGNMENTS = 4096
"""Up to so many ways to put the branches of a level on units all are compared; beyond, the longest goes first."""


def partition_tuner(problem: Problem) -> Plan:
    """The plan that PartitionTuner's four steps make."""
    device_of: dict[str, str] = {}
    level_of: dict[str, int] = {}
    names = problem.platform.device_names
    for level in branch_levels(problem.graph):
        found = [_backends(problem, branch, device_of, names) for branch in level]
        units = _units(problem, level, device_of) if len(level) > 1 else None
        if units is not None and units[0] < sum(seconds for seconds, _ in found):
            for branch, unit in zip(level, units[1], strict=True):
                device_of.update(dict.fromkeys(branch, unit))
                level_of[branch[0]] = 1  # so that what comes before ends, and every unit can start
        else:
            for _, placed in found:
                device_of.update(placed)
    return plan_from_assignment(problem, "partition_tuner", device_of, level_of, connected=True)


def _backends(
    problem: Problem, branch: tuple[str, ...], known: Mapping[str, str], devices: Sequence[str]
) -> tuple[float, dict[str, str]]:
    """Step 2: least seconds for a branch on ``devices``, its inputs handed over, and each operator's device."""
    # best[i][device]: least seconds for the first i operators, the last of them there, and the group it ends with
    best: list[dict[str, tuple[float, int, str]]] = [{"": (0.0, 0, "")}]
    for end in range(1, len(branch) + 1):
        states: dict[str, tuple[float, int, str]] = {}
        for device in devices:
            for start in range(end - 1, -1, -1):
                ops = branch[start:end]
                latency = problem.latency(device, ops)
                if latency is None or (len(ops) > 1 and not latency.is_known):
                    continue
                for source, (so_far_s, _, _) in best[start].items():
                    total_s = so_far_s + _arrive_s(problem, ops, known, source, device) + latency.seconds
                    if device not in states or total_s < states[device][0]:
                        states[device] = (total_s, start, source)
        best.append(states)
    if not best[-1]:
        return math.inf, {}
    device = min(best[-1], key=lambda name: best[-1][name][0])
    total_s = best[-1][device][0]
    placed: dict[str, str] = {}
    end = len(branch)
    while end:
        _, start, source = best[end][device]
        placed.update(dict.fromkeys(branch[start:end], device))
        end, device = start, source
    return total_s, placed


def _arrive_s(problem: Problem, ops: tuple[str, ...], known: Mapping[str, str], before: str, device: str) -> float:
    """Seconds to hand over what a group reads: from ``known`` devices, or from ``before`` in its own branch."""
    graph = problem.graph
    return sum(
        problem.transfer_s(known.get(graph.producer[tensor], before), device, tensor)
        for tensor in graph.inputs_of(ops)
        if tensor in graph.producer
    )


def _units(
    problem: Problem, level: tuple[tuple[str, ...], ...], known: Mapping[str, str]
) -> tuple[float, tuple[str, ...]] | None:
    """Step 4: when a level ends with each branch on one unit, and the units; None if some branch fits on none."""
    names = problem.platform.device_names
    takes_s = [{name: _backends(problem, branch, known, (name,))[0] for name in names} for branch in level]
    runnable = [[name for name in names if seconds[name] < math.inf] for seconds in takes_s]
    if not all(runnable):
        return None
    if math.prod(map(len, runnable)) <= MAX_ASSIGNMENTS:
        candidates = list(product(*runnable))
    else:
        candidates = [_longest_first(runnable, takes_s)]

    def ends_s(units: tuple[str, ...]) -> float:
        busy_s = dict.fromkeys(names, 0.0)
        for unit, seconds in zip(units, takes_s, strict=True):
            busy_s[unit] += seconds[unit]
        return max(busy_s.values())

    return min(((ends_s(units), units) for units in candidates), key=lambda found: found[0])


def _longest_first(runnable: list[list[str]], takes_s: list[dict[str, float]]) -> tuple[str, ...]:
    """Each branch, the longest first, to the unit that is done with it soonest."""
    busy_s: dict[str, float] = {}
    units = [""] * len(runnable)
    for i in sorted(range(len(runnable)), key=lambda i: -min(takes_s[i].values())):
        units[i] = min(runnable[i], key=lambda unit: busy_s.get(unit, 0.0) + takes_s[i][unit])
        busy_s[units[i]] = busy_s.get(units[i], 0.0) + takes_s[i][units[i]]
    return tuple(units)
