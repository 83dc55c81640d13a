"""Measure the numbers of a platform: launches, hand-overs, memory, host. Each is measured by running a small model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hetsim.core.load import Load
from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import Calibration, Host, Link, Memory, Platform
from hetsim.models.importer import import_model
from hetsim.models.model import Model, random_inputs
from hetsim.runtime.inference import Inference
from hetsim.runtime.machine.fingerprint import machine_fingerprint
from hetsim.runtime.machine.system import available_cores
from hetsim.runtime.measure.interleaved import RUNS_PER_ROUND, InterleavedRounds
from hetsim.runtime.runtime import Runtime
from hetsim.runtime.serving.load import Served, serve

_CHAIN_OPS = 24
_SMALL_ELEMENTS = 16
_LARGE_ELEMENTS = 2**17  # 512 KiB: a usual size of tensors in networks, which fits a core's own cache
_HOST_ELEMENTS = 2**20  # 4 MiB in and out, in requests that take milliseconds
_HOST_REQUESTS = 20
_MATRIX = (8192, 4096)  # 128 MiB of weights: more than one core's share of a large server's last-level cache
_WARM_UPS = 5
_ROUNDS = 15  # of the chains, about half a second in all, as interference often lasts some tenths of a second
_STALL_BUDGET_S = 2.5
_ROUNDS_AGAIN = 4  # to find out whether a calibration still holds
_LAUNCH_ERROR_S = 5e-6  # of these few rounds
_MEMORY_RUNS = 8


def calibrate(runtime: Runtime, *, progress: Callable[[float, str], None] | None = None) -> Platform:
    """The runtime's platform with its numbers measured on this machine; blocks for some seconds.

    - ``launch_s``: median duration of a segment that does almost nothing.
    - ``setup_s`` of each ordered pair of devices: median time from the end of a tiny segment on one device to the start
      of its consumer on the other, which is idle and waits.
    - ``bandwidth_bytes_per_s`` of each ordered pair: from the additional duration of a segment whose large input was
      written by the other device. It is infinite if no difference can be measured. Chains on one device and on two run
      in interleaved rounds (:mod:`hetsim.runtime.measure.interleaved`).
    - ``host``: the time from taking up a request until its first segment can start, and from the end of its last
      segment until the caller has the outputs, with inputs and outputs of two sizes.
    - ``alone_bytes_per_s`` and ``shared_bytes_per_s``: the rate at which a large matrix-vector product reads its
      weights, on one device and on all devices at once.

    Args:
        runtime: The devices.
        progress: Told how much of the work is done, from 0 to 1, and what comes next.

    Raises:
        DeviceError: If a device failed or does not support the probes (Neg, Abs, MatMul, Add).
    """
    report = progress or (lambda _done, _text: None)
    platform = _with_launches_and_links(runtime, lambda done, text: report(0.6 * done, text))
    report(0.6, "submitting and collecting")
    matrices = _matrices(len(platform.devices))
    host = _measure_host(runtime, matrices)
    report(0.7, "memory bandwidth")
    memory = _measure_memory(runtime, matrices)
    calibration = Calibration(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine_fingerprint(),
        num_samples=_ROUNDS * RUNS_PER_ROUND,
    )
    report(1.0, "calibrated")
    return replace(platform, memory=memory, host=host, calibration=calibration)


def contradiction(runtime: Runtime, before: Platform) -> str:
    """What a short measurement contradicts in an earlier calibration of the runtime's platform; empty if nothing.

    Launch costs contradict each other if they differ by half of the larger one and by more than so short a measurement
    may be off. What bytes cost is not compared: it changes fivefold when the host of a virtual machine moves a core,
    for seconds or minutes, and profiles know by transfer probes how it is.

    Args:
        runtime: The devices.
        before: The platform as it was calibrated.

    Raises:
        DeviceError: If a device failed.
    """
    small = _in_rounds(runtime, _chain(_SMALL_ELEMENTS), [], _ROUNDS_AGAIN, lambda _: None)
    for name in runtime.platform.device_names:
        before_s, now_s = before.device(name).launch_s, _median_step_s(small[name,], name)
        if abs(now_s - before_s) > max(_LAUNCH_ERROR_S, max(now_s, before_s) / 2):
            return f"launching on {name} takes {now_s * 1e6:.1f} us, and took {before_s * 1e6:.1f}"
    return ""


def _with_launches_and_links(runtime: Runtime, report: Callable[[float, str], None]) -> Platform:
    """The platform with what launches and hand-overs cost."""
    platform = runtime.platform
    names = platform.device_names
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    small = _in_rounds(runtime, _chain(_SMALL_ELEMENTS), pairs, _ROUNDS, lambda done: report(done / 2, "launching"))
    large = _in_rounds(
        runtime, _chain(_LARGE_ELEMENTS), pairs, _ROUNDS, lambda done: report((1 + done) / 2, "handing over")
    )
    launch_s = {name: _median_step_s(small[name,], name) for name in names}
    links: dict[tuple[str, str], Link] = {}
    for pair in pairs:
        for source, target in (pair, pair[::-1]):
            extra_s = _median_step_s(large[pair], target) - _median_step_s(large[target,], target)
            num_bytes = _LARGE_ELEMENTS * 4
            links[source, target] = replace(
                platform.link(source, target),
                setup_s=_median_gap_s(small[pair], source, target),
                bandwidth_bytes_per_s=num_bytes / extra_s if extra_s > 0 else float("inf"),
            )
    devices = [replace(device, launch_s=launch_s[device.name]) for device in platform.devices]
    return replace(platform.with_devices(*devices), links=links)


def _chain(num_elements: int) -> Model:
    """A chain of alternating Neg and Abs, which no engine can simplify."""
    nodes = [
        helper.make_node("Neg" if i % 2 == 0 else "Abs", [f"t{i}"], [f"t{i + 1}"], name=f"op{i}")
        for i in range(_CHAIN_OPS)
    ]
    shape = [1, num_elements]
    return _import("chain", nodes, ["t0"], [f"t{_CHAIN_OPS}"], shape)


def _matrices(count: int) -> Model:
    """``count`` large products of a vector each with one matrix, of which each device has a copy, and their sum."""
    rows, columns = _MATRIX
    nodes = [helper.make_node("MatMul", [f"x{i}", "w"], [f"y{i}"], name=f"product{i}") for i in range(count)]
    total = "y0"
    for i in range(1, count):
        nodes.append(helper.make_node("Add", [total, f"y{i}"], [f"sum{i}"], name=f"sum{i}"))
        total = f"sum{i}"
    weights = [numpy_helper.from_array(np.random.default_rng(0).random((rows, columns), dtype=np.float32), "w")]
    return _import("matrices", nodes, [f"x{i}" for i in range(count)], [total], [1, rows], weights, [1, columns])


def _import(
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: list[str],
    outputs: list[str],
    shape: list[int],
    weights: list[onnx.TensorProto] | None = None,
    output_shape: list[int] | None = None,
) -> Model:
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, shape) for tensor in inputs],
        [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, output_shape or shape) for tensor in outputs],
        weights or [],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return import_model(proto, name=f"probe {name}")


def _alternate(model: Model, names: list[str]) -> Plan:
    """Each operator in its own segment, on the devices alternately."""
    queues: dict[str, list[Segment]] = {name: [] for name in names}
    for i, op in enumerate(model.graph.ops):
        name = names[i % len(names)]
        queues[name].append(Segment(name, (op.name,)))
    return Plan(model=model.graph.name, queues={name: tuple(queue) for name, queue in queues.items()})


def _in_rounds(
    runtime: Runtime,
    model: Model,
    pairs: Sequence[tuple[str, str]],
    num_rounds: int,
    report: Callable[[float], None],
) -> Mapping[tuple[str, ...], list[Inference]]:
    """Parallel runs of a chain on each device and each pair of devices, in interleaved rounds."""
    placements = [*((name,) for name in runtime.platform.device_names), *pairs]
    with ExitStack() as stack:
        sessions = {
            i: stack.enter_context(runtime.load(model, _alternate(model, list(names))))
            for i, names in enumerate(placements)
        }
        rounds = InterleavedRounds(
            sessions,
            random_inputs(model),
            runtime.interference_monitor,
            num_rounds=num_rounds,
            stall_budget_s=_STALL_BUDGET_S * num_rounds / _ROUNDS,
        )
        for done in rounds.run_all():
            report(done)
        return {names: rounds.runs_of(i) for i, names in enumerate(placements)}


def _runs(runtime: Runtime, model: Model, plan: Plan, count: int) -> list[Inference]:
    inputs = random_inputs(model)
    with runtime.load(model, plan) as session:
        for _ in range(_WARM_UPS):
            session.run(inputs)
        return [session.run(inputs) for _ in range(count)]


def _median_step_s(runs: list[Inference], device: str) -> float:
    """Median duration of a device's segments, without the plan's first two, whose caches are colder."""
    steps = [i for i, step in enumerate(runs[0].flow.steps) if step.segment.device == device and i > 1]
    return float(np.median([one.durations_s[steps] for one in runs]))


def _median_gap_s(runs: list[Inference], source: str, target: str) -> float:
    """Median time from the end of a segment on one device to the start of its consumer on the other; at least 0."""
    steps = runs[0].flow.steps
    into = [
        i for i, step in enumerate(steps) if i > 1 and step.segment.device == target and step.inputs[0][1] is not None
    ]
    hand_overs = [i for i in into if steps[i - 1].segment.device == source]
    gaps = [(one.stamps_ns[i, 0] - one.stamps_ns[i - 1, 1]) * 1e-9 for one in runs for i in hand_overs]
    return max(float(np.median(gaps)), 0.0)


def _measure_host(runtime: Runtime, small: Model) -> Host:
    """The host's times under load: the devices run for milliseconds while the host submits and collects."""
    names = list(runtime.platform.device_names)
    large = _chain(_HOST_ELEMENTS)

    def served(model: Model) -> Served:
        with runtime.load(model, _alternate(model, names), num_slots=2) as session:
            return serve(session, random_inputs(model), Load(num_requests=_HOST_REQUESTS, num_slots=2))

    few, many = served(small), served(large)
    submit_s, collect_s = float(np.median(few.submit_s)), float(np.median(few.collect_s))
    extra_s = float(np.median(many.submit_s)) - submit_s + float(np.median(many.collect_s)) - collect_s
    extra_bytes = (
        large.graph.input_bytes + large.graph.output_bytes - small.graph.input_bytes - small.graph.output_bytes
    )
    return Host(
        submit_setup_s=submit_s,
        collect_setup_s=collect_s,
        shares_cores=set(available_cores()) <= set(runtime.platform.cores),
        bandwidth_bytes_per_s=extra_bytes / extra_s if extra_s > 0 else float("inf"),
    )


