"""Profiles that no longer hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from hetsim.core.statistics import summarize
from hetsim.costs.profile import Profile, Samples
from hetsim.costs.profile_file import ProfileFile
from hetsim.runtime import Runtime
from hetsim.runtime.measure.profiler import Effort, make_header
from hetsim.runtime.measure.recheck import contradict, recheck
from tests.support.models import fake_platform, fork_join

MODEL, EFFORT = fork_join(), Effort(repeats=3, warm_ups=1, stall_budget_s=0.0)
WHOLE = tuple(op.name for op in MODEL.graph.ops)


@pytest.mark.parametrize(
    ("before", "now", "apart"),
    [
        ([1.0] * 9, [1.03] * 9, True),
        ([1.03] * 9, [1.0] * 9, True),
        ([1.0] * 9, [1.01] * 9, False),  # apart, but by no more than two quiet sessions are
        ([0.9, 1.0, 1.1] * 3, [1.05, 1.15, 1.3] * 3, False),  # from 1.05, within the first's interval of 0.9 to 1.1
    ],
)
def test_medians_contradict_beyond_their_intervals(before: list[float], now: list[float], apart: bool) -> None:
    assert contradict(summarize(before), summarize(now)) is apart


def test_a_device_that_has_become_slower_is_named_with_both_times(tmp_path: Path) -> None:
    with (
        Runtime(fake_platform(op_s="0.002")) as runtime,
        ProfileFile(tmp_path / "p.jsonl", make_header(runtime, MODEL)) as file,
    ):
        # Five operators of 2 ms: 10 ms and more now, 1 ms in the profile of cpu; the interval of npu holds any time.
        for device, samples_s in (("cpu", (1e-3,) * 9), ("npu", (1e-6, 1e3) * 5)):
            file.add(Samples(device=device, ops=WHOLE, context="configuration:whole", samples_s=samples_s))
        before = file.profile.num_samples
        found = recheck(runtime, MODEL, file.profile, effort=EFFORT)
        assert [one.device for one in found] == ["cpu"]
        assert found[0].now.median_s >= 0.010
        assert "against 1.00 ms (1.00 - 1.00)" in str(found[0])
        assert file.profile.num_samples == before


def test_what_was_never_measured_contradicts_nothing(runtime: Runtime) -> None:
    assert recheck(runtime, MODEL, Profile(header=make_header(runtime, MODEL)), effort=EFFORT) == ()
