"""Large graphs of several shapes, their problems with counted work, and long ONNX models."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from hetsim.core.problem import Latency, Problem
from tests.support.problems import graph_of, platform_of, problem_of

Reads = dict[str, tuple[str, ...]]
"""By operator, its predecessors."""


def chain(count: int) -> Reads:
    return {f"n{i}": (f"n{i - 1}",) if i else () for i in range(count)}


def wide(count: int) -> Reads:
    middle = tuple(f"n{i}" for i in range(1, count - 1))
    return {"n0": (), **dict.fromkeys(middle, ("n0",)), "last": middle}


def parallel(count: int, width: int = 8) -> Reads:
    """Chains side by side, in turns."""
    reads: Reads = {f"n{i}": (f"n{i - width}",) if i >= width else () for i in range(count - 1)}
    return {**reads, "last": tuple(f"n{i}" for i in range(count - 1 - width, count - 1))}


def series_parallel(count: int, width: int = 4, depth: int = 3) -> Reads:
    reads: Reads = {"n0": ()}
    last = "n0"
    while len(reads) + width * depth < count:
        number = len(reads)
        for branch in range(width):
            for k in range(depth):
                name = f"n{number}.{branch}.{k}"
                reads[name] = (f"n{number}.{branch}.{k - 1}",) if k else (last,)
        last = f"n{number}"
        reads[last] = tuple(f"n{number}.{branch}.{depth - 1}" for branch in range(width))
    return reads


def layered(count: int, width: int = 10) -> Reads:
    generator = random.Random(1)
    reads: Reads = {}
    for i in range(count):
        layer = i // width
        above = [f"n{k}" for k in range((layer - 1) * width, layer * width)] if layer else []
        reads[f"n{i}"] = tuple(generator.sample(above, 2)) if above else ()
    return reads


SHAPES: dict[str, Callable[..., Reads]] = {
    "chain": chain,
    "wide": wide,
    "parallel": parallel,
    "series_parallel": series_parallel,
    "layered": layered,
}


def large_problem(reads: Reads, *, additive: bool = False) -> Problem:
    """Two devices, each of which is faster for some operators; fusing saves launches unless it gains nothing.

    One operator in nine runs on the first device alone, so that no plan is one segment.
    """
    generator = random.Random(2)
    costs = {
        op: {"cpu": generator.uniform(1.0, 3.0), "npu": generator.uniform(0.5, 4.0)} if i % 9 else {"cpu": 1.0}
        for i, op in enumerate(reads)
    }
    platform = platform_of("cpu", "npu", setup_s=0.1, bandwidth_bytes_per_s=1e4)
    problem = problem_of(graph_of(reads), costs, platform, launch_s=0.0 if additive else 0.25)
    latency = problem.latency_function

    def stated(device: str, ops: tuple[str, ...]) -> Latency | None:
        found = latency(device, ops)
        return found and replace(found, measured=True)

    return replace(problem, latency_function=stated, additive=additive, _known={})


def with_costs_seen(problem: Problem, see: Callable[[int], object]) -> Problem:
    """The same problem, which tells how many operators each segment has whose cost is looked up for the first time."""
    latency = problem.latency_function

    def seen(device: str, ops: tuple[str, ...]) -> Latency | None:
        see(len(ops))
        return latency(device, ops)

    return replace(problem, latency_function=seen, _known={})


def num_calls(function: Callable[[], object]) -> int:
    """How often Python code and functions in C are called, a measure of work that does not depend on the machine."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def onnx_chain(count: int) -> onnx.ModelProto:
    """A model of convolutions and cheap operators one after the other."""
    weights = np.full((8, 8, 1, 1), 0.1, np.float32)
    nodes = []
    for i in range(count):
        read, kind = f"t{i - 1}" if i else "x", ("Conv", "Relu", "Neg", "Sigmoid")[i % 4]
        nodes.append(helper.make_node(kind, [read, "w"] if kind == "Conv" else [read], [f"t{i}"], name=f"n{i}"))
    shape: Any = [1, 8, 16, 16]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"t{count - 1}", TensorProto.FLOAT, shape)],
        [helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.ravel())],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model
