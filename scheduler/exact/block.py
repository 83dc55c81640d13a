"""One block between two articulation operators, and its fastest ways through, by dynamic programming over downsets.

A block begins when the articulation operator before it has ended, on a given device, with all devices free; it ends
when everything that the next one reads has arrived on a given device and that device is free. What happens in between
is a small problem of its own: which device runs each operator, in which order, fused into which segments. The states,
and why some can be dropped, are in :mod:`hetsim.scheduler.exact.block_kernel`. That downsets are enough to go by is due
to L. Schrage, K. R. Baker, "Dynamic programming solution of sequencing problems with precedence constraints",
Operations Research 26(3), 1978, doi 10.1287/opre.26.3.444.

Few states are stored at first, then ever more. What was dropped gives a lower bound, so each attempt narrows the answer
from both sides, and the attempt that drops nothing worth keeping proves it.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hetsim.scheduler.bounds import Floats, load_s, load_weights, weighted
from hetsim.scheduler.effort import FOREVER, Until
from hetsim.scheduler.exact.lattice import Lattice, Shape

if TYPE_CHECKING:
    from hetsim.scheduler.exact.block_kernel import Times

NO_LIMIT = 1 << 62

WORK_PER_S = 50_000_000
"""Numbers that the kernel reads or writes in a second, by which a deadline limits it: fewer than on most machines."""
MIN_WORK = 1_000_000
"""As many as every attempt may."""

WIDER = 8
"""By what factor each attempt keeps more states than the one before."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Costs:
    """What a block costs, in seconds, the device before it and the one after it given.

    Attributes:
        piece: By piece of the shape and device; infinite where it cannot run.
        price: By operator and device, the least that it adds to any segment: see
            :func:`hetsim.scheduler.bounds.prices`.
        delay: By value, device and receiving device, from the end of its maker to its arrival.
        exit_delay: By operator and device, from its end to the arrival, where the block ends, of what leaves the block;
            0 where nothing does.
        entry: By operator and device, from the start of the block to the arrival of what it reads from before.
        exit: From the start of the block to the arrival, where it ends, of what passes it by; 0 if nothing does.
        last: Device where the block ends, or -1 if it ends when all of it has.
    """

    piece: Floats
    price: Floats
    delay: Floats
    exit_delay: Floats
    entry: Floats
    exit: float
    last: int


@dataclass(slots=True)
class Passage:
    """Ways through a block, as far as they are known.

    Attributes:
        lower_s: No way is faster, in seconds.
        upper_s: What the fastest way found takes, in seconds.
        way: That way: pieces of the shape and devices, in an order in which they can be queued.
        num_states: States made in all attempts.
    """

    lower_s: float = 0.0
    upper_s: float = math.inf
    way: tuple[tuple[int, int], ...] = ()
    num_states: int = 0


