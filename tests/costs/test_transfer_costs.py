"""Cross-device access costs, fitted to measurements that are made from known costs."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import msgspec
import pytest
from hetsim.costs.fitting.transfer_costs import (
    MIN_CONTEXTS,
    Border,
    TransferCosts,
    calibrated_transfer_cost,
    find_border,
    fit_transfer_costs,
)
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.dataflow import resolve
from hetsim.core.graph import Graph
from hetsim.core.plan import Plan, Segment
from hetsim.core.platform import Link
from hetsim.costs.fitting.additive_medians import additive_medians
from hetsim.costs.problems import make_problem, plan_problem
from hetsim.costs.profile import Profile, Samples
from hetsim.models.model import Model
from hetsim.sim.compiled import CompiledSimulator
from hetsim.sim.simulate import makespan_s
from tests.support.models import fork_join
from tests.support.problems import graph_of, plan_of, platform_of
from tests.support.profiles import HEADER

Met = tuple[int, int, float]
"""Bytes read, bytes written, seconds."""


def profile_of(*segments: tuple[Met, ...]) -> Profile:
    """A profile of operators on the CPU, each met in several contexts."""
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


def chain_of(*kinds: str) -> Graph:
    """Operators ``op0``, ``op1``, ... of these kinds, each reading the one before."""
    return graph_of(
        {f"op{i}": (f"op{i - 1}",) if i else () for i in range(len(kinds))},
        kinds={f"op{i}": kind for i, kind in enumerate(kinds)},
    )


def found_in(profile: Profile, *kinds: str, bandwidth_bytes_per_s: float = inf) -> TransferCosts:
    platform = platform_of("cpu", "npu", bandwidth_bytes_per_s=bandwidth_bytes_per_s)
    graph = chain_of(*kinds or ["Relu"] * max(2, len(list(profile.segments()))))
    return fit_transfer_costs(profile, additive_medians(profile), platform, [graph])["cpu"]


def met(alone_s: float, read: float, written: float) -> tuple[Met, ...]:
    """What a segment takes when nothing crosses, a gigabyte read, a gigabyte written, and both and more."""
    crossed = [(0, 0), (10**9, 0), (0, 10**9), (10**9, 3 * 10**9)]
    return tuple((r, w, alone_s + read * r + written * w) for r, w in crossed)


@given(
    read=st.sampled_from([0.0, 1e-11, 5e-11]),
    written=st.sampled_from([0.0, 2e-11, 9e-11]),
    alone_s=st.lists(st.floats(1e-4, 1e-2), min_size=3, max_size=5),
)
@pytest.mark.equation("cross")
def test_the_fit_recovers_known_costs(read: float, written: float, alone_s: list[float]) -> None:
    found = found_in(profile_of(*(met(s, read, written) for s in alone_s)))
    assert found.read_s_per_byte == pytest.approx(read, rel=0.01, abs=1e-13)
    assert found.written_s_per_byte == pytest.approx(written, rel=0.01, abs=1e-13)


@pytest.mark.equation("cross")
def test_kinds_of_operators_pay_differently_and_the_average_goes_by_bytes() -> None:
    # Convolutions read at 80 ps a byte here, rectifiers at 50, both write at 40. Of the chain's five tensors, alike in
    # size, convolutions read two and rectifiers three.
    kinds = ("Relu", "Conv", "Relu", "Conv", "Relu", "Relu")
    figures = {"Conv": 8e-11, "Relu": 5e-11}
    found = found_in(profile_of(*(met(1e-3, figures[kind], 4e-11) for kind in kinds)), *kinds)
    assert found.read_by_kind["Conv"] == pytest.approx(8e-11, rel=0.02)
    assert found.read_by_kind["Relu"] == pytest.approx(5e-11, rel=0.02)
    assert found.written_by_kind["Conv"] == pytest.approx(4e-11, rel=0.02)
    assert found.read_s_per_byte == pytest.approx((2 * 8e-11 + 3 * 5e-11) / 5, rel=0.02)


def test_a_kind_without_measurements_pays_what_all_have_in_common() -> None:
    kinds = ("Relu", "Relu", "Relu", "Relu", "Softmax")
    found = found_in(profile_of(*(met(1e-3, 5e-11, 5e-11) for _ in range(4))), *kinds)
    softmax = Border(read_bytes={"Softmax": 1.0}, written_bytes={})
    # Where all that was met pays alike, one cause for all is likelier than one of their own.
    assert found.read_by_kind["Relu"] == pytest.approx(5e-11, rel=0.01)
    assert "Softmax" not in found.read_by_kind
    assert found.seconds(softmax, 10**9, 0) == pytest.approx(0.05, rel=0.02)


@pytest.mark.equation("cross")
def test_without_evidence_costs_stay_near_calibration() -> None:
    # A kilobyte more and a tenth of a percent less: noise.
    profile = profile_of(*(((0, 0, 1.0), (1000, 0, 0.999), (0, 1000, 1.001)),) * 3)
    found = found_in(profile, bandwidth_bytes_per_s=1e10)
    assert found.read_s_per_byte == pytest.approx(5e-11, rel=1e-3)
    assert found.written_s_per_byte == pytest.approx(5e-11, rel=1e-3)


@pytest.mark.equation("cross")
def test_costs_are_not_negative() -> None:
    # Reading makes it faster here, by 0.2 ns a byte, and writing slower by as much: only the latter can be.
    profile = profile_of(*(((0, 0, 1.0), (10**9, 0, 0.8), (0, 10**9, 1.2)),) * 3)
    found = found_in(profile)
    assert found.read_s_per_byte == 0.0
    assert found.written_s_per_byte > 0.0


def test_too_few_measurements_change_nothing() -> None:
    once_each = profile_of(*(((1000, 0, 1.0),),) * 2 * MIN_CONTEXTS)
    assert found_in(once_each) == TransferCosts()
    alike = profile_of(*(((1000, 0, 1.0), (1000, 0, 1.5)),) * MIN_CONTEXTS)
    assert found_in(alike) == TransferCosts()
    few = profile_of(((0, 0, 1.0), (1000, 0, 1.5)))
    assert found_in(few) == TransferCosts()
    elsewhere = profile_of(*(met(1.0, 1e-9, 0.0),) * 4)  # of operators that are not in the graph
    assert found_in(elsewhere, "Relu") == TransferCosts()


@pytest.mark.equation("cross")
def test_measurements_count_for_more_than_calibration() -> None:
    # By what it was met with, reading costs 90 ps a byte and writing nothing; a byte takes 80 ps on either link.
    found = found_in(profile_of(*(met(1e-3, 9e-11, 0.0),) * 3), bandwidth_bytes_per_s=1 / 8e-11)
    assert found.read_s_per_byte == pytest.approx(9e-11, rel=0.01)
    assert found.written_s_per_byte == pytest.approx(0.0, abs=1e-12)
    untold = found_in(profile_of(((0, 0, 1.0),)), bandwidth_bytes_per_s=1 / 8e-11)
    assert untold == TransferCosts(read_s_per_byte=4e-11, written_s_per_byte=4e-11)


def test_of_several_others_the_mean_counts_and_copies_cost_nothing() -> None:
    platform = platform_of("cpu", "npu", "gpu", bandwidth_bytes_per_s=250.0)
    copying = Link(bandwidth_bytes_per_s=250.0, mode="copy")
    found = calibrated_transfer_cost(replace(platform, links={**platform.links, ("gpu", "cpu"): copying}), "cpu")
    # 4 ms a byte on each link: half of it from the NPU, nothing from the GPU, whose tensors are copied.
    assert found.read_s_per_byte == pytest.approx(1e-3)
    assert found.written_s_per_byte == pytest.approx(2e-3)


@pytest.mark.equation("cross")
def test_a_border_says_who_reads_and_who_makes() -> None:
    # e reads a's 10 bytes as a rectifier and b's 30 as a rectifier; d reads b's, too, so those count half for each.
    graph = graph_of(
        {"a": (), "b": (), "d": ("b",), "e": ("a", "b"), "f": ("d", "e")},
        kinds={"d": "Conv"},
        num_bytes={"a": 10, "b": 30, "d": 5, "e": 7},
    )
    found = find_border(graph, ("d", "e"))
    assert found == Border(read_bytes={"Conv": 15.0, "Relu": 25.0}, written_bytes={"Conv": 5.0, "Relu": 7.0})
    assert find_border(graph, ("f",)).written_bytes == {}  # its tensor is the model's output
    assert find_border(graph, ("d",), ("e",)).read_bytes == {"Conv": 30.0, "Relu": 40.0}


def test_a_segment_pays_for_what_it_reads_and_writes() -> None:
    transfer_costs = TransferCosts(
        read_s_per_byte=1e-9, written_s_per_byte=2e-9, read_by_kind={"Conv": 5e-9}, written_by_kind={"Conv": 4e-9}
    )
    # Three quarters of what it reads a convolution reads at 5, the rest at the average of 1: 4 ns a byte.
    border = Border(read_bytes={"Conv": 300.0, "Relu": 100.0}, written_bytes={"Relu": 50.0})
    assert transfer_costs.seconds(border, 1000, 500) == pytest.approx(1000 * 4e-9 + 500 * 2e-9)


def test_steps_know_what_crosses() -> None:
    graph = graph_of(
        {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}, num_bytes={"a": 10, "b": 200, "c": 3000, "d": 1}
    )
    flow = resolve(graph, plan_of(graph, ("cpu", "a b"), ("npu", "c"), ("cpu", "d")))
    # a+b writes a's 10 bytes for c on the NPU, and b's for d on its own device; d reads c's 3000 from the NPU.
    assert [step.segment.ops for step in flow.steps] == [("a", "b"), ("c",), ("d",)]
    assert flow.read_bytes == (0, 10, 3000)
    assert flow.written_bytes == (10, 3000, 0)


def crossed_profile(model: Model, read_s_per_byte: float) -> Profile:
    """Both devices' operators take a millisecond each, and what they read costs so much wherever it crosses."""
    engines = {"cpu": "e", "npu": "e"}
    header = msgspec.structs.replace(HEADER, model_hash=model.hash, engines=engines)
    profile = Profile(header=header)
    for device in engines:
        for op in model.graph.ops:
            num_bytes = sum(model.graph.tensors[t].num_bytes for t in op.inputs if t in model.graph.producer)
            for context, crossed in (("configuration:operators", 0), ("replay:0", num_bytes), ("replay:1", num_bytes)):
                profile.add(
                    Samples(
                        device=device,
                        ops=(op.name,),
                        context=context,
                        samples_s=(1e-3 + read_s_per_byte * crossed,),
                        read_bytes=crossed,
                    )
                )
    return profile


