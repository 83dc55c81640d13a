"""What list schedulers share: operators placed one after the other, each into the first gap of a device it fits into.

This is the insertion policy of H. Topcuoglu, S. Hariri, M.-Y. Wu, "Performance-effective and low-complexity task
scheduling for heterogeneous computing", IEEE Transactions on Parallel and Distributed Systems 13(3), 2002, doi
10.1109/71.993206, and the averages that ranks are made of there. Hand-overs take what the platform says, all at once if
need be: where copies queue for the memory's channel, segments for its bandwidth, or devices are busy for longer as they
access each other's tensors, the timetable is too optimistic, and the plan is judged by the model afterwards.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from math import inf
from statistics import fmean

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.scheduler.effort import FOREVER, Until
from hetsim.scheduler.list_scheduling.merging import plan_from_orders


class CostTable:
    """What single operators cost on the devices that can run them, and what their edges cost.

    Args:
        problem: The problem.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.seconds: Mapping[str, Mapping[str, float]] = {
            op.name: {device: problem.cost_s(device, (op.name,)) for device in problem.devices_for((op.name,))}
            for op in problem.graph.ops
        }
        """By operator and device that can run it, in the platform's order."""
        self._means: dict[tuple[str, str], float] = {}

    def mean_s(self, op: str) -> float:
        """An operator's cost on average over the devices that can run it, in seconds."""
        return fmean(self.seconds[op].values())

    def hand_over_s(self, producer: str, reader: str, source: str, target: str) -> float:
        """From the producer's end on ``source`` until all that the reader wants of it is on ``target``, in seconds.

        That accessing it takes both of them longer is counted here, not in their own times.
        """
        if source == target:
            return 0.0
        tensors = self.problem.graph.tensors_between[producer, reader]
        return max(self.problem.hand_over_s(source, target, tensor) for tensor in tensors)

    def mean_hand_over_s(self, producer: str, reader: str) -> float:
        """A hand-over on average over the pairs of different devices that may be at its ends, in seconds.

        0 where there is no such pair.
        """
        edge = (producer, reader)
        if edge not in self._means:
            pairs = [(a, b) for a in self.seconds[producer] for b in self.seconds[reader] if a != b]
            self._means[edge] = fmean(self.hand_over_s(*edge, a, b) for a, b in pairs) if pairs else 0.0
        return self._means[edge]

    def upward_ranks_s(self) -> dict[str, float]:
        """By operator, the longest path from its start to the end of all, by averages, in seconds."""
        ranks_s: dict[str, float] = {}
        for op in reversed(self.problem.graph.ops):
            after_s = (
                self.mean_hand_over_s(op.name, after) + ranks_s[after]
                for after in self.problem.graph.successors[op.name]
            )
            ranks_s[op.name] = self.mean_s(op.name) + max(after_s, default=0.0)
        return ranks_s

    def downward_ranks_s(self) -> dict[str, float]:
        """By operator, the longest path from the start of all to its own start, by averages, in seconds."""
        ranks_s: dict[str, float] = {}
        for op, predecessors in self.problem.graph.predecessors.items():
            before_s = (
                ranks_s[before] + self.mean_s(before) + self.mean_hand_over_s(before, op) for before in predecessors
            )
            ranks_s[op] = max(before_s, default=0.0)
        return ranks_s


class Timetable:
    """Operators with the times at which they would run, filled in one by one, predecessors first.

    Args:
        costs: What operators and hand-overs cost.
        until: Once it says yes, operators go behind all others on their device, and gaps are left as they are.
    """

    def __init__(self, costs: CostTable, until: Until = FOREVER) -> None:
        self._costs, self._until = costs, until
        names = costs.problem.platform.device_names
        self._device_of: dict[str, str] = {}
        self._ends_s: dict[str, float] = {}
        # by device, the gaps from the first to the endless last one, as two lists for bisection by their ends
        self._gap_starts_s: dict[str, list[float]] = {name: [0.0] for name in names}
        self._gap_ends_s: dict[str, list[float]] = {name: [inf] for name in names}
        self._placed: dict[str, list[tuple[float, float, int, str]]] = {name: [] for name in names}

    def earliest_s(self, op: str, device: str) -> tuple[float, float]:
        """When the operator would start and end in the first gap of the device that it fits into, in seconds."""
        start_s, end_s, _ = self._fit(op, device)
        return start_s, end_s

    def place(self, op: str, device: str) -> None:
        """Put the operator into that gap."""
        start_s, end_s, i = self._fit(op, device)
        starts_s, ends_s = self._gap_starts_s[device], self._gap_ends_s[device]
        left = [(a, b) for a, b in ((starts_s[i], start_s), (end_s, ends_s[i])) if a < b]
        starts_s[i : i + 1] = [a for a, _ in left]
        ends_s[i : i + 1] = [b for _, b in left]
        self._device_of[op], self._ends_s[op] = device, end_s
        self._placed[device].append((start_s, end_s, len(self._device_of), op))

    def _fit(self, op: str, device: str) -> tuple[float, float, int]:
        """Start, end, and which of the device's gaps."""
        ready_s = max(
            (
                self._ends_s[before] + self._costs.hand_over_s(before, op, self._device_of[before], device)
                for before in self._costs.problem.graph.predecessors[op]
            ),
            default=0.0,
        )
        seconds = self._costs.seconds[op][device]
        starts_s, ends_s = self._gap_starts_s[device], self._gap_ends_s[device]
        i = len(ends_s) - 1 if self._until() else bisect_left(ends_s, ready_s)
        while max(starts_s[i], ready_s) + seconds > ends_s[i]:  # the last gap has no end
            i += 1
        start_s = max(starts_s[i], ready_s)
        return start_s, start_s + seconds, i

    def place_where_it_ends_first(self, op: str) -> None:
        """Put the operator on the device on which it ends first; ties go to the one that comes first."""
        self.place(op, min(self._costs.seconds[op], key=lambda device: self.earliest_s(op, device)[1]))

    def plan(self, scheduler: str) -> Plan:
        """The plan that runs each device's operators in the order of their times
        (:mod:`hetsim.scheduler.list_scheduling.merging`).

        No device waits for another in a circle: along every wait, the triple of start, end and place in the order of
        placing grows.
        """
        orders: dict[str, Sequence[str]] = {
            device: [op for *_, op in sorted(entries)] for device, entries in self._placed.items()
        }
        return plan_from_orders(self._costs.problem, scheduler, orders)
