"""Devices that all tests of the runtime share, as starting worker processes takes longer than most tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hetsim.runtime import Runtime
from tests.support.models import fake_platform


@pytest.fixture(scope="session")
def runtime() -> Iterator[Runtime]:
    """Fake devices ``cpu`` and ``npu`` that take no time and never fail."""
    with Runtime(fake_platform()) as made:
        yield made
