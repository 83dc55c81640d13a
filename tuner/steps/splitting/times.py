"""What is known of the times of runs of blocks, on one device or shared by several."""

from __future__ import annotations

from collections.abc import Sequence

from hetsim.core.plan import Split
from hetsim.runtime.worker.device_local import MODEL_PRECISION
from hetsim.scheduler.stages import Stage, coarse_blocks
from hetsim.tuner.context import TuningContext

MAX_BLOCKS = 16
"""The largest number of blocks that a network is cut into: the number of runs grows with its square."""
_MIN_FRACTION = 0.1
"""A device with less than this part of the speed of all devices gets no share: it would not make up for the
hand-over."""

PartTimes = tuple[tuple[float, ...], ...]
"""What each part of each split of a stage takes, in seconds."""


class RunTimes:
    """A network cut into blocks, and measured times of runs of blocks.

    Args:
        context: Gives the model and the profile; the devices must be profiled.

    Attributes:
        model: The model.
        problem: The planning problem as the profile gave it at first.
        device_names: All devices.
        sharing: The devices that are fast enough to share runs.
        fractions: The part of the speed of all sharing devices that each has, in the order of ``sharing``.
        converts: Whether a sharing device computes in another precision than the model's.
        shared_s: By operators and whether what they read lay in parts, then by splits: what each part took.
    """

    def __init__(self, context: TuningContext) -> None:
        self.model = context.model
        self.device_names = context.platform.device_names
        self.problem = context.problem()
        # By device, operators, whether what they read lay in parts, and whether what they hand on is read in parts.
        self._alone_s: dict[tuple[str, tuple[str, ...], bool, bool], float] = {}
        self.shared_s: dict[tuple[tuple[str, ...], bool], dict[tuple[Split, ...], PartTimes]] = {}
        self._blocks = coarse_blocks(
            self.problem, lambda ops: min(self.whole_s(device, ops) for device in self.device_names), MAX_BLOCKS
        )
        everything = self.ops(0, self.num_blocks)
        speeds = {device: 1 / self.whole_s(device, everything) for device in self.device_names}  # 0 if it cannot
        total = sum(speeds.values())
        self.sharing = tuple(device for device in self.device_names if speeds[device] >= _MIN_FRACTION * total)
        total = sum(speeds[device] for device in self.sharing)
        self.fractions = tuple(speeds[device] / total for device in self.sharing)
        self.converts = any(context.platform.device(device).precision != MODEL_PRECISION for device in self.sharing)

    @property
    def num_blocks(self) -> int:
        """The number of blocks."""
        return len(self._blocks)

    def ops(self, start: int, stop: int) -> tuple[str, ...]:
        """The operators of the blocks from ``start`` up to, not including, ``stop``."""
        return tuple(op for block in self._blocks[start:stop] for op in block)

    def whole_s(self, device: str, ops: tuple[str, ...]) -> float:
        """What a run takes on one device in seconds, measured or predicted; infinite if it cannot run there."""
        known = self._alone_s.get((device, ops, False, False))
        return self.problem.cost_s(device, ops) if known is None else known

    def alone_after_s(self, device: str, ops: tuple[str, ...], *, after: bool) -> float | None:
        """What a run was measured to take on one device, in seconds; None if it was not.

        Args:
            device: The device.
            ops: The run.
            after: Whether what the run reads lies in parts.
        """
        known = self._alone_s.get((device, ops, after, False))
        return self._alone_s.get((device, ops, after, True)) if known is None else known

    def shares(self, ops: tuple[str, ...]) -> tuple[float, ...]:
        """The part of a run that each sharing device should compute, by its speed at these operators."""
        speeds = [1 / self.whole_s(device, ops) for device in self.sharing]
        if not all(speeds):
            return self.fractions
        shares = [max(_MIN_FRACTION, speed / sum(speeds)) for speed in speeds]
        return tuple(share / sum(shares) for share in shares)

    def alone(self, ops: tuple[str, ...]) -> Stage:
        """The run on the device that is fastest at it."""
        best = min(self.device_names, key=lambda device: self.whole_s(device, ops))
        return Stage(ops=ops, devices=(best,))

    def note(self, stages: Sequence[Stage], times_s: Sequence[PartTimes]) -> None:
        """Remember what the stages of a plan took, in seconds."""
        after = False
        followed_by_parts = [bool(stage.splits) for stage in stages[1:]] + [False]
        for stage, taken_s, before in zip(stages, times_s, followed_by_parts, strict=True):
            if not stage.splits:
                self._alone_s[stage.devices[0], stage.ops, after, before] = taken_s[0][0]
            else:
                self.shared_s.setdefault((stage.ops, after), {})[stage.splits] = taken_s
            after = bool(stage.splits)
