"""No scheduler returns an invalid plan: on random problems of every kind, held against the independent checker.

`make test` takes a sample. ``HETSIM_PROBLEMS=0:10000`` takes those of the seeds from 0 up to 10,000::

    HETSIM_PROBLEMS=0:10000 .venv/bin/python -m pytest tests/scheduler/test_valid_plans.py
"""

from __future__ import annotations

import os
import random

import pytest

from hetsim.core.dataflow import SharingCosts, check_plan
from hetsim.core.graph import Graph, Op, Tensor
from hetsim.core.platform import Device, Link, Memory, Platform
from hetsim.core.problem import Latency, Problem
from hetsim.scheduler import make_plan, scheduler_names
from hetsim.sim.check import check_timeline
from hetsim.sim.simulate import simulate

FIRST, LAST = map(int, os.environ.get("HETSIM_PROBLEMS", "0:120").split(":"))
BATCH = 40
FEW = 30
"""Evaluations of those who search."""


def random_problem(seed: int) -> Problem:
    """Anything that the model knows: 1 to 5 devices, partial support, groups that cost less or more than their
    operators or are refused, tensors with several readers, all modes of links, shared tensors that cost something,
    operators that take no time, memory traffic."""
    generator = random.Random(seed)
    names = ("cpu", "npu0", "npu1", "npu2", "gpu")[: generator.choice((1, 2, 2, 2, 3, 3, 4, 5))]
    graph = _graph(generator)
    costs_s = {}
    for op in graph.ops:
        runnable = generator.sample(names, generator.randint(1, len(names)))
        costs_s[op.name] = {name: generator.choice((0.0, 0.25, 0.5, 1.0, generator.random() * 3)) for name in runnable}
    saves = generator.choice((0.0, 0.0, 0.2, -0.1))
    refuses = generator.choice((0.0, 0.0, 0.3))
    links = {(a, b): _link(generator) for a in names for b in names if a != b and generator.random() < 0.8}
    moves = generator.random() < 0.3
    charges = generator.random() < 0.5

    def latency(device: str, ops: tuple[str, ...]) -> Latency | None:
        if any(device not in costs_s[op] for op in ops):
            return None
        own = random.Random(f"{seed} {device} {ops}")
        if len(ops) > 1 and own.random() < refuses:
            return None
        total_s = sum(costs_s[op][device] for op in ops)
        return Latency(total_s * (1 - saves * (len(ops) > 1)), measured=len(ops) == 1 or own.random() < 0.5)

    def access_s(device: str, tensor: str) -> float:
        return random.Random(f"{seed} {device} {tensor}").choice((0.0, 0.1, 1.0))

    return Problem(
        graph=graph,
        platform=Platform(
            name="random",
            devices=tuple(Device(name=name, kind="cpu" if name == "cpu" else "npu", backend="fake") for name in names),
            links=links,
            memory=Memory(shared_bytes_per_s=2e3) if moves else Memory(),
        ),
        latency_function=latency,
        traffic_function=(lambda _, ops: 1000 * len(ops)) if moves else None,
        sharing=SharingCosts(access_s, lambda device, tensor: 0.5 * access_s(device, tensor)) if charges else None,
    )


def _link(generator: random.Random) -> Link:
    return Link(
        setup_s=generator.choice((0.0, 0.1, 1.0)),
        bandwidth_bytes_per_s=generator.choice((1e3, 1e4, float("inf"))),
        mode=generator.choice(("zero-copy", "copy")),
    )


def _graph(generator: random.Random) -> Graph:
    num_ops, reach = generator.randint(1, 16), generator.choice((1, 2, 4, 16))
    made: list[tuple[str, ...]] = []
    ops: list[Op] = []
    tensors = {"x": Tensor("x", (8,))}
    for i in range(num_ops):
        near = [tensor for outputs in made[-reach:] for tensor in outputs]
        reads = generator.sample(near, min(len(near), generator.choice((0, 1, 1, 2, 3))))
        outputs = tuple(f"t{i}.{k}" for k in range(generator.choice((1, 1, 1, 2))))
        tensors |= {name: Tensor(name, (generator.choice((0, 10, 1000)),), "uint8") for name in outputs}
        made.append(outputs)
        ops.append(
            Op(
                name=f"op{i}",
                kind=generator.choice(("Conv", "Relu", "Concat", "Task")),
                inputs=tuple(reads) or generator.choice((("x",), ())),
                outputs=outputs,
            )
        )
    read = {tensor for op in ops for tensor in op.inputs}
    outputs = tuple(tensor for made_here in made for tensor in made_here if tensor not in read)
    return Graph(name="random", ops=tuple(ops), tensors=tensors, inputs=("x",), outputs=outputs)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("start", range(FIRST, LAST, BATCH))
def test_no_scheduler_returns_an_invalid_plan(start: int) -> None:
    for seed in range(start, min(start + BATCH, LAST)):
        problem = random_problem(seed)
        platform = problem.platform
        alone = problem.traffic_function is None
        for name in scheduler_names(problem):
            plan = make_plan(name, problem, seed=seed, max_evaluations=FEW)
            try:
                check_plan(problem.graph, plan, device_names=platform.device_names)
                timeline = simulate(problem, plan)
                duration_s = problem.cost_s if alone else None  # else segments slow each other down
                check_timeline(problem.graph, platform, plan, timeline, duration_s=duration_s, sharing=problem.sharing)
            except Exception as error:
                raise AssertionError(f"{name} on the problem of seed {seed}: {error}") from error


def test_the_random_problems_are_of_every_kind() -> None:
    drawn = [random_problem(seed) for seed in range(200)]
    assert {len(problem.platform.devices) for problem in drawn} == {1, 2, 3, 4, 5}
    assert {link.mode for problem in drawn for link in problem.platform.links.values()} == {
        "copy",
        "zero-copy",
    }
    assert {problem.traffic_function is None for problem in drawn} == {True, False}
    assert {problem.sharing is None for problem in drawn} == {True, False}
    assert max(len(problem.graph.ops) for problem in drawn) > 12
    refused = [
        problem
        for problem in drawn
        for name in problem.platform.device_names
        if len(problem.graph.ops) > 1
        and all(problem.latency(name, (op.name,)) for op in problem.graph.ops)
        and problem.latency(name, tuple(op.name for op in problem.graph.ops)) is None
    ]
    assert refused
