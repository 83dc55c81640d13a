"""``hetsim.plan``: limits, Ctrl-C, and what the progress bar shows."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hetsim.core.errors import PlanError
from hetsim.tuner.api.plan import plan
from hetsim.tuner.deadline import stop_on_interrupt
from hetsim.tuner.progress import Report, Silent
from tests.support.problems import inception_like


class Listening(Silent):
    """Records what is reported."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, str]] = []

    @contextmanager
    def stage(self, title: str) -> Iterator[Report]:  # noqa: ARG002
        """Nothing is shown."""
        yield lambda done, description: self.heard.append((done, description))


@pytest.mark.parametrize(
    ("budget", "description"),
    [
        ({"max_evaluations": 0}, "max_evaluations 0 allows no candidate; give 1 or more"),
        ({"max_evaluations": -3}, "max_evaluations -3 allows no candidate; give 1 or more"),
        ({"time_limit_s": 0.0}, "time_limit_s 0 allows no time; give more than 0 seconds"),
        ({"time_limit_s": float("nan")}, "time_limit_s nan allows no time; give more than 0 seconds"),
    ],
)
def test_budgets_that_allow_nothing_are_refused(budget: dict[str, float], description: str) -> None:
    with pytest.raises(PlanError, match=f"^{description}$"):
        plan(inception_like(1), scheduler="exact", **budget)  # type: ignore[arg-type]


def test_best_bound_and_gap_are_shown() -> None:
    stages = Listening()
    solution = plan(inception_like(3), scheduler="exact", stages=stages)
    done, description = stages.heard[-1]
    best = f"{solution.makespan_s * 1e3:.3f} ms"
    assert description == f"best {best}, bound {best}, gap 0.0%"
    assert 0 <= done <= 1
    assert "best " in stages.heard[0][1]


def test_ctrl_c_gives_the_best_so_far_and_a_second_one_ends_all() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_on_interrupt() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_search_that_is_interrupted_ends_with_a_plan() -> None:
    class Pressing(Listening):
        @contextmanager
        def stage(self, title: str) -> Iterator[Report]:  # noqa: ARG002
            """Press Ctrl-C on the first report."""

            def press(done: float, description: str) -> None:
                if not self.heard:
                    os.kill(os.getpid(), signal.SIGINT)
                self.heard.append((done, description))

            yield press

    solution = plan(inception_like(2), max_evaluations=10_000, stages=Pressing())
    assert solution.num_evaluations == 1
    assert solution.plan.num_segments
