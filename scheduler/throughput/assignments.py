"""Loads of assignments of operators to devices, and the assignment whose load costs least by given prices.

Each operator costs what it takes as a segment of its own; a tensor that crosses costs its writer once, and the channel
and the reader once for each receiving device. Where costs add up (``problem.additive``) no plan takes less, however it
fuses. Elsewhere an operator is taken to cost its share of the whole network on that device, which is an estimate.

**Two devices**: the cheapest assignment is a minimum cut (H. S. Stone, "Multiprocessor scheduling with the aid of
network flow algorithms", IEEE Transactions on Software Engineering 3(1), 1977, doi 10.1109/TSE.1977.233840).

Mixtures of assignments serve as much as the relaxation in which operators are divided between two devices at will, with
``y[op]`` from 0 to 1 the part on the second one, and a tensor is handed over as much as the ``y`` of its producer and
its readers differ at most. *Proof.* Draw ``theta`` from 0 to 1 and put the operators with ``y[op] > theta`` on the
second device. One of them is there with probability ``y[op]``, and a tensor is handed over in a direction with the
probability of the largest difference in it: expected loads are the relaxation's, of every resource. As ``theta`` grows
the assignment changes at the values of ``y`` alone, so at most one more than there are operators has a probability.

**More devices**: every operator in turn moves to where it is cheapest, until none moves (a local optimum);
:mod:`hetsim.scheduler.throughput.exact_assignment` has the least.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx
import numpy as np

from hetsim.core.problem import Problem
from hetsim.scheduler.throughput.loads import CHANNEL, MEMORY, Floats, copy_s, resources

_MAX_SWEEPS = 30


@dataclass(frozen=True, kw_only=True)
class AssignmentLoads:
    """What assignments take of the resources, relative to capacities.

    Attributes:
        problem: The problem.
        ops: By operator, device and resource; infinite where the device cannot run the operator.
        received: By tensor that operators make and others read, then by source, receiving device and resource; 0 within
            a device.
        written: By the same tensors, then by source and resource: what its writer pays once if it crosses at all.
        tensors: Names of these tensors.
    """

    problem: Problem
    ops: Floats
    received: Floats
    written: Floats
    tensors: tuple[str, ...]

    def priced(self, prices: Floats, weight: float = 0.0) -> PricedAssignments:
        """The costs by prices of the resources.

        Args:
            prices: By resource, the price of its capacity per second.
            weight: What a second of anything costs on top, wherever it is spent, to prefer plans that take less time.
        """
        devices = len(self.problem.platform.device_names)
        prices = prices.copy()
        prices[:devices] += weight
        return PricedAssignments(
            problem=self.problem,
            ops=_times(self.ops, prices),
            received=self.received @ prices,
            written=self.written @ prices,
            tensors=self.tensors,
        )


def _times(loads: Floats, prices: Floats) -> Floats:
    finite = np.all(np.isfinite(loads), axis=-1, keepdims=True)
    costs: Floats = np.where(finite[..., 0], np.where(finite, loads, 0.0) @ prices, np.inf)
    return costs


def assignment_loads(problem: Problem) -> AssignmentLoads:
    """What assignments of a problem's operators take."""
    kinds, graph, sharing = resources(problem), problem.graph, problem.sharing
    names = problem.platform.device_names
    tensors = tuple(tensor for tensor in graph.producer if graph.consumers[tensor])
    ops = np.zeros((len(graph.ops), len(names), len(kinds.names)))
    received = np.zeros((len(tensors), len(names), len(names), len(kinds.names)))
    written = np.zeros((len(tensors), len(names), len(kinds.names)))
    for d, device in enumerate(names):
        share = _fused_share(problem, device)
        for v, op in enumerate(graph.ops):
            seconds = share * problem.cost_s(device, (op.name,))
            kinds.add(ops[v, d], device, seconds)
            if 0 < seconds < math.inf:
                kinds.add(ops[v, d], MEMORY, share * problem.traffic_bytes(device, (op.name,)))
        for t, tensor in enumerate(tensors):
            if sharing is not None:
                kinds.add(written[t, d], device, sharing.written_s(device, tensor))
            for e, target in enumerate(names):
                if d == e:
                    continue
                if sharing is not None:
                    kinds.add(received[t, d, e], target, sharing.read_s(target, tensor))
                if (seconds := copy_s(problem, device, target, tensor)) > 0:
                    kinds.add(received[t, d, e], CHANNEL, seconds)
                    kinds.add(received[t, d, e], MEMORY, graph.tensors[tensor].num_bytes)
    relative = [each / kinds.capacities for each in (ops, received, written)]
    return AssignmentLoads(problem=problem, ops=relative[0], received=relative[1], written=relative[2], tensors=tensors)


