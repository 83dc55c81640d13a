"""Additive medians, by hand."""

from __future__ import annotations

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.costs.fitting.additive_medians import additive_medians
from hetsim.costs.profile import Profile
from tests.support.profiles import HEADER, names, samples


@pytest.mark.equation("additive")
def test_medians_add_up_to_the_median_serial_run() -> None:
    # Serial runs take 2 + 10, 1 + 14 and 3 + 9: 12, 15 and 12, median 12. The medians 2 and 10 add up to 12 as well.
    profile = Profile(header=HEADER)
    profile.add(samples("0", 2.0, 1.0, 3.0, context="replay:x"))
    profile.add(samples("1", 10.0, 14.0, 9.0, device="npu", context="replay:x"))
    assert additive_medians(profile)["npu", names("1")] == {"replay:x": 10.0}
    # Serial runs of 1 + 3, 1 + 1 and 5 + 1: 4, 2 and 6, median 4. The medians 1 and 1 add up to 2: a factor of 2.
    profile.add(samples("0", 1.0, 1.0, 5.0, context="final:x"))
    profile.add(samples("1", 3.0, 1.0, 1.0, device="npu", context="final:x"))
    found = additive_medians(profile)
    assert found["cpu", names("0")] == {"replay:x": 2.0, "final:x": 2.0}
    assert found["npu", names("1")] == {"replay:x": 10.0, "final:x": 2.0}


def test_configurations_of_one_name_are_serial_runs_of_each_device() -> None:
    profile = Profile(header=HEADER)
    for device, second in (("cpu", (1.0, 1.0, 5.0)), ("npu", (3.0, 1.0, 1.0))):
        profile.add(samples("0", 1.0, 1.0, 5.0, device=device, context="configuration:operators"))
        profile.add(samples("1", *second, device=device, context="configuration:operators"))
    found = additive_medians(profile)
    assert found["cpu", names("1")]["configuration:operators"] == 1.0  # serial runs of 2, 2 and 10
    assert found["npu", names("1")]["configuration:operators"] == 2.0  # serial runs of 4, 2 and 6


def test_serial_runs_that_do_not_match_keep_their_medians() -> None:
    profile = Profile(header=HEADER)
    profile.add(samples("0", 1.0, 1.0, 5.0))
    profile.add(samples("1", 3.0, 1.0))
    assert additive_medians(profile)["cpu", names("1")] == {"configuration:single": 2.0}


@given(st.lists(st.lists(st.floats(1e-6, 1.0), min_size=5, max_size=5), min_size=1, max_size=8))
@pytest.mark.equation("additive")
def test_the_sum_is_the_median_of_the_sums(serial_runs_s: list[list[float]]) -> None:
    profile = Profile(header=HEADER)
    for i, samples_s in enumerate(serial_runs_s):
        profile.add(samples(str(i), *samples_s, context="replay:x"))
    total_s = sum(times["replay:x"] for times in additive_medians(profile).values())
    assert total_s == pytest.approx(median(map(sum, zip(*serial_runs_s, strict=True))))
