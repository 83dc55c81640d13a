"""The fastest sequence of stages by estimates: a shortest path over cuts, in which branches and splits compete.

A cut is after an operator through which all of the network passes. Between two cuts the operators run on one device as
one segment; or, up to the next cut, their branches are spread over devices, as in
:mod:`hetsim.scheduler.search.blockwise`; or several devices compute parts of them, by rows or by channels. What
follows a cut depends on where its tensor lies: on one device, or in parts on several.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

from hetsim.core.graph import Graph
from hetsim.core.plan import Split
from hetsim.core.problem import Problem
from hetsim.costs.parts import COPY_BYTES_PER_S
from hetsim.models.structure import Parts, blocks, fused_chains
from hetsim.scheduler.effort import Until
from hetsim.scheduler.search.blockwise import block_branches, spreads
from hetsim.scheduler.splits.part_times import PartTimes
from hetsim.scheduler.stages import Stage, merged, splitting_of
from hetsim.scheduler.stretches import stretch_ends
from hetsim.sim.compiled import CompiledSimulator

_HALO = 2
"""About how many rows a part reads of each neighbour's rows."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A part of the tensor at a cut: the range that a device has of it, as fractions from 0 to 1."""

    device: str
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Label:
    """The fastest way to a cut with the tensor there in one place.

    Attributes:
        seconds: From the start to the cut; and what the loads of devices cost, if they have prices.
        held: Who has the tensor.
        axis: The axis of the parts that it lies in; empty if one device has it.
        stage: The stage that ends here; None at the start.
        before: Where that stage began.
    """

    seconds: float
    held: tuple[_Held, ...]
    axis: str = ""
    stage: Stage | None = None
    before: _Label | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """Where the tensor is; the sizes of parts do not count."""
        return (self.axis, *(held.device for held in self.held))


