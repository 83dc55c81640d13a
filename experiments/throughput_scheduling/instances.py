"""Random task graphs that mean the same to hetsim and to SAGA.

The structure is that of :func:`experiments.shared.random_graphs.layered_problem`. Each edge has a tensor of its own,
since SAGA charges a transfer for each edge, and hetsim for each tensor and receiving device.

*Related* costs are SAGA's model: an operator takes its work over the speed of the device. *Unrelated* costs have
nothing to do with each other; SAGA then gets the geometric means of operators and devices, and its plans are judged by
the costs themselves. Without *copies*, tensors arrive at once. With them, all transfers share hetsim's memory channel.
Between two devices that is SAGA's one link. Between more, SAGA plans with a link for each pair, and its plans are
judged by the channel.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from experiments.shared.random_graphs import MAX_COST_S, MIN_COST_S, layered_problem
from hetsim.core.graph import Graph, Op, Tensor
from hetsim.core.platform import Link, Platform
from hetsim.core.problem import Latency, Problem

NUM_DEVICES = (2, 3, 4)
MIN_OPS, MAX_OPS = 10, 50
MIN_SPEED, MAX_SPEED = 0.5, 2.0
MAX_BYTES = 1_000_000
COPY_SHARES = (0.1, 0.3, 1.0)
"""What copying the mean tensor takes, relative to the mean operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A random task graph.

    Attributes:
        name: Its name, which determines it.
        problem: The problem.
        work: By operator, what SAGA is told that it costs.
        speeds: By device, what SAGA is told of its speed.
        is_related: Whether that is exactly what the problem says.
        has_copies: Whether transfers take the channel.
    """

    name: str
    problem: Problem
    work: dict[str, float]
    speeds: dict[str, float]
    is_related: bool
    has_copies: bool

    def description(self) -> dict[str, object]:
        """The instance as :mod:`experiments.throughput_scheduling.saga_plans` reads it."""
        graph, platform = self.problem.graph, self.problem.platform
        names = platform.device_names
        return {
            "name": self.name,
            "tasks": list(self.work.items()),
            "edges": [
                (graph.producer[tensor], op.name, graph.tensors[tensor].num_bytes)
                for op in graph.ops
                for tensor in op.inputs
                if tensor in graph.producer
            ],
            "nodes": list(self.speeds.items()),
            "links": [(a, b, platform.link(a, b).bandwidth_bytes_per_s) for a, b in itertools.combinations(names, 2)],
        }


def instances(count: int, *, seed: int, max_ops: int = MAX_OPS) -> Iterator[Instance]:
    """So many instances: all numbers of devices, with and without copies, related and not, in turn.

    They have :data:`MIN_OPS` to ``max_ops`` operators. Their names are the same whatever ``max_ops`` is.
    """
    kinds = list(itertools.product(NUM_DEVICES, (False, True), (True, False)))
    for number in range(count):
        num_devices, has_copies, is_related = kinds[number % len(kinds)]
        yield _instance(seed + number, max_ops, num_devices, has_copies=has_copies, is_related=is_related)


def _instance(seed: int, max_ops: int, num_devices: int, *, has_copies: bool, is_related: bool) -> Instance:
    generator = random.Random(seed)
    base = layered_problem(generator.randint(MIN_OPS, max_ops), seed=seed, num_devices=num_devices)
    names, graph = base.platform.device_names, _one_tensor_an_edge(base.graph, generator)
    if is_related:
        speeds = {name: generator.uniform(MIN_SPEED, MAX_SPEED) for name in names}
        work = {op.name: generator.uniform(MIN_COST_S, MAX_COST_S) for op in graph.ops}
        costs_s = {op: {name: work[op] / speeds[name] for name in names} for op in work}
    else:
        costs_s = {op.name: {name: base.cost_s(name, (op.name,)) for name in names} for op in graph.ops}
        mean = _geometric_mean([seconds for some in costs_s.values() for seconds in some.values()])
        work = {op: _geometric_mean(list(some.values())) for op, some in costs_s.items()}
        speeds = {name: mean / _geometric_mean([some[name] for some in costs_s.values()]) for name in names}
    share = generator.choice(COPY_SHARES) if has_copies else 0.0
    platform = _linked(base.platform, share)

    def latency(device: str, ops: tuple[str, ...]) -> Latency:
        return Latency(sum(costs_s[op][device] for op in ops))

    return Instance(
        name=f"{'related' if is_related else 'unrelated'}-{num_devices}{'-copies' if has_copies else ''}/{seed}",
        problem=Problem(graph=graph, platform=platform, latency_function=latency, additive=True),
        work=work,
        speeds=speeds,
        is_related=is_related,
        has_copies=has_copies,
    )


def _one_tensor_an_edge(graph: Graph, generator: random.Random) -> Graph:
    """The graph with a tensor of random size for each edge, and one for each operator that nobody reads."""
    outputs: dict[str, list[str]] = {
        op.name: [f"{op.name}>{after}" for after in graph.successors[op.name]] for op in graph.ops
    }
    ends = [f"{name}>" for name, tensors in outputs.items() if not tensors]
    ops = tuple(
        Op(
            name=op.name,
            kind=op.kind,
            inputs=tuple(f"{before}>{op.name}" for before in graph.predecessors[op.name]) or graph.inputs,
            outputs=tuple(outputs[op.name]) or (f"{op.name}>",),
        )
        for op in graph.ops
    )
    tensors = {name: graph.tensors[name] for name in graph.inputs}
    for op in ops:
        tensors |= {name: Tensor(name, (generator.randint(1, MAX_BYTES),), "uint8") for name in op.outputs}
    return Graph(name=graph.name, ops=ops, tensors=tensors, inputs=graph.inputs, outputs=tuple(ends))


def _linked(platform: Platform, share: float) -> Platform:
    """The platform with links that copy the mean tensor in a share of the mean cost; 0 for links that are free."""
    link = Link()
    if share:
        copy_s = share * (MIN_COST_S + MAX_COST_S) / 2
        link = Link(bandwidth_bytes_per_s=MAX_BYTES / 2 / copy_s, mode="copy")
    return replace(platform, links=dict.fromkeys(platform.links, link))


def _geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))
