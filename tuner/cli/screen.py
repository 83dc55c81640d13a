"""How words get on the screen."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from hetsim.analysis.scenario import Scenario
    from hetsim.core.load import Load
    from hetsim.core.timeline import Timeline


@cache
def screen() -> Console:
    """The console of all commands; rich is imported when it is first used."""
    from rich.console import Console

    return Console(soft_wrap=False)


def say(description: str) -> None:
    """Print words as they are."""
    screen().print(description, markup=False, highlight=False, soft_wrap=True)


def hypothesis(scenario: Scenario) -> tuple[str, ...]:
    """What there is to say about changes, if there are any: that nothing that follows was measured."""
    return (f"hypothetical, what follows from: {scenario.description}",) if scenario else ()


def warn(warnings: Iterable[str]) -> None:
    """Print warnings, one a line."""
    for description in warnings:
        say(f"WARNING: {description}")


def say_load(timeline: Timeline, load: Load) -> None:
    """Print how requests fared; latencies run from when one was due to the end of its last segment."""
    import numpy as np

    median_s, late_s = np.percentile(timeline.latencies_s, [50, 99])
    due = f"one every {load.every_s * 1e3:g} ms" if load.every_s else "one whenever there is room"
    say(
        f"{load.num_requests} requests, {due}, at most {load.num_slots} in flight: "
        f"{timeline.throughput_per_s:.2f} a second, p50 {median_s * 1e3:.2f} ms, p99 {late_s * 1e3:.2f} ms"
    )
