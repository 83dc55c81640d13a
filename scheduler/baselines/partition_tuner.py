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
Of a long branch only some stretches are groups (:mod:`hetsim.scheduler.stretches`).
Ties go to the first device on the platform.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.models.structure import branch_levels
from hetsim.scheduler.effort import Effort, Until
from hetsim.scheduler.segments import plan_from_assignment
from hetsim.scheduler.stretches import stretch_ends

MAX_ASSIGNMENTS = 4096
"""Up to so many ways to put the branches of a level on units all are compared; beyond, the longest goes first."""


def partition_tuner(problem: Problem, effort: Effort | None = None) -> Plan:
    """The plan that PartitionTuner's four steps make.

    Args:
        problem: The problem.
        effort: Its deadline. Once it has passed, groups are no longer looked at, only single operators.
    """
    until = (effort or Effort()).until()
    device_of: dict[str, str] = {}
    level_of: dict[str, int] = {}
    names = problem.platform.device_names
    for level in branch_levels(problem.graph):
        branches = [_Branch(problem, branch, device_of, until) for branch in level]
        found = [branch.backends(names) for branch in branches]
        units = _units(branches, names) if len(level) > 1 else None
        if units is not None and units[0] < sum(seconds for seconds, _ in found):
            for branch, unit in zip(level, units[1], strict=True):
                device_of.update(dict.fromkeys(branch, unit))
                level_of[branch[0]] = 1  # so that what comes before ends, and every unit can start
        else:
            for _, placed in found:
                device_of.update(placed)
    return plan_from_assignment(problem, "partition_tuner", device_of, level_of, connected=True)


class _Branch:
    """Step 2 for one branch, the devices of the operators before it given.

    Args:
        problem: The problem.
        ops: The branch.
        known: Devices of operators that are placed.
        until: Whether to leave groups out from now on.
    """

    def __init__(self, problem: Problem, ops: tuple[str, ...], known: Mapping[str, str], until: Until) -> None:
        self._problem, self._ops, self._known = problem, ops, known
        producer = problem.graph.producer
        # Only the first operator of a stretch reads from outside of it: the others read from the one before alone.
        self._reads = [
            [(producer[tensor], tensor) for tensor in problem.graph.by_name[op].inputs if tensor in producer]
            for op in ops
        ]
        # By end and device, the starts of stretches whose time is known, descending, and their seconds.
        self._costs: list[dict[str, list[tuple[int, float]]]] = [
            {name: [] for name in problem.platform.device_names} for _ in range(len(ops) + 1)
        ]
        for start, ends in reversed(tuple(enumerate(stretch_ends([1] * len(ops))))):
            for end in ends:
                if end > start + 1 and until():
                    break
                for device, costs in self._costs[end].items():
                    latency = problem.latency(device, ops[start:end])
                    if latency is not None and (end == start + 1 or latency.is_known):
                        costs.append((start, latency.seconds))

    def backends(self, devices: Sequence[str]) -> tuple[float, dict[str, str]]:
        """Least seconds for the branch on ``devices``, its inputs handed over, and each operator's device."""
        # best[i][device]: least seconds for the first i operators, the last of them there, and the group it ends with
        best: list[dict[str, tuple[float, int, str]]] = [{"": (0.0, 0, "")}]
        for end in range(1, len(self._ops) + 1):
            states: dict[str, tuple[float, int, str]] = {}
            for device in devices:
                for start, seconds in self._costs[end][device]:
                    for source, (so_far_s, _, _) in best[start].items():
                        total_s = so_far_s + self._arrive_s(start, source, device) + seconds
                        if device not in states or total_s < states[device][0]:
                            states[device] = (total_s, start, source)
            best.append(states)
        if not best[-1]:
            return math.inf, {}
        device = min(best[-1], key=lambda name: best[-1][name][0])
        total_s = best[-1][device][0]
        placed: dict[str, str] = {}
        end = len(self._ops)
        while end:
            _, start, source = best[end][device]
            placed.update(dict.fromkeys(self._ops[start:end], device))
            end, device = start, source
        return total_s, placed

    def _arrive_s(self, start: int, before: str, device: str) -> float:
        """Seconds to hand over what a group reads: from known devices, or from ``before`` in its own branch."""
        reads, known = self._reads[start], self._known
        return sum(self._problem.hand_over_s(known.get(maker, before), device, tensor) for maker, tensor in reads)


def _units(branches: Sequence[_Branch], names: Sequence[str]) -> tuple[float, tuple[str, ...]] | None:
    """Step 4: when a level ends with each branch on one unit, and the units; None if some branch fits on none."""
    takes_s = [{name: branch.backends((name,))[0] for name in names} for branch in branches]
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
