"""Rows of the scheduler comparison, and their summary as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hetsim.scheduler.solution import ROUNDING


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerLine:
    """A line of scheduler_comparison.csv: a scheduler's plan for a problem.

    Attributes:
        problem: The network, or the random graph's name with its seed.
        num_ops: Operators of the problem.
        scheduler: The scheduler.
        simulated_s: Simulated makespan of the plan.
        bound_s: Lower bound of the makespan, over the space of plans that the scheduler states.
        planning_s: Planning time; the scheduler looks up every cost itself.
        num_segments: Compiled units of the plan.
        num_devices: Devices of the platform.
        costs: Where costs come from: ``profile``, ``synthetic``, or ``random``.
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
        """The problem, by which rows are grouped."""
        return self.problem


def summary(rows: Sequence[SchedulerLine]) -> list[str]:
    """A line of text for each scheduler, over the random graphs of each size and over all networks together."""
    groups: dict[tuple[str, str], list[SchedulerLine]] = {}
    for row in rows:
        kind = f"{row.num_ops} operators" if row.costs == "random" else "networks"
        groups.setdefault((kind, row.scheduler), []).append(row)
    lines = []
    for (kind, scheduler), group in groups.items():
        proven = sum(row.simulated_s - row.bound_s <= ROUNDING * row.simulated_s for row in group)
        gap = max((row.simulated_s - row.bound_s) / row.simulated_s for row in group if row.simulated_s > 0)
        mean_s = sum(row.simulated_s for row in group) / len(group)
        lines.append(
            f"{kind}, {scheduler}: {len(group)} plans of {mean_s * 1e3:.3f} ms on average, {proven} proven optimal, "
            f"gap at most {gap:.1%}, planned in at most {max(row.planning_s for row in group):.2f} s"
        )
    return lines
