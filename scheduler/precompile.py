"""``python -m hetsim.scheduler.precompile``: compile the simulator and the searches before they are needed.

numba compiles a function when it is first called, and keeps the result beside the source. All of it takes half a
minute once for each installation. Small problems, with and without contention for the memory, call every function.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np

from hetsim.core.graph import Graph, Op, Tensor
from hetsim.core.platform import Device, Link, Memory, Platform
from hetsim.core.problem import Latency, Problem
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.list_scheduling.heft import heft
from hetsim.scheduler.registry import solve
from hetsim.scheduler.search.anneal import anneal
from hetsim.sim.compiled import CompiledSimulator

_NUM_OPS = 24
_NUM_LAYERS = 8
_BYTES_PER_TENSOR = 4000
_MAX_EVALUATIONS = 300
_MAX_MOVES = 40_000


def precompile() -> None:
    """Plan two small problems with every algorithm that has compiled parts, and evaluate many plans at once."""
    free = _problem()
    shared_memory = Memory(alone_bytes_per_s={"cpu": 1e6, "npu": 1e6}, shared_bytes_per_s=1e6)
    contended = replace(
        free,
        platform=replace(free.platform, memory=shared_memory),
        traffic_function=lambda _device, ops: _BYTES_PER_TENSOR * len(ops),
        _known={},
    )
    effort = Effort(seed=1, max_evaluations=_MAX_EVALUATIONS)
    for problem in (free, contended):
        for scheduler in ("exact", "search", "genetic"):
            solve(scheduler, problem, effort)
        solve("search", replace(problem, additive=False, _known={}), effort)
        anneal(problem, replace(effort, max_evaluations=_MAX_MOVES), start=heft(problem))
        ops = np.arange(_NUM_OPS, dtype=np.uint32)[None]
        CompiledSimulator(problem).makespans_s(np.array([[0, _NUM_OPS, _NUM_OPS]], np.uint32), ops)


def _problem() -> Problem:
    """A layered graph with random edges and costs, which no algorithm solves without its compiled parts."""
    random = Random(1)
    names = [f"op{i}" for i in range(_NUM_OPS)]
    ops: list[Op] = []
    for i, name in enumerate(names):
        above = names[max(0, i - 2 * _NUM_OPS // _NUM_LAYERS) : i - i % (_NUM_OPS // _NUM_LAYERS)]
        read = random.sample(above, min(2, len(above)))
        inputs = tuple(f"{before}.out" for before in read) or ("x",)
        ops.append(Op(name=name, kind="Task", inputs=inputs, outputs=(f"{name}.out",)))
    tensors = ["x", *(f"{name}.out" for name in names)]
    graph = Graph(
        name="precompile",
        ops=tuple(ops),
        tensors={name: Tensor(name, (_BYTES_PER_TENSOR // 4,)) for name in tensors},
        inputs=("x",),
        outputs=(tensors[-1],),
    )
    devices = tuple(Device(name=name, kind=name, backend="none", nature="hypothetical") for name in ("cpu", "npu"))
    link = Link(setup_s=1e-4)
    platform = Platform(name="precompile", devices=devices, links={("cpu", "npu"): link, ("npu", "cpu"): link})
    cost_s = {(device.name, name): random.uniform(1e-3, 1e-2) for device in devices for name in names}
    return Problem(
        graph=graph,
        platform=platform,
        latency_function=lambda device, segment: Latency(sum(cost_s[device, op] for op in segment)),
        additive=True,
    )


if __name__ == "__main__":
    precompile()
