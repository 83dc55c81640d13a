"""A problem, its requests and the work space of the kernels, as arrays.

Units, tensors and devices are numbers. A *unit* is a set of operators that some device may run as one segment; units
``0`` to ``num_ops - 1`` are the single operators in the graph's order. A plan is a row of units, device by device, and
where each device's part of it begins. *Lanes* run one thing at a time and take part in rule 3: the devices and, if
there are copies, the memory channel as the last lane.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.uint32]
"""Numbers of units, tensors and places. They are unsigned: numba checks every signed index for being negative."""
Flags = NDArray[np.bool_]

NEVER = np.inf

# Phases of a device: the start of its next segment is unknown; it is known; the segment runs; no segment is left.
LOOKING, WAITING, RUNNING, FINISHED = 0, 1, 2, 3

# Rows of the arrays of Space.
COPIED, ARRIVED, HEAP = 0, 1, 2
RANK, COPY = 0, 1
START, END = 0, 1
DUE, ASKED, SUBMITTED, ENDED, COLLECTED = 0, 1, 2, 3, 4
NEXT, DEMAND, LEFT, SINCE, RATE, READY, SORTED, NEW_LEFT, NEW_NEXT = 0, 1, 2, 3, 4, 5, 6, 7, 8
PHASE, REQUEST, PLACE, READ = 0, 1, 2, 3


class Tables(NamedTuple):
    """A problem. Arrays may have unused rows at their ends.

    Attributes:
        seconds: By unit and device, the time that the unit takes alone.
        num_bytes: By unit and device, the bytes that the unit moves to and from memory.
        demand: By unit and device, the bytes per second that the unit moves alone; 0 if rule 3 does not apply.
        position: By unit, the position of its first operator in the graph.
        reads_start: By unit, where its part of ``reads`` begins; one entry more than units.
        reads: Tensors that other units make, in the order of the unit's inputs.
        makes_start: The same for ``makes``.
        makes: Tensors that other units read, or the caller gets.
        tensor_bytes: By tensor, its size.
        transfer_s: By tensor, source and target, how long the hand-over takes once it has started; 0 within a device.
            The last source stands for tensors that are there from the start.
        copies: By source and target, whether hand-overs need the memory channel; never within a device.
        any_copies: Whether any hand-over needs it.
        read_s: By tensor and device, by how much a unit on the device takes longer that reads the tensor, if it is
            shared.
        written_s: The same for the unit that makes it.
        any_access: Whether shared tensors cost anything.
        capacity_bytes_per_s: Sustained bandwidth of the memory.
        num_ops: Number of operators of the graph.
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
    read_s: Floats
    written_s: Floats
    any_access: bool
    capacity_bytes_per_s: float
    num_ops: int


class Requests(NamedTuple):
    """The requests of rule 4, and durations that replace the problem's costs.

    Attributes:
        num_requests: Number of requests.
        hosted: Whether a host submits and collects them; otherwise all are at the devices at time 0.
        every_s: As in :class:`hetsim.core.load.Load`.
        num_slots: As there.
        submit_s: Time that the host takes to submit a request.
        collect_s: Time that the host takes to collect a request.
        seconds: By request and place in the plan, durations that replace those of the tables; or empty.
        demand: By request and place in the plan, the matching bytes per second; or empty.
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
    """The work space and results of the kernels, allocated once for many plans.

    Attributes:
        home: By tensor, the device that makes it; the number of devices if none does.
        made_s: By request and tensor, when it was made; negative before.
        there_s: By tensor and device, when it arrives; infinite before it was made.
        needed: By tensor and device, whether it is copied to the device.
        by_copy: By request, tensor and device, a row each: when the copy began, and when it arrived (negative before).
            The third row is a heap of copies that wait for the channel, by the time of their request.
        heap: Two more rows of the heap: the order among simultaneous copies, and the number of the copy.
        by_place: By request and place in the plan, a row each: when the segment started, and when it ended.
        by_request: By request, a row each: when it was due, asked to be submitted, was submitted (negative before),
            ended, and was collected.
        busy: By request, the number of devices that have not finished it.
        lanes: By lane, a row each: when its current work ends; the bytes per second that it demands, 0 if it moves
            nothing; the bytes that were left at the last change of its rate, the time of that change, and the rate
            since; when the inputs seen so far have arrived; and rows for computing shares.
        places: By device, a row each: its phase, and the current request, place in the plan and input.
        own_s: By unit and device, what the unit takes alone in the plan; unused where nothing is charged for access.
        own_demand: The same for the bytes per second that it moves alone.
        shared: By tensor, whether units of several devices access it.
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
    own_s: Floats
    own_demand: Floats
    shared: Flags


def new_space(tables: Tables, num_requests: int, num_places: int) -> Space:
    """Work space for plans of ``num_places`` segments and ``num_requests`` requests."""
    num_tensors, num_devices = len(tables.tensor_bytes), tables.transfer_s.shape[2]
    num_copies = num_tensors * num_devices if tables.any_copies else 0
    num_units = len(tables.seconds) if tables.any_access else 0
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
        places=np.zeros((4, num_devices), np.uint32),
        own_s=np.empty((num_units, num_devices)),
        own_demand=np.empty((num_units, num_devices)),
        shared=np.zeros(num_tensors, np.bool_),
    )