def _fused_share(problem: Problem, device: str) -> float:
    """What the whole network as one segment takes, relative to its operators one by one; 1 where costs add up."""
    names = tuple(op.name for op in problem.graph.ops)
    alone_s = sum(problem.cost_s(device, (name,)) for name in names)
    whole_s = math.inf if problem.additive else problem.cost_s(device, names)
    return whole_s / alone_s if whole_s < math.inf and 0 < alone_s < math.inf else 1.0


@dataclass(frozen=True, kw_only=True)
class PricedAssignments:
    """What assignments cost by given prices; fields as in :class:`AssignmentLoads`, without resources."""

    problem: Problem
    ops: Floats
    received: Floats
    written: Floats
    tensors: tuple[str, ...]

    def cheapest(self) -> dict[str, int]:
        """The cheapest assignment to two devices, or one that is cheap to more: by operator, the device's number."""
        return self._cut() if self.ops.shape[1] == 2 else self._descended()

    def least_of_ops(self) -> float:
        """What the operators cost at least, if hand-overs were free: no assignment costs less."""
        return float(self.ops.min(axis=1).sum())

    def cost(self, device: Mapping[str, int]) -> float:
        """What an assignment costs, by the numbers of devices."""
        total = float(sum(self.ops[v, device[op.name]] for v, op in enumerate(self.problem.graph.ops)))
        return total + sum(self._handed_over(t, device) for t in range(len(self.tensors)))

    def _descended(self) -> dict[str, int]:
        """An assignment that no move of one operator makes cheaper, from the one in which each is where it is cheapest.

        Devices are numbers in the platform's order.
        """
        graph = self.problem.graph
        number = {tensor: t for t, tensor in enumerate(self.tensors)}
        touched = {
            op.name: [number[tensor] for tensor in (*op.inputs, *op.outputs) if tensor in number] for op in graph.ops
        }
        device = {op.name: int(self.ops[v].argmin()) for v, op in enumerate(graph.ops)}
        for _ in range(_MAX_SWEEPS):
            moved = False
            for v, op in enumerate(graph.ops):
                now = device[op.name]
                costs = []
                for d in range(self.ops.shape[1]):
                    device[op.name] = d
                    costs.append(self.ops[v, d] + sum(self._handed_over(t, device) for t in touched[op.name]))
                best = min(range(len(costs)), key=costs.__getitem__)
                device[op.name] = best if costs[best] < costs[now] * (1 - 1e-12) else now
                moved |= device[op.name] != now
            if not moved:
                break
        return device

    def _handed_over(self, tensor: int, device: Mapping[str, int]) -> float:
        graph, name = self.problem.graph, self.tensors[tensor]
        source = device[graph.producer[name]]
        targets = {device[op] for op in graph.consumers[name]} - {source}
        if not targets:
            return 0.0
        return float(self.written[tensor, source] + sum(self.received[tensor, source, d] for d in sorted(targets)))

    def _cut(self) -> dict[str, int]:
        """The cheapest assignment of two devices: what the minimum cut leaves at the source is on the first one."""
        graph = self.problem.graph
        flow: nx.DiGraph[object] = nx.DiGraph()
        scale = 1.0 / max(float(self.ops[np.isfinite(self.ops)].sum()), 1e-300)  # costs near 1, whatever the unit
        for v, op in enumerate(graph.ops):
            flow.add_edge("source", ("op", op.name), **_capacity(self.ops[v, 1] * scale))
            flow.add_edge(("op", op.name), "sink", **_capacity(self.ops[v, 0] * scale))
        for t, tensor in enumerate(self.tensors):
            maker = ("op", graph.producer[tensor])
            there = float(self.received[t, 0, 1] + self.written[t, 0]) * scale
            back = float(self.received[t, 1, 0] + self.written[t, 1]) * scale
            if there > 0:
                flow.add_edge(maker, ("there", t), capacity=there)
            if back > 0:
                flow.add_edge(("back", t), maker, capacity=back)
            for reader in graph.consumers[tensor]:
                if there > 0:
                    flow.add_edge(("there", t), ("op", reader))
                if back > 0:
                    flow.add_edge(("op", reader), ("back", t))
        _, (first, _) = nx.minimum_cut(flow, "source", "sink")
        return {op.name: 0 if ("op", op.name) in first else 1 for op in graph.ops}


def _capacity(cost: float) -> dict[str, float]:
    """The capacity of an edge as NetworkX takes it, where none means infinite."""
    return {"capacity": float(cost)} if cost < math.inf else {}
