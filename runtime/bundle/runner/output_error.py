"""How far outputs are from those of the example; bundles and placements have this file."""

from __future__ import annotations

from typing import Any

import numpy as np

Arrays = dict[str, Any]


def largest_error(outputs: Arrays, expected: Arrays) -> float:
    """The largest error of any output, relative to the largest finite magnitude expected in it.

    It is infinite where NaN or infinity is not expected, or not found.
    """
    worst = 0.0
    for name, right in expected.items():
        got, right = outputs[name].astype(np.float64), right.astype(np.float64)
        finite = np.isfinite(right)
        if not np.array_equal(got[~finite], right[~finite], equal_nan=True) or not np.isfinite(got[finite]).all():
            return float("inf")
        scale = np.max(np.abs(right[finite]), initial=0.0) or 1.0
        worst = max(worst, float(np.max(np.abs(got[finite] - right[finite]), initial=0.0) / scale))
    return worst
