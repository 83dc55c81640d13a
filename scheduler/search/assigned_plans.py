"""The makespans of assignments, compiled: levels, segments and their simulation in one call.

An assignment gives each operator a device, and a number of levels more than it needs, as in
:mod:`hetsim.scheduler.segments`. The kernel finds the segments and looks them up in a hash table; the key of a segment
is the exclusive or of random numbers of its operators and its device (A. L. Zobrist, "A new hashing method with
application for game playing", technical report 88, University of Wisconsin, 1970). Only a segment that was never seen
before is described in Python. Two segments of equal keys, one chance in 10^7 in a search that sees a million, would
mislead the search; the makespan that it returns is simulated anew.

numba is imported where a search begins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hetsim.core.errors import PlanError
from hetsim.core.plan import Segment
from hetsim.core.problem import Problem
from hetsim.sim.compiled import CompiledSimulator
from hetsim.sim.kernel.arrays import Floats, Ints, Requests, Space, Tables
from hetsim.sim.kernel.one import run

Keys = NDArray[np.uint64]

_FREE = np.uint32(0xFFFFFFFF)
"""A place of the hash table, or of a level, that holds nothing."""
_REFUSED = np.uint32(0xFFFFFFFE)
"""Stands for the unit of a segment that its device refuses."""
_DONE, _SAME, _NEW_SEGMENT, _TOO_DEEP, _NEVER = 0, 1, 2, 3, 4
"""What the kernel says: simulated; the queues are the known ones; a segment has no unit yet; there are more levels than
room for them; a device refuses a segment."""


class Assigned(NamedTuple):
    """An assignment and what it makes.

    Attributes:
        device: By operator, in the graph's order, the number of its device.
        extra_levels: By operator, how many levels more than it needs.
        queue_start: By device, where its part of ``queue`` begins; one more entry gives the end.
        queue: The units, device by device in the order of their queues.
        makespan_s: The simulated makespan in seconds.
    """

    device: Ints
    extra_levels: Ints
    queue_start: Ints
    queue: Ints
    makespan_s: float


class _Work(NamedTuple):
    """Arrays that the kernel reads and writes.

    Attributes:
        before_start: By operator, where its part of ``before`` begins; one more entry gives the end.
        before: By operator, those that make its inputs.
        op_key: By operator, a random number.
        device_key: By device, a random number.
        slot: By device and level, the group of operators there.
        level: By operator, its level.
        group: By operator, its group.
        group_key: By group, the key of the segment.
        queue: The units of the segments.
        queue_start: By device, where its part of ``queue`` begins, and one entry more.
        out_s: The makespan.
    """

    before_start: Ints
    before: Ints
    op_key: Keys
    device_key: Keys
    slot: Ints
    level: Ints
    group: Ints
    group_key: Keys
    queue: Ints
    queue_start: Ints
    out_s: Floats


class AssignedPlans:
    """Simulates assignments of one problem.

    Args:
        problem: The problem.
        simulator: Its simulator, which learns the segments.
    """

    def __init__(self, problem: Problem, simulator: CompiledSimulator) -> None:
        graph, devices = problem.graph, problem.platform.device_names
        self._simulator = simulator
        self._names = tuple(op.name for op in graph.ops)
        self._devices = devices
        num_ops = len(self._names)
        before = [[graph.position[other] for other in graph.predecessors[name]] for name in self._names]
        random = np.random.default_rng(0)
        self._work = _Work(
            before_start=np.cumsum([0, *map(len, before)], dtype=np.uint32),
            before=np.array([other for each in before for other in each], np.uint32),
            op_key=random.integers(1, 2**64, num_ops, np.uint64),
            device_key=random.integers(1, 2**64, len(devices), np.uint64),
            slot=np.full((len(devices), 2 * num_ops + 2), _FREE),
            level=np.zeros(num_ops, np.uint32),
            group=np.zeros(num_ops, np.uint32),
            group_key=np.zeros(num_ops, np.uint64),
            queue=np.zeros(num_ops, np.uint32),
            queue_start=np.zeros(len(devices) + 1, np.uint32),
            out_s=np.zeros(1),
        )
        self._num_known = 0
        self._keys, self._units = np.zeros(1 << 12, np.uint64), np.full(1 << 12, _FREE)
        self._tables, self._space = simulator.tables, simulator.space(num_ops)

    def simulate(self, device: Ints, extra_levels: Ints, known: Assigned | None = None) -> Assigned | None:
        """The assignment simulated; None if it makes the known queues, or a device refuses one of its segments.

        Args:
            device: By operator, the number of its device. It stays with the result, like ``extra_levels``.
            extra_levels: By operator, how many levels more than it needs.
            known: An assignment whose queues are of no interest.
        """
        work = self._work
        old_start, old_queue = (work.queue_start, work.queue[:0]) if known is None else (known.queue_start, known.queue)
        while True:
            said, number = _simulate(
                self._tables, self._space, work, self._keys, self._units, device, extra_levels, old_start, old_queue
            )
            if said == _DONE:
                queue = work.queue[:number].copy()
                return Assigned(device, extra_levels, work.queue_start.copy(), queue, float(work.out_s[0]))
            if said in (_SAME, _NEVER):
                return None
            if said == _TOO_DEEP:
                work = self._work = work._replace(slot=np.full((len(work.slot), 2 * work.slot.shape[1]), _FREE))
            else:
                self._learn(number, int(device[np.argmax(work.group == number)]))

    def _learn(self, group: int, device: int) -> None:
        """Make a unit of a group of operators."""
        ops = tuple(self._names[i] for i in np.flatnonzero(self._work.group == group))
        try:
            unit = np.uint32(self._simulator.unit(Segment(self._devices[device], ops)))
        except PlanError:
            unit = _REFUSED
        self._num_known += 1
        if 2 * self._num_known > len(self._keys):
            keys, units = np.zeros(4 * len(self._keys), np.uint64), np.full(4 * len(self._keys), _FREE)
            for key, known in zip(self._keys, self._units, strict=True):
                if known != _FREE:
                    _insert(keys, units, key, known)
            self._keys, self._units = keys, units
        _insert(self._keys, self._units, self._work.group_key[group], unit)
        num_units = len(self._tables.seconds)
        self._tables = self._simulator.tables
        if len(self._tables.seconds) != num_units:
            self._space = self._simulator.space(len(self._names))


@njit(cache=True)
def _place(keys: Keys, units: Ints, key: np.uint64) -> np.int64:
    """Where a key is in the table, or where it could be added."""
    last = len(keys) - 1
    i = np.int64(key & np.uint64(last))
    while units[i] != _FREE and keys[i] != key:
        i = np.int64((i + 1) & last)
    return i


@njit(cache=True)
def _insert(keys: Keys, units: Ints, key: np.uint64, unit: np.uint32) -> None:
    i = _place(keys, units, key)
    keys[i], units[i] = key, unit


@njit(cache=True, error_model="numpy")
def _simulate(
    tables: Tables,
    space: Space,
    work: _Work,
    keys: Keys,
    units: Ints,
    device: Ints,
    extra_levels: Ints,
    old_start: Ints,
    old_queue: Ints,
) -> tuple[int, int]:
    """Simulate an assignment; returns what happened, and the number of segments or the group that has no unit."""
    level, group, group_key, slot = work.level, work.group, work.group_key, work.slot
    before_start, before, queue, queue_start = work.before_start, work.before, work.queue, work.queue_start
    num_ops, num_devices, num_slots = len(level), len(slot), slot.shape[1]
    num_groups, num_levels = 0, np.int64(0)
    is_deep = False
    for op in range(num_ops):
        here = device[op]
        height = np.uint32(0)
        for i in range(before_start[op], before_start[op + 1]):
            other = before[i]
            least = np.uint32(level[other] + (device[other] != here))
            if least > height:
                height = least
        height = level[op] = np.uint32(height + extra_levels[op])
        if height >= num_slots:
            is_deep = True
            break
        num_levels = max(num_levels, np.int64(height) + 1)
        number = slot[here, height]
        if number == _FREE:
            number = slot[here, height] = np.uint32(num_groups)
            group_key[number] = work.device_key[here]
            num_groups += 1
        group[op] = number
        group_key[number] ^= work.op_key[op]
    count = 0
    missing = np.int64(-1)
    is_refused = False
    is_same = num_groups == len(old_queue)
    for here in range(num_devices):
        queue_start[here] = count
        is_same = is_same and old_start[here] == count
        for at in range(num_levels):
            number = slot[here, at]
            if number != _FREE:
                slot[here, at] = _FREE
                unit = units[_place(keys, units, group_key[number])]
                if unit == _FREE and missing < 0:
                    missing = np.int64(number)
                is_refused = is_refused or unit == _REFUSED
                is_same = is_same and old_queue[count] == unit
                queue[count] = unit
                count += 1
    queue_start[num_devices] = count
    if is_deep:
        return _TOO_DEEP, 0
    if is_refused:
        return _NEVER, 0
    if missing >= 0:
        return _NEW_SEGMENT, int(missing)
    if is_same:
        return _SAME, 0
    none = np.empty((0, 0))
    work.out_s[0], _ = run(tables, queue_start, queue, Requests(1, False, 0.0, 1, 0.0, 0.0, none, none), space)
    return _DONE, count