class BlockPath:
    """A block with what it costs, and the ways through it.

    Args:
        shape: Who feeds whom.
        lattice: Its downsets; None if there are too many, so that one way is all that will be found.
        costs: What it costs.
    """

    def __init__(self, shape: Shape, lattice: Lattice | None, costs: Costs) -> None:
        self.passage = Passage()
        self._shape = shape
        self._lattice = lattice
        self._costs = costs
        self._width = 0
        self._given_up = False
        self._times: Times | None = None

    @property
    def can_widen(self) -> bool:
        """Whether another attempt may tell more."""
        return not self._given_up and self.passage.lower_s < self.passage.upper_s

    def widen(self, max_states: int | None = None, until: Until = FOREVER) -> None:
        """Try with more states than before. The first attempt finds a way.

        Args:
            max_states: How many states may be made. Beyond, what was known before stays, and this was the last attempt.
            until: The same holds for attempts that would take longer. The first one ends with a list schedule.
        """
        passage = self.passage
        if self._lattice is None or (self._times is None and until()):
            self._list()
            return
        self._width = self._width * WIDER or 1
        if self._times is None:
            self._times = _times(self._shape, self._lattice, self._costs)
        from hetsim.scheduler.exact import block_kernel  # not before it is needed: imports numba

        left_s = until.left_s
        best_s, dropped_s, num_states, way = block_kernel.run(
            self._lattice.steps,
            self._times,
            self._costs.last,
            self._width,
            passage.upper_s,
            NO_LIMIT if max_states is None else max_states,
            NO_LIMIT if left_s == math.inf else max(MIN_WORK, int(left_s * WORK_PER_S)),
        )
        passage.num_states += num_states
        if dropped_s == 0:
            self._given_up = True
            if not passage.way:
                self._list()
                return
        if best_s < passage.upper_s:
            num_devices = self._costs.price.shape[1]
            passage.upper_s = float(best_s)
            passage.way = tuple((int(step) // num_devices, int(step) % num_devices) for step in way)
        passage.lower_s = max(passage.lower_s, min(float(dropped_s), passage.upper_s))

    def _list(self) -> None:
        """The one way where there are too many downsets: the most urgent operator next, where it ends first.

        Urgent is what most depends on: the list scheduling of R. L. Graham, "Bounds on multiprocessing timing
        anomalies", SIAM Journal on Applied Mathematics 17(2), 1969, doi 10.1137/0117039.
        """
        shape, costs, passage = self._shape, self._costs, self.passage
        _, exit_delay, rest = _entry_exit_rest(shape, costs)
        num_ops, num_devices = costs.price.shape
        urgency = rest.min(axis=1)
        num_missing = [len(values) for values in shape.reads]
        read_by: list[list[tuple[int, int]]] = [[] for _ in range(num_ops)]  # by operator, values and their readers
        for op, values in enumerate(shape.reads):
            for value in values:
                read_by[shape.makers[value]].append((value, op))
        waiting = [(-urgency[op], op) for op in range(num_ops) if not num_missing[op]]
        heapq.heapify(waiting)
        free = np.zeros(num_devices)
        arrive = np.where(np.array(shape.enters, bool)[:, None], costs.entry, 0.0)
        exit_s, way = costs.exit, []
        while waiting:
            _, op = heapq.heappop(waiting)
            ends = np.maximum(free, arrive[op]) + costs.piece[op]
            d = int(ends.argmin())
            free[d] = ends[d]
            exit_s = max(exit_s, float(ends[d] + exit_delay[op, d]))
            way.append((op, d))
            for value, reader in read_by[op]:
                np.maximum(arrive[reader], ends[d] + costs.delay[value, d], out=arrive[reader])
                num_missing[reader] -= 1
                if not num_missing[reader]:
                    heapq.heappush(waiting, (-urgency[reader], reader))
        passage.upper_s = max(exit_s, float(free[costs.last])) if costs.last >= 0 else exit_s
        passage.way = tuple(way)
        passage.num_states = num_ops * num_devices
        passage.lower_s = min(passage.upper_s, max(load_s(costs.price), float(urgency.max())))
        self._given_up = True


def _entry_exit_rest(shape: Shape, costs: Costs) -> tuple[Floats, Floats, Floats]:
    """By operator and device: when what it reads from before is there, how long after its end what leaves the block has
    arrived, and the least seconds from its start to the end of the block."""
    num_ops = len(shape.reads)
    entry = np.where(np.array(shape.enters, bool).reshape(num_ops, 1), costs.entry, 0.0)
    is_read_outside = np.array(shape.is_read_outside, bool).reshape(num_ops, 1) | (costs.last < 0)
    exit_delay = np.where(is_read_outside, costs.exit_delay, -np.inf)
    rest = np.maximum(exit_delay, 0.0)  # after the end, for now
    for op in reversed(range(num_ops)):
        rest[op] += costs.price[op]
        for value in shape.reads[op]:
            other = rest[shape.makers[value]]
            np.maximum(other, (costs.delay[value] + rest[op][None, :]).min(axis=1), out=other)
    return entry, exit_delay, rest


def _times(shape: Shape, lattice: Lattice, costs: Costs) -> Times:
    """The costs as the kernel wants them."""
    entry, exit_delay, rest = _entry_exit_rest(shape, costs)
    weights = load_weights(costs.price)
    members = [list(piece) for piece in shape.pieces]
    from hetsim.scheduler.exact.block_kernel import Times  # not before it is needed: imports numba

    return Times(
        piece=costs.piece,
        entry=_by_piece(entry, members),
        exit_delay=_by_piece(exit_delay, members),
        delay=costs.delay,
        ready_entry=entry,
        rest=rest,
        load=np.ascontiguousarray((1.0 - lattice.members) @ weighted(costs.price, weights).T),
        weights=weights,
        exit=costs.exit,
    )


def _by_piece(values: Floats, members: list[list[int]]) -> Floats:
    """The largest value of each piece's operators, by device."""
    return np.array([values[ops].max(axis=0) for ops in members]).reshape(len(members), values.shape[1])
