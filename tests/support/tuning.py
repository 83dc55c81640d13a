"""What tests of the tuner share: calibrated make-believe platforms, tiny effort, and a context on running devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hetsim.core.platform import Calibration, Platform
from hetsim.models.model import Model
from hetsim.runtime.measure.profiler import Effort
from hetsim.tuner.context import TuningContext, open_context
from hetsim.tuner.options import Options, Pace
from hetsim.tuner.progress import Silent, Stages
from hetsim.tuner.steps.expected_outputs import find_expected_outputs
from hetsim.tuner.target import Target
from tests.support.models import fake_platform

CALIBRATION = Calibration(date="2026-01-01T00:00:00+00:00", machine="make-believe", num_samples=1)
QUICK_EFFORT = Effort(repeats=3, warm_ups=1, stall_budget_s=0.0, explorations=2)
QUICK = Options(
    rounds=2,
    max_evaluations=50,
    effort=QUICK_EFFORT,
    pace=Pace(num_runs=6, stall_budget_s=0.0),
    splits=False,  # they have tests of their own
    command=("hetsim", "tune"),
)


def calibrated_platform(**options: str) -> Platform:
    """Make-believe devices on a platform with calibrated values, so that nothing is calibrated."""
    return replace(fake_platform(**options), calibration=CALIBRATION)


@contextmanager
def tuning_context(
    model: Model, platform: Platform, folder: Path, *, options: Options = QUICK, stages: Stages | None = None
) -> Iterator[TuningContext]:
    """The platform's devices, running, with the profile in ``folder/profile.jsonl``."""
    with open_context(
        Target(model=model, platform=platform),
        folder / "profile.jsonl",
        expected=find_expected_outputs(model),
        options=options,
        stages=stages or Silent(),
    ) as context:
        yield context
