"""Verify devices operator by operator, and plans segment by segment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import helper

from hetsim.analysis.verification.records import DeviceFindings, Difference, Finding, PlanFindings, Verdict
from hetsim.core.dataflow import Dataflow, check_plan
from hetsim.core.deviation import OPERATOR_TOLERANCE
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan
from hetsim.core.platform import Device
from hetsim.models.model import Model
from hetsim.models.reference import serialized
from hetsim.models.source import Source
from hetsim.models.split.planned import planned_model
from hetsim.runtime.verifying.accumulated import Accumulation
from hetsim.runtime.verifying.chunks import CHUNK_BYTES, CHUNK_OPS, Reference, batches, chunks
from hetsim.runtime.verifying.devices import RestartableDevices, Values
from hetsim.runtime.verifying.isolated import Isolated, run_isolated
from hetsim.runtime.verifying.judge import draws_random, judge, judge_outputs, worst_difference

Progress = Callable[[float, str], None]
"""Told how much of the work is done, from 0 to 1, and what comes next."""


def verify_devices(
    devices: RestartableDevices,
    model: Model,
    inputs: Sequence[Values],
    *,
    names: Sequence[str] = (),
    progress: Progress = lambda _done, _what: None,
    chunk_bytes: int = CHUNK_BYTES,
    chunk_ops: int = CHUNK_OPS,
) -> tuple[DeviceFindings, ...]:
    """Every operator on every device, isolated and accumulated.

    Args:
        devices: The devices; all of them have engines.
        model: The model, not a rewritten one.
        inputs: Values of its inputs, one or several times.
        names: The devices to verify; empty for all.
        progress: Told how far it is.
        chunk_bytes: Tensors and weights that are handled at once.
        chunk_ops: Operators that are loaded at once.

    Raises:
        ModelError: If the reference engine cannot run the model.
        DeviceError: If a worker does not start.
    """
    reference = Reference(model, inputs)
    chosen = [device for device in devices.platform.devices if not names or device.name in names]
    found: dict[str, list[Finding]] = {device.name: [] for device in chosen}
    states = {name: Accumulation(devices, name, model, inputs) for name in found}
    outputs: dict[str, list[dict[str, Any]]] = {name: [{} for _ in inputs] for name in found}
    num_done = 0
    for ops in chunks(model.graph, max_bytes=chunk_bytes, max_ops=chunk_ops):
        expected = reference.borders([(op,) for op in ops])
        for device in chosen:
            state = states[device.name]
            progress(num_done / len(model.graph.ops) / len(found), f"{ops[0]} on {device.name}")
            found[device.name] += _verify_ops(devices, device, model, ops, expected, state)
            for made, values in zip(outputs[device.name], state.values, strict=True):
                made |= {name: values[name] for name in model.graph.outputs if name in values}
            state.forget(_dead(model.graph, ops))
            num_done += len(ops)
    right = [{**one, **model.reference_outputs(one)} for one in inputs]
    engines = devices.running.engines
    return tuple(
        DeviceFindings(
            device=device.name,
            nature=device.nature,
            engine=engines[device.name],
            precision=device.precision,
            tolerance=OPERATOR_TOLERANCE[device.precision],
            ops=tuple(found[device.name]),
            outputs=judge_outputs(model, outputs[device.name], right),
        )
        for device in chosen
    )


def verify_plan(
    devices: RestartableDevices,
    base: Model,
    plan: Plan,
    inputs: Sequence[Values],
    *,
    progress: Progress = lambda _done, _what: None,
    max_bytes: int = CHUNK_BYTES,
) -> PlanFindings:
    """Every segment of a plan, isolated and accumulated, and the model's outputs.

    Args:
        devices: The devices; all that the plan uses have engines.
        base: The plan's model.
        plan: The plan; its rewrites are applied here.
        inputs: Values of the model's inputs, one or several times.
        progress: Told how far it is.
        max_bytes: Tensors and weights of segments that are handled at once.

    Raises:
        PlanError: If the plan is not valid for the model and the devices.
        ModelError: If the reference engine cannot run the model.
        DeviceError: If a worker does not start.
    """
    model = standalone(planned_model(base, plan))
    plan = replace(plan.in_order(model.graph), model=model.name, model_hash="", rewrites=())
    flow = check_plan(model.graph, plan, device_names=devices.platform.device_names)
    every = tuple(step.segment for step in flow.steps)
    reference = Reference(model, inputs)
    outputs, made = _execute(devices, model, plan, flow, inputs)
    found: dict[tuple[str, ...], Finding] = {}
    for device in plan.queues:
        own = [segment.ops for segment in every if segment.device == device]
        for group in batches(model.graph, own, max_bytes=max_bytes):
            progress(len(found) / len(every), f"{group[0][0]} on {device}")
            expected = reference.borders(group)
            comparable = [ops for ops in group if not any(draws_random(model, op) for op in ops)]
            results = run_isolated(devices, device, model, comparable, expected)
            isolated = dict(zip(comparable, results, strict=True))
            for ops in group:
                found[ops] = _finding(model, devices.platform.device(device), ops, isolated.get(ops), expected, made)
    precisions = [devices.platform.device(name).precision for name in plan.queues]
    right = [{**one, **base.reference_outputs(one)} for one in inputs]
    return PlanFindings(
        plan=plan.scheduler or plan.model,
        segments=tuple(found[segment.ops] for segment in every),
        outputs=judge_outputs(model, outputs, right, precisions) if outputs else (),
    )


def standalone(model: Model) -> Model:
    """The model itself, or of a rewritten one a copy with weights and types, which is an imported model to others."""
    if model.base is None:
        return model
    proto = model.standalone_proto()
    declared = {value.name for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info)}
    proto.graph.value_info.extend(
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)), tensor.shape)
        for name, tensor in model.graph.tensors.items()
        if name not in declared
    )
    digest = hashlib.sha256(serialized(proto)).hexdigest()
    source = Source(load=None, custom_ops=model.custom_ops)
    return Model(graph=model.graph, proto=proto, hash=digest, regions=model.regions, source=source)


def _execute(
    devices: RestartableDevices, model: Model, plan: Plan, flow: Dataflow, inputs: Sequence[Values]
) -> tuple[tuple[Values, ...], tuple[Values, ...]]:
    """By input, the outputs of the plan as it stands, and what all of its segments make; empty if it does not run.

    For the latter, tensors between segments are the model's outputs, so no device stores them in a format of its own.
    """
    outputs = devices.attempt(model, plan, inputs).outputs
    if not outputs:
        return (), ()
    borders = tuple(name for step in flow.steps for name in step.outputs)
    open_model = replace(model, graph=replace(model.graph, outputs=borders))
    return outputs, devices.attempt(open_model, plan, inputs).outputs


def _verify_ops(
    devices: RestartableDevices,
    device: Device,
    model: Model,
    ops: tuple[str, ...],
    expected: Sequence[Values],
    accumulation: Accumulation,
) -> list[Finding]:
    """The operators of a chunk on one device."""
    random = {op for op in ops if draws_random(model, op)}
    parts = [(op,) for op in ops if op not in random]
    isolated = dict(zip(parts, run_isolated(devices, device.name, model, parts, expected), strict=True))
    refused = {part[0] for part, one in isolated.items() if not one.found}
    accumulation.run(ops, elsewhere=refused | random, expected=expected)
    return [_finding(model, device, (op,), isolated.get((op,)), expected, accumulation.values) for op in ops]


def _finding(
    model: Model,
    device: Device,
    ops: tuple[str, ...],
    isolated: Isolated | None,
    expected: Sequence[Values],
    accumulated: Sequence[Values],
) -> Finding:
    """What is said of a part; without ``isolated`` it draws random numbers, without ``accumulated`` nothing is known
    of that.
    """
    graph = model.graph
    verdict: Verdict = "random" if isolated is None else "refused" if isolated.is_refusal else "failed"
    worst: Difference | None = None
    if isolated is not None and isolated.found:
        judgement = judge(model, ops, isolated.found, expected, device.precision)
        verdict, worst = judgement.verdict, judgement.difference
    names = graph.outputs_of(ops)
    return Finding(
        device=device.name,
        ops=ops,
        label=graph.label(ops),
        kind=graph.by_name[ops[0]].kind if len(ops) == 1 else "",
        position=graph.position[ops[0]],
        verdict=verdict,
        reason="" if isolated is None else isolated.reason,
        isolated=worst,
        accumulated=worst_difference(accumulated, expected, names) if accumulated and isolated is not None else None,
    )


def _dead(graph: Graph, ops: tuple[str, ...]) -> tuple[str, ...]:
    """Tensors that no operator after these, which are in topological order, reads."""
    last = graph.position[ops[-1]]
    names = dict.fromkeys(name for op in ops for name in (*graph.by_name[op].inputs, *graph.by_name[op].outputs))
    return tuple(name for name in names if all(graph.position[reader] <= last for reader in graph.consumers[name]))
