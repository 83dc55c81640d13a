"""What a trace of ResNet-50 says of the accelerator: rates by class of layers, launch costs, figures for a sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hetsim.core.graph import Graph
from hetsim.core.platform import Device
from hetsim.costs.hypothetical.imports.imported import ImportedProfile, import_profile
from hetsim.costs.hypothetical.layers import layers
from hetsim.costs.hypothetical.sheet import SheetCosts
from hetsim.io.vendor_profiles.reading import read_vendor_profile
from hetsim.models.model import Model

ELEMENTWISE = ("Add", "MaxPool", "GlobalAveragePool")


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLine:
    """A line of rates.csv: one class of operators of the traced network.

    Attributes:
        model: The network.
        kind: Class of layers, or operator type.
        num_ops: How many operators.
        traced_s: Their time in the trace together, median of warm calls.
        macs_per_s: Multiply-accumulates per second; None for operators without.
        elements_per_s: Elements of their inputs or, where these are more, outputs per second.
        sheet_s: Their time by the sheet of the platform ``phone-htp``, arithmetic alone.
    """

    model: str
    kind: str
    num_ops: int
    traced_s: float
    macs_per_s: float | None
    elements_per_s: float
    sheet_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A trace, imported.

    Attributes:
        model: The network.
        warm: Medians of its later calls.
        cold: Its first call.
    """

    model: Model
    warm: ImportedProfile
    cold: ImportedProfile


def read_trace(path: Path, model: Model) -> Trace:
    """The trace of a model.

    Raises:
        ProfileError: If it cannot be read, or is not one of the model.
    """
    profile = read_vendor_profile([path])
    return Trace(
        model=model,
        warm=import_profile(profile, model.graph, which="warm"),
        cold=import_profile(profile, model.graph, which="cold"),
    )


def launches_s(trace: Trace) -> Mapping[str, float]:
    """By description, what a launch costs: with what the compiler inserted, but for the last two."""
    warm = trace.warm
    on_accelerator = sum(warm.costs.launch_parts_s[name] for name in ("accelerator outside the graph", "waiting"))
    return {
        "cold call": trace.cold.launch_s,
        "warm call": warm.launch_s,
        "warm, accelerator alone": on_accelerator + warm.inserted_s,
        "assumed in `phone`": 1.5e-4,
        "none": 0.0,
    }


def rates(trace: Trace, npu: Device) -> list[RateLine]:
    """Rates by class, in the order of the network; ``npu`` has a data sheet to compare with."""
    graph, seconds = trace.model.graph, trace.warm.seconds
    shape_of = {op: layer.shape for op, layer in layers(trace.model).items()}
    assert npu.sheet is not None
    arithmetic = replace(npu.sheet, memory_bytes_per_s=1e30)
    by_sheet = SheetCosts(npu, arithmetic, graph, layers(trace.model))
    groups: dict[str, list[str]] = {}
    for op in seconds:
        groups.setdefault(shape_of.get(op, graph.by_name[op].kind), []).append(op)
    lines = []
    for kind, ops in groups.items():
        traced_s = sum(seconds[op] for op in ops)
        macs = sum(graph.by_name[op].num_macs for op in ops)
        elements = sum(num_elements(graph, op) for op in ops)
        found = [by_sheet.latency((op,)) for op in ops]
        lines.append(
            RateLine(
                model=trace.model.name,
                kind=kind,
                num_ops=len(ops),
                traced_s=traced_s,
                macs_per_s=macs / traced_s if macs else None,
                elements_per_s=elements / traced_s,
                sheet_s=sum(one.seconds - npu.launch_s for one in found if one is not None),
            )
        )
    return lines


def derived(trace: Trace, lines: list[RateLine]) -> Mapping[str, float]:
    """Figures of a platform file that the trace gives, by their names there."""
    graph, warm = trace.model.graph, trace.warm
    macs_per_s = {line.kind: line.macs_per_s for line in lines if line.macs_per_s is not None}
    peak = max(graph.by_name[op].num_macs / seconds for op, seconds in warm.seconds.items() if seconds > 0)
    moving = [line for line in lines if line.kind in ELEMENTWISE]
    elements = sum(line.elements_per_s * line.traced_s for line in moving)
    input_bytes = sum(graph.tensors[name].num_bytes for name in graph.inputs)
    return {
        "launch_s": warm.launch_s,
        "peak_ops_per_s": 2 * peak,
        "elements_per_s": elements / sum(line.traced_s for line in moving),
        "link": input_bytes / warm.inserted_s,
        **{shape: macs_per_s[shape] / peak for shape in ("pointwise", "spatial", "strided", "shallow")},
    }


def num_elements(graph: Graph, op: str) -> int:
    """Elements of an operator's inputs, or of its outputs where these are more."""
    tensors = (graph.by_name[op].inputs, graph.by_name[op].outputs)
    return max(sum(math.prod(graph.tensors[name].shape) for name in names) for names in tensors)
