"""Co-runs: how fast each device proceeds while all devices access the memory at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from hetsim.core.plan import Plan, Segment
from hetsim.costs.profile import CoRun
from hetsim.costs.profile_file import ProfileFile
from hetsim.costs.traffic import memory_bound_ops
from hetsim.models.importer import import_model
from hetsim.models.model import Model, random_inputs
from hetsim.runtime.inference import Inference
from hetsim.runtime.measure.profiler import Progress, warm_up
from hetsim.runtime.runtime import Runtime
from hetsim.runtime.worker_pool import RefusedError


def side_by_side(model: Model, parts: Sequence[tuple[str, ...]]) -> tuple[Model, tuple[tuple[str, ...], ...]]:
    """A model made of segments of another one, each with its own inputs and weights.

    Args:
        model: The model that the segments come from.
        parts: Their operators in topological order; a segment may occur several times.

    Returns:
        The new model, and for each part the names of its operators there.
    """
    nodes: list[onnx.NodeProto] = []
    inputs: list[onnx.ValueInfoProto] = []
    outputs: list[onnx.ValueInfoProto] = []
    weights: list[onnx.TensorProto] = []
    by_name = {node.name: node for node in model.proto.graph.node}
    constants = {tensor.name: tensor for tensor in model.proto.graph.initializer}
    names: list[tuple[str, ...]] = []
    for i, part in enumerate(parts):
        for op in part:
            node = onnx.NodeProto()
            node.CopyFrom(by_name[op])
            node.name = f"{i}/{op}"
            node.input[:] = [f"{i}/{tensor}" if tensor else "" for tensor in node.input]
            node.output[:] = [f"{i}/{tensor}" if tensor else "" for tensor in node.output]
            nodes.append(node)
        for name in dict.fromkeys(name for op in part for name in by_name[op].input if name in constants):
            weight = onnx.TensorProto()
            weight.CopyFrom(constants[name])
            weight.name = f"{i}/{name}"
            weights.append(weight)
        for tensors, values in ((model.graph.inputs_of(part), inputs), (model.graph.outputs_of(part), outputs)):
            for tensor in tensors:
                spec = model.graph.tensors[tensor]
                kind = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
                values.append(helper.make_tensor_value_info(f"{i}/{tensor}", kind, spec.shape))
        names.append(tuple(f"{i}/{op}" for op in part))
    graph = helper.make_graph(nodes, f"parts of {model.name}", inputs, outputs, weights)
    source = model.proto
    proto = helper.make_model(graph, opset_imports=source.opset_import, ir_version=source.ir_version)
    return import_model(proto, name=f"parts of {model.name}"), tuple(names)


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """Runs of several segments, one on each device.

    Attributes:
        model: The model that was run.
        plan: Its plan.
        alone: Serial runs, one segment at a time.
        together: Parallel runs, each after a serial one.
    """

    model: Model
    plan: Plan
    alone: tuple[Inference, ...]
    together: tuple[Inference, ...]


def run_side_by_side(
    runtime: Runtime, model: Model, parts: Mapping[str, tuple[str, ...]], *, num_runs: int
) -> SideBySide:
    """Run a segment on each device, alternately one after the other and all at once.

    Args:
        runtime: The devices.
        model: The model that the segments come from.
        parts: By device, a segment's operators in topological order.
        num_runs: Number of serial runs and of parallel runs.

    Raises:
        RefusedError: If an engine does not support its segment.
        DeviceError: If a device failed.
    """
    pair, names = side_by_side(model, list(parts.values()))
    plan = Plan(
        model=pair.graph.name,
        queues={device: (Segment(device, ops),) for device, ops in zip(parts, names, strict=True)},
    )
    inputs = random_inputs(pair)
    alone, together = [], []
    with runtime.load(pair, plan) as session:
        warm_up(session, inputs)
        for _ in range(num_runs):
            alone.append(session.run(inputs, serial=True))
            together.append(session.run(inputs))
    return SideBySide(model=pair, plan=plan, alone=tuple(alone), together=tuple(together))


def profile_traffic(runtime: Runtime, model: Model, file: ProfileFile, *, num_runs: int, progress: Progress) -> None:
    """Run each memory-bound operator on all devices at once, and record how fast each device proceeds.

    Args:
        runtime: The devices.
        model: The model.
        file: Its profile, with single operators measured; gets the co-runs that it lacks.
        num_runs: Number of co-runs of each operator.
        progress: Told how much of the work is done, and what comes next.

    Raises:
        DeviceError: If a device failed.
    """
    names = runtime.platform.device_names
    wanted = memory_bound_ops(file.profile, model.graph, runtime.platform)
    missing = [op for op in wanted if not all(file.profile.co_run(name, (op,)) for name in names)]
    for number, op in enumerate(missing):
        progress(number / len(missing), f"{op} on all devices at once")
        try:
            found = run_side_by_side(runtime, model, dict.fromkeys(names, (op,)), num_runs=num_runs)
        except RefusedError:
            continue  # an engine does not support the operator
        for device, speeds in co_run_speeds(found).items():
            file.add(CoRun(device=device, ops=(op,), num_devices=len(names), speeds=speeds))


def co_run_speeds(found: SideBySide) -> dict[str, tuple[float, ...]]:
    """By device, its speed in each co-run while another device was running, as a fraction of its speed alone.

    A segment takes ``d`` alone and took ``t``, of which ``o`` overlapped with others. It ran at full speed for
    ``t - o``, so it did ``d - (t - o)`` of its work during ``o``.
    """
    alone_s = np.median([one.durations_s for one in found.alone], axis=0)
    speeds: dict[str, list[float]] = {}
    for run in found.together:
        starts, ends = run.stamps_ns[:, 0] * 1e-9, run.stamps_ns[:, 1] * 1e-9
        for i, step in enumerate(run.flow.steps):
            others = [k for k in range(len(starts)) if k != i]
            begin, end = max(starts[i], starts[others].min()), min(ends[i], ends[others].max())
            overlap_s = end - begin
            if overlap_s > 0:
                left_s = alone_s[i] - (run.durations_s[i] - overlap_s)
                speeds.setdefault(step.segment.device, []).append(float(np.clip(left_s / overlap_s, 0.01, 1.0)))
    return {device: tuple(found) for device, found in speeds.items()}
