"""Settings for all tests."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("unhurried"), max_examples=10_000)
settings.load_profile("unhurried")

# A shell's background jobs ignore Ctrl-C, and so would all that they start; tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_TESTS = Path(__file__).parent
_STARTS_PROCESSES = ("docs", "experiments", "package", "runtime", "tuner", "conformance")
"""Folders whose tests start workers, commands or engines, and want the cores to themselves."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that start processes, so that `make test` runs the others on several cores at once."""
    for item in items:
        folder = item.path.relative_to(_TESTS).parts[0] if item.path.is_relative_to(_TESTS) else ""
        if folder in _STARTS_PROCESSES or item.get_closest_marker("engines"):
            item.add_marker("processes")