class StagePath:
    """Looks for the fastest stages.

    Args:
        problem: A problem whose operators can be split.
        times: Estimates of parts.
        coarse: Runs of whole blocks; parts begin and end with them.
    """

    def __init__(self, problem: Problem, times: PartTimes, coarse: Parts) -> None:
        self._problem = problem
        self._times = times
        self._fine = blocks(problem.graph)
        self._branches = block_branches(problem)
        self._names = tuple(op.name for op in problem.graph.ops)
        self._begins = list(accumulate(map(len, self._fine), initial=0))
        inside = _inside_chains(problem.graph)
        self._ends = [  # a device's stretch does not end before an activation of its last operator
            [end for end in ends if self._begins[end] not in inside]
            for ends in stretch_ends(list(map(len, self._fine)))
        ]
        cuts = list(accumulate(map(len, coarse), initial=0))
        self._cuts = [i for i, begin in enumerate(self._begins) if begin in frozenset(cuts)]
        self._simulator = CompiledSimulator(problem)
        self._spreads: dict[tuple[int, str], list[tuple[float, dict[str, str]]]] = {}
        names = problem.platform.device_names
        self._prices: Mapping[str, float] = {}
        self._byte_s = {(a, b): problem.sharing_s_per_byte(a, b) for a in names for b in names if a != b}

    def stages(self, until: Until, prices: Mapping[str, float] | None = None) -> tuple[Stage, ...]:
        """The fastest stages by what is known; neighbours on one device are one stage. None are found out of time.

        Args:
            until: When to end.
            prices: By device, what each second for which it works costs beside the time that the stages take; None
                stands for nothing.
        """
        self._prices = prices or {}
        labels: list[dict[tuple[str, ...], _Label]] = [{} for _ in range(len(self._fine) + 1)]
        start_label = _Label(seconds=0.0, held=())
        labels[0][start_label.key] = start_label
        for start in range(len(self._fine)):
            for end, found in self._from(start, list(labels[start].values()), until):
                known = labels[end].get(found.key)
                if known is None or found.seconds < known.seconds:
                    labels[end][found.key] = found
        best = min(labels[-1].values(), key=lambda label: label.seconds, default=None)
        found_stages: list[Stage] = []
        while best is not None and best.stage is not None:
            found_stages.append(best.stage)
            best = best.before
        return merged(found_stages[::-1])

    def options(self) -> list[tuple[Stage, float]]:
        """Every stage of parts, with the seconds that it should take from when all parts have what they read."""
        start = _Label(seconds=0.0, held=())
        return [
            (stage, self._after_parts([start], 0, stage)[0].seconds)
            for i, begin in enumerate(self._cuts)
            for end in self._cuts[i + 1 :]
            for stage in self._shared(self._names[self._begins[begin] : self._begins[end]])
        ]

    def _from(self, start: int, labels: list[_Label], until: Until) -> Iterator[tuple[int, _Label]]:
        """Where stages that begin at a cut end, each with its label there."""
        for end in self._ends[start] if labels else ():
            ops = self._names[self._begins[start] : self._begins[end]]
            for device in self._problem.platform.device_names:
                seconds = self._problem.cost_s(device, ops)
                if seconds < math.inf:
                    stage = Stage(ops=ops, devices=(device,))
                    for label in labels:
                        total_s = label.seconds + self._arrival_s(label, start, device) + seconds
                        total_s += self._prices.get(device, 0.0) * seconds
                        held = (_Held(device, 0.0, 1.0),)
                        yield end, _Label(seconds=total_s, held=held, stage=stage, before=label)
            if until():
                return
        yield from ((start + 1, label) for label in self._spread(start, labels, until))
        if start in self._cuts:
            for end in self._cuts[self._cuts.index(start) + 1 :]:
                ops = self._names[self._begins[start] : self._begins[end]]
                for stage in self._shared(ops):
                    yield from ((end, label) for label in self._after_parts(labels, start, stage))
                if until():
                    return

    def _spread(self, start: int, labels: list[_Label], until: Until) -> Iterator[_Label]:
        """The labels after one block whose branches are spread over devices."""
        block = self._branches[start]
        if len(block) < 2:
            return
        last = self._fine[start][-1]
        for label in labels:
            source = max(label.held, key=lambda held: held.high - held.low).device if label.held else ""
            joined_s = self._arrival_s(label, start, source) if label.axis else 0.0
            key = (start, source)
            if key not in self._spreads:
                before = self._fine[start - 1][-1] if start else None
                ways = spreads(self._simulator, before, source, block, self._fine[start], until)
                self._spreads[key] = [way for way in ways if way[0] < math.inf and len(set(way[1].values())) > 1]
            for seconds, device_of in self._spreads[key]:
                stage = Stage(
                    ops=self._fine[start],
                    devices=tuple(dict.fromkeys(device_of.values())),
                    spread=tuple(device_of.items()),
                )
                held = (_Held(device_of[last], 0.0, 1.0),)
                load_cost = sum(
                    self._prices.get(device, 0.0) * self._problem.cost_s(device, (op,))
                    for op, device in device_of.items()
                )
                yield _Label(
                    seconds=label.seconds + joined_s + seconds + load_cost, held=held, stage=stage, before=label
                )

    def _shared(self, ops: tuple[str, ...]) -> Iterator[Stage]:
        """Ways to compute a run in parts: by rows or channels, on the fastest two devices, three, and so on."""
        names = self._problem.platform.device_names
        speed = {name: 1 / max(self._problem.cost_s(name, ops), 1e-12) for name in names}
        ordered = sorted((name for name in names if speed[name] > 0), key=lambda name: -speed[name])
        for count in range(2, len(ordered) + 1):
            devices = tuple(name for name in names if name in ordered[:count])
            split = self._times.row_split(ops, devices)
            if split is not None and self._times.slowest(split, devices) < math.inf:
                yield Stage(ops=ops, devices=devices, splits=(split,))
            splits = self._times.channel_splits(ops, devices)
            if splits and all(self._times.slowest(each, devices) < math.inf for each in splits):
                yield Stage(ops=ops, devices=devices, splits=splits)

    def _after_parts(self, labels: list[_Label], start: int, stage: Stage) -> list[_Label]:
        """The labels after a stage of parts, one for each label before it: only the first split depends on that."""
        first, *others = stage.splits
        parts = self._parts(first, stage.devices)
        held, axis = parts, first.axis
        others_s: list[float] = []
        for before, split in zip(stage.splits, others, strict=False):
            outputs = self._problem.graph.by_name[before.ops[-1]].outputs
            num_bytes = sum(self._problem.graph.tensors[tensor].num_bytes for tensor in outputs)
            next_parts = self._parts(split, stage.devices)
            others_s.append(self._slowest_s(held, axis, next_parts, split, num_bytes))
            held, axis = next_parts, split.axis
        load_cost = sum(
            self._prices.get(device, 0.0) * self._times.seconds(split, number, device)
            for split in stage.splits
            for number, device in enumerate(stage.devices)
        )
        found: list[_Label] = []
        for label in labels:
            total_s = (
                label.seconds + load_cost + self._slowest_s(label.held, label.axis, parts, first, self._bytes_at(start))
            )
            for seconds in others_s:
                total_s += seconds
            found.append(_Label(seconds=total_s, held=held, axis=axis, stage=stage, before=label))
        return found

    def _slowest_s(
        self, held: tuple[_Held, ...], axis: str, parts: tuple[_Held, ...], split: Split, num_bytes: int
    ) -> float:
        """Until the last part of a split ends, from when the parts of the tensor that it reads are made."""
        return max(
            self._hand_over_s(held, axis, part, split, num_bytes) + self._times.seconds(split, number, part.device)
            for number, part in enumerate(parts)
        )

    def _parts(self, split: Split, devices: tuple[str, ...]) -> tuple[_Held, ...]:
        size = splitting_of(self._problem).length(split.ops[-1], split.axis) or 1
        ends = [at / size for at in (0, *split.at, size)]
        return tuple(_Held(device, low, high) for device, (low, high) in zip(devices, pairwise(ends), strict=True))

    def _hand_over_s(self, held: tuple[_Held, ...], axis: str, part: _Held, split: Split, num_bytes: int) -> float:
        """Until a part has what it reads, in seconds; a whole tensor is handed over as a whole, and then sliced."""
        if not axis:
            return max((self._transfer_s(each, part.device, num_bytes) for each in held), default=0.0)
        low, high = 0.0, 1.0
        if axis == split.axis == "rows":
            size = splitting_of(self._problem).length(split.ops[-1], "rows") or 1
            low, high = max(0.0, part.low - _HALO / size), min(1.0, part.high + _HALO / size)
        pieces = [_Held(each.device, max(low, each.low), min(high, each.high)) for each in held]
        arrival_s = max(self._transfer_s(piece, part.device, num_bytes) for piece in pieces)
        return arrival_s + (high - low) * num_bytes / COPY_BYTES_PER_S

    def _arrival_s(self, label: _Label, start: int, device: str) -> float:
        """Until a device has all of the tensor at a cut, in seconds; parts are joined there."""
        num_bytes = self._bytes_at(start)
        arrival_s = max((self._transfer_s(held, device, num_bytes) for held in label.held), default=0.0)
        return arrival_s + (num_bytes / COPY_BYTES_PER_S if label.axis else 0.0)

    def _transfer_s(self, piece: _Held, device: str, num_bytes: int) -> float:
        if piece.device == device or not piece.high > piece.low:
            return 0.0
        link = self._problem.platform.link(piece.device, device)
        handed_on = num_bytes * (piece.high - piece.low)
        return link.transfer_s(round(handed_on)) + handed_on * self._byte_s[piece.device, device]

    def _bytes_at(self, start: int) -> int:
        """Bytes of the tensors that the operators after a cut read from before it."""
        graph = self._problem.graph
        if not start:
            return 0
        outputs = graph.by_name[self._fine[start - 1][-1]].outputs
        return sum(graph.tensors[tensor].num_bytes for tensor in outputs if graph.consumers[tensor])


def _inside_chains(graph: Graph) -> frozenset[int]:
    """Positions of operators before which a cut would separate cheap operators from what engines fuse them with."""
    spans = ([graph.position[op] for op in chain] for chain in fused_chains(graph))
    return frozenset(i for span in spans for i in range(min(span) + 1, max(span) + 1))
