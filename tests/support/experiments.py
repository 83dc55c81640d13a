"""What tests of experiments share: a tiny platform of make-believe devices, tiny settings, and reading of CSVs."""

from __future__ import annotations

import csv
from pathlib import Path

from experiments.npu_speed.study import Variations
from hetsim.core.platform import Platform
from hetsim.io.platform_file import load_platform
from hetsim.runtime.measure.profiler import Effort
from hetsim.tuner.options import Options, Pace

PLATFORM = """
name = "desk"
[device.cpu]
kind = "cpu"
backend = "fake"
nature = "emulated"
options = { element_s = "3.125e-5" }
[device.npu]
kind = "npu"
backend = "fake"
nature = "emulated"
options = { element_s = "3.125e-5" }
[memory]
shared_bytes_per_s = 1e9
[calibration]
date = "2025-01-01T00:00:00+00:00"
machine = "make-believe"
num_samples = 1
"""


OPTIONS = Options(
    rounds=1,
    max_evaluations=60,
    effort=Effort(repeats=3, warm_ups=1, stall_budget_s=0.0, explorations=2),
    pace=Pace(num_runs=3, stall_budget_s=0.0),
    command=("smoke", "run"),
)


NUM_RANDOM = 3


SWEEP = Variations(device="npu", speeds=(0.5, 1.0, 2.0), counts=(1, 2), bandwidths=(0.5, 1.0), map_speeds=(1.0, 2.0))


def platform_in(folder: Path) -> Platform:
    return load_platform(folder / "desk.toml")


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
