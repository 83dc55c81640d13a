"""One block of shared memory for a loaded plan: control cells, time stamps, and every tensor between segments.

The block is anonymous (a memfd whose descriptor is sent to the workers), so it has no name that could be left behind:
the system frees it when the last process that maps it ends, in whatever way.

Control cells are 64-bit integers, each on its own cache line::

    SUBMITTED       number of the newest request that the caller submitted, counted from 1
    ABORTED         1 once a worker failed; all others stop waiting then
    serial[k]       1 if the request in slot k runs one segment at a time, in model order; the next cell holds the
                    time of submission, in nanoseconds of the monotonic clock, and the one after that the request's
                    key: of several plans' ready segments, a device runs that of the smallest key first
    parked[d]       1 while device d's worker sleeps and must be woken
    current[d]      1 + index of the step that device d is running, 0 while it runs none
    done[i]         number of the newest request for which step i has ended
    written[d]      number of the newest serial request after which device d has written its probe block

Other cells follow: the time stamps of each step, the times of the devices' speed and transfer probes
(:mod:`hetsim.runtime.worker.probes.speed`, :mod:`hetsim.runtime.worker.probes.transfer`), and the emulated hand-overs
(:mod:`hetsim.runtime.emulation`): when each arrives, written by the producer before it sets ``done``, and when the
memory channel is free, written under a lock. One probe block for each device lies between the cells and the tensors.

A cell has one writer at any time. Aligned 64-bit loads and stores are single instructions, and x86 shows stores in the
order of the program (:func:`hetsim.runtime.machine.system.require_system` refuses others). A store that is seen late
costs a spin or, at worst, one time-out of a sleep. It never gives a wrong result, as a consumer reads only what
``done`` has already counted.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hetsim.core.errors import PlanError
from hetsim.core.graph import Tensor
from hetsim.runtime.backends.box import Box
from hetsim.runtime.backends.protocol import Array

if TYPE_CHECKING:  # a worker starts without what it imports
    from hetsim.core.dataflow import Dataflow

_CELLS_PER_LINE = 8
_LINE_BYTES = 64
_PAGE_BYTES = 4096
SUBMITTED = 0
ABORTED = _CELLS_PER_LINE
BLOCK_BYTES = 2**17
"""Size of a device's probe block: a multiple of the page size, and less than a core's own caches hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotCells:
    """Where the caller writes and reads a request, looked up once.

    Attributes:
        serial: Index of the slot's ``serial`` cell.
        key: Index of the cell with the request's key.
        submitted: Index of the cell with the time of submission.
        stamps: The cells with the stamps of all steps.
    """

    serial: int
    key: int
    submitted: int
    stamps: slice


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where everything lies in the block; the same for every process.

    Attributes:
        num_devices: Devices with a ``parked`` and a ``current`` cell.
        num_steps: Steps with a ``done`` cell and stamps.
        num_slots: Requests that may be in flight; each has its own tensors and stamps.
        offsets: Byte offset of each tensor within its slot.
        slot_bytes: Size of a slot's tensors, a multiple of the page size.
        num_hand_overs: Emulated hand-overs of a request.
        boxes: The folder for opaque values; empty if there are none.
    """

    num_devices: int
    num_steps: int
    num_slots: int
    offsets: Mapping[str, int]
    slot_bytes: int
    num_hand_overs: int = 0
    boxes: str = ""

    def serial(self, slot: int) -> int:
        """Index of a slot's ``serial`` cell."""
        return (2 + slot) * _CELLS_PER_LINE

    def submitted(self, slot: int) -> int:
        """Index of the cell with the time of submission of a slot's request: nanoseconds of the monotonic clock."""
        return self.serial(slot) + 1

    def key(self, slot: int) -> int:
        """Index of the cell with the key of a slot's request."""
        return self.serial(slot) + 2

    def parked(self, device: int) -> int:
        """Index of a device's ``parked`` cell."""
        return self.serial(self.num_slots + device)

    def current(self, device: int) -> int:
        """Index of a device's ``current`` cell."""
        return self.parked(self.num_devices + device)

    def done(self, step: int) -> int:
        """Index of a step's ``done`` cell."""
        return self.current(self.num_devices + step)

    def written(self, device: int) -> int:
        """Index of a device's ``written`` cell."""
        return self.done(self.num_steps + device)

    def stamp(self, slot: int, step: int) -> int:
        """Index of a step's start stamp (the end stamp follows): nanoseconds of the monotonic clock."""
        return self.written(self.num_devices) + 2 * (slot * self.num_steps + step)

    def slot_cells(self, slot: int) -> SlotCells:
        """The cells of a slot's request that the caller uses."""
        return SlotCells(
            serial=self.serial(slot),
            key=self.key(slot),
            submitted=self.submitted(slot),
            stamps=slice(self.stamp(slot, 0), self.stamp(slot + 1, 0)),
        )

    def speed_probe(self, slot: int, device: int) -> int:
        """Index of the cell with the time of a device's speed probe after a serial request, in nanoseconds."""
        return self.stamp(self.num_slots, 0) + slot * self.num_devices + device

    def transfer_probe(self, slot: int, device: int) -> int:
        """Index of the cell with the time of a device's transfer probe after a serial request, in nanoseconds."""
        return self.speed_probe(self.num_slots, 0) + slot * self.num_devices + device

    def arrival(self, slot: int, hand_over: int) -> int:
        """Index of the cell with the arrival of an emulated hand-over: nanoseconds of the monotonic clock."""
        return self.transfer_probe(self.num_slots, 0) + slot * self.num_hand_overs + hand_over

    @property
    def channel(self) -> int:
        """Index of the cell with the time when the memory channel is free: nanoseconds of the monotonic clock."""
        return self.arrival(self.num_slots, 0)

    @property
    def num_cells(self) -> int:
        """Number of cells of all kinds."""
        return self.channel + 1

    def block(self, device: int) -> int:
        """Byte offset of a device's probe block."""
        return -(-self.num_cells * 8 // _PAGE_BYTES) * _PAGE_BYTES + device * BLOCK_BYTES

    @property
    def tensors_at(self) -> int:
        """Byte offset of the first slot's tensors."""
        return self.block(self.num_devices)

    @property
    def num_bytes(self) -> int:
        """Size of the whole block."""
        return self.tensors_at + self.num_slots * self.slot_bytes


def plan_layout(
    flow: Dataflow, *, num_devices: int, num_slots: int, num_hand_overs: int = 0, boxes: str = ""
) -> Layout:
    """Lay out the block for a plan, reusing tensors' memory by liveness.

    A tensor may reuse the memory of another one if all steps that write or read the other one end before this one's
    producer starts, under any timing: that is, if they all precede it by data or device order. A small footprint keeps
    tensors in the caches, which makes a chain of segments 5 to 25 % faster. Opaque values get files in ``boxes``.
    """
    graph = flow.graph
    readers: dict[str, list[int]] = {tensor: [] for tensor in graph.tensors}
    earlier: list[int] = []  # by step, a bit mask of the steps that surely ended before it starts
    for i, step in enumerate(flow.steps):
        mask = 0
        for other in step.waits_for:
            mask |= earlier[other] | 1 << other
        earlier.append(mask)
        for tensor, _ in step.inputs:
            readers[tensor].append(i)

    blocks: list[_Block] = []
    home: dict[str, _Block] = {}
    forever = 1 << len(flow.steps)  # no step ends the caller's use of the outputs

    def place(tensor: str, maker: int | None) -> None:
        if graph.tensors[tensor].is_opaque:
            return
        users = (0 if maker is None else 1 << maker) | sum(1 << reader for reader in readers[tensor])
        if tensor in graph.outputs:
            users |= forever
        before = 0 if maker is None else earlier[maker]
        num_bytes = max(graph.tensors[tensor].num_bytes, 1)
        free = [block for block in blocks if block.users & ~before == 0] if maker is not None else []
        fitting = [block for block in free if block.num_bytes >= num_bytes]
        if fitting:
            block = min(fitting, key=lambda b: b.num_bytes)
        elif free:
            block = max(free, key=lambda b: b.num_bytes)
        else:
            block = _Block()
            blocks.append(block)
        block.num_bytes = max(block.num_bytes, num_bytes)
        block.users = users
        home[tensor] = block

    for tensor in graph.inputs:
        place(tensor, None)
    for i, step in enumerate(flow.steps):
        for tensor in step.outputs:
            place(tensor, i)
    offset = 0
    for block in blocks:
        block.offset = offset
        offset += -(-block.num_bytes // _LINE_BYTES) * _LINE_BYTES
    return Layout(
        num_devices=num_devices,
        num_steps=len(flow.steps),
        num_slots=num_slots,
        offsets={tensor: block.offset for tensor, block in home.items()},
        slot_bytes=-(-offset // _PAGE_BYTES) * _PAGE_BYTES,
        num_hand_overs=num_hand_overs,
        boxes=boxes,
    )


@dataclass(slots=True)
class _Block:
    """Memory that one tensor after another uses; ``users`` is a bit mask of the steps that access the present one."""

    num_bytes: int = 0
    users: int = 0
    offset: int = 0


class Arena:
    """The block mapped into this process.

    Args:
        layout: Where everything lies.
        descriptor: Descriptor of the memory, closed with the arena; None allocates new memory.

    Attributes:
        cells: The control cells and stamps, as a writable sequence of 64-bit integers.

    Raises:
        PlanError: If there is not enough shared memory.
    """

    def __init__(self, layout: Layout, descriptor: int | None = None) -> None:
        self.layout = layout
        if descriptor is None:
            descriptor = os.memfd_create("hetsim")
            try:
                os.posix_fallocate(descriptor, 0, layout.num_bytes)  # now, not at some later store
            except OSError as error:
                os.close(descriptor)
                raise PlanError(
                    f"no {layout.num_bytes / 2**20:.0f} MiB of shared memory for the plan's tensors "
                    f"({error.strerror}); free some memory, or use fewer requests in flight"
                ) from None
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, layout.num_bytes)
        self.cells = memoryview(self._map)[: layout.num_cells * 8].cast("q")

    def array(self, slot: int, tensor: Tensor) -> Array:
        """The tensor's place in a slot as a writable array of its shape."""
        offset = self.layout.tensors_at + slot * self.layout.slot_bytes + self.layout.offsets[tensor.name]
        dtype = np.dtype(tensor.dtype)
        count = tensor.num_bytes // dtype.itemsize
        return np.frombuffer(self._map, dtype, count, offset).reshape(tensor.shape)

    def place(self, slot: int, tensor: Tensor) -> Array | Box:
        """The tensor's place in a slot: an array, or a box if the tensor is opaque."""
        if not tensor.is_opaque:
            return self.array(slot, tensor)
        name = hashlib.sha256(tensor.name.encode()).hexdigest()[:24]
        return Box(Path(self.layout.boxes) / f"{name}-{slot}")

    def block(self, device: int) -> Array:
        """A device's probe block; shape (BLOCK_BYTES / 4,)."""
        return np.frombuffer(self._map, np.float32, BLOCK_BYTES // 4, self.layout.block(device))

    def close(self) -> None:
        """Unmap the memory, now or as soon as the last array of it is gone."""
        os.close(self.descriptor)
        self.cells.release()
        with suppress(BufferError):
            self._map.close()
