"""Which runs of operators a plan computes in parts, and how large a part each device computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hetsim.core.plan import Axis, Plan
from hetsim.core.problem import Problem

if TYPE_CHECKING:
    from hetsim.models.model import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRun:
    """A run of operators that is computed in parts.

    Attributes:
        ops: The operators of the original model, in topological order.
        axis: The axis along which the run is divided.
        parts: For each part, the device that computes it and its number of rows or channels of the run's output. A
            part that a hand-written plan divides between devices names them all.
    """

    ops: tuple[str, ...]
    axis: Axis
    parts: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        """One line for people.

        >>> print(SharedRun(ops=("conv1", "pool1"), axis="rows", parts=(("cpu", 30), ("npu", 25))))
        conv1 to pool1 (2 operators), 55 rows: cpu 30, npu 25
        """
        where = self.ops[0] if len(self.ops) == 1 else f"{self.ops[0]} to {self.ops[-1]} ({len(self.ops)} operators)"
        total = sum(width for _, width in self.parts)
        return f"{where}, {total} {self.axis}: {', '.join(f'{device} {width}' for device, width in self.parts)}"


def shared_runs(model: Model, plan: Plan) -> tuple[SharedRun, ...]:
    """The runs that a plan shares, in the order of its rewrites; none for a plan without any.

    Args:
        model: The model that the plan was made for, original or rewritten.
        plan: A valid plan for it.

    Raises:
        PlanError: If a rewrite is impossible.
    """
    from hetsim.models.split.rewrite import rewrite  # imports ONNX, which plans of task graphs do without
    from hetsim.models.split.rules import rule_for

    base = model.base or model
    runs = [(split, base.graph.ordered(split.ops)) for split in plan.rewrites]
    sizes = [rule_for(base, ops[-1], split.axis).size for split, ops in runs]
    return _shared(plan, rewrite(base, plan.rewrites).parts, [ops for _, ops in runs], sizes)


def planned_shares(problem: Problem, plan: Plan) -> tuple[SharedRun, ...]:
    """The same for a plan of a problem, without the model.

    Raises:
        PlanError: If a rewrite is impossible.
    """
    if not plan.rewrites or problem.splitting is None:
        return ()
    sizes = [problem.splitting.length(split.ops[-1], split.axis) or 0 for split in plan.rewrites]
    return _shared(plan, problem.rewritten(plan.rewrites).parts, [split.ops for split in plan.rewrites], sizes)


def _shared(
    plan: Plan, parts: Sequence[tuple[tuple[str, ...], ...]], runs: Sequence[tuple[str, ...]], sizes: Sequence[int]
) -> tuple[SharedRun, ...]:
    home = {op: segment.device for segment in plan.segments for op in segment.ops}
    found = []
    for split, each, ops, size in zip(plan.rewrites, parts, runs, sizes, strict=True):
        widths = tuple(
            (" and ".join(dict.fromkeys(home[op] for op in part)), high - low)
            for part, low, high in zip(each, (0, *split.at), (*split.at, size), strict=True)
        )
        found.append(SharedRun(ops=ops, axis=split.axis, parts=widths))
    return tuple(found)
