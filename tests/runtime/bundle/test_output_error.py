"""The error of outputs as run.py of bundles and of placements says it."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import numpy as np
import pytest

import hetsim

RUNNER = Path(hetsim.__file__).parent / "runtime" / "bundle" / "runner"
largest_error = runpy.run_path(str(RUNNER / "output_error.py"))["largest_error"]


@pytest.mark.parametrize(
    ("found", "expected", "error"),
    [
        ([1.0, 4.0], [1.0, 4.0], 0.0),
        ([1.0, 3.0], [1.0, 4.0], 0.25),
        ([math.inf, 4.0], [math.inf, 4.0], 0.0),
        ([math.inf, 3.0], [math.inf, 4.0], 0.25),  # one infinity hides no other error
        ([1.0, 4.0], [math.inf, 4.0], math.inf),
        ([-math.inf, 4.0], [math.inf, 4.0], math.inf),
        ([math.inf, 4.0], [1.0, 4.0], math.inf),
        ([math.nan, 3.0], [math.nan, 4.0], 0.25),
        ([math.nan, 4.0], [1.0, 4.0], math.inf),
        ([1.0, 4.0], [math.nan, 4.0], math.inf),
    ],
)
def test_infinities_and_nan_must_be_where_they_are_expected(
    found: list[float], expected: list[float], error: float
) -> None:
    assert largest_error({"y": np.array(found, "f")}, {"y": np.array(expected, "f")}) == error
