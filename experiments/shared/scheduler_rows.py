"""Rows of the scheduler comparison, and what they say in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hetsim.scheduler.solution import ROUNDING


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerLine:
    """A line of scheduler_comparison.csv: a scheduler's plan for a problem.

    Attributes:
        problem: The network, or the random graph's name with its seed.
        num_ops: Operators that it has.
        scheduler: Who planned.
        simulated_s: What the plan takes by the model.
        bound_s: No plan in the space that the scheduler speaks of is faster.
        planning_s: What planning took, costs looked up for the first time.
        num_segments: Compiled units.
        num_devices: Of the platform.
        costs: ``profile``, ``synthetic``, or ``random``.
    """

    problem: str
    num_ops: int
    scheduler: str
    simulated_s: float
    bound_s: float
    planning_s: float
    num_segments: int
    num_devices: int
    costs: str

    @property
    def model(self) -> str:
        """What rows are grouped by."""
        return self.problem


def summary(rows: Sequence[SchedulerLine]) -> list[str]:
    """For each scheduler and size of random graphs, and for the networks together, a line on how it did."""
    groups: dict[tuple[str, str], list[SchedulerLine]] = {}
    for row in rows:
        kind = f"{row.num_ops} operators" if row.costs == "random" else "networks"
        groups.setdefault((kind, row.scheduler), []).append(row)
    lines = []
    for (kind, scheduler), some in groups.items():
        proven = sum(row.simulated_s - row.bound_s <= ROUNDING * row.simulated_s for row in some)
        gap = max((row.simulated_s - row.bound_s) / row.simulated_s for row in some if row.simulated_s > 0)
        mean_s = sum(row.simulated_s for row in some) / len(some)
        lines.append(
            f"{kind}, {scheduler}: {len(some)} plans of {mean_s * 1e3:.3f} ms on average, {proven} proven optimal, "
            f"gap at most {gap:.1%}, planned in at most {max(row.planning_s for row in some):.2f} s"
        )
    return lines
