"""Loads: what is refused."""

from __future__ import annotations

import pytest

from hetsim.core.load import Load


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_requests": 0}, "num_requests must be >= 1, got 0"),
        ({"every_s": -1.0}, "every_s must be finite and >= 0, got -1.0"),
        ({"every_s": float("nan")}, "every_s must be finite and >= 0, got nan"),
        ({"num_slots": 0}, "num_slots must be >= 1, got 0"),
    ],
)
def test_impossible_loads_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Load(**fields)  # type: ignore[arg-type]
