"""Random task graphs of any size, for comparing schedulers and timing simulators.

Layered graphs with unrelated costs are the customary test bed of list scheduling; H. Topcuoglu, S. Hariri, M.-Y. Wu,
"Performance-effective and low-complexity task scheduling for heterogeneous computing", IEEE Transactions on Parallel
and Distributed Systems 13(3), 2002, doi 10.1109/71.993206, describe a generator of this kind.
"""

from __future__ import annotations

import math
import random
from itertools import chain

from hetsim.core.graph import Graph, Op, Tensor
from hetsim.core.platform import Device, Link, Memory, Platform
from hetsim.core.problem import Latency, Problem

MIN_COST_S, MAX_COST_S = 1e-3, 10e-3
SETUP_S = (MIN_COST_S + MAX_COST_S) / 2 / 10
"""Set-up time of a hand-over: a tenth of the mean cost."""
MIN_TRAFFIC_BYTES, MAX_TRAFFIC_BYTES = 1_000_000, 7_000_000
TENSOR_BYTES = 1 << 20
MAX_READS = 3
REACH = 3
"""An operator reads from at most this many layers above its own."""


def layered_problem(num_ops: int, *, seed: int, num_devices: int = 2, contention: float = 0.0) -> Problem:
    """A layered graph on devices whose costs have nothing to do with each other.

    There are about ``sqrt(num_ops)`` layers, none empty, over which operators are distributed at random. An operator
    below the first layer reads one of the layer above it, and up to two more of the three layers above; so its layer
    is its depth.
    Each operator costs 1 to 10 ms on each device, uniform; a segment costs the sum of its operators. Hand-overs are
    zero-copy and take 0.55 ms.

    Args:
        num_ops: How many operators, at least 1.
        seed: The same arguments give the same problem; ``contention`` changes neither graph nor costs.
        num_devices: At least 1. The first is ``cpu``, the others ``npu0``, ``npu1`` and so on; ``npu`` if there is one
            other device only.
        contention: The mean bandwidth that all devices at work demand, relative to the bandwidth that the memory
            sustains. Operators move 1 to 7 MB each, uniform; 0 stands for a problem without memory traffic.

    Raises:
        ValueError: If an argument is out of range.
    """
    if num_ops < 1:
        raise ValueError(f"num_ops must be >= 1, got {num_ops}")
    if num_devices < 1:
        raise ValueError(f"num_devices must be >= 1, got {num_devices}")
    if not contention >= 0:
        raise ValueError(f"contention must be >= 0, got {contention}")
    generator = random.Random(seed)
    names = ("cpu", "npu")[:num_devices] if num_devices <= 2 else ("cpu", *(f"npu{i}" for i in range(num_devices - 1)))
    graph = _layered(num_ops, generator)
    costs_s = {op.name: {name: generator.uniform(MIN_COST_S, MAX_COST_S) for name in names} for op in graph.ops}
    traffic = {op.name: generator.randint(MIN_TRAFFIC_BYTES, MAX_TRAFFIC_BYTES) for op in graph.ops}
    mean_inverse_cost = math.log(MAX_COST_S / MIN_COST_S) / (MAX_COST_S - MIN_COST_S)
    demand_bytes_per_s = num_devices * (MIN_TRAFFIC_BYTES + MAX_TRAFFIC_BYTES) / 2 * mean_inverse_cost
    platform = Platform(
        name="random",
        devices=tuple(
            Device(name=name, kind="cpu" if name == "cpu" else "npu", backend="fake", nature="hypothetical")
            for name in names
        ),
        links={(a, b): Link(setup_s=SETUP_S) for a in names for b in names if a != b},
        memory=Memory(shared_bytes_per_s=demand_bytes_per_s / contention) if contention else Memory(),
    )

    def latency(device: str, ops: tuple[str, ...]) -> Latency:
        return Latency(sum(costs_s[op][device] for op in ops))

    def traffic_bytes(_: str, ops: tuple[str, ...]) -> int:
        return sum(traffic[op] for op in ops)

    return Problem(
        graph=graph,
        platform=platform,
        latency_function=latency,
        traffic_function=traffic_bytes if contention else None,
        additive=True,
    )


def _layered(num_ops: int, generator: random.Random) -> Graph:
    num_layers = round(num_ops**0.5)
    depths = sorted((*range(num_layers), *(generator.randrange(num_layers) for _ in range(num_ops - num_layers))))
    layers: list[list[str]] = [[] for _ in range(num_layers)]
    ops: list[Op] = []
    for i, depth in enumerate(depths):
        reads = []
        if depth:
            near = list(chain.from_iterable(layers[max(0, depth - REACH) : depth]))
            wanted = generator.randint(1, MAX_READS)
            reads = [generator.choice(layers[depth - 1])]
            reads += [op for op in generator.sample(near, min(wanted, len(near))) if op not in reads][: wanted - 1]
        layers[depth].append(f"op{i}")
        ops.append(
            Op(
                name=f"op{i}",
                kind="Task",
                inputs=tuple(f"{before}.out" for before in reads) or ("x",),
                outputs=(f"op{i}.out",),
            )
        )
    read = {tensor for op in ops for tensor in op.inputs}
    made = [op.outputs[0] for op in ops]
    return Graph(
        name=f"layered-{num_ops}",
        ops=tuple(ops),
        tensors={name: Tensor(name, (TENSOR_BYTES,), "uint8") for name in ("x", *made)},
        inputs=("x",),
        outputs=tuple(name for name in made if name not in read),
    )
