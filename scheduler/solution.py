"""A plan with what is known of how good it is."""

from __future__ import annotations

from dataclasses import dataclass

from hetsim.core.interface.notebook import html_table
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem

ROUNDING = 1e-9
"""A gap up to this is rounding: bound and makespan add the same numbers in another order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """A plan, how long it takes, and a time below which no plan of a stated space comes.

    Attributes:
        plan: The plan.
        makespan_s: What the plan takes by the model (:func:`hetsim.sim.simulate.makespan_s`).
        bound_s: No plan in ``space`` is faster; at most ``makespan_s``.
        space: Which plans the bound speaks of, in words, such as ``"segments from 240 candidates"``.
        num_evaluations: Candidates evaluated; what one candidate is, the scheduler says.
        planning_s: How long planning took, in seconds.
    """

    plan: Plan
    makespan_s: float
    bound_s: float
    space: str
    num_evaluations: int = 0
    planning_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.bound_s <= self.makespan_s:  # NaN fails too
            raise ValueError(f"bound_s must be from 0 to makespan_s {self.makespan_s}, got {self.bound_s}")

    def __repr__(self) -> str:
        return (
            f"<Solution by {self.plan.scheduler or 'hand'}: {self.makespan_s * 1e3:.3f} ms, bound "
            f"{self.bound_s * 1e3:.3f} ms, gap {self.gap:.1%}, {self.verdict}>"
        )

    def _repr_html_(self) -> str:
        row = (f"{self.makespan_s * 1e3:.3f}", f"{self.bound_s * 1e3:.3f}", f"{self.gap:.1%}", self.verdict)
        return html_table(("makespan, ms", "bound, ms", "gap", "verdict"), [row]) + self.plan._repr_html_()

    @property
    def gap(self) -> float:
        """By which part of its makespan the plan may be too slow: 0 for the fastest plan of the space, at most 1."""
        return (self.makespan_s - self.bound_s) / self.makespan_s if self.makespan_s > 0 else 0.0

    @property
    def proven(self) -> bool:
        """Whether no plan in the space is faster, but for rounding."""
        return self.gap <= ROUNDING

    @property
    def verdict(self) -> str:
        """What is known, in words."""
        if self.proven:
            return f"optimal among {self.space}"
        return f"not proven optimal among {self.space}"


SINGLE = "single operators"


ANY = "segments of any operators, as fusing gains nothing here"


def space_of(problem: Problem, num_fused: int) -> str:
    """The space of single operators and so many fused segments, in words."""
    if problem.fusing_gains_nothing:
        return ANY
    return f"{SINGLE} and the {num_fused} fused segments of this plan" if num_fused else SINGLE
