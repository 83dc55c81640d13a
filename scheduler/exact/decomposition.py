"""A problem as a row of blocks between articulation operators, and the shortest path through them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.scheduler.bounds import Floats, alone_s, shares
from hetsim.scheduler.effort import FOREVER, Until
from hetsim.scheduler.exact.block import BlockPath, Costs, Passage
from hetsim.scheduler.exact.candidates import Part, parts, pieces
from hetsim.scheduler.exact.lattice import Lattice, Shape, lattice
from hetsim.scheduler.solution import ANY, SINGLE
from hetsim.scheduler.stretches import stretch_ends


class Step(NamedTuple):
    """A step of the path: a way through a block, a segment, or one after the other.

    Attributes:
        part: Number of the block that the step begins with.
        block_path: The path through that block; None where the segment takes the block whole.
        segment: What runs then; None after a last block that no articulation operator ends.
    """

    part: int
    block_path: BlockPath | None
    segment: Segment | None


class Decomposition:
    """A problem as blocks in a row.

    Args:
        problem: The problem.
        fused: Whether segments come from the family of :mod:`hetsim.scheduler.exact.candidates`.
        until: Says from when on only what has to be known is looked at: single operators, and single blocks.
    """

    def __init__(self, problem: Problem, *, fused: bool, until: Until = FOREVER) -> None:
        self._problem = problem
        self._until = until
        self._family_until = until.part(0.5)  # so that time is left for the blocks
        self._names = problem.platform.device_names
        self._fused = fused
        self._parts = parts(problem.graph)
        self._shapes, self._tables = zip(*map(self._shape_and_table, self._parts), strict=True)
        self._ops = [op.name for op in problem.graph.ops]
        self._begins = list(accumulate((len(part.ops) for part in self._parts), initial=0))
        self._ends = stretch_ends([len(part.ops) for part in self._parts])
        self._runs = [
            {(opened, d): self._runs_from(i, opened, d) for opened in (False, True) for d in range(len(self._names))}
            for i in range(len(self._parts))
        ]
        self._lattices: dict[Shape, Lattice | None] = {}
        self._alike: dict[tuple[object, ...], BlockPath] = {}
        self._block_paths: dict[tuple[int, int, int], BlockPath] = {}

    @property
    def num_states(self) -> int:
        """States made so far."""
        return sum(block_path.passage.num_states for block_path in self._alike.values())

    @property
    def has_listed(self) -> bool:
        """Whether some block has too many downsets, so that its plan is just one list schedule."""
        return any(found is None for found in self._lattices.values())

    @property
    def space(self) -> str:
        """The space in words."""
        if self._fused:
            return f"segments from {len({segment.ops for segment in self.segments()})} candidates"
        return ANY if self._problem.fusing_gains_nothing else SINGLE

    def segments(self) -> list[Segment]:
        """Every segment that plans may have."""
        inside = [
            Segment(name, ops)
            for part, shape in zip(self._parts, self._shapes, strict=True)
            for ops in (tuple(part.inside[op] for op in piece) for piece in shape.pieces)
            for name in self._problem.devices_for(ops)
        ]
        return inside + [run.segment for runs in self._runs for some in runs.values() for run in some]

    def shortest(self, seconds: Callable[[Passage], float]) -> tuple[float, list[Step]]:
        """Length of the shortest path in seconds, passages counting as told, and its steps.

        Ties go to the step that begins first, so to longer segments; then to whole runs; then to the first device.
        """
        reached: list[dict[int, _Reached]] = [{} for _ in range(len(self._parts) + 1)]
        reached[0][-1] = _Reached(0.0, -1, None)
        for i, part in enumerate(self._parts):
            for (opened, y), runs in self._runs[i].items():
                if not runs:
                    continue
                enter_s, x = math.inf, -1
                for source, so_far in reached[i].items():
                    if opened:
                        way_s = seconds(self._block_path(i, source, y).passage)
                    else:
                        way_s = float(self._tables[i].past[source, y])
                    if so_far.seconds + way_s < enter_s:
                        enter_s, x = so_far.seconds + way_s, source
                for run in runs:
                    known = reached[run.end].get(y)
                    if enter_s < math.inf and (known is None or enter_s + run.seconds < known.seconds):
                        block_path = self._block_path(i, x, y) if opened else None
                        reached[run.end][y] = _Reached(enter_s + run.seconds, x, Step(i, block_path, run.segment))
            if not part.join:  # it ends with all of it, on no device in particular
                for x, so_far in reached[i].items():
                    block_path = self._block_path(i, x, -1)
                    end_s = so_far.seconds + seconds(block_path.passage)
                    if -1 not in reached[i + 1] or end_s < reached[i + 1][-1].seconds:
                        reached[i + 1][-1] = _Reached(end_s, x, Step(i, block_path, None))
        y = min(reached[-1], key=lambda device: (reached[-1][device].seconds, device))
        length_s, steps, end = reached[-1][y].seconds, [], len(self._parts)
        while end:
            _, x, step = reached[end][y]
            assert step is not None
            steps.append(step)
            end, y = step.part, x
        return length_s, steps[::-1]

    def plan(self, steps: list[Step]) -> Plan:
        """The plan that takes these steps."""
        queues: dict[str, list[Segment]] = {name: [] for name in self._names}
        for step in steps:
            if step.block_path is not None:
                inside = self._parts[step.part].inside
                for piece, d in step.block_path.passage.way:
                    ops = tuple(inside[op] for op in self._shapes[step.part].pieces[piece])
                    queues[self._names[d]].append(Segment(self._names[d], ops))
            if step.segment is not None:
                queues[step.segment.device].append(step.segment)
        name = "exact" if self._fused or self._problem.fusing_gains_nothing else "exact_operators"
        return self._problem.plan({device: tuple(queue) for device, queue in queues.items()}, scheduler=name)

    def _runs_from(self, i: int, opened: bool, d: int) -> list[_Run]:
        """Segments on a device that begin with a block, or with its join once the rest of it has been crossed."""
        first, name = self._parts[i], self._names[d]
        if opened and not (first.inside and first.join):
            return []
        found: list[_Run] = []
        begin = self._begins[i + 1] - 1 if opened else self._begins[i]
        for end in self._ends[i]:
            ops = tuple(self._ops[begin : self._begins[end]])
            if (len(ops) > 1 and not self._fused) or (end > i + 1 and self._until()):
                break
            seconds = alone_s(self._problem, name, ops)
            if seconds < math.inf:
                found.append(_Run(end, Segment(name, ops), seconds))
        return found

    def _shape_and_table(self, part: Part) -> tuple[Shape, _Table]:
        """Who feeds whom in a block, and what it costs on whichever devices it begins and ends."""
        problem, names, graph = self._problem, self._names, self._problem.graph
        place = {op: i for i, op in enumerate(part.inside)}
        values: dict[tuple[str, bytes], int] = {}
        delays: list[Floats] = []
        reads: list[tuple[int, ...]] = []
        for op in part.inside:
            read: set[int] = set()
            for tensor in graph.by_name[op].inputs:
                maker = graph.producer.get(tensor)
                if maker in place:
                    delay = self._delay((tensor,))
                    value = values.setdefault((maker, delay.tobytes()), len(delays))
                    if value == len(delays):
                        delays.append(delay)
                    read.add(value)
            reads.append(tuple(sorted(read)))
        shape = Shape(
            makers=tuple(place[maker] for maker, _ in values),
            reads=tuple(reads),
            enters=tuple(part.before in graph.predecessors[op] for op in part.inside),
            is_read_outside=tuple(any(reader not in place for reader in graph.successors[op]) for op in part.inside),
            pieces=pieces(graph, part.inside, fused=self._fused and not self._family_until()),
        )
        members = [tuple(part.inside[op] for op in piece) for piece in shape.pieces]
        piece = np.array([[alone_s(problem, name, ops) for name in names] for ops in members])
        piece = piece.reshape(len(members), len(names))
        price = piece[: len(part.inside)].copy()
        for at, seconds in zip(map(list, shape.pieces), piece, strict=True):
            for d in range(len(names)):
                if len(at) > 1 and seconds[d] < math.inf:
                    price[at, d] = np.minimum(price[at, d], shares(seconds[d], piece[at, d]))
        square = (-1, len(names), len(names))
        return shape, _Table(
            piece=piece,
            price=price,
            delay=np.array(delays).reshape(square),
            exit_delay=np.array([self._hop(op, (part.join,)) for op in part.inside]).reshape(square),
            entry=np.array([self._hop(part.before, (op,)) for op in part.inside]).reshape(square),
            past=self._hop(part.before, part.ops),
            exit=self._hop(part.before, (part.join,)),
        )

    def _hop(self, maker: str, readers: Iterable[str]) -> Floats:
        """By device and receiving device, from an operator's end to the arrival of all that these read from it."""
        between = self._problem.graph.tensors_between
        return self._delay([tensor for reader in readers for tensor in between.get((maker, reader), ())])

    def _delay(self, tensors: Sequence[str]) -> Floats:
        """By device and receiving device, how long all of these tensors take if none waits for another."""
        seconds = self._problem.hand_over_s
        return np.array(
            [[max((seconds(a, b, t) for t in tensors), default=0.0) for b in self._names] for a in self._names]
        )

    def _block_path(self, i: int, x: int, y: int) -> BlockPath:
        """The path through a block from one device to another, with at least one way known."""
        if (i, x, y) not in self._block_paths:
            shape, table = self._shapes[i], self._tables[i]
            if shape not in self._lattices:
                self._lattices[shape] = lattice(shape, self._until)
            costs = Costs(  # with no block before, x is -1, and nothing is read from there
                piece=table.piece,
                price=table.price,
                delay=table.delay,
                exit_delay=table.exit_delay[:, :, y] if y >= 0 else np.zeros(table.price.shape),
                entry=table.entry[:, x],
                exit=float(table.exit[x, y]) if y >= 0 else 0.0,
                last=y,
            )
            tables = (costs.piece, costs.delay, costs.exit_delay, costs.entry)
            key = (shape, *(table.tobytes() for table in tables), costs.exit, y)
            if key not in self._alike:
                self._alike[key] = BlockPath(shape, self._lattices[shape], costs)
                self._alike[key].widen(until=self._until)
            self._block_paths[i, x, y] = self._alike[key]
        return self._block_paths[i, x, y]


class _Reached(NamedTuple):
    """How soon an articulation operator can end on a device, where the one before ended, and the step from there."""

    seconds: float
    source: int
    step: Step | None


class _Run(NamedTuple):
    """A segment up to the block before ``end``, and its time."""

    end: int
    segment: Segment
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """What a block costs in seconds, as in :class:`~hetsim.scheduler.exact.block.Costs`, for any devices before and
    after it.

    Attributes:
        piece: By piece and device.
        price: By operator and device.
        delay: By value, device and receiving device.
        exit_delay: By operator, device and the device of the join, for what the join reads.
        entry: By operator, device of the articulation operator before and device, for what the operator reads from it.
        past: By the same two devices, for what the block as one segment reads from it.
        exit: By the same two devices, for what the join reads from it.
    """

    piece: Floats
    price: Floats
    delay: Floats
    exit_delay: Floats
    entry: Floats
    past: Floats
    exit: Floats
