"""How far outputs are from the expected ones."""

from __future__ import annotations

import numpy as np

from hetsim.tuner.steps.expected_outputs import find_expected_outputs
from tests.support.models import fork_join


def test_nan_is_an_infinite_error() -> None:
    expected = find_expected_outputs(fork_join())
    assert expected.error({"y": np.full((4, 8), np.nan, np.float32)}) == float("inf")
