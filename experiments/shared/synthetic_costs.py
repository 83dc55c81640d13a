"""Synthetic costs of a network's operators on a hypothetical CPU and NPU.

The costs are a roofline: an operator takes a launch and the longer of its arithmetic and its memory traffic (inputs,
outputs and weights, each once). The CPU is an ordinary core. The NPU is four times as fast at convolutions and matrix
products, three times as slow at anything else, and has a longer launch. These round numbers are assumed. A segment
saves the launches of all but one of its operators. Such costs serve to compare schedulers on the structure of real
networks, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from hetsim.core.graph import Graph
from hetsim.core.platform import Device, Link, Platform
from hetsim.core.problem import Latency, Problem
from hetsim.models.model import Model

HEAVY_KINDS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
SETUP_S = 5e-6
"""Set-up time of a hand-over; nothing is copied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """A device's figures.

    Attributes:
        launch_s: Time of a launch, which every segment has.
        macs_per_s: Rate of multiply-accumulates in convolutions and matrix products.
        heavy_bytes_per_s: Rate of memory traffic in convolutions and matrix products.
        other_bytes_per_s: Rate of memory traffic in all other operators, whose arithmetic is neglected.
    """

    launch_s: float
    macs_per_s: float
    heavy_bytes_per_s: float
    other_bytes_per_s: float


SPEEDS = {
    "cpu": Speed(launch_s=5e-6, macs_per_s=40e9, heavy_bytes_per_s=12e9, other_bytes_per_s=12e9),
    "npu": Speed(launch_s=20e-6, macs_per_s=160e9, heavy_bytes_per_s=24e9, other_bytes_per_s=4e9),
}


def synthetic_problem(model: Model) -> Problem:
    """The model on a hypothetical CPU and NPU; the cost of a single operator counts as measured."""
    graph = model.graph
    alone_s = {
        name: {op.name: speed.launch_s + _work_s(graph, op.name, speed) for op in graph.ops}
        for name, speed in SPEEDS.items()
    }

    def latency(device: str, ops: tuple[str, ...]) -> Latency:
        saved_s = SPEEDS[device].launch_s * (len(ops) - 1)
        return Latency(max(0.0, sum(alone_s[device][op] for op in ops) - saved_s), measured=len(ops) == 1)

    platform = Platform(
        name="synthetic",
        devices=(
            Device(name="cpu", kind="cpu", backend="none", nature="hypothetical", launch_s=SPEEDS["cpu"].launch_s),
            Device(name="npu", kind="npu", backend="none", nature="hypothetical", launch_s=SPEEDS["npu"].launch_s),
        ),
        links={("cpu", "npu"): Link(setup_s=SETUP_S), ("npu", "cpu"): Link(setup_s=SETUP_S)},
    )
    return Problem(graph=graph, platform=platform, latency_function=latency, model_hash=model.hash)


def _work_s(graph: Graph, name: str, speed: Speed) -> float:
    op = graph.by_name[name]
    num_bytes = op.weight_bytes + sum(graph.tensors[tensor].num_bytes for tensor in (*op.inputs, *op.outputs))
    if op.kind in HEAVY_KINDS:
        return max(op.num_macs / speed.macs_per_s, num_bytes / speed.heavy_bytes_per_s)
    return num_bytes / speed.other_bytes_per_s