@pytest.mark.equation("cross-links")
def test_a_problem_takes_transfer_cost_out_of_segments_and_charges_plans_for_it() -> None:
    model, read_s_per_byte = fork_join(num_rows=500_000), 1e-10  # tensors of 16 MB, 1.6 ms each
    graph, platform = model.graph, platform_of("cpu", "npu")
    profile = crossed_profile(model, read_s_per_byte)
    problem = make_problem(model, platform, profile)
    assert problem.cost_s("cpu", ("join",)) == pytest.approx(1e-3, rel=0.02)
    tensor = graph.outputs_of(("stem",))[0]
    transfer_cost_s = graph.tensors[tensor].num_bytes * read_s_per_byte
    assert problem.transfer_s("cpu", "npu", tensor) == 0.0
    assert problem.hand_over_s("cpu", "npu", tensor) == pytest.approx(transfer_cost_s, rel=0.02)
    # A plan's own replay has it in its segments' times, where the links must not charge it again.
    names = [op.name for op in graph.ops]
    plan = Plan(
        model=graph.name,
        queues={"cpu": (Segment("cpu", (names[0],)),), "npu": tuple(Segment("npu", (n,)) for n in names[1:])},
    )
    for segment in plan.segments:
        profile.add(Samples(device=segment.device, ops=segment.ops, context=f"replay:{plan.digest}", samples_s=(2.0,)))
    own = plan_problem(model, platform, profile, plan)
    assert makespan_s(own, plan) == 2.0 * len(names)
    assert not own.platform.charges_access
    assert profile.without(plan.digest).samples_s("cpu", ("stem",), f"replay:{plan.digest}") == ()


