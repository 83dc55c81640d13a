"""Each worker's part of a plan: its steps, what they wait for, and where their tensors lie."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hetsim.core.graph import Tensor
from hetsim.runtime.backends.protocol import DeviceLocal
from hetsim.runtime.worker.arena import Layout
from hetsim.runtime.worker.device_local import device_local_tensors

if TYPE_CHECKING:  # a worker starts without what they import
    from hetsim.core.dataflow import Dataflow
    from hetsim.models.model import Model
    from hetsim.models.segments.files import SegmentStore


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """A tensor's transfer to another device over an emulated link.

    Attributes:
        tensor: The tensor.
        maker: Index of the step that produces it.
        target: The receiving device.
        transfer_s: Duration of the transfer, in seconds.
        copies: Whether the transfer occupies the memory channel.
    """

    tensor: str
    maker: int
    target: str
    transfer_s: float
    copies: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One step, as its worker needs it.

    Attributes:
        step: Index of the step in the plan's dataflow.
        ops: The segment's operators.
        path: The segment's ONNX file.
        weight_bytes: Bytes of its constants.
        waits_for: Steps of other devices that must end first in a parallel run.
        waits_serially: Steps of other devices that must end first in a serial run: the step before in model order.
        wakes: Indices of the devices that may sleep until this step ends, in either kind of run.
        inputs: Tensors it reads, in the order of the segment's inputs.
        outputs: Tensors it writes, likewise.
        device_local: Those of its inputs and outputs that the engine may store in its own format.
        arrivals: Numbers of the emulated hand-overs that it waits for.
        sends: The emulated hand-overs that it starts, with their numbers.
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
        layout: Layout of the shared memory.
        tasks: The device's steps, in the order in which it runs them.
        peers: Indices of the other devices that run a part of the plan, without emulated ones.
        check_numbers: Whether a segment that makes NaN fails.
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
    own_format_devices: Collection[str] = (),
    hand_overs: Sequence[HandOver] = (),
    emulated: Mapping[int, Path] | None = None,
    check_numbers: bool = False,
) -> dict[str, Program]:
    """Each device's program, for the devices that run a part of the plan.

    Args:
        flow: The plan, resolved.
        layout: Layout of the shared memory.
        model: The model whose operators the segments name.
        store: Writes the segments' files.
        device_names: All devices of the platform; their order gives their indices.
        own_format_devices: Devices that may store their device-local tensors in the engine's format.
        hand_overs: The emulated ones.
        emulated: By step of an emulated device, the file that describes its segment.
        check_numbers: Whether a segment that makes NaN fails.
    """
    paths = emulated or {}
    device_local = {name: own for name, own in device_local_tensors(flow).items() if own.device in own_format_devices}
    device_of = [step.segment.device for step in flow.steps]
    waits, numbered = _waits(flow), tuple(enumerate(hand_overs))
    tasks: dict[str, list[Task]] = {}
    for i, step in enumerate(flow.steps):
        read = tuple(name for name, _ in step.inputs)
        sleepers = {device_of[later] for later, (parallel, serial) in enumerate(waits) if i in parallel | serial}
        tasks.setdefault(step.segment.device, []).append(
            Task(
                step=i,
                ops=step.segment.ops,
                path=paths[i] if i in paths else store.path(model, step.segment.ops),
                weight_bytes=sum(flow.graph.by_name[op].weight_bytes for op in step.segment.ops),
                waits_for=tuple(sorted(waits[i][0])),
                waits_serially=tuple(sorted(waits[i][1])),
                wakes=tuple(sorted(device_names.index(name) for name in sleepers)),
                inputs=tuple(flow.graph.tensors[name] for name in read),
                outputs=tuple(flow.graph.tensors[name] for name in step.outputs),
                device_local=tuple(device_local[name] for name in (*read, *step.outputs) if name in device_local),
                arrivals=tuple(n for n, one in numbered if one.target == step.segment.device and one.tensor in read),
                sends=tuple((n, one) for n, one in numbered if one.maker == i),
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


def _waits(flow: Dataflow) -> list[tuple[set[int], set[int]]]:
    """By step, the steps of other devices that it waits for: in parallel runs, and in serial runs."""
    device_of = [step.segment.device for step in flow.steps]
    return [
        (
            {other for other in step.waits_for if device_of[other] != device_of[i]},
            {i - 1} if i and device_of[i - 1] != device_of[i] else set(),
        )
        for i, step in enumerate(flow.steps)
    ]
