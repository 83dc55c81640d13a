"""A genetic algorithm over the device and the priority of every operator.

After the allocation in Stream (A. Symons, L. Mei, S. Colleman, P. Houshmand, S. Karl, M. Verhelst, "Towards
Heterogeneous Multi-core Accelerators Exploiting Fine-grained Scheduling of Layer-Fused Deep Neural Networks", IEEE
ISPASS, 2023, arXiv:2212.10612), whose genes are the core of each layer, and Puzzle (D. Kang, Y. Lee, J. Kim, "Puzzle:
Scheduling Multiple Deep Learning Models on Mobile Device with Heterogeneous Processors", 2025, arXiv:2508.17764), which
adds chromosomes for partition and priority. Both judge by simulation or measurement, as here.

Genes are decoded as list scheduling: among the operators whose predecessors are in the list, the one with the highest
priority is next, and each device runs its operators in that order. So every individual is a valid plan. Where subgraphs
begin, for which Puzzle has genes, follows from the devices here: runs of neighbours are fused
(:mod:`hetsim.scheduler.list_scheduling.merging`).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.scheduler.baselines.single_device import whole_model_devices
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.list_scheduling.merging import Orders, fused_runs, plan_from_orders
from hetsim.scheduler.segments import Queues
from hetsim.sim.compiled import CompiledSimulator

MAX_EVALUATIONS = 3000
MIN_POPULATION, MAX_POPULATION = 4, 50
ELITE = 2
"""So many of the best live on unchanged."""
TOURNAMENT = 3
"""A parent is the best of so many drawn at random."""
STAYS = (0.0, 0.5, 0.9, 0.98)
"""How probably an operator of a random individual is on its first predecessor's device; each individual has one."""

Evaluator = Callable[[Queues], float]
"""From queues to the makespan in seconds."""


@dataclass(frozen=True, slots=True)
class _Individual:
    """Genes in the graph's order, and how long their plan takes."""

    devices: tuple[str, ...]
    priorities: tuple[float, ...]
    makespan_s: float


def genetic(problem: Problem, effort: Effort | None = None, *, evaluate: Evaluator | None = None) -> Plan:
    """The best individual's plan; of equal ones that of the first found.

    The first population has every device that can run the whole graph, each operator on its fastest device, and
    otherwise random individuals. Its size is the square root of the evaluations within ``MIN_POPULATION`` and
    ``MAX_POPULATION``; generations follow while evaluations are left.

    Args:
        problem: The problem.
        effort: Evaluations are individuals; those without random genes come on top. The same seed and evaluations give
            the same plan.
        evaluate: Judges queues; None stands for the model.
    """
    effort = effort or Effort()
    until = effort.until()
    limit = MAX_EVALUATIONS if effort.max_evaluations is None else effort.max_evaluations
    breeder = _Breeder(problem, random.Random(effort.seed), evaluate or CompiledSimulator(problem).run)
    population = breeder.founders()
    size = max(MIN_POPULATION, min(MAX_POPULATION, round(limit**0.5)))
    left = limit
    while left and len(population) < size and not until():
        population.append(breeder.stranger())
        left -= 1
    population.sort(key=lambda one: one.makespan_s)  # stable: of equal ones the first found stays first
    while left and not until():
        if effort.progress is not None:
            effort.progress(limit - left, limit, population[0].makespan_s)
        children = []
        for _ in range(min(left, max(size - ELITE, 1))):
            children.append(breeder.child(population))
            if until():
                break
        left -= len(children)
        population = sorted([*population[:ELITE], *children], key=lambda one: one.makespan_s)
    if effort.progress is not None:
        effort.progress(limit, limit, population[0].makespan_s)
    return plan_from_orders(problem, "genetic", breeder.orders(population[0].devices, population[0].priorities))


class _Breeder:
    """Makes individuals of one problem."""

    def __init__(self, problem: Problem, generator: random.Random, evaluate: Evaluator) -> None:
        self._problem = problem
        self._random = generator
        self._evaluate = evaluate
        graph = problem.graph
        self._names = tuple(op.name for op in graph.ops)
        self._runnable = [problem.devices_for((name,)) for name in self._names]
        self._before = [tuple(graph.position[op] for op in graph.predecessors[name]) for name in self._names]
        self._after = [tuple(graph.position[op] for op in graph.successors[name]) for name in self._names]

    def founders(self) -> list[_Individual]:
        """Individuals without random genes; priorities follow the graph's order."""
        count = len(self._names)
        placements = [(device,) * count for device in whole_model_devices(self._problem)]
        placements.append(
            tuple(
                min(runnable, key=lambda device: self._problem.cost_s(device, (name,)))
                for name, runnable in zip(self._names, self._runnable, strict=True)
            )
        )
        priorities = tuple(1 - i / count for i in range(count))
        return [self._individual(devices, priorities) for devices in placements]

    def stranger(self) -> _Individual:
        """An individual with random genes; neighbours tend to share a device."""
        stay = self._random.choice(STAYS)
        devices: list[str] = []
        for runnable, before in zip(self._runnable, self._before, strict=True):
            near = devices[before[0]] if before else ""
            devices.append(near if near in runnable and self._random.random() < stay else self._random.choice(runnable))
        return self._individual(tuple(devices), tuple(self._random.random() for _ in self._names))

    def child(self, population: list[_Individual]) -> _Individual:
        """The genes of two parents, cut at two places of the graph's order, some of them changed."""
        father, mother = (
            min(
                (self._random.choice(population) for _ in range(TOURNAMENT)),
                key=lambda one: one.makespan_s,
            )
            for _ in range(2)
        )
        count = len(self._names)
        first, last = sorted(self._random.randrange(count + 1) for _ in range(2))
        devices = [*father.devices[:first], *mother.devices[first:last], *father.devices[last:]]
        priorities = [*father.priorities[:first], *mother.priorities[first:last], *father.priorities[last:]]
        for _ in range(1 + int(self._random.expovariate(0.5))):
            if self._random.random() < 0.5:
                priorities[self._random.randrange(count)] = self._random.random()
            else:  # a stretch of neighbours goes to one device
                start = self._random.randrange(count)
                device = self._random.choice(self._runnable[start])
                for i in range(start, min(start + 1 + int(self._random.expovariate(0.3)), count)):
                    if device in self._runnable[i]:
                        devices[i] = device
        return self._individual(tuple(devices), tuple(priorities))

    def orders(self, devices: tuple[str, ...], priorities: tuple[float, ...]) -> Orders:
        """What the genes stand for; ties between priorities go to the operator that comes first in the graph."""
        missing = [len(before) for before in self._before]
        ready = [(-priorities[i], i) for i, count in enumerate(missing) if not count]
        heapq.heapify(ready)
        orders: dict[str, list[str]] = {name: [] for name in self._problem.platform.device_names}
        while ready:
            _, i = heapq.heappop(ready)
            orders[devices[i]].append(self._names[i])
            for after in self._after[i]:
                missing[after] -= 1
                if not missing[after]:
                    heapq.heappush(ready, (-priorities[after], after))
        return orders

    def _individual(self, devices: tuple[str, ...], priorities: tuple[float, ...]) -> _Individual:
        queues = fused_runs(self._problem, self.orders(devices, priorities))
        return _Individual(devices, priorities, self._evaluate(queues))
