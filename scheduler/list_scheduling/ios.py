"""IOS, inter-operator scheduler: dynamic programming over stages of groups that run side by side.

Y. Ding, L. Zhu, Z. Jia, G. Pekhimenko, S. Han, "IOS: Inter-Operator Scheduler for CNN Acceleration", Proceedings of
Machine Learning and Systems 3 (MLSys), 2021, arXiv:2011.01302. A network is cut into blocks, a block into *stages* that
run one after the other, a stage into *groups*, the connected parts of its operators, that run side by side. The least
time for a set of operators that is closed under predecessors is the least, over the stages that it may end with, of the
time for what comes before plus the stage's time. As there, stages have at most ``MAX_GROUPS`` groups of at most
``MAX_GROUP_SIZE`` units, and a unit is an operator with the cheap ones that follow it (a convolution and its
rectifier).

There, groups share one GPU as streams; here each is one segment on one device. A stage's time is the least, over the
devices of its groups, of the time until all devices are done, each with its groups in the graph's order, inputs handed
over first. What a hand-over takes depends on where the stages before are: those of the best way found to get there. To
that end, blocks are solved in order, once for each device that the operator before the block may be on.

Cut at articulation operators, a network of this field falls into small blocks. Other graphs need not, so a block with
more than ``MAX_STATES`` closed sets is cut in two halves, at the cost of no stage reaching across. The devices execute
the plan without the barriers between stages that the dynamic program assumes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from hetsim.core.plan import Plan, Segment
from hetsim.core.problem import Problem
from hetsim.models.structure import blocks, fused_chains
from hetsim.scheduler.effort import Effort, Until
from hetsim.scheduler.list_scheduling.merging import plan_from_orders
from hetsim.scheduler.segments import Queues
from hetsim.sim.simulate import Simulator

MAX_GROUP_SIZE = 3
"""Units in a group; the paper's ``r``."""
MAX_GROUPS = 8
"""Groups in a stage; the paper's ``s``."""
MAX_STATES = 200
MAX_ASSIGNMENTS = 64
"""Up to so many ways to put a stage's groups on devices all are compared; beyond, the longest group goes first."""

Unit = tuple[str, ...]
Stage = tuple[tuple[Unit, str], ...]
"""Groups, as operators in topological order, each with its device; in the order of their first operators."""


class _Way:
    """A way to run everything up to some point: one stage after another way.

    Ways share what they have in common, and a jump from each to one far before it finds any stage in logarithmic time:
    E. W. Myers, "An applicative random-access stack", Information Processing Letters 17(5), 1983, doi
    10.1016/0020-0190(83)90106-0.

    Attributes:
        seconds: Sum of the stages' times.
        piece: Number of the piece that its last stage is part of; -1 before the first stage.
        placed: Devices of the operators of that piece.
        stage: The last stage.
        before: The way without it; None before the first stage.
        start: The last way of the piece before.
        jump: Another one of an earlier piece.
    """

    __slots__ = ("before", "jump", "piece", "placed", "seconds", "stage", "start")

    def __init__(self) -> None:
        self.seconds, self.piece = 0.0, -1
        self.placed: Mapping[str, str] = {}
        self.stage: Stage = ()
        self.before: _Way | None = None
        self.start = self.jump = self

    def then(self, seconds: float, stage: Stage, piece: int) -> _Way:
        """The way that goes on with a stage of a piece, this one's or a later one."""
        way = _Way()
        placed = {op: device for ops, device in stage for op in ops}
        way.seconds, way.piece, way.stage, way.before = self.seconds + seconds, piece, stage, self
        if piece == self.piece:
            way.placed, way.start, way.jump = {**self.placed, **placed}, self.start, self.jump
        else:
            far = self.jump
            again = self.piece - far.piece == far.piece - far.jump.piece
            way.placed, way.start, way.jump = placed, self, far.jump if again else self
        return way

    def device_of(self, op: str, piece: int) -> str:
        """The device of an operator that some stage ran, its piece given."""
        way = self
        while way.piece > piece:
            way = way.jump if way.jump.piece >= piece else way.start
        return way.placed[op]

    def stages(self) -> list[Stage]:
        """Its stages in order."""
        found: list[Stage] = []
        way: _Way | None = self
        while way is not None and way.before is not None:
            found.append(way.stage)
            way = way.before
        return found[::-1]


