"""The copies of rule 2 on arrays, and the heap of copies that wait for the memory channel."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hetsim.sim.kernel.arrays import COPY, HEAP, RANK, Flags, Floats, Ints


@njit(cache=True, error_model="numpy")
def find_copies(
    queue_start: Ints, queue: Ints, reads_start: Ints, reads: Ints, home: Ints, copies: Flags, needed: Flags
) -> None:
    """Mark which tensors are copied to which devices: once for each device that reads a tensor over a copying link."""
    num_devices = len(queue_start) - 1
    needed[:] = False
    for device in range(num_devices):
        for place in range(queue_start[device], queue_start[device + 1]):
            for i in range(reads_start[queue[place]], reads_start[queue[place] + 1]):
                source = home[reads[i]]
                if copies[source, device]:
                    needed[reads[i] * num_devices + device] = True


@njit(cache=True, error_model="numpy")
def push(by_copy: Floats, heap: NDArray[np.int64], count: int, asked_s: float, rank: int, copy: int) -> None:
    """Add a copy to the heap, which holds ``count`` copies."""
    i = count
    while i > 0:
        above = (i - 1) // 2
        if by_copy[HEAP, above] < asked_s or (by_copy[HEAP, above] == asked_s and heap[RANK, above] < rank):
            break
        _move(by_copy, heap, above, i)
        i = above
    by_copy[HEAP, i], heap[RANK, i], heap[COPY, i] = asked_s, rank, copy


@njit(cache=True, error_model="numpy")
def pop(by_copy: Floats, heap: NDArray[np.int64], count: int) -> int:
    """Remove the first copy from the heap, which holds ``count`` copies, and return its number."""
    first: int = heap[COPY, 0]
    end = count - 1
    asked_s, rank, copy = by_copy[HEAP, end], heap[RANK, end], heap[COPY, end]
    i = 0
    while 2 * i + 1 < end:
        k = 2 * i + 1
        if k + 1 < end and (
            by_copy[HEAP, k + 1] < by_copy[HEAP, k]
            or (by_copy[HEAP, k + 1] == by_copy[HEAP, k] and heap[RANK, k + 1] < heap[RANK, k])
        ):
            k += 1
        if asked_s < by_copy[HEAP, k] or (asked_s == by_copy[HEAP, k] and rank < heap[RANK, k]):
            break
        _move(by_copy, heap, k, i)
        i = k
    by_copy[HEAP, i], heap[RANK, i], heap[COPY, i] = asked_s, rank, copy
    return first


@njit(cache=True, error_model="numpy")
def _move(by_copy: Floats, heap: NDArray[np.int64], source: int, target: int) -> None:
    by_copy[HEAP, target] = by_copy[HEAP, source]
    heap[RANK, target], heap[COPY, target] = heap[RANK, source], heap[COPY, source]
