"""What each worker needs to know of a plan: its own steps, what they wait for, and where their tensors lie."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hetsim.core.dataflow import Dataflow
from hetsim.core.graph import Tensor
from hetsim.models.model import Model
from hetsim.models.segment_files import SegmentStore
from hetsim.runtime.emulation import HandOver
from hetsim.runtime.worker.arena import Layout
from hetsim.runtime.worker.device_local import DeviceLocal, device_local_tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One step as its worker sees it.

    Attributes:
        step: Index of the step in the plan's dataflow.
        ops: The segment's operators.
        path: The segment's ONNX file.
        weight_bytes: Bytes of its constants.
        waits_for: Steps of other devices that must end first.
        waits_serially: Likewise when one segment runs at a time: the step before in model order, if another device's.
        wakes: Indices of the devices that may sleep until this step ends, in either case.
        inputs: Tensors it reads, in the order of the segment's inputs.
        outputs: Tensors it writes, likewise.
        kept: Those of both that no other device touches.
        arrivals: Numbers of the acted hand-overs that it waits for.
        sends: Numbers of those that it begins, with what each is.
    """

    step: int
    ops: tuple[str, ...]
    path: Path
    weight_bytes: int
    waits_for: tuple[int, ...]
    waits_serially: tuple[int, ...]
    wakes: tuple[int, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    device_local: tuple[DeviceLocal, ...] = ()
    arrivals: tuple[int, ...] = ()
    sends: tuple[tuple[int, HandOver], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One device's part of a loaded plan.

    Attributes:
        layout: Of the shared memory.
        tasks: In the order in which the device runs them.
        peers: Indices of the other devices that run a part, those that are emulated left out.
        check_numbers: Whether a segment that makes NaN is a failure.
    """

    layout: Layout
    tasks: tuple[Task, ...]
    peers: tuple[int, ...] = ()
    check_numbers: bool = False


def build_programs(
    flow: Dataflow,
    layout: Layout,
    model: Model,
    store: SegmentStore,
    device_names: tuple[str, ...],
    *,
    keeping: Collection[str] = (),
    hand_overs: Sequence[HandOver] = (),
    emulated: Mapping[int, Path] | None = None,
    check_numbers: bool = False,
) -> dict[str, Program]:
    """Each device's program, for the devices that have work.

    Args:
        flow: The plan, resolved.
        layout: Of the shared memory.
        model: Whose operators its segments name.
        store: Writes the segments' files.
        device_names: All devices of the platform; their order numbers them.
        keeping: Devices that may have their own tensors in a format of their own.
        hand_overs: Those that are acted out.
        emulated: By step of an emulated device, the file that stands for its segment.
        check_numbers: Whether a segment that makes NaN is a failure.
    """
    paths = emulated or {}
    graph = flow.graph
    device_local = {name: own for name, own in device_local_tensors(flow).items() if own.device in keeping}
    device_of = [step.segment.device for step in flow.steps]
    waits = [
        {other for other in step.waits_for if device_of[other] != device_of[i]} for i, step in enumerate(flow.steps)
    ]
    rounds = [{i - 1} if i and device_of[i - 1] != device_of[i] else set() for i in range(len(flow.steps))]
    tasks: dict[str, list[Task]] = {}
    for i, step in enumerate(flow.steps):
        sleepers = {device_of[later] for later in range(len(flow.steps)) if i in waits[later] | rounds[later]}
        tasks.setdefault(step.segment.device, []).append(
            Task(
                step=i,
                ops=step.segment.ops,
                path=paths[i] if i in paths else store.path(model, step.segment.ops),
                weight_bytes=sum(graph.by_name[op].weight_bytes for op in step.segment.ops),
                waits_for=tuple(sorted(waits[i])),
                waits_serially=tuple(sorted(rounds[i])),
                wakes=tuple(sorted(device_names.index(name) for name in sleepers)),
                inputs=tuple(graph.tensors[tensor] for tensor, _ in step.inputs),
                outputs=tuple(graph.tensors[tensor] for tensor in step.outputs),
                device_local=tuple(
                    device_local[tensor]
                    for tensor in (*(name for name, _ in step.inputs), *step.outputs)
                    if tensor in device_local
                ),
                arrivals=tuple(
                    number
                    for number, one in enumerate(hand_overs)
                    if one.target == step.segment.device and one.tensor in {tensor for tensor, _ in step.inputs}
                ),
                sends=tuple((number, one) for number, one in enumerate(hand_overs) if one.maker == i),
            )
        )
    real = {device_names.index(device) for i, device in enumerate(device_of) if i not in paths}
    return {
        device: Program(
            layout=layout,
            tasks=tuple(own),
            peers=tuple(sorted(real - {device_names.index(device)})),
            check_numbers=check_numbers,
        )
        for device, own in tasks.items()
    }