@pytest.mark.equation("cross-links")
def test_without_a_replay_every_segment_of_a_plan_pays_for_what_it_reads_and_the_search_knows() -> None:
    model, read_s_per_byte = fork_join(num_rows=500_000), 1e-10
    graph, platform = model.graph, platform_of("cpu", "npu")
    profile = crossed_profile(model, read_s_per_byte)
    plan = plan_of(graph, ("cpu", "stem"), ("npu", "left"), ("npu", "right"), ("npu", "right2"), ("npu", "join"))
    transfer_cost_s = graph.tensors[graph.outputs_of(("stem",))[0]].num_bytes * read_s_per_byte
    # Both left and right read what the CPU wrote, one after the other on the NPU, and each fetches it.
    met = plan_problem(model, platform, profile, plan)
    times_s = met.segment_times_s(plan.segments)
    assert times_s[Segment("npu", ("right",))] == pytest.approx(1e-3 + transfer_cost_s, rel=0.02)
    assert makespan_s(met, plan) == pytest.approx(5e-3 + 2 * transfer_cost_s, rel=0.02)
    # The search's problem says the same to the last bit, also by the simulator that the search uses.
    problem = make_problem(model, platform, profile)
    assert makespan_s(problem, plan) == makespan_s(met, plan) == CompiledSimulator(problem).run(plan.queues)
