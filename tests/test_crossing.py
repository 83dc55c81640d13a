"""What crossing costs, against measurements made up from known figures."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.costs import make_problem, plan_problem
from hetsim.crossing import MIN_CONTEXTS, Crossing, calibrated_crossing, fit_crossings
from hetsim.machine.platform import Link
from hetsim.plan import Plan, Segment, resolve
from hetsim.profile import Profile, Samples
from hetsim.simulate import makespan_s
from hetsim.typical import typical_times
from tests.models import fork_join
from tests.problems import graph_of, plan_of, platform_of
from tests.test_profile import HEADER

Met = tuple[int, int, float]
"""Bytes read, bytes written, seconds."""


def profile_of(*segments: tuple[Met, ...]) -> Profile:
    """A profile of segments on the CPU, each met in several contexts."""
    profile = Profile(header=HEADER)
    for i, contexts in enumerate(segments):
        for k, (read, written, seconds) in enumerate(contexts):
            profile.add(
                Samples(
                    device="cpu",
                    ops=(f"op{i}",),
                    context=f"replay:{k}",
                    samples_s=(seconds,),
                    read_bytes=read,
                    written_bytes=written,
                )
            )
    return profile


def found_in(profile: Profile, bandwidth_bytes_per_s: float = inf) -> dict[str, Crossing]:
    platform = platform_of("cpu", "npu", bandwidth_bytes_per_s=bandwidth_bytes_per_s)
    return fit_crossings(profile, typical_times(profile), platform)


@given(
    read=st.sampled_from([0.0, 1e-11, 5e-11]),
    written=st.sampled_from([0.0, 2e-11, 9e-11]),
    alone_s=st.lists(st.floats(1e-4, 1e-2), min_size=3, max_size=5),
)
def test_known_figures_are_found_again(read: float, written: float, alone_s: list[float]) -> None:
    met = [(0, 0), (10**6, 0), (0, 10**6), (10**6, 3 * 10**6)]
    profile = profile_of(*(tuple((r, w, s + read * r + written * w) for r, w in met) for s in alone_s))
    found = found_in(profile)["cpu"]
    assert found.read_s_per_byte == pytest.approx(read, abs=1e-14)
    assert found.written_s_per_byte == pytest.approx(written, abs=1e-14)


def test_no_figure_falls_below_zero() -> None:
    # Reading makes it faster here, by 1 ns a byte, and writing slower by as much: only the latter can be.
    profile = profile_of(*(((0, 0, 1.0), (1000, 0, 1.0 - 1e-6), (0, 1000, 1.0 + 1e-6)),) * 3)
    found = found_in(profile)["cpu"]
    assert found.read_s_per_byte == 0.0
    assert found.written_s_per_byte > 0.0


def test_too_little_tells_nothing() -> None:
    once_each = profile_of(*(((1000, 0, 1.0),),) * 2 * MIN_CONTEXTS)
    assert found_in(once_each)["cpu"] == Crossing()
    alike = profile_of(*(((1000, 0, 1.0), (1000, 0, 1.5)),) * MIN_CONTEXTS)
    assert found_in(alike)["cpu"] == Crossing()
    few = profile_of(((0, 0, 1.0), (1000, 0, 1.5)))
    assert found_in(few)["cpu"] == Crossing()


def test_no_figure_falls_below_half_of_what_calibration_measured() -> None:
    # By what it was met with, reading costs 5 ns a byte and writing nothing; a byte takes 4 ns on either link.
    met = ((0, 0, 1.0), (10**6, 0, 1.005), (0, 10**6, 1.0))
    found = found_in(profile_of(met, met, met), bandwidth_bytes_per_s=2.5e8)["cpu"]
    assert found.read_s_per_byte == pytest.approx(5e-9)
    assert found.written_s_per_byte == pytest.approx(2e-9)
    untold = found_in(profile_of(((0, 0, 1.0),)), bandwidth_bytes_per_s=2.5e8)["cpu"]
    assert untold == Crossing(read_s_per_byte=2e-9, written_s_per_byte=2e-9)


def test_of_several_others_the_mean_counts_and_copies_cost_nothing() -> None:
    platform = platform_of("cpu", "npu", "gpu", bandwidth_bytes_per_s=250.0)
    copying = Link(bandwidth_bytes_per_s=250.0, mode="copy")
    found = calibrated_crossing(replace(platform, links={**platform.links, ("gpu", "cpu"): copying}), "cpu")
    # 4 ms a byte on each link: half of it from the NPU, nothing from the GPU, whose tensors are copied.
    assert found.read_s_per_byte == pytest.approx(1e-3)
    assert found.written_s_per_byte == pytest.approx(2e-3)


def test_a_segment_pays_for_what_it_reads_and_writes() -> None:
    crossing = Crossing(read_s_per_byte=1e-9, written_s_per_byte=2e-9)
    assert crossing.seconds(1000, 500) == pytest.approx(2e-6)


def test_steps_know_what_crosses() -> None:
    graph = graph_of(
        {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}, num_bytes={"a": 10, "b": 200, "c": 3000, "d": 1}
    )
    flow = resolve(graph, plan_of(graph, ("cpu", "a b"), ("npu", "c"), ("cpu", "d")))
    # a+b writes a's 10 bytes for c on the NPU, and b's for d on its own device; d reads c's 3000 from the NPU.
    assert [step.segment.ops for step in flow.steps] == [("a", "b"), ("c",), ("d",)]
    assert flow.read_bytes == (0, 10, 3000)
    assert flow.written_bytes == (10, 3000, 0)


def test_a_problem_takes_crossing_out_of_segments_and_puts_it_into_links() -> None:
    model = fork_join()
    graph = model.graph
    header = HEADER.__class__(
        model="m", model_hash=model.hash, machine="here", engines={"cpu": "e", "npu": "e"}, date="2026-01-01"
    )
    profile = Profile(header=header)
    read_s_per_byte = 1e-6
    for device in ("cpu", "npu"):
        for op in graph.ops:
            num_bytes = sum(graph.tensors[t].num_bytes for t in op.inputs if t in graph.producer)
            for context, crossed in (("cover:operators", 0), ("replay:0", num_bytes), ("replay:1", num_bytes)):
                profile.add(
                    Samples(
                        device=device,
                        ops=(op.name,),
                        context=context,
                        samples_s=(1.0 + read_s_per_byte * crossed,),
                        read_bytes=crossed,
                    )
                )
    platform = platform_of("cpu", "npu")
    problem = make_problem(model, platform, profile)
    assert problem.cost_s("cpu", ("join",)) == pytest.approx(1.0)
    tensor = graph.outputs_of(("stem",))[0]
    assert problem.transfer_s("cpu", "npu", tensor) == pytest.approx(graph.tensors[tensor].num_bytes * read_s_per_byte)
    # A plan's own replay has it in its segments' times, where the links must not charge it again.
    names = [op.name for op in graph.ops]
    plan = Plan(
        model=graph.name,
        queues={"cpu": (Segment("cpu", (names[0],)),), "npu": tuple(Segment("npu", (n,)) for n in names[1:])},
    )
    for segment in plan.segments:
        profile.add(Samples(device=segment.device, ops=segment.ops, context=f"replay:{plan.digest}", samples_s=(2.0,)))
    assert makespan_s(plan_problem(model, platform, profile, plan), plan) == 2.0 * len(names)
    assert profile.without(plan.digest).samples_s("cpu", ("stem",), f"replay:{plan.digest}") == ()
