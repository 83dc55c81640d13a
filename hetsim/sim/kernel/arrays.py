"""A problem, what is asked of it, and the room to work in, as arrays.

Units, tensors and devices are numbers. A *unit* is a set of operators that some device may run as one segment; units
``0`` to ``num_ops - 1`` are the single operators in the graph's order. A plan is a row of units, device by device, and
where each device's part of it begins. *Lanes* are whatever runs one thing at a time and takes part in rule 3: the
devices and, where there are copies, behind them the memory channel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.uint32]
"""Numbers of things. Unsigned, as numba must otherwise ask of each index whether it counts from the end."""
Flags = NDArray[np.bool_]

NEVER = np.inf

# Phases of a device: it does not know yet when its next segment starts; it does; it is at it; it has none left.
LOOKING, WAITING, RUNNING, FINISHED = 0, 1, 2, 3

# Rows of the arrays of Space.
COPIED, ARRIVED, HEAP = 0, 1, 2
RANK, COPY = 0, 1
START, END = 0, 1
DUE, ASKED, SUBMITTED, ENDED, COLLECTED = 0, 1, 2, 3, 4
NEXT, DEMAND, LEFT, SINCE, RATE, READY, SORTED, NEW_LEFT, NEW_NEXT = 0, 1, 2, 3, 4, 5, 6, 7, 8
PHASE, REQUEST, PLACE, UNIT, READ = 0, 1, 2, 3, 4


class Tables(NamedTuple):
    """A problem. Arrays may have room for more than is in them.

    Attributes:
        seconds: By unit and device, the time that it takes alone.
        num_bytes: By unit and device, what it moves to and from the memory.
        demand: By unit and device, the bytes per second that it moves alone; 0 where rule 3 does not apply.
        position: By unit, its first operator's place in the graph.
        reads_start: By unit, where its part of ``reads`` begins; one entry more than units.
        reads: Tensors that other units make, in the order of the unit's inputs.
        makes_start: The same for ``makes``.
        makes: Tensors that others read, or the caller gets.
        tensor_bytes: By tensor.
        transfer_s: By tensor, source and target, how long it takes once under way; 0 within a device. The source behind
            the devices stands for what is there from the start.
        copies: By source and target, whether hand-overs need the memory channel; never within a device.
        any_copies: Whether any do.
        capacity_bytes_per_s: What the memory sustains.
        num_ops: Operators of the graph.
    """

    seconds: Floats
    num_bytes: Floats
    demand: Floats
    position: Ints
    reads_start: Ints
    reads: Ints
    makes_start: Ints
    makes: Ints
    tensor_bytes: Floats
    transfer_s: Floats
    copies: Flags
    any_copies: bool
    capacity_bytes_per_s: float
    num_ops: int


class Requests(NamedTuple):
    """Rule 4, and durations that are not the problem's.

    Attributes:
        num_requests: How many.
        hosted: Whether a host submits and collects them; if not, all are with the devices at time 0.
        every_s: As in :class:`hetsim.core.load.Load`.
        num_slots: As there.
        submit_s: What submitting one costs the host.
        collect_s: What collecting one costs it.
        seconds: By request and place in the plan, what segments take instead of what the tables say; or empty.
        demand: The same for the bytes per second.
    """

    num_requests: int
    hosted: bool
    every_s: float
    num_slots: int
    submit_s: float
    collect_s: float
    seconds: Floats
    demand: Floats


class Space(NamedTuple):
    """Where the loop works, and what it found: so that nothing is allocated for a plan.

    Attributes:
        home: By tensor, the device that makes it; one more than there are where none does.
        made_s: By request and tensor, when it was made; negative before.
        there_s: By tensor and device, when it is there; infinite before it was made.
        needed: By tensor and device, whether it is copied there.
        by_copy: By request, tensor and device, a row each: when its copy began, when it was there (negative before).
            And a heap of copies that wait for the channel, by when they were asked for.
        heap: Two more rows for it: their order among those that were asked for at the same time, and which they are.
        by_place: By request and place in the plan, a row each: when the segment started, and when it ended.
        by_request: By request, a row each: when it was due, asked to be submitted, was submitted (negative before),
            ended, and was collected.
        busy: By request, devices that have not ended it.
        lanes: By lane, a row each: when it has done what it is at; the bytes per second that it demands, 0 where it
            moves nothing; the bytes that were left when its rate last changed, when that was, and that rate; when the
            inputs seen so far are there; and room for working out shares.
        places: By device, a row each: its phase, and the request, the place in the plan, the unit there and the read
            that it has got to.
    """

    home: Ints
    made_s: Floats
    there_s: Floats
    needed: Flags
    by_copy: Floats
    heap: NDArray[np.int64]
    by_place: Floats
    by_request: Floats
    busy: Ints
    lanes: Floats
    places: Ints


def new_space(tables: Tables, num_requests: int, num_places: int) -> Space:
    """Room for plans of so many segments and so many requests."""
    num_tensors, num_devices = len(tables.tensor_bytes), tables.transfer_s.shape[2]
    num_copies = num_tensors * num_devices if tables.any_copies else 0
    return Space(
        home=np.empty(num_tensors, np.uint32),
        made_s=np.empty((num_requests, num_tensors)),
        there_s=np.empty((num_tensors, num_devices)),
        needed=np.empty(num_copies, np.bool_),
        by_copy=np.empty((3, num_requests * num_copies)),
        heap=np.empty((2, num_requests * num_copies), np.int64),
        by_place=np.empty((2, num_requests, num_places)),
        by_request=np.empty((5, num_requests)),
        busy=np.empty(num_requests, np.uint32),
        lanes=np.zeros((9, num_devices + tables.any_copies)),
        places=np.zeros((5, num_devices), np.uint32),
    )