def _measure_memory(runtime: Runtime, together: Model) -> Memory:
    names = runtime.platform.device_names
    num_bytes = 4 * _MATRIX[0] * _MATRIX[1]
    alone: dict[str, float] = {}
    for name in names:
        runs = _runs(runtime, together, _alternate(together, [name]), _MEMORY_RUNS)
        alone[name] = num_bytes / float(np.median([one.durations_s[0] for one in runs]))
    if len(names) == 1:
        return Memory(alone_bytes_per_s=alone, shared_bytes_per_s=alone[names[0]])
    queues: dict[str, tuple[Segment, ...]] = {name: (Segment(name, (f"product{i}",)),) for i, name in enumerate(names)}
    sums = tuple(op.name for op in together.graph.ops if op.kind == "Add")
    queues[names[0]] = (*queues[names[0]], Segment(names[0], sums))
    runs = _runs(runtime, together, Plan(model=together.graph.name, queues=queues), _MEMORY_RUNS)
    rates = [
        sum(
            num_bytes / duration_s
            for step, duration_s in zip(one.flow.steps, one.durations_s, strict=True)
            if step.segment.ops != sums
        )
        for one in runs
    ]
    return Memory(alone_bytes_per_s=alone, shared_bytes_per_s=float(np.median(rates)))
