"""Plans that run stretches of a network one after the other, and the one whose load costs least by given prices.

A network is cut where all of it passes through one operator. Between two cuts its operators are a *stretch*, which one
device runs as one segment (candidates: :mod:`hetsim.scheduler.stretches`). Each stretch costs what the problem says of
it as a whole, fusing included, and each border between devices what its tensors cost writer, reader and channel. So the
cheapest sequence is a shortest path over cuts and devices, and exact.

A second of a request costs ``weight`` more, if asked for. What a sequence costs then, less ``weight`` times the longest
latency allowed, is at most what the cheapest sequence within that latency costs without: a Lagrangian bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.models.structure import blocks
from hetsim.scheduler.effort import FOREVER, Until
from hetsim.scheduler.stretches import stretch_ends
from hetsim.scheduler.throughput.loads import CHANNEL, MEMORY, Floats, copy_s, resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheapest:
    """A sequence of stretches.

    Attributes:
        cost: What it costs.
        latency_s: What it takes, one stretch after the other.
        plan: The plan.
    """

    cost: float
    latency_s: float
    plan: Plan


class Sequences:
    """All sequences of stretches of a problem.

    Args:
        problem: The problem.
        until: Once it says so, stretches not looked at yet are left out, except single blocks and whole networks.
    """

    def __init__(self, problem: Problem, until: Until = FOREVER) -> None:
        self._problem = problem
        self._kinds = resources(problem)
        self._names = problem.platform.device_names
        self._parts = blocks(problem.graph)
        self._ends = [np.array(ends) for ends in stretch_ends([len(part) for part in self._parts])]
        self._loads = [self._stretch_loads(start, until) for start in range(len(self._parts))]
        self._borders, self._delays_s = self._border_loads()

    @property
    def num_stretches(self) -> int:
        """How many stretches there are that some device can run, each counted once for each such device."""
        return sum(int(np.isfinite(loads).all(axis=-1).sum()) for loads in self._loads)

    def cheapest(self, prices: Floats, weight: float = 0.0) -> Cheapest | None:
        """The cheapest sequence; None if there is none. Ties go to longer stretches, then to the earlier device.

        Args:
            prices: By resource, the price of its capacity per second.
            weight: What a second of the request costs on top.
        """
        count, devices = len(self._parts), len(self._names)
        best = np.full((count + 1, devices), np.inf)
        came = np.zeros((count + 1, devices, 2), dtype=np.int64)  # where the last stretch starts, the device before
        best[0] = 0.0
        for start in range(count):
            border = self._borders[start] @ prices + weight * self._delays_s[start]
            arrival = best[start][:, None] + border
            before = arrival.argmin(axis=0)
            reached = arrival.min(axis=0)
            ends = self._ends[start]
            costs = self._costs(start, prices, weight) + reached[:, None]  # by device and end
            for d in range(devices):
                better = costs[d] < best[ends, d]
                best[ends[better], d] = costs[d][better]
                came[ends[better], d] = start, before[d]
        last = int(best[count].argmin())
        if math.isinf(best[count, last]):
            return None
        return self._traced(came, last, float(best[count, last]))

    def _costs(self, start: int, prices: Floats, weight: float) -> Floats:
        loads = self._loads[start]
        finite = np.all(np.isfinite(loads), axis=-1, keepdims=True)
        loads = np.where(finite, loads, 0.0)
        seconds = np.stack([loads[d, :, d] for d in range(len(self._names))])
        costs: Floats = np.where(finite[..., 0], loads @ prices + weight * seconds, np.inf)
        return costs

    def _traced(self, came: NDArray[np.int64], device: int, cost: float) -> Cheapest:
        end, latency_s = len(self._parts), 0.0
        queues: dict[str, list[Segment]] = {name: [] for name in self._names}
        while end:
            start, before = (int(each) for each in came[end, device])
            name = self._names[device]
            queues[name].append(Segment(name, tuple(op for part in self._parts[start:end] for op in part)))
            load = self._loads[start][device, int(np.searchsorted(self._ends[start], end))]
            latency_s += float(load[device]) + float(self._delays_s[start, before, device])
            end, device = start, before
        plan = self._problem.plan({name: tuple(reversed(queue)) for name, queue in queues.items()}, scheduler="mixture")
        return Cheapest(cost=cost, latency_s=latency_s, plan=plan)

    def _stretch_loads(self, start: int, until: Until) -> Floats:
        """By device, end of the stretch and resource; infinite where the device cannot run it as one segment."""
        kinds, problem = self._kinds, self._problem
        ends = self._ends[start]
        loads = np.zeros((len(self._names), len(ends), len(kinds.names)))
        for d, name in enumerate(self._names):
            for e, end in enumerate(ends):
                vital = end == start + 1 or end - start == len(self._parts)
                ops = tuple(op for part in self._parts[start:end] for op in part)
                seconds = problem.cost_s(name, ops) if vital or not until() else math.inf
                if math.isinf(seconds):
                    loads[d, e] = np.inf
                    continue
                num_bytes = problem.traffic_bytes(name, ops) if seconds > 0 else 0
                kinds.add(loads[d, e], name, max(seconds, num_bytes / problem.platform.memory.shared_bytes_per_s))
                kinds.add(loads[d, e], MEMORY, num_bytes)
        return loads / kinds.capacities

    def _border_loads(self) -> tuple[Floats, Floats]:
        """By cut and both devices beside it, what a hand-over takes, and by how much it makes a request later."""
        kinds, problem, graph = self._kinds, self._problem, self._problem.graph
        shape = (len(self._parts), len(self._names), len(self._names))
        loads, delays_s = np.zeros((*shape, len(kinds.names))), np.zeros(shape)
        for cut in range(1, len(self._parts)):
            made = [t for t in graph.inputs_of(self._parts[cut]) if t in graph.producer]
            for a, source in enumerate(self._names):
                for b, target in enumerate(self._names):
                    if a == b:
                        continue
                    for tensor in made:
                        if problem.sharing is not None:
                            kinds.add(loads[cut, a, b], source, problem.sharing.written_s(source, tensor))
                            kinds.add(loads[cut, a, b], target, problem.sharing.read_s(target, tensor))
                        if (seconds := copy_s(problem, source, target, tensor)) > 0:
                            kinds.add(loads[cut, a, b], CHANNEL, seconds)
                            kinds.add(loads[cut, a, b], MEMORY, graph.tensors[tensor].num_bytes)
                    delays_s[cut, a, b] = self._delay_s(source, target, made)
        return loads / kinds.capacities, delays_s

    def _delay_s(self, source: str, target: str, tensors: list[str]) -> float:
        """Seconds that tensors add to a request: copies come one after the other, other hand-overs at once."""
        problem = self._problem
        transfers_s = [problem.transfer_s(source, target, tensor) for tensor in tensors]
        copied = problem.platform.link(source, target).mode == "copy"
        access_s = sum(
            problem.hand_over_s(source, target, tensor) - transfer_s
            for tensor, transfer_s in zip(tensors, transfers_s, strict=True)
        )
        return access_s + (sum(transfers_s) if copied else max(transfers_s, default=0.0))
