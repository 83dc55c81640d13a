"""Settings for all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from hetsim.runtime.machine.self_check import self_check

# A busy machine is no failure.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("unhurried"), max_examples=10_000)
settings.load_profile("unhurried")

# A shell's background jobs ignore Ctrl-C, and so would all that they start; tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_TESTS = Path(__file__).parent
_WANT_THE_CORES = ("experiments", "runtime", "tuner", "package/test_startup.py")
"""Whose tests start workers or compare times, and want all cores to themselves."""
_SHARE_THE_CORES = (
    "experiments/test_evaluation_speed.py",
    "experiments/test_paper_board.py",
    "experiments/test_random_graphs.py",
    "experiments/test_sweep.py",
    "runtime/bundle",
    "tuner/api",
    "tuner/cli",
    "tuner/report",
    "tuner/test_explain.py",
    "tuner/test_folder_lock.py",
    "tuner/test_scenario_planning.py",
)
"""The exceptions: they start no workers, or make-believe ones of which no time is expected but the shortest."""
_SLOW = ("conformance", "docs/test_docs.py", "package", *_SHARE_THE_CORES)
"""Whose tests take seconds each: `make test-quick` leaves them out."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder, so that `make test` runs the others on several cores at once."""
    for item in items:
        place = item.path.relative_to(_TESTS).as_posix() if item.path.is_relative_to(_TESTS) else ""
        is_slow = place.startswith(_SLOW)
        if is_slow:
            item.add_marker("slow")
        wants_the_cores = place.startswith(_WANT_THE_CORES) and not place.startswith(_SHARE_THE_CORES)
        if wants_the_cores or (item.get_closest_marker("engines") and not is_slow):
            item.add_marker("processes")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what probes find out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _short_look_at_the_machine() -> Iterator[None]:
    """Half a second before each command would be a twentieth of all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hetsim.tuner.steps.readiness.self_check", partial(self_check, during_s=0.02))
        yield
