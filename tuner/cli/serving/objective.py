"""``hetsim tune --objective throughput`` and ``p99``: options, table and verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from hetsim.analysis.scenario import Scenario
from hetsim.core.errors import ProblemError
from hetsim.core.load import parse_time_s
from hetsim.core.platform import Platform
from hetsim.models.model import Model
from hetsim.models.values.trust import Trust
from hetsim.runtime.backends.protocol import Array
from hetsim.tuner.cli.screen import say, screen, warn
from hetsim.tuner.options import Options
from hetsim.tuner.progress import OnScreen
from hetsim.tuner.serving.objective import Objective
from hetsim.tuner.serving.outcome import ContenderOutcome, DeploymentOutcome
from hetsim.tuner.serving.pipeline import tune_deployment

GOALS = ("latency", "throughput", "p99")


def parse_objective(objective: str, every: str, max_latency: str) -> Objective | None:
    """The objective that the options of the command line ask for; None for one inference alone.

    Raises:
        ProblemError: If it is unknown, or the options do not go with it.
    """
    if objective not in GOALS:
        raise ProblemError(f"--objective {objective!r}; choose from {', '.join(GOALS)}")
    if objective == "latency":
        if every or max_latency:
            option = "--every" if every else "--max-latency"
            raise ProblemError(f"{option} goes with --objective throughput or p99; give one of these")
        return None
    return Objective(
        goal="p99" if objective == "p99" else "throughput",
        every_s=parse_time_s(every, "--every") if every else 0.0,
        max_latency_s=parse_time_s(max_latency, "--max-latency") if max_latency else math.inf,
    )


def tune_for_requests(
    model: Model,
    platform: Platform,
    out: Path,
    goal: Objective,
    *,
    scenario: Scenario,
    inputs: Mapping[str, Array] | None,
    trust: Trust,
    options: Options,
) -> None:
    """Tune a deployment and print what was found.

    Raises:
        HetsimError: If the model, the platform or a device cannot do what is asked.
    """
    if scenario or inputs is not None:
        option = "--set" if scenario else "--inputs"
        raise ProblemError(f"{option} goes with --objective latency alone; remove it")
    outcome = tune_deployment(model, platform, out, goal, trust=trust, options=options, stages=OnScreen(screen()))
    print_deployment(outcome)
    say(f"Look at {out / 'deployments.png'}; the recommended plans are in {out / 'deployment.json'} and beside it.")


def print_deployment(outcome: DeploymentOutcome) -> None:
    """Print the contenders, the verdict, and the bound."""
    table = Table(box=None, pad_edge=False)
    table.add_column("deployment")
    for heading in (
        "plans",
        "every, ms",
        "per s, sim.",
        "per s, measured",
        "95 % interval",
        "p50, ms",
        "p99, ms",
        "sim. p99",
    ):
        table.add_column(heading, justify="right")
    for one in outcome.contenders:
        table.add_row(*_cells(one, is_best=one.name == outcome.winner))
    screen().print(table)
    for name in outcome.rejected:
        warn(f"{name} is not recommended: its outputs differ by more than {outcome.tolerance:.1e} of the largest value")
    best, figures = outcome.best, outcome.best.measured.figures
    say(
        f"{best.name} is recommended: {figures.throughput_per_s:.4g} requests/s, median latency "
        f"{figures.p50_s * 1e3:.3g} ms, 99th percentile {figures.p99_s * 1e3:.3g} ms."
    )
    if outcome.objective.goal == "throughput":
        say(
            f"By the predicted costs no mixture of {outcome.space} serves more than "
            f"{outcome.bound_per_s:.4g} requests/s."
        )


def _cells(one: ContenderOutcome, *, is_best: bool) -> list[str]:
    measured, simulated = one.measured, one.simulated
    return [
        f"{one.name} (best)" if is_best else one.name,
        str(len(one.deployment.instances)),
        f"{simulated.every_s * 1e3:.3g}" if simulated.every_s else "-",
        f"{simulated.throughput_per_s:.4g}",
        f"{measured.figures.throughput_per_s:.4g}",
        f"{measured.low_per_s:.4g} - {measured.high_per_s:.4g}",
        f"{measured.figures.p50_s * 1e3:.3g}",
        f"{measured.figures.p99_s * 1e3:.3g}",
        f"{simulated.p99_s * 1e3:.3g}",
    ]