def ios(problem: Problem, effort: Effort | None = None) -> Plan:
    """The plan with the least sum of stage times found, in which groups are segments, or runs of neighbours fused.

    Whichever the model says is fastest (:mod:`hetsim.scheduler.list_scheduling.merging`); ties go to the groups. Ties
    between stages go to those with fewer units, then to the first devices.

    Args:
        problem: The problem.
        effort: Its deadline. Once it has passed, every stage is one unit.
    """
    until = (effort or Effort()).until()
    ways = {"": _Way()}
    for block in _pieces(problem, until):
        ended: dict[str, _Way] = {}
        for way in ways.values():
            for device, longer in block.solve(way).items():
                if device not in ended or longer.seconds < ended[device].seconds:
                    ended[device] = longer
        ways = ended
    best = min(ways.values(), key=lambda way: way.seconds)
    queues: dict[str, list[Segment]] = {}
    for stage in best.stages():
        for ops, device in stage:
            as_one = problem.latency(device, ops) is not None
            queues.setdefault(device, []).extend(
                Segment(device, part) for part in ([ops] if as_one else [(op,) for op in ops])
            )
    grouped: Queues = {device: tuple(segments) for device, segments in queues.items()}
    orders = {device: [op for segment in segments for op in segment.ops] for device, segments in queues.items()}
    fused = plan_from_orders(problem, "ios", orders)
    simulator = Simulator(problem)
    if simulator.run(fused.queues) < simulator.run(grouped):
        return fused
    return problem.plan(grouped, scheduler="ios")


def _pieces(problem: Problem, until: Until) -> list[_Block]:
    """The blocks, those with too many closed sets in halves."""
    unit_of: dict[str, int] = {}
    for chain in fused_chains(problem.graph):
        as_one = any(all(problem.latency(name, (op,)) for op in chain) for name in problem.platform.device_names)
        for unit in (chain,) if as_one else [(op,) for op in chain]:
            unit_of.update(dict.fromkeys(unit, len(unit_of)))
    pieces: list[_Block] = []
    piece_of: dict[str, int] = {}
    for block in blocks(problem.graph):
        units: dict[int, list[str]] = {}
        for op in block:
            units.setdefault(unit_of[op], []).append(op)
        left = [tuple(map(tuple, units.values()))]
        while left:
            half = left.pop()
            piece = _Block(problem, half, len(pieces), piece_of, until)
            if piece.is_small():
                piece_of.update((op, len(pieces)) for unit in half for op in unit)
                pieces.append(piece)
            else:
                middle = len(half) // 2
                left += [half[middle:], half[:middle]]
    return pieces


@dataclass(frozen=True, slots=True)
class _Groups:
    """A stage's groups, what each costs by device that can run it, and which tensors it reads."""

    ops: tuple[Unit, ...]
    costs_s: tuple[Mapping[str, float], ...]
    reads: tuple[tuple[str, ...], ...]


