"""Durations with measured noise, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hetsim.core.plan import Segment
from hetsim.costs.fitting.additive_medians import additive_medians
from hetsim.costs.noise import interference_noise, measured_noise
from hetsim.costs.profile import Profile, Samples, SerialRuns
from tests.support.problems import graph_of, plan_of, platform_of, problem_of, sharing_of
from tests.support.profiles import HEADER

GRAPH = graph_of({"a": (), "b": ("a",)})
PROBLEM = problem_of(GRAPH, {"a": {"cpu": 10.0}, "b": {"npu": 100.0}}, platform_of("cpu", "npu"))
PLAN = plan_of(GRAPH, ("cpu", "a"), ("npu", "b"))
A, B = Segment("cpu", ("a",)), Segment("npu", ("b",))


def profile_of(context: str, a_s: tuple[float, ...], b_s: tuple[float, ...]) -> Profile:
    profile = Profile(header=HEADER)
    profile.add(Samples(device="cpu", ops=("a",), context=context, samples_s=a_s))
    profile.add(Samples(device="npu", ops=("b",), context=context, samples_s=b_s))
    return profile


@pytest.mark.equation("noise")
def test_noise_draws_whole_serial_runs_one_after_the_other() -> None:
    # In the second of three serial runs everything took twice its median, in the third a took half and b its median.
    profile = profile_of(f"replay:{PLAN.digest}", (2.0, 4.0, 1.0), (3.0, 6.0, 3.0))
    serial_runs = [(10.0, 100.0), (20.0, 200.0), (5.0, 100.0)]
    firsts = set()
    for seed in range(20):
        duration_s = measured_noise(PROBLEM, profile, PLAN, seed=seed)
        drawn = [(duration_s(request, A), duration_s(request, B)) for request in range(7)]
        firsts.add(first := serial_runs.index(drawn[0]))
        assert drawn == [serial_runs[(first + request) % 3] for request in range(7)]
    assert firsts == {0, 1, 2}


def test_noise_without_a_replay_draws_for_each_segment() -> None:
    profile = profile_of("configuration:operators", (2.0, 4.0, 1.0), (3.0, 6.0, 3.0))
    duration_s = measured_noise(PROBLEM, profile, PLAN, seed=0)
    drawn = {(duration_s(request, A), duration_s(request, B)) for request in range(200)}
    assert drawn == {(a, b) for a in (10.0, 20.0, 5.0) for b in (100.0, 200.0)}


@pytest.mark.equation("noise")
def test_noise_slows_down_access_too() -> None:
    # The NPU reads 20 s longer, besides the 100 s; in the second serial run all took twice as long.
    problem = replace(PROBLEM, sharing=sharing_of({("npu", "a"): 20.0}))
    profile = profile_of("configuration:operators", (2.0, 2.0), (3.0, 6.0))
    times = additive_medians(profile)["npu", ("b",)]["configuration:operators"]
    duration_s = measured_noise(problem, profile, PLAN, seed=0)
    drawn = {duration_s(request, B) for request in range(50)}
    assert sorted(drawn) == pytest.approx([120.0 * 3.0 / times, 120.0 * 6.0 / times])
    assert interference_noise(problem, Profile(header=HEADER), PLAN, seed=0)(0, B) == 120.0


@pytest.mark.equation("noise")
def test_noise_has_the_median_that_the_problem_has() -> None:
    profile = profile_of(f"final:{PLAN.digest}", (1.0, 1.2, 0.9, 3.0, 1.1), (5.0,) * 5)
    duration_s = measured_noise(PROBLEM, profile, PLAN, seed=3)
    drawn = sorted(duration_s(request, A) for request in range(999))
    assert drawn[499] == 10.0


def test_the_same_seed_draws_the_same_in_any_order() -> None:
    profile = profile_of("configuration:operators", (2.0, 4.0, 1.0), (3.0, 6.0, 3.0))
    first, second, other = (measured_noise(PROBLEM, profile, PLAN, seed=seed) for seed in (1, 1, 2))
    ahead = [(first(request, A), first(request, B)) for request in range(50)]
    back = [(second(request, B), second(request, A)) for request in reversed(range(50))]
    assert ahead == [(a, b) for b, a in reversed(back)]
    assert ahead != [(other(request, A), other(request, B)) for request in range(50)]


def test_what_was_never_measured_keeps_its_time() -> None:
    profile = Profile(header=HEADER)
    assert measured_noise(PROBLEM, profile, PLAN, seed=0)(0, B) == 100.0


@pytest.mark.equation("held-out")
def test_interference_is_that_of_other_plans_serial_runs() -> None:
    # Where the first core was slow the second was fast, and the other way round; the exponent is 1.
    profile = Profile(header=HEADER)
    one, two = ([1e-6] * 6 + [2e-6] * 6), ([2e-6] * 6 + [1e-6] * 6)
    for device, op, speed_probe_s in (("cpu", "a", one), ("npu", "b", two)):
        profile.add(SerialRuns(device=device, context="final:x", speed_probe_s=tuple(speed_probe_s)))
        profile.add(
            Samples(device=device, ops=(op,), context="final:x", samples_s=tuple(1e6 * y for y in speed_probe_s))
        )
    duration_s = interference_noise(PROBLEM, profile, PLAN, seed=0)
    drawn = {(duration_s(i, A) / 10.0, duration_s(i, B) / 100.0) for i in range(200)}
    slow, fast = max(a for a, _ in drawn), min(a for a, _ in drawn)
    assert slow / fast == pytest.approx(2.0, rel=0.02)
    assert {(slow, fast), (fast, slow)} < drawn  # and between the two where the cores changed
    assert (slow, slow) not in drawn
    assert interference_noise(PROBLEM, profile, PLAN, seed=0)(7, A) == duration_s(7, A)


def test_without_speed_probes_there_is_no_interference() -> None:
    profile = Profile(header=HEADER)
    profile.add(Samples(device="cpu", ops=("a",), context="final:x", samples_s=(1.0, 2.0)))
    assert interference_noise(PROBLEM, profile, PLAN, seed=0)(0, A) == 10.0
