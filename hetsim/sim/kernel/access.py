"""What segments take in a plan in which devices share tensors, on arrays."""

from __future__ import annotations

from numba import njit

from hetsim.sim.kernel.arrays import NEVER, Ints, Space, Tables


@njit(cache=True, error_model="numpy")
def charge_access(tables: Tables, queue_start: Ints, queue: Ints, space: Space) -> None:
    """Write what each unit of a plan takes alone in it, and demands, to ``own_s`` and ``own_demand`` of the space.

    Args:
        tables: The problem.
        queue_start: By device, where its part of ``queue`` begins; one more entry gives the end.
        queue: The units, device by device.
        space: Its ``home`` and ``shared`` are filled in, too.
    """
    reads_start, reads, makes_start, makes = tables.reads_start, tables.reads, tables.makes_start, tables.makes
    num_bytes, capacity = tables.num_bytes, tables.capacity_bytes_per_s
    read_of, written_of, seconds_of = tables.read_s, tables.written_s, tables.seconds
    home, shared, own_s, own_demand = space.home, space.shared, space.own_s, space.own_demand
    num_devices = len(queue_start) - 1
    home[:] = num_devices
    shared[:] = False
    for device in range(num_devices):
        for place in range(queue_start[device], queue_start[device + 1]):
            for i in range(makes_start[queue[place]], makes_start[queue[place] + 1]):
                home[makes[i]] = device
    for device in range(num_devices):
        for place in range(queue_start[device], queue_start[device + 1]):
            for i in range(reads_start[queue[place]], reads_start[queue[place] + 1]):
                if home[reads[i]] != device and home[reads[i]] != num_devices:
                    shared[reads[i]] = True
    for device in range(num_devices):
        for place in range(queue_start[device], queue_start[device + 1]):
            unit = queue[place]
            seconds = seconds_of[unit, device]
            for i in range(reads_start[unit], reads_start[unit + 1]):
                if shared[reads[i]]:
                    seconds += read_of[reads[i], device]
            for i in range(makes_start[unit], makes_start[unit + 1]):
                if shared[makes[i]]:
                    seconds += written_of[makes[i], device]
            own_s[unit, device] = seconds
            moves = seconds > 0 and num_bytes[unit, device] > 0 and capacity < NEVER
            own_demand[unit, device] = num_bytes[unit, device] / seconds if moves else 0.0
