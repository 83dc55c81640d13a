"""What parts of runs take, estimated from whole runs and corrected by what rewritten problems say.

A rewritten problem gives the exact costs of its parts, but to rewrite a problem takes long compared with a look at a
cost. So parts are estimated by their share of the run (:func:`hetsim.costs.parts.part_seconds`). Each rewritten
problem corrects the estimates: of the same parts exactly, of the same run and of runs of the same blocks by the ratio
of exact and estimated times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from hetsim.core.plan import Axis, Split
from hetsim.core.problem import Problem, Rewritten
from hetsim.costs.parts import part_seconds
from hetsim.models.structure import Parts
from hetsim.scheduler.stages import balanced, boundaries, channel_groups, checked, splitting_of, step_of

_ROUNDS = 3
"""How often the parts of one split are balanced, as costs are not quite linear in their sizes."""

_Ratio = tuple[float, float]
"""The sums of exact and of estimated times."""


class PartTimes:
    """Times of parts on devices, in seconds.

    Args:
        problem: A problem whose operators can be split.
        blocks: The runs of operators whose ratios are told apart.
    """

    def __init__(self, problem: Problem, blocks: Parts) -> None:
        self._problem = problem
        self._splitting = splitting_of(problem)
        self._launch_s = {device.name: device.launch_s for device in problem.platform.devices}
        self._block_of = {op: number for number, block in enumerate(blocks) for op in block}
        self._blocks = blocks
        self._exact_s: dict[tuple[Split, int, str], float] = {}
        self._known_s: dict[tuple[Split, int, str], float] = {}  # until more is learned
        self._known_splits: dict[tuple[tuple[str, ...], Axis, tuple[str, ...]], Split | None] = {}  # likewise
        self._by_run: dict[tuple[tuple[str, ...], Axis, str], _Ratio] = {}
        self._by_block: dict[tuple[int, Axis, str], _Ratio] = {}

    def seconds(self, split: Split, part: int, device: str) -> float:
        """What a part takes on a device; infinite where it cannot run."""
        key = (split, part, device)
        if key not in self._known_s:
            exact_s = self._exact_s.get(key)
            self._known_s[key] = (
                self._estimated_s(split, part, device) * self._ratio(split, device) if exact_s is None else exact_s
            )
        return self._known_s[key]

    def slowest(self, split: Split, devices: Sequence[str]) -> float:
        """What the part takes that takes longest, of the parts of a split on these devices."""
        return max(self.seconds(split, part, device) for part, device in enumerate(devices))

    def row_split(self, ops: tuple[str, ...], devices: Sequence[str]) -> Split | None:
        """The run divided by rows so that all devices should end at once; None where it cannot be."""
        length = self._splitting.length(ops[-1], "rows")
        if length is None or any(self._splitting.length(op, "rows") is None for op in ops):
            return None
        return self._shared(ops, "rows", length, devices)

    def channel_splits(self, ops: tuple[str, ...], devices: Sequence[str]) -> tuple[Split, ...]:
        """The run divided by channels likewise, one split after the other; none where it cannot be."""
        found: list[Split] = []
        for group in channel_groups(self._problem, ops):
            length = self._splitting.length(group[-1], "channels") or 0
            split = self._shared(group, "channels", length, devices)
            if split is None:
                return ()
            found.append(split)
        return tuple(found)

    def rebalanced(self, split: Split, devices: Sequence[str], ends_s: Sequence[float]) -> Split:
        """The split with its boundaries moved so that parts should end at once that now end at these times."""
        length = self._splitting.length(split.ops[-1], split.axis) or 0
        widths = [high - low for low, high in pairwise((0, *split.at, length))]
        rates = [self._s_per_item(split, part, device, widths[part]) for part, device in enumerate(devices)]
        step = step_of(split.axis, length, len(widths))
        if not all(map(math.isfinite, (*rates, *ends_s))):
            return split
        new_widths, _ = balanced(widths, ends_s, rates, step)
        at = tuple(sum(new_widths[: i + 1]) for i in range(len(new_widths) - 1))
        return checked(self._problem, split.ops, split.axis, at) or split

    def learn(self, splits: Sequence[Split], found: Rewritten) -> None:
        """Correct the estimates by what the problem rewritten with these splits says."""
        problem = found.problem
        for split, each in zip(splits, found.parts, strict=True):
            for part, ops in enumerate(each):
                for device in problem.platform.device_names:
                    exact_s = problem.cost_s(device, _computed(problem, device, ops))
                    self._exact_s[split, part, device] = exact_s
                    estimated_s = self._estimated_s(split, part, device)
                    if 0 < estimated_s < math.inf and exact_s < math.inf:
                        self._note(split, device, exact_s, estimated_s)
        self._known_s.clear()
        self._known_splits.clear()

    def _shared(self, ops: tuple[str, ...], axis: Axis, length: int, devices: Sequence[str]) -> Split | None:
        key = (ops, axis, tuple(devices))
        if key not in self._known_splits:
            self._known_splits[key] = self._divided(ops, axis, length, devices)
        return self._known_splits[key]

    def _divided(self, ops: tuple[str, ...], axis: Axis, length: int, devices: Sequence[str]) -> Split | None:
        speeds = [1 / max(self._problem.cost_s(device, ops), 1e-12) for device in devices]
        if not all(speeds):
            return None
        step = step_of(axis, length, len(devices))
        at = boundaries(length, [speed / sum(speeds) for speed in speeds], step)
        best = checked(self._problem, ops, axis, at or _even(length, len(devices), step))
        if best is None:
            return None
        best_s = self.slowest(best, devices)
        for _ in range(_ROUNDS):
            times_s = [self.seconds(best, part, device) for part, device in enumerate(devices)]
            moved = self.rebalanced(best, devices, times_s)
            moved_s = self.slowest(moved, devices)
            if not moved_s < best_s:
                break
            best, best_s = moved, moved_s
        return best

    def _s_per_item(self, split: Split, part: int, device: str, width: int) -> float:
        """What one more row or channel adds to a part, in seconds."""
        seconds = self.seconds(split, part, device)
        return max(seconds - self._launch_s[device], 1e-3 * seconds, 1e-12) / width

    def _estimated_s(self, split: Split, part: int, device: str) -> float:
        work = self._splitting.parts(split)[part]
        found = part_seconds(work, partial(self._problem.latency, device), self._launch_s[device])
        return math.inf if found is None else found

    def _ratio(self, split: Split, device: str) -> float:
        """Exact over estimated time of such parts; 1 where nothing is known."""
        known = self._by_run.get((split.ops, split.axis, device))
        if known is None:
            numbers = dict.fromkeys(self._block_of[op] for op in split.ops)
            found = [self._by_block[key] for n in numbers if (key := (n, split.axis, device)) in self._by_block]
            known = sum(exact_s for exact_s, _ in found), sum(estimated_s for _, estimated_s in found)
        return known[0] / known[1] if known[1] > 0 else 1.0

    def _note(self, split: Split, device: str, exact_s: float, estimated_s: float) -> None:
        keys = dict.fromkeys(self._block_of[op] for op in split.ops)
        before = self._by_run.get((split.ops, split.axis, device), (0.0, 0.0))
        self._by_run[split.ops, split.axis, device] = before[0] + exact_s, before[1] + estimated_s
        if len(keys) == 1:
            key = next(iter(keys)), split.axis, device
            before = self._by_block.get(key, (0.0, 0.0))
            self._by_block[key] = before[0] + exact_s, before[1] + estimated_s


def _computed(problem: Problem, device: str, ops: tuple[str, ...]) -> tuple[str, ...]:
    """The operators of a part without slices and joins that the device leaves to another one."""
    graph = problem.graph
    return tuple(op for op in ops if not graph.by_name[op].moves_data or problem.latency(device, (op,)) is not None)


def _even(length: int, num_parts: int, step: int) -> tuple[int, ...]:
    """Boundaries of equal parts, where parts by speed would leave one empty."""
    return boundaries(length, [1 / num_parts] * num_parts, step)
