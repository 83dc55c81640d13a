"""Correction for interference, by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from hetsim.costs.fitting.additive_medians import additive_medians
from hetsim.costs.fitting.interference import Interference, fit_interference, speed_probe_around_s
from hetsim.costs.profile import Profile, SerialRuns
from tests.support.profiles import HEADER, names, samples

FREE_S, SHARED_S = 45e-6, 75e-6


def add(profile: Profile, context: str, speed_probe_s: Sequence[float], samples_s: Sequence[float]) -> None:
    profile.add(SerialRuns(device="cpu", context=context, speed_probe_s=tuple(speed_probe_s)))
    profile.add(samples("0", *samples_s, context=context))


def times(profile: Profile) -> dict[str, float]:
    return dict(additive_medians(profile, fit_interference(profile))["cpu", names("0")])


def slowed(seconds: float, speed_probe_s: Sequence[float], exponent: float) -> list[float]:
    return [seconds * (one / FREE_S) ** exponent for one in speed_probe_around_s(speed_probe_s).tolist()]


@pytest.mark.parametrize("exponent", [0.0, 0.6, 1.2])
@pytest.mark.equation("interference")
def test_the_exponent_is_found_from_serial_runs_that_differ_in_nothing_else(exponent: float) -> None:
    profile = Profile(header=HEADER)
    mixed = [FREE_S] * 6 + [SHARED_S] * 6
    add(profile, "configuration:a", mixed, slowed(2.0, mixed, exponent))
    add(profile, "configuration:b", mixed, slowed(3.0, mixed, exponent))
    assert fit_interference(profile).exponent["cpu"] == pytest.approx(exponent, rel=0.01)  # expected to be near 0


@pytest.mark.equation("interference")
def test_serial_runs_on_a_slow_core_are_corrected_to_its_usual_speed() -> None:
    profile = Profile(header=HEADER)
    mixed, slow = [FREE_S] * 9 + [SHARED_S] * 3, [SHARED_S] * 4
    add(profile, "configuration:a", mixed, slowed(2.0, mixed, 0.7))
    add(profile, "configuration:b", slow, slowed(2.0, slow, 0.7))
    assert times(profile)["configuration:a"] == pytest.approx(2.0, rel=1e-9)
    assert times(profile)["configuration:b"] == pytest.approx(2.0, rel=0.01)
    assert additive_medians(profile)["cpu", names("0")]["configuration:b"] == pytest.approx(
        2.86, rel=0.01
    )  # 2 * (75 / 45) ^ 0.7


@pytest.mark.equation("interference")
def test_usual_is_the_speed_beside_executions() -> None:
    profile = Profile(header=HEADER)
    mixed = [FREE_S] * 9 + [SHARED_S] * 3
    add(profile, "configuration:a", mixed, slowed(2.0, mixed, 0.7))
    add(profile, "final:x", [SHARED_S] * 4, slowed(2.0, [SHARED_S] * 4, 0.7))
    assert fit_interference(profile).usual_s["cpu"] == SHARED_S
    assert times(profile)["configuration:a"] == pytest.approx(2.86, rel=0.01)


@pytest.mark.equation("interference")
def test_serial_runs_on_another_core_are_left_out_but_never_more_than_half() -> None:
    profile = Profile(header=HEADER)
    add(profile, "configuration:a", [FREE_S] * 3 + [SHARED_S] * 2, [1.0, 1.0, 1.0, 9.0, 9.0])
    add(profile, "configuration:b", [FREE_S] + [SHARED_S] * 4, [1.0, 9.0, 9.0, 9.0, 9.0])
    interference = Interference(usual_s={"cpu": FREE_S}, exponent={"cpu": 0.0})
    found = additive_medians(profile, interference)["cpu", names("0")]
    assert found == {"configuration:a": 1.0, "configuration:b": 9.0}


@pytest.mark.equation("interference")
def test_speed_probes_that_serial_runs_do_not_depend_on_change_nothing() -> None:
    profile = Profile(header=HEADER)
    generator = np.random.default_rng(0)
    speed_probe_s = FREE_S * np.exp(generator.normal(0.0, 0.02, 12))
    for i in range(10):
        add(
            profile,
            f"configuration:{i}",
            speed_probe_s.tolist(),
            (2.0 * np.exp(generator.normal(0.0, 0.01, 12))).tolist(),
        )
    assert abs(fit_interference(profile).exponent["cpu"]) < 0.2
    raw = additive_medians(profile)["cpu", names("0")]
    assert times(profile) == pytest.approx(raw, rel=0.01)


@pytest.mark.equation("interference")
def test_serial_runs_without_speed_probes_count_as_they_are() -> None:
    profile = Profile(header=HEADER)
    profile.add(samples("0", 1.0, 2.0, 4.0))
    assert fit_interference(profile).usual_s == {}
    assert times(profile) == {"configuration:single": 2.0}
    add(profile, "configuration:a", [FREE_S] * 2, [3.0] * 3)  # one serial run has none
    assert times(profile)["configuration:a"] == 3.0