class _Block:
    """The dynamic program for some units; sets of them are bit masks, bit ``i`` for unit ``i``.

    Args:
        problem: The problem.
        units: The units of this piece of the graph.
        piece: Its number.
        piece_of: By operator of it and of the pieces before, their numbers.
        until: Once it says yes, each stage is the first unit that can run.
    """

    def __init__(
        self, problem: Problem, units: tuple[Unit, ...], piece: int, piece_of: Mapping[str, int], until: Until
    ) -> None:
        self._problem = problem
        self._graph = problem.graph
        self._units = units
        self._piece, self._piece_of = piece, piece_of
        self._until = until
        number = {op: i for i, unit in enumerate(units) for op in unit}
        self._before = [0] * len(units)
        for i, unit in enumerate(units):
            for op in unit:
                for other in self._graph.predecessors[op]:
                    if number.get(other, i) != i:
                        self._before[i] |= 1 << number[other]
        self._known_stages: dict[int, list[int]] = {}
        self._known_groups: dict[int, _Groups] = {}

    def is_small(self) -> bool:
        """Whether there are at most ``MAX_STATES`` closed sets, or just one unit."""
        if len(self._units) == 1:
            return True
        known = {0}
        fresh = [0]
        while fresh and len(known) <= MAX_STATES:
            state = fresh.pop()
            for i, before in enumerate(self._before):
                bigger = state | 1 << i
                if bigger not in known and before & ~state == 0:
                    known.add(bigger)
                    fresh.append(bigger)
        return len(known) <= MAX_STATES

    def solve(self, start: _Way) -> dict[str, _Way]:
        """The best ways to go on from ``start`` to the block's end, by the device of its last operator."""
        whole = (1 << len(self._units)) - 1
        best: dict[int, _Way] = {0: start}
        ended: dict[str, _Way] = {}
        by_size: list[list[int]] = [[] for _ in range(len(self._units) + 1)]
        by_size[0].append(0)
        for size in range(len(self._units)):
            for state in by_size[size]:
                way = best[state]
                for stage in self._stages(state):
                    reached = state | stage
                    if reached == whole:
                        for seconds, groups in self._assignments(stage, way):
                            longer = way.then(seconds, groups, self._piece)
                            device = longer.device_of(self._units[-1][-1], self._piece)
                            if device not in ended or longer.seconds < ended[device].seconds:
                                ended[device] = longer
                        continue
                    seconds, groups = min(self._assignments(stage, way), key=lambda found: found[0])
                    if reached not in best:
                        by_size[reached.bit_count()].append(reached)
                    if reached not in best or way.seconds + seconds < best[reached].seconds:
                        best[reached] = way.then(seconds, groups, self._piece)
        return ended

    def _stages(self, state: int) -> list[int]:
        """Sets of units that may come next, each of whose groups some device can run; small ones first."""
        if state not in self._known_stages:
            found: list[int] = []
            todo = [(0, 0)]  # a set and the first unit that may still join it
            while todo:
                stage, first = todo.pop()
                if found and self._until():
                    break
                for i in range(first, len(self._units)):
                    if not (state | stage) >> i & 1 and self._before[i] & ~(state | stage) == 0:
                        bigger = stage | 1 << i
                        parts = self._parts(bigger)
                        if max(map(len, parts)) <= MAX_GROUP_SIZE:
                            todo.append((bigger, i + 1))
                            if len(parts) <= MAX_GROUPS and all(self._groups(bigger).costs_s):
                                found.append(bigger)
            found.sort(key=lambda stage: (stage.bit_count(), stage))
            self._known_stages[state] = found[:1] if self._until() else found
        return self._known_stages[state]

    def _parts(self, stage: int) -> list[list[int]]:
        """The connected parts of a set of units, each ascending, in the order of their first units."""
        groups: list[list[int]] = []
        for i in range(stage.bit_length()):
            if stage >> i & 1:
                tied = [group for group in groups if any(self._before[i] >> other & 1 for other in group)]
                groups = [group for group in groups if group not in tied]
                groups.append(sorted([i, *(other for group in tied for other in group)]))
        return sorted(groups)

    def _groups(self, stage: int) -> _Groups:
        """The parts of a stage as groups of operators."""
        if stage not in self._known_groups:
            graph = self._graph
            ops = tuple(graph.ordered(op for i in part for op in self._units[i]) for part in self._parts(stage))
            self._known_groups[stage] = _Groups(
                ops=ops,
                costs_s=tuple(map(self._costs_s, ops)),
                reads=tuple(tuple(t for t in graph.inputs_of(group) if t in graph.producer) for group in ops),
            )
        return self._known_groups[stage]

    def _costs_s(self, group: Unit) -> dict[str, float]:
        """Seconds by device that can run the group: as one segment, else operator by operator."""
        costs_s: dict[str, float] = {}
        for device in self._problem.platform.device_names:
            seconds = self._problem.cost_s(device, group)
            if seconds == math.inf:
                seconds = sum(self._problem.cost_s(device, (op,)) for op in group)
            if seconds < math.inf:
                costs_s[device] = seconds
        return costs_s

    def _assignments(self, stage: int, way: _Way) -> Iterator[tuple[float, Stage]]:
        """Ways to put a stage's groups on devices, with the seconds until all are done."""
        groups = self._groups(stage)
        arrive_s = [
            {device: self._arrive_s(reads, device, way) for device in runnable}
            for reads, runnable in zip(groups.reads, groups.costs_s, strict=True)
        ]
        if math.prod(map(len, groups.costs_s)) <= MAX_ASSIGNMENTS:
            candidates: Sequence[tuple[str, ...]] = list(product(*groups.costs_s))
        else:
            candidates = [_longest_first(groups.costs_s)]
        for devices in candidates:
            free_s: dict[str, float] = {}
            for i, device in enumerate(devices):
                free_s[device] = max(free_s.get(device, 0.0), arrive_s[i][device]) + groups.costs_s[i][device]
            yield max(free_s.values()), tuple(zip(groups.ops, devices, strict=True))

    def _arrive_s(self, reads: tuple[str, ...], device: str, way: _Way) -> float:
        """Seconds from the start of a stage until these tensors are on the device."""
        producer = self._graph.producer
        return max(
            (self._problem.hand_over_s(self._home(producer[tensor], way), device, tensor) for tensor in reads),
            default=0.0,
        )

    def _home(self, op: str, way: _Way) -> str:
        return way.device_of(op, self._piece_of[op])


def _longest_first(costs_s: Sequence[Mapping[str, float]]) -> tuple[str, ...]:
    """Each group, the longest first, to the device that is done with it soonest."""
    busy_s: dict[str, float] = {}
    devices = [""] * len(costs_s)
    for i in sorted(range(len(costs_s)), key=lambda i: -min(costs_s[i].values())):
        devices[i] = min(costs_s[i], key=lambda device: busy_s.get(device, 0.0) + costs_s[i][device])
        busy_s[devices[i]] = busy_s.get(devices[i], 0.0) + costs_s[i][devices[i]]
    return tuple(devices)
