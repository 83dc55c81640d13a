"""What a tune run found: the plans, the winner, and how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hetsim.analysis.breakdown import Assignment, Breakdown
from hetsim.core.interface.notebook import html_table
from hetsim.core.statistics import Estimate, Summary
from hetsim.tuner.report.shared_runs import SharedRun
from hetsim.tuner.steps.proposals import Round

_AS_LONG = Estimate(1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOutcome:
    """One scheduler's plan, simulated and executed.

    Attributes:
        name: The scheduler.
        simulated_s: Simulated makespan.
        measured_s: Median of the executions.
        measured_iqr_s: Distance between their quartiles.
        measured_low_s: Lower end of the median's 95 % confidence interval.
        measured_high_s: Upper end of it.
        num_segments: Compiled units of the plan.
        num_devices: Devices that have any.
        num_splits: Runs of operators that it computes in parts.
        ratio: How many times as long as the winner it takes, compared round by round.
    """

    name: str
    simulated_s: float
    measured_s: float
    measured_iqr_s: float
    measured_low_s: float
    measured_high_s: float
    num_segments: int
    num_devices: int
    num_splits: int = 0
    ratio: Estimate = _AS_LONG

    @property
    def error(self) -> float:
        """How much longer the simulation takes than the execution, as a fraction; negative where it is shorter."""
        return self.simulated_s / self.measured_s - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that a tune run found.

    Attributes:
        model: Name of the model.
        platform: Name of the platform.
        plans: One for each scheduler, in the order in which people should see them.
        tied: Names of other plans that are shown to be within 1 % of the fastest plan.
        undecided: Names of other plans for which neither that is shown nor that they are slower.
        best_single_device_s: Median of the best single device, in seconds; None if none runs the whole model.
        winner: Name of the plan that measured best; among those that tie with it, the simplest.
        outputs_match: Whether every plan's outputs agree with the reference engine's within the tolerance.
        num_compared: Number of outputs that were compared.
        not_compared: Outputs that random numbers go into, so that there is nothing to compare them with.
        largest_error: The largest difference from the reference engine.
        tolerance: What the platform's precision allows.
        rejected: Plans whose outputs are off by more, with their errors; the winner is none of them.
        hand_over_s: Median time between devices, from the end of a segment to the start of one that sat waiting for
            its output, over all executions; None where nothing was handed over.
        assignments: Who runs what in the winner.
        shared: The runs of operators that the winner computes in parts.
        where: Where the winner's measured time goes.
        reference_engines_s: Each engine alone on all cores that the platform uses, by the device's label, in seconds.
        reference_latencies: The same with their spread.
        reference_threads: How many cores, and threads, those are.
        rounds: How the search came to its plan.
        rounds_ended: Why it stopped there.
        num_samples: The least number of executions behind a measured time; plans that are surely slower have fewest.
        seed: The seed that everything random came from.
        machine: The machine's fingerprint.
        versions: Versions of what took part, by name.
        command: The command line, as a list of arguments, that does it again.
        warnings: What may have spoiled the measurements.

    Raises:
        ValueError: If ``winner`` or one of ``tied`` or ``undecided`` is not among the plans.
    """

    model: str
    platform: str
    plans: tuple[PlanOutcome, ...]
    best_single_device_s: float | None
    winner: str
    tied: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    outputs_match: bool
    largest_error: float
    tolerance: float
    rejected: Mapping[str, float] = field(default_factory=dict)
    num_compared: int = 1
    not_compared: tuple[str, ...] = ()
    hand_over_s: float | None = None
    assignments: tuple[Assignment, ...] = ()
    shared: tuple[SharedRun, ...] = ()
    where: Breakdown | None = None
    reference_engines_s: Mapping[str, float] = field(default_factory=dict)
    reference_latencies: Mapping[str, Summary] = field(default_factory=dict)
    reference_threads: int = 0
    rounds: tuple[Round, ...] = ()
    rounds_ended: str = ""
    num_samples: int
    seed: int
    machine: str
    versions: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [plan.name for plan in self.plans]
        for name in (self.winner, *self.tied, *self.undecided):
            if name not in names:
                raise ValueError(f"winner {name!r} is not among the plans {names}")

    def __repr__(self) -> str:
        return (
            f"<Outcome of {self.model!r} on {self.platform!r}: {self.winner} wins with "
            f"{self.best.measured_s * 1e3:.2f} ms, {len(self.plans)} plans>"
        )

    def _repr_html_(self) -> str:
        rows = [
            (
                plan.name + (f" ({mark})" if (mark := self.mark(plan.name)) else ""),
                f"{plan.simulated_s * 1e3:.3f}",
                f"{plan.measured_s * 1e3:.3f}",
                f"{plan.error:+.1%}",
                str(plan.num_segments),
                str(plan.num_devices),
            )
            for plan in self.plans
        ]
        columns = ("plan", "simulated, ms", "measured, ms", "error", "segments", "devices")
        return html_table(columns, rows, caption=f"{self.model} on {self.platform}")

    @property
    def best(self) -> PlanOutcome:
        """The winner's plan."""
        return next(plan for plan in self.plans if plan.name == self.winner)

    def mark(self, name: str) -> str:
        """What sets a plan apart: ``best``, ``tie``, ``undecided`` or ``rejected``; empty for all others."""
        if name in self.rejected:
            return "rejected"
        if name == self.winner:
            return "best"
        return "tie" if name in self.tied else "undecided" if name in self.undecided else ""

    def plan(self, name: str) -> PlanOutcome:
        """The plan of that name.

        Raises:
            KeyError: If there is none.
        """
        return {plan.name: plan for plan in self.plans}[name]

    def speed_up(self, plan: PlanOutcome) -> float | None:
        """How many times faster than the best single device the plan measured."""
        return None if self.best_single_device_s is None else self.best_single_device_s / plan.measured_s
